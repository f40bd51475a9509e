"""The listening socket and its connections."""

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

from zai_async.testing.emulator.requests import RequestLog

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
        # A reset discards what is still buffered on this side, so wait until nothing is.
        while self._transport.get_write_buffer_size():  # noqa: ASYNC110 - nothing tells when
            await anyio.sleep(0.001)
        self.reset()

    def reset(self) -> None:
        """Reset the connection now: without lingering, a close sends RST instead of FIN."""
        self.dropped = True
        peer: socket.socket = self._transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def write(self, data: bytes) -> None:
        """Write bytes past the HTTP framing."""
        self._transport.write(data)


class Listener(web.Server):
    """Accept connections and keep account of them.

    ``log`` returns the log of the moment: a reset of the emulator replaces it. aiohttp's low-level
    server is used because its application would answer unknown paths and failures itself, in its
    own words.
    """

    def __init__(
        self,
        serve: Callable[[web.BaseRequest, Peer], Awaitable[web.StreamResponse]],
        log: Callable[[], RequestLog],
    ) -> None:
        async def dispatch(request: web.BaseRequest) -> web.StreamResponse:
            return await serve(request, self.peers[request.protocol])

        super().__init__(
            dispatch,
            request_factory=build_request,
            handler_cancellation=True,  # a handler learns at once that its client has gone
            access_log=None,
        )
        self._log = log
        self._runner = web.ServerRunner(self, shutdown_timeout=1.0)
        self.peers: dict[RequestHandler, Peer] = {}

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        await self._runner.setup()
        # Without `reuse_port`: a second emulator on the same port has to fail.
        await web.TCPSite(self._runner, host, port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Reset every connection and stop listening."""
        # Streams that pause for ever would keep a graceful shutdown waiting.
        self.reset()
        await self._runner.cleanup()

    def reset(self) -> None:
        """Reset every connection."""
        for peer in self.peers.values():
            peer.reset()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection."""
        super().connection_made(handler, transport)
        self.peers[handler] = Peer(self._log().connected(), transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        # In this order: aiohttp cancels the handler, which still looks at its peer.
        super().connection_lost(handler, exc)
        self.peers.pop(handler, None)
        self._log().notify()


def build_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Build aiohttp's request without its own limit of the body: the emulator checks it itself."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=0)
