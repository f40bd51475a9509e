"""The listening socket, its connections, and how a reply is sent over them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import anyio
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from anyio.lowlevel import checkpoint

from zai_async.testing.emulator.reply import InjectedFault, PlannedReply

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


# Sending a reply: a plan of writes and pauses, then its execution on a socket


@dataclass(frozen=True, slots=True)
class Pause:
    """Say nothing for some seconds."""

    seconds: float


Step = bytes | Pause


KEEP_ALIVE = b": keep-alive\n\n"
_WRITE_SIZE = 65_536


def plan(reply: PlannedReply, fault: InjectedFault, pace: float) -> Iterator[Step]:
    """Lay out the body as writes and pauses, with the faults that act on bytes."""
    steps = _paced(reply.pieces, reply.pause * pace)
    limit = _limit(fault)
    if limit is not None:
        steps = _limited(steps, limit)
    if fault.silence_after is not None:
        steps = _silenced(steps, *fault.silence_after)
    return _regrouped(steps, fault.write_size or _WRITE_SIZE)


def _limit(fault: InjectedFault) -> int | None:
    return fault.cut_after if fault.eof_after is None else fault.eof_after


def _paced(pieces: Iterable[bytes], pause: float) -> Iterator[Step]:
    for piece in pieces:
        yield piece
        if pause:
            yield Pause(pause)


def _limited(steps: Iterable[Step], limit: int) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, bytes):
            yield step[:limit]
            limit -= len(step)
            if limit <= 0:
                return
        else:
            yield step


def _silenced(steps: Iterable[Step], offset: int, seconds: float) -> Iterator[Step]:
    silent = False
    for step in steps:
        if silent or isinstance(step, Pause):
            yield step
        elif len(step) <= offset:
            offset -= len(step)
            yield step
        else:
            silent = True
            yield from (step[:offset], Pause(seconds), step[offset:])
    if not silent:
        yield Pause(seconds)


def _regrouped(steps: Iterable[Step], size: int) -> Iterator[Step]:
    held: list[bytes] = []
    for step in steps:
        if isinstance(step, bytes):
            held.append(step)
        else:
            yield from _slices(b"".join(held), size)
            held.clear()
            yield step
    yield from _slices(b"".join(held), size)


def _slices(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class _Response(web.StreamResponse):
    """Send the headers as they are: aiohttp would add a Content-Type where there is none."""

    async def _prepare_headers(self) -> None:
        bare = "Content-Type" not in self.headers
        await super()._prepare_headers()
        if bare:
            self.headers.pop("Content-Type", None)


class Delivery:
    """Carry one reply to one client."""

    def __init__(
        self, request: web.BaseRequest, peer: Peer, fault: InjectedFault, pace: float
    ) -> None:
        self._request = request
        self._peer = peer
        self._fault = fault
        self._pace = pace
        self._between_frames = True

    async def send(self, reply: PlannedReply) -> web.StreamResponse:
        """Send the reply as the fault wants it; return when the last byte is out."""
        wait = self._fault.delay + reply.latency * self._pace
        if wait:
            await anyio.sleep(wait)
        response = _Response(status=reply.status, headers=self._headers(reply))
        await response.prepare(self._request)
        for step in plan(reply, self._fault, self._pace):
            await self._take(response, step)
        await self._end(response)
        return response

    def _headers(self, reply: PlannedReply) -> dict[str, str]:
        headers = {"X-Log-Id": reply.log_id, "Server": "nginx"}
        if reply.content_type:
            headers["Content-Type"] = reply.content_type
        if not reply.streams and self._fault.eof_after is None:
            headers["Content-Length"] = str(sum(map(len, reply.pieces)))
        return headers | dict(self._fault.headers)

    async def _take(self, response: web.StreamResponse, step: Step) -> None:
        if isinstance(step, Pause):
            await self._pause(response, step.seconds)
        else:
            await response.write(step)
            self._between_frames = step.endswith(b"\n\n")
            await checkpoint()

    async def _pause(self, response: web.StreamResponse, seconds: float) -> None:
        every = self._fault.comments_every
        while every is not None and seconds > every and self._between_frames:
            await anyio.sleep(every)
            await response.write(KEEP_ALIVE)
            seconds -= every
        await anyio.sleep(seconds)

    async def _end(self, response: web.StreamResponse) -> None:
        if self._fault.cut_after is not None:
            await self._peer.drop(self._fault.how)
        else:
            if self._fault.late_end:
                await self._pause(response, self._fault.late_end)
            await response.write_eof()
