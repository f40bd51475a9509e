"""Functions that a model may call: ``@tool``."""

import inspect
import re
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import update_wrapper
from typing import Any, Final, Generic, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

import msgspec

from zai_async._threads import DaemonThreads, abandonable
from zai_async.errors import ConfigurationError
from zai_async.models.chat_params import FunctionToolParam
from zai_async.structured import decode_as
from zai_async.tools.docstrings import described
from zai_async.tools.signatures import arguments_of

__all__ = ["Tool", "ToolError", "ToolOptions", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Apart from those that read files: a tool that hangs must not stop uploads.
_THREADS: Final = DaemonThreads(64, name="zai-async-tools")


class ToolOptions(TypedDict, total=False):
    """What ``@tool`` may say about a function."""

    name: str
    """What the model calls it; the function's own name if absent."""
    description: str
    """What it does; the beginning of the docstring if absent."""
    parameters: Mapping[str, Any]
    """The JSON Schema of the arguments, which are then handed over as they come."""
    timeout: float | None
    """Seconds after which a call of the model is given up; default None, which waits."""
    approve: bool | Callable[..., bool]
    """Whether a person has to agree to a call, or a function of the arguments that says so."""
    parallel: bool
    """Whether it may run beside other calls of the same answer; default true."""


class ToolError(Exception):
    """Raised by a tool to tell the model what went wrong; the message is sent to it as it is."""


class Tool(Generic[P, R]):
    """A function that a model may call; your own code calls it as before.

    Its ``name``, ``description`` and ``parameters``, a JSON Schema, are what the model is told.

    Raises:
        ConfigurationError: A parameter has no annotation or no schema, or the name is not allowed.
    """

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], **options: Unpack[ToolOptions]) -> None:
        own_name: str = getattr(function, "__name__", type(function).__name__)
        self.name = options.get("name", own_name)
        if not _NAME.fullmatch(self.name):
            text = f"tool {self.name!r}: a name has 1 to 64 of the characters a-z A-Z 0-9 _ -"
            raise ConfigurationError(text)
        self.timeout = options.get("timeout")
        if self.timeout is not None and not self.timeout > 0:
            text = f"tool {self.name!r}: timeout must be None or seconds above 0"
            raise ConfigurationError(f"{text}, not {self.timeout!r}")
        description, arguments = described(function.__doc__)
        self.description = options.get("description", description)
        self.approve = options.get("approve", False)
        self.parallel = options.get("parallel", True)
        self._arguments: type[msgspec.Struct] | None = None
        self.parameters: Mapping[str, Any]
        if "parameters" in options:
            self.parameters = options["parameters"]
        else:
            self._arguments, self.parameters = arguments_of(function, self.name, arguments)
        # Without its __dict__, which might hold names that are ours.
        update_wrapper(self, function, updated=())

    @property
    def param(self) -> FunctionToolParam:
        """The tool as ``create(tools=[...])`` takes it."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    def read(self, arguments: str) -> dict[str, Any]:
        """Return the keyword arguments that the JSON text of a call stands for.

        No text at all stands for no arguments, as with ``ToolCall.parse()``.

        Raises:
            msgspec.DecodeError: The text is no JSON, or does not fit the function.
        """
        kind = self._arguments
        if kind is None:
            return decode_as(dict[str, Any], arguments or "{}")
        return msgspec.structs.asdict(decode_as(kind, arguments or "{}"))

    def needs_approval(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether a person has to agree to a call with these keyword arguments."""
        return self.approve(**arguments) if callable(self.approve) else self.approve

    async def run(self, arguments: Mapping[str, Any]) -> object:
        """Call the function with these keyword arguments; what is not async runs in a thread.

        A thread cannot be interrupted: one whose call is cancelled is left behind.
        """
        function = cast("Callable[..., Any]", self.__wrapped__)
        # An object whose __call__ is async is no coroutine function by itself.
        if any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):
            return await function(**arguments)
        # The thread sees the context of the call, and so knows which call it runs for.
        context = copy_context()

        def call() -> tuple[object, BaseException | None]:
            # Whatever is raised must not end the thread, nor be taken for the end of a generator.
            try:
                return context.run(function, **arguments), None
            except BaseException as error:  # noqa: BLE001 - it is raised below
                return None, error

        result, error = await abandonable(call, _THREADS)
        if isinstance(error, Exception):
            raise error
        if error is not None:
            # SystemExit and the like would end the program of whoever serves the model.
            raise RuntimeError(f"the tool {self.name!r} raised {type(error).__name__}")
        return await result if inspect.isawaitable(result) else result

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"


@overload
def tool(function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> Tool[P, R]: ...
@overload
def tool(
    **options: Unpack[ToolOptions],
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]
) -> Tool[..., Any] | Callable[[Callable[..., Any]], Tool[..., Any]]:
    """Make a tool of a function: ``@tool``, ``@tool(timeout=30)``, or ``tool(store.search)``.

    The model is told the name, the docstring, and the annotated parameters: those are described
    under ``Args:``, or by ``Annotated[str, msgspec.Meta(description=...)]``, whose limits count,
    too. What is not ``async`` runs in a thread.

    Args:
        function: The function, or the method of an object.
        **options: ``name``, ``description``, ``parameters``, ``timeout``, ``approve``,
            ``parallel``.

    Raises:
        ConfigurationError: A parameter has no annotation or no schema, or the name is not allowed.

    Source: https://docs.z.ai/guides/capabilities/function-calling
    """

    def decorate(decorated: Callable[..., Any]) -> Tool[..., Any]:
        if isinstance(decorated, Tool):  # the same function with other options
            decorated = cast("Tool[..., Any]", decorated).__wrapped__
        return Tool(decorated, **options)

    return decorate if function is None else decorate(function)
