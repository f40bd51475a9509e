"""Tools of a server of the Model Context Protocol, for a turn of ``run_tools()``.

    async with mcp.Client("http://localhost:8000/mcp") as client:
        tools = await mcp_tools(client)

The client is yours, from the package ``mcp`` (the extra ``mcp``), which is not imported here.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools
"""

import re
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

import msgspec

from zai_async.errors import ConfigurationError
from zai_async.structured.schemas import inlined
from zai_async.tools import Tool, ToolError, report_progress

__all__ = ["MCPClient", "mcp_tools"]

# The protocol allows names that the platform does not.
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME: Final = 64


class MCPClient(Protocol):
    """What is asked of a client: ``mcp.Client`` and ``mcp.ClientSession`` can do both."""

    @property
    def list_tools(self) -> Callable[..., Any]:
        """Return a page of the tools."""
        ...

    @property
    def call_tool(self) -> Callable[..., Any]:
        """Call one of them."""
        ...


async def mcp_tools(
    client: MCPClient,
    *,
    prefix: str = "",
    only: Collection[str] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - that of each call, as for any tool
    approve: bool | Callable[..., bool] = False,
    parallel: bool = True,
) -> list[Tool[..., Any]]:
    """Return the tools of a server for ``run_tools()``, while its client is open.

    Names and descriptions are those of the server, and so is what the results say: a server that
    you do not trust can tell your model anything. Its progress is that of the call; a result that
    it marks as an error is told to the model as it is.

    Args:
        client: An open client.
        prefix: Stands before each name, to keep those of several servers apart.
        only: The names of the tools to take, as the server has them; all if absent.
        timeout: Seconds after which a call is given up.
        approve: Whether a person has to agree to each call, or a function of its arguments.
        parallel: Whether calls may run beside each other.

    Raises:
        ConfigurationError: A tool is missing, or its arguments have no schema that can be offered.
    """
    offered: list[Any] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        offered += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    missing = set(only or ()) - {each.name for each in offered}
    if missing:
        raise ConfigurationError(f"the MCP server has no tools {sorted(missing)}")

    tools: list[Tool[..., Any]] = []
    for each in offered:
        if only is not None and each.name not in only:
            continue
        # Models are offered schemas without definitions, as those of our own tools.
        try:
            parameters = inlined(each.input_schema, {})
        except (KeyError, TypeError) as error:
            text = f"MCP tool {each.name!r}: its schema cannot be offered: {error}"
            raise ConfigurationError(text, hint="only= leaves it out.") from error
        tools.append(
            Tool(
                remote_call(client, each.name),
                name=_NOT_IN_NAMES.sub("_", prefix + each.name)[:_LONGEST_NAME],
                description=each.description or each.title or "",
                parameters=parameters,
                timeout=timeout,
                approve=approve,
                parallel=parallel,
            )
        )
    return tools


def remote_call(client: MCPClient, name: str) -> Callable[..., Any]:
    """Return the function behind a tool."""

    async def call(**arguments: Any) -> str:
        # The call is made in the task of the tool, so that the progress knows whose it is.
        result = await client.call_tool(name, arguments, progress_callback=progress)
        text = "\n".join(shown(block) for block in result.content)
        if result.is_error:
            raise ToolError(text or "the tool failed")
        if not text and result.structured_content is not None:
            text = msgspec.json.encode(result.structured_content).decode()
        return text

    async def progress(done: float, total: float | None, message: str | None) -> None:
        report_progress({"progress": done, "total": total, "message": message})

    return call


def shown(block: Any) -> str:
    """Return a part of a result as a model reads it, which sees neither pictures nor sound here."""
    inner = getattr(block, "resource", block)
    text: str | None = getattr(inner, "text", None)
    if text is not None:
        return text
    where = getattr(inner, "uri", None)
    return f"[{inner.mime_type or block.type}{f': {where}' if where else ''}]"
