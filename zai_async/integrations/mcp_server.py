"""A server of the Model Context Protocol: the operations of the platform as tools.

    async with AsyncZai() as zai:
        await serve_stdio(mcp_server(zai))

Needs the extra ``mcp``. ``zai mcp`` is this on the command line.
"""

import base64
import hmac
import ipaddress
import logging
import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from shutil import rmtree
from socket import AF_INET, AF_INET6, create_server
from tempfile import mkdtemp
from typing import Any, Final, TypeAlias

import msgspec
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceLink,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)

from zai_async import __version__
from zai_async._threads import to_the_end
from zai_async.client import AsyncZai
from zai_async.errors import ConfigurationError, ZaiError
from zai_async.integrations.mcp_tools import TOOLS, ToolAnswer, ToolPlatform, answer_of, schema_of
from zai_async.models.encoding import to_plain

__all__ = ["http_app", "mcp_server", "serve_http", "serve_stdio"]

Context: TypeAlias = ServerRequestContext[Any]
Application: TypeAlias = Callable[
    [MutableMapping[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]],
    Awaitable[None],
]

_log: Final = logging.getLogger("zai_async")
_TASKS: Final = "zai://tasks/"
_LARGEST: Final = 8 * 2**20
"""Bytes of an image that is handed out; of a larger one there is the address."""


def mcp_server(zai: AsyncZai, *, root: Path | None = None) -> Server[Any]:
    """Return a server whose tools are the published operations.

    Args:
        zai: Makes the calls, and is not closed.
        root: The folder whose files tools may send; None allows none.
    """
    answers = PlatformAnswers(ToolPlatform(zai, root))
    return Server(
        "zai",
        version=__version__,
        instructions="Operations of the Z.AI platform: models, images, videos, documents, the web.",
        on_list_tools=answers.list_tools,
        on_call_tool=answers.call_tool,
        on_list_resources=answers.list_resources,
        on_list_resource_templates=answers.list_templates,
        on_read_resource=answers.read_resource,
    )


