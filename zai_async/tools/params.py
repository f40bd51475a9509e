"""What a turn with tools is asked for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Required, TypeAlias, TypedDict, cast

from zai_async.errors import ConfigurationError
from zai_async.models import AnswerParams, Budget, CallOptions, ToolCall, ToolParam
from zai_async.tools.state import RunState
from zai_async.tools.tool import Tool

__all__ = ["Decision", "ResumeParams", "RunOptions", "RunParams", "ToolLike", "read_tools"]

_MOST_FUNCTIONS: Final = 128

Decision: TypeAlias = bool | str
"""Whether a call may be made; a text is the reason why not, which the model is told."""

ToolLike: TypeAlias = Tool[..., Any] | Callable[..., Any] | ToolParam | Mapping[str, Any]
"""A tool, a function to make one of, or one of the platform's own tools as a dict."""


class RunOptions(TypedDict, total=False):
    """When a run with tools ends, and what it asks of its caller."""

    max_rounds: int
    """How often the model is asked; default 8."""
    max_equal_calls: int
    """How often the same call with the same arguments is made; default 3. The model is told once
    that it repeats itself, then the run ends."""
    max_failures: int
    """After how many rounds in a row in which every call failed the run ends; default 3."""
    budget: Budget
    """What all rounds are charged to."""
    approve: Callable[[ToolCall], Awaitable[Decision | None]]
    """Asked, one call at a time, for calls that need approval; None puts the decision off."""
    expose_errors: bool
    """Whether the model reads the messages of all exceptions, and not of ``ToolError`` only."""
    on_checkpoint: Callable[[RunState], Awaitable[None]]
    """Called with the state before and after each tool runs, and after each round; what it stores
    is enough to resume the run after a crash."""


class RunParams(AnswerParams, RunOptions, total=False):
    """Parameters of a turn with tools."""

    tools: Required[Sequence[ToolLike]]
    """What ``@tool`` makes, functions, or the platform's own tools as dicts."""


class ResumeParams(RunOptions, total=False):
    """Parameters of a turn that goes on."""

    tools: Required[Sequence[ToolLike]]
    """As before: functions are no part of the state."""
    decisions: Mapping[str, Decision]
    """Whether calls may be made, by their ids."""
    options: CallOptions
    """As for every call."""


def read_tools(
    tools: Sequence[ToolLike],
) -> tuple[dict[str, Tool[..., Any]], dict[str, list[Any]]]:
    """Return the functions by their names, and the keyword that offers all tools to the model.

    Raises:
        ConfigurationError: Two have one name, there are too many, or a dict names a function.
    """
    functions: dict[str, Tool[..., Any]] = {}
    offered: list[Any] = []
    for each in tools:
        if isinstance(each, Mapping):
            param = cast("Mapping[str, Any]", each)
            if param.get("type") == "function":
                raise ConfigurationError("tools: a run needs the function itself, not its schema")
            offered.append(param)
            continue
        tool = cast("Tool[..., Any]", each) if isinstance(each, Tool) else Tool(each)
        if tool.name in functions:
            raise ConfigurationError(f"tools: there are two with the name {tool.name!r}")
        functions[tool.name] = tool
        offered.append(tool.param)
    if len(functions) > _MOST_FUNCTIONS:
        raise ConfigurationError(f"tools: {len(functions)} functions, at most {_MOST_FUNCTIONS}")
    return functions, {"tools": offered} if offered else {}
