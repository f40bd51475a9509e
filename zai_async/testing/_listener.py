"""The listening socket and its connections, each of which can be cut at any moment."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

_MAX_BODY = 1 << 30  # the platform's own limits are smaller; its operations enforce them
_NO_LINGER = struct.pack("ii", 1, 0)


class Peer:
    """One open connection.

    ``number`` counts from 1; ``used`` says whether it has carried a request, ``dropped`` whether
    it was this side that ended it.
    """

    def __init__(self, number: int, transport: asyncio.Transport) -> None:
        self.number = number
        self.used = False
        self.dropped = False
        self._transport = transport

    async def drop(self, how: Literal["rst", "fin"]) -> None:
        """Reset the connection, or close it in order, once what was written is out."""
        self.dropped = True
        if how == "fin":
            self._transport.close()
            return
        while self._transport.get_write_buffer_size():  # noqa: ASYNC110 - nothing tells when
            await anyio.sleep(0.001)
        self.reset()

    def reset(self) -> None:
        """Reset the connection now: without lingering, a close sends RST instead of FIN."""
        self.dropped = True
        peer: socket.socket = self._transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()


class Listener(web.Server):
    """Accept connections and keep account of them.

    ``number`` is called for each new connection, ``changed`` when one has gone.
    """

    def __init__(
        self,
        serve: Callable[[web.BaseRequest, Peer], Awaitable[web.StreamResponse]],
        number: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(
            self._dispatch,
            request_factory=_request,
            handler_cancellation=True,  # a handler learns at once that its client has gone
            access_log=None,
        )
        self._serve = serve
        self._number = number
        self._changed = changed
        self._runner = web.ServerRunner(self, shutdown_timeout=1.0)
        self.peers: dict[RequestHandler, Peer] = {}

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Reset every connection and stop listening."""
        self.reset()
        await self._runner.cleanup()

    def reset(self) -> None:
        """Reset every connection."""
        for peer in self.peers.values():
            peer.reset()

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._serve(request, self.peers[request.protocol])

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection."""
        super().connection_made(handler, transport)
        self.peers[handler] = Peer(self._number(), transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self.peers.pop(handler, None)
        self._changed()


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_MAX_BODY
    )
