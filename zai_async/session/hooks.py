"""What the hooks of a client see of each call: typed events, and blocks around call and attempt."""

import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, ClassVar, Literal

import msgspec

from zai_async.errors import Attempt, ConfigurationError, Timing, ZaiError
from zai_async.models import Usage

__all__ = [
    "BatchEvent",
    "CallEnd",
    "FinishEvent",
    "Hooks",
    "QueueEvent",
    "RequestEvent",
    "ResponseEvent",
    "RetryEvent",
    "StartEvent",
    "ToolEvent",
]

CallEnd = Literal["completed", "failed", "abandoned"]
# What an observer draws spans of: a call may contain several attempts.
EventKind = Literal["call", "attempt"]


class CallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What every event tells."""

    kind: ClassVar[EventKind] = "call"
    call_id: str = ""
    """The same on every event of one call, and on no event of another."""
    operation: str
    tag: str | None = None
    """The label of the call, from its options."""


class StartEvent(CallEvent, frozen=True, kw_only=True):
    """A call begins; exactly one ``FinishEvent`` will follow."""

    model: str
    """The model, or the agent; the operation where there is neither."""
    provider: str = ""
    """The gateway, as ``AsyncZai(provider=...)`` names it."""
    stream: bool = False
    """Whether the answer is a stream."""
    parameters: Mapping[str, Any] = {}
    """What the caller set of ``temperature``, ``max_tokens`` and the like; never what was asked."""
    content: Mapping[str, Any] | None = None
    """All that was asked, with ``Hooks(content=True)`` alone."""


class QueueEvent(CallEvent, frozen=True, kw_only=True):
    """A call has to wait for others of its model."""

    model: str
    limit: int | None
    """How many may be in flight; None where only a rate holds the call up."""
    in_flight: int
    waiting: int
    """How many wait already."""


class RequestEvent(CallEvent, frozen=True, kw_only=True):
    """A request is about to be sent."""

    kind: ClassVar[EventKind] = "attempt"
    method: str
    url: str
    """Address without a query, which may hold a key."""
    attempt: int
    """1 for the first request of the call."""
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Empty; what ``around`` or ``on_request`` puts in is sent along, over fields of that name."""


class ResponseEvent(CallEvent, frozen=True, kw_only=True):
    """The headers of an answer have arrived."""

    kind: ClassVar[EventKind] = "attempt"
    attempt: int
    status_code: int
    request_id: str | None
    duration: float
    """Seconds since the request was sent."""
    connection_reused: bool | None
    headers: Mapping[str, str]
    """The header fields of the answer; looking them up ignores case."""


class RetryEvent(CallEvent, frozen=True, kw_only=True):
    """A request failed and will be sent again."""

    attempt: int
    """The number of the request that failed."""
    wait: float
    """Seconds until it is sent again."""
    error: ZaiError


class FinishEvent(CallEvent, frozen=True, kw_only=True):
    """A call is over, in whichever way."""

    model: str
    end: CallEnd
    """``"abandoned"`` was cancelled, or is a stream that was closed before its end."""
    attempts: tuple[Attempt, ...]
    timing: Timing
    usage: Usage | None
    """What the platform told about tokens."""
    error: Exception | None
    response_id: str | None = None
    """The id that the answer has, of a task that was submitted, too."""
    response_model: str | None = None
    """The model that answered, as the answer has it."""
    finish_reasons: tuple[str, ...] = ()
    answer: object = None
    """What came of the call, or as much as had come; with ``Hooks(content=True)`` alone."""


class ToolEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A function runs for a model, in ``run_tools()`` or a conversation."""

    kind: ClassVar[Literal["tool"]] = "tool"
    name: str
    tool_call_id: str
    arguments: Mapping[str, Any] | None = None
    """With ``Hooks(content=True)`` alone."""


class BatchEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A batch runs; its rows are calls of their own."""

    kind: ClassVar[Literal["batch"]] = "batch"
    model: str | None
    """For rows that name none."""
    backend: str
    progress: Callable[[], Any]
    """Returns how far it is at that moment, as ``run.progress`` does."""


Around = Callable[[StartEvent | RequestEvent], AbstractContextManager[object] | None]
AroundWork = Callable[[ToolEvent | BatchEvent], AbstractContextManager[object] | None]


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Functions, or coroutine functions, that are called as a call proceeds.

    What a hook raises ends the call. It reaches the caller, except where the call has an error or
    an answer already: then that does, and the failure of the hook is logged.

    Raises ConfigurationError for what is no function, and for an ``on_finish`` that is a coroutine
    function.
    """

    on_start: Callable[[StartEvent], Awaitable[None] | None] | None = None
    on_queue: Callable[[QueueEvent], Awaitable[None] | None] | None = None
    on_request: Callable[[RequestEvent], Awaitable[None] | None] | None = None
    on_response: Callable[[ResponseEvent], Awaitable[None] | None] | None = None
    on_retry: Callable[[RetryEvent], Awaitable[None] | None] | None = None
    on_finish: Callable[[FinishEvent], None] | None = None
    """No coroutine function: a call may end where nothing can wait, such as when cancelled."""
    around: Around | None = None
    """Returns a context manager that is entered when a call begins, or when one of its requests is
    sent, and left when that is over, with the error if it failed; None for no interest. The event
    says which of the two it is: a ``StartEvent`` or a ``RequestEvent``."""
    around_work: AroundWork | None = None
    """As ``around``, for a tool that runs (``ToolEvent``) and for a batch (``BatchEvent``)."""
    content: bool = False
    """Whether events have what was asked and answered in them, which logs then may have, too."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            hook = getattr(self, name)
            if name != "content" and hook is not None and not callable(hook):
                raise ConfigurationError(f"{name} must be a function, not {type(hook).__name__}")
        # It would be called and never run, which nobody would notice but for a warning.
        called = getattr(self.on_finish, "__call__", None)  # noqa: B004 - of an object of a class
        if any(map(inspect.iscoroutinefunction, (self.on_finish, called))):
            raise ConfigurationError("on_finish cannot be a coroutine function: nothing waits then")

    def joined(self, other: "Hooks") -> "Hooks":
        """Return hooks that do what both do: these first, and their blocks around the other's."""
        values: dict[str, Any] = {}
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if not mine or not theirs:
                values[name] = mine or theirs
            elif name.startswith("on_"):
                values[name] = _one_after_the_other(mine, theirs, waits=name != "on_finish")
            else:
                values[name] = mine if name == "content" else _one_in_the_other(mine, theirs)
        return Hooks(**values)


def _one_after_the_other(*hooks: Callable[[Any], Any], waits: bool) -> Callable[[Any], Any]:
    def call_all(event: Any) -> None:
        for hook in hooks:
            hook(event)

    async def wait_for_all(event: Any) -> None:
        for hook in hooks:
            result = hook(event)
            if inspect.isawaitable(result):
                await result

    return wait_for_all if waits else call_all


def _one_in_the_other(
    *arounds: Callable[[Any], AbstractContextManager[object] | None],
) -> Callable[[Any], AbstractContextManager[object]]:
    @contextmanager
    def enter_all(event: Any) -> Generator[None]:
        with ExitStack() as stack:
            for around in arounds:
                block = around(event)
                if block is not None:
                    stack.enter_context(block)
            yield

    return enter_all
