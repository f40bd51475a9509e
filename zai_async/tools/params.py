"""The tools that a turn is given, and how they are offered to the model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from zai_async.errors import ConfigurationError
from zai_async.models import ToolParam
from zai_async.tools.tool import Tool

__all__ = ["ToolLike", "read_tools"]

_MOST_FUNCTIONS: Final = 128

ToolLike: TypeAlias = Tool[..., Any] | Callable[..., Any] | ToolParam | Mapping[str, Any]
"""A tool, a function to make one of, or one of the platform's own tools as a dict."""


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
