"""The listening socket and its connections."""

from __future__ import annotations

import asyncio
import importlib
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


def most_kept() -> int:
    """Return how many connections may stay open after their answers: half of the open files.

    Those that idle would keep the others waiting for ever where this process has no files left.
    """
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows, which has no such limit
        return 2**31
    limit: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2**31 if limit == resource.RLIM_INFINITY else limit // 2


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


class Listener:
    """Accept connections and keep account of them; ``port`` is where, while it does.

    ``log`` returns the log of the moment: a reset of the emulator replaces it.
    """

    def __init__(
        self,
        serve: Callable[[web.BaseRequest, Peer], Awaitable[web.StreamResponse]],
        log: Callable[[], RequestLog],
    ) -> None:
        self._serve = serve
        self._log = log
        self._most_kept = most_kept()
        self.port: int | None = None
        self.peers: dict[RequestHandler, Peer] = {}

    async def start(self, host: str, port: int) -> None:
        """Listen in the running event loop."""
        self._runner = web.ServerRunner(_Server(self), shutdown_timeout=1.0)
        await self._runner.setup()
        # Without `reuse_port`: a second emulator on the same port has to fail.
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Reset every connection and stop listening."""
        self.port = None
        # Streams that pause for ever would keep a graceful shutdown waiting.
        self.reset()
        await self._runner.cleanup()

    async def dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        response = await self._serve(request, self.peers[request.protocol])
        if len(self.peers) > self._most_kept:
            response.force_close()
        return response

    def connect(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection."""
        self.peers[handler] = Peer(self._log().connected(), transport)

    def disconnect(self, handler: RequestHandler) -> None:
        """Forget a connection."""
        self.peers.pop(handler, None)
        self._log().notify()

    def reset(self) -> None:
        """Reset every connection."""
        for peer in self.peers.values():
            peer.reset()


class _Server(web.Server):
    # aiohttp's low-level server: its application would answer unknown paths and failures itself,
    # in its own words.

    def __init__(self, listener: Listener) -> None:
        super().__init__(
            listener.dispatch,
            request_factory=build_request,
            handler_cancellation=True,  # a handler learns at once that its client has gone
            access_log=None,
        )
        self._listener = listener

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._listener.connect(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        # In this order: aiohttp cancels the handler, which still looks at its peer.
        super().connection_lost(handler, exc)
        self._listener.disconnect(handler)


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
