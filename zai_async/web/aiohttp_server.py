"""What is here for ASGI, served by ``aiohttp.web``: an answer, and whole applications."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import anyio
from aiohttp import web

from zai_async.web.asgi import Receive, Scope, Send
from zai_async.web.encoders import AnswerEncoder, Protocol
from zai_async.web.relay import Relay
from zai_async.web.responses import sse_response
from zai_async.web.source import Relayable

__all__ = ["aiohttp_app", "aiohttp_respond", "aiohttp_response"]

# aiohttp tells a handler that nobody reads any more at its next write, unless it runs with
# `handler_cancellation=True`: until then the connection is looked at this often.
_LOOK_EVERY: Final = 0.25

_BELOW: Final = "/{below}"  # how aiohttp writes down the route of what is mounted

Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


async def aiohttp_response(
    request: web.Request,
    answer: Relayable,
    *,
    protocol: Protocol = "ui-message-v1",
    message_id: str | None = None,
    encoder: AnswerEncoder | None = None,
    heartbeat: float | None = 15.0,
    coalesce: float = 0.025,
    prime: float = 10.0,
) -> web.StreamResponse:
    """Relay an answer to the reader of a request; return the response when it is over.

    What ``sse_response`` is for ASGI, with the same arguments.

    Raises:
        ValueError: There is no such protocol, or a time is out of range.
        TypeError: The answer has nothing that can be relayed.
    """
    relayed = sse_response(
        answer,
        protocol=protocol,
        message_id=message_id,
        encoder=encoder,
        heartbeat=heartbeat,
        coalesce=coalesce,
        prime=prime,
    )
    return await aiohttp_respond(request, relayed)


async def aiohttp_respond(request: web.Request, response: Asgi) -> web.StreamResponse:
    """Answer a request with a response that is an ASGI application; return when it is over.

    For what ``Relay.start()`` and ``Relay.resume()`` return, in handlers of your own.
    """
    return await _respond(request, response, "")


async def _respond(request: web.Request, response: Asgi, root: str) -> web.StreamResponse:
    exchange = _Exchange(request, root)
    await response(exchange.scope, exchange.receive, exchange.send)
    if not exchange.is_over and request.transport is not None:
        # A body without its end is all that plain text can say of a failure.
        request.transport.abort()
    return exchange.response


def aiohttp_app(relay: Asgi) -> web.Application:
    """Return a ``Relay``, or what ``openai_router()`` made, for ``app.add_subapp(prefix, ...)``.

    When the server shuts down, a relay begins with its end before the server waits for the open
    responses. What ``authorize`` of a relay gets as scope has the request under
    ``"aiohttp.request"``.
    """
    app = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        resource = request.match_info.route.resource
        mounted = "" if resource is None else resource.canonical.removesuffix(_BELOW)
        return await _respond(request, relay, unquote(mounted))

    # Pages post to where it is mounted, with and without a slash.
    for path in ("", "/{below:.*}"):
        app.router.add_route("*", path, answer)
    if isinstance(relay, Relay):

        async def begin_shutdown(_: web.Application) -> None:
            relay.begin_shutdown()

        app.on_shutdown.append(begin_shutdown)
    return app


class _Exchange:
    """A request and its response, in the words of ASGI."""

    def __init__(self, request: web.Request, root: str) -> None:
        self.response = web.StreamResponse()
        self.is_over = False
        """Whether the response has its end, or nobody reads it."""
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": f"{request.version.major}.{request.version.minor}",
            "method": request.method,
            "scheme": request.scheme,
            "path": request.path,
            "raw_path": request.raw_path.partition("?")[0].encode(),
            "root_path": root,
            "query_string": request.rel_url.raw_query_string.encode(),
            "headers": [(name.lower(), value) for name, value in request.raw_headers],
            "aiohttp.request": request,
        }
        self._request = request
        self._is_received = False

    async def receive(self) -> MutableMapping[str, Any]:
        """Return a piece of the body, and behind it that the reader has gone."""
        request = self._request
        if not self._is_received:
            try:
                body = await request.content.readany()
            except ConnectionError:
                return {"type": "http.disconnect"}  # amid the body
            self._is_received = request.content.at_eof()
            return {"type": "http.request", "body": body, "more_body": not self._is_received}
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - aiohttp tells nobody
            await anyio.sleep(_LOOK_EVERY)
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send the beginning of the response, or a piece of its body."""
        try:
            if message["type"] == "http.response.start":
                self.response.set_status(message["status"])
                for name, value in message["headers"]:
                    self.response.headers[name.decode()] = value.decode()
                await self.response.prepare(self._request)
                return
            if message["body"]:
                await self.response.write(message["body"])
            if not message["more_body"]:
                self.is_over = True
                await self.response.write_eof()
        except ConnectionResetError:
            self.is_over = True
            raise