class PlatformAnswers:
    """What the server answers: tools for operations, resources for tasks."""

    def __init__(self, platform: ToolPlatform) -> None:
        self._platform = platform
        self._tools = [
            Tool(
                name=name,
                description=tool.__doc__,
                input_schema=schema_of(tool),
                annotations=ToolAnnotations(
                    read_only_hint=tool.reads_only, destructive_hint=False, open_world_hint=True
                ),
            )
            for name, tool in TOOLS.items()
        ]

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        """Return all tools."""
        return ListToolsResult(tools=self._tools)

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Call a tool; what goes wrong is told to the model, which may do something about it."""
        kind = TOOLS.get(params.name)
        if kind is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r}")
        try:
            # The library does not compare arguments with the schema, and models make mistakes.
            arguments = msgspec.convert(params.arguments or {}, kind)
            answer = await arguments.call(self._platform)
            if answer.task is not None and answer.waits:
                polls = 0
                async with aclosing(answer.task.updates()) as updates:
                    async for state in updates:
                        polls += 1
                        message = f"task {answer.task.id}: {state.task_status}"
                        await context.session.report_progress(polls, None, message)
                answer = answer_of(answer.task.result())
        except (msgspec.ValidationError, ZaiError) as error:
            message = f"invalid arguments: {error}"
            if isinstance(error, ZaiError):
                message = " ".join(filter(None, (f"{error.kind}: {error.message}", error.hint)))
            return CallToolResult(content=[TextContent(text=message)], is_error=True)
        return CallToolResult(
            content=await self._content(answer), structured_content=to_plain(answer.value)
        )

    async def list_resources(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """Return the tasks that tools have begun."""
        return ListResourcesResult(
            resources=[
                Resource(name=f"task {name}", uri=_TASKS + name, mime_type="application/json")
                for name in self._platform.tasks
            ]
        )

    async def list_templates(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """Return the form of the addresses of tasks."""
        template = ResourceTemplate(
            name="task",
            uri_template=f"{_TASKS}{{id}}",
            description="What became of a task, and its result",
            mime_type="application/json",
        )
        return ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, _: Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """Return what the platform says about a task."""
        name = params.uri.removeprefix(_TASKS)
        if name == params.uri:
            raise MCPError(INVALID_PARAMS, f"there is no resource {params.uri!r}")
        try:
            answer = await self._platform.result(name)
        except ZaiError as error:
            raise MCPError(INVALID_PARAMS, f"{error.kind}: {error.message}") from None
        text = msgspec.json.encode(to_plain(answer.value)).decode()
        contents = TextResourceContents(uri=params.uri, mime_type="application/json", text=text)
        return ReadResourceResult(contents=[contents])

    async def _content(self, answer: ToolAnswer) -> list[ContentBlock]:
        content: list[ContentBlock] = [TextContent(text=answer.text)]
        for url in answer.images:
            content.append(ResourceLink(name="image", uri=url))
            folder = await to_the_end(mkdtemp)
            try:
                path = await self._platform.zai.download(url, folder, max_bytes=_LARGEST)
                data = base64.b64encode(await to_the_end(path.read_bytes)).decode()
                kind = mimetypes.guess_type(path.name)[0] or "image/png"
                content.append(ImageContent(data=data, mime_type=kind))
            except (ZaiError, OSError):
                # The address is there, and whoever wants the image may get it.
                _log.debug("an image of a tool could not be fetched", exc_info=True)
            finally:
                await to_the_end(partial(rmtree, folder, ignore_errors=True))
        content += [
            ResourceLink(name="video", uri=url, mime_type="video/mp4") for url in answer.videos
        ]
        if answer.audio is not None:
            content.append(AudioContent(data=answer.audio, mime_type="audio/wav"))
        if answer.task is not None:
            uri = _TASKS + answer.task.id
            content.append(ResourceLink(name="task", uri=uri, mime_type="application/json"))
        return content


async def serve_stdio(server: Server[Any]) -> None:
    """Serve the program that started this one, until it closes stdin.

    Nothing else may write to stdout meanwhile.
    """
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def http_app(
    server: Server[Any],
    *,
    token: str | None = None,
    host: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
) -> Application:
    """Return an ASGI application that serves Streamable HTTP at ``/mcp``.

    Requests whose Host or Origin is another one are refused, so that no web page can make a browser
    spend your money.

    Args:
        server: From ``mcp_server()``.
        token: What callers have to send, as ``Authorization: Bearer ...``.
        host: Where it listens.
        allowed_hosts: Names under which callers know it besides, with their port or ``:*``.
        allowed_origins: Origins of web pages that may call it.

    Raises:
        ConfigurationError: It would be open to other machines without a token.
    """
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if token is None and not is_loopback:
        raise ConfigurationError(f"a server at {host} needs a token: others can reach it")
    # A page of another site has its own name in Origin, and one that was bound to this address by
    # DNS has it in Host.
    here = ("127.0.0.1", "localhost", "[::1]", host)
    security = TransportSecuritySettings(
        allowed_hosts=[*(f"{name}:*" for name in here), *allowed_hosts],
        allowed_origins=[
            *(f"http://{name}:*" for name in here),
            *allowed_origins,
        ],
    )
    app: Application = server.streamable_http_app(host=host, transport_security=security)
    if token is None:
        return app
    expected = f"Bearer {token}".encode()

    async def guard(
        scope: MutableMapping[str, Any],
        receive: Callable[..., Awaitable[Any]],
        send: Callable[..., Awaitable[Any]],
    ) -> None:
        sent = dict(scope.get("headers", ())).get(b"authorization", b"")
        # The same time for every wrong one: how long it takes must not tell how much is right.
        if scope["type"] != "http" or hmac.compare_digest(sent, expected):
            await app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body"})

    return guard


async def serve_http(
    app: Application, *, host: str = "127.0.0.1", port: int = 0, on_start: Callable[[str], None]
) -> None:
    """Serve an application until SIGINT or SIGTERM.

    ``on_start`` is called with a line, its address, when it can be reached; port 0 takes a free
    one.

    Raises:
        OSError: The port is taken.
    """
    family = AF_INET6 if ":" in host else AF_INET
    with create_server((host, port), family=family) as listening:
        where, number = listening.getsockname()[:2]
        # It listens already: who connects from now on waits until uvicorn is ready.
        on_start(f"http://{f'[{where}]' if ':' in where else where}:{number}/mcp\n")
        config = uvicorn.Config(app, log_config=None, lifespan="on")
        await uvicorn.Server(config).serve([listening])
