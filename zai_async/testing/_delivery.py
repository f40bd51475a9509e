"""Sending a reply: a plan of writes and pauses, then its execution on a socket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import anyio
from aiohttp import web
from anyio.lowlevel import checkpoint

from zai_async.testing._fault import Fault
from zai_async.testing._listener import Peer
from zai_async.testing._reply import Reply


@dataclass(frozen=True, slots=True)
class Pause:
    """Say nothing for some seconds."""

    seconds: float


Step = bytes | Pause


KEEP_ALIVE = b": keep-alive\n\n"
_WRITE_SIZE = 65_536


def plan(reply: Reply, fault: Fault, pace: float) -> Iterator[Step]:
    """Lay out the body as writes and pauses, with the faults that act on bytes."""
    steps = _paced(reply.pieces, reply.pause * pace)
    limit = _limit(fault)
    if limit is not None:
        steps = _limited(steps, limit)
    if fault.silence_after is not None:
        steps = _silenced(steps, *fault.silence_after)
    return _regrouped(steps, fault.write_size or _WRITE_SIZE)


def _limit(fault: Fault) -> int | None:
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

    def __init__(self, request: web.BaseRequest, peer: Peer, fault: Fault, pace: float) -> None:
        self._request = request
        self._peer = peer
        self._fault = fault
        self._pace = pace
        self._between_frames = True

    async def send(self, reply: Reply) -> web.StreamResponse:
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

    def _headers(self, reply: Reply) -> dict[str, str]:
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
