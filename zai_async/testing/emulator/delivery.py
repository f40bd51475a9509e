"""Sending a reply: a plan of writes and pauses, then its execution on a socket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import anyio
from aiohttp import HttpVersion11, web
from anyio.lowlevel import checkpoint

from zai_async.testing.emulator.connection import Peer
from zai_async.testing.emulator.faults import NO_FAULT, InjectedFault
from zai_async.testing.emulator.reply import PlannedReply


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence of some seconds."""

    seconds: float


Step = bytes | Pause

KEEP_ALIVE = b": keep-alive\n\n"
_WRITE_SIZE = 65_536


def plan(reply: PlannedReply, fault: InjectedFault, pace: float) -> Iterator[Step]:
    """Lay out the body as writes and pauses, with the faults that act on bytes."""
    steps = paced(reply.pieces, reply.pause * pace)
    limit = fault.cut_after if fault.eof_after is None else fault.eof_after
    if fault.break_framing is not None:
        limit = fault.break_framing[0]
    # A limit comes before silences: what would have followed the cut cannot pause.
    if limit is not None:
        steps = limited(steps, limit)
    if fault.silence_after is not None:
        steps = silenced(steps, *fault.silence_after)
    return regrouped(steps, fault.write_size or _WRITE_SIZE)


def paced(pieces: Iterable[bytes], pause: float) -> Iterator[Step]:
    """Put a pause after each piece."""
    for piece in pieces:
        yield piece
        if pause:
            yield Pause(pause)


def limited(steps: Iterable[Step], limit: int) -> Iterator[Step]:
    """Stop after so many bytes."""
    for step in steps:
        if isinstance(step, Pause):
            yield step
            continue
        yield step[:limit]
        limit -= len(step)
        if limit <= 0:
            return


def silenced(steps: Iterable[Step], offset: int, seconds: float) -> Iterator[Step]:
    """Put a silence at an offset, or at the end of a shorter body."""
    # Only bytes move the offset, so pauses of the model before it stay where they are.
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


def regrouped(steps: Iterable[Step], size: int) -> Iterator[Step]:
    """Join what no pause separates, and cut it into writes of at most ``size`` bytes."""
    # Frames without a pause between them arrive together from a fast server, too: clients must not
    # take one read for one event.
    held: list[bytes] = []

    def writes() -> Iterator[bytes]:
        data = b"".join(held)
        held.clear()
        for start in range(0, len(data), size):
            yield data[start : start + size]

    for step in steps:
        if isinstance(step, bytes):
            held.append(step)
        else:
            yield from writes()
            yield step
    yield from writes()


class _ScriptedResponse(web.StreamResponse):
    """Send the headers as they are: aiohttp would add a Content-Type where there is none."""

    def hold_headers(self) -> None:
        """Send the headers together with the first bytes of the body."""
        self._send_headers_immediately = False

    async def _prepare_headers(self) -> None:
        bare = "Content-Type" not in self.headers
        await super()._prepare_headers()
        if bare:
            self.headers.pop("Content-Type", None)


class ReplyDelivery:
    """Carry one reply to one client."""

    def __init__(
        self, request: web.BaseRequest, peer: Peer, fault: InjectedFault, pace: float
    ) -> None:
        self._request = request
        self._peer = peer
        self._fault = fault
        self._pace = pace

    async def send(self, reply: PlannedReply) -> web.StreamResponse:
        """Send the reply as the fault wants it; return when the last byte is out."""
        fault = self._fault
        wait = fault.delay + reply.latency * self._pace
        if wait:
            await anyio.sleep(wait)
        # Recorded live: `X-Log-Id` equals the `id` of the answer.
        headers = {"X-Log-Id": reply.log_id, "Server": "nginx"}
        if reply.content_type:
            headers["Content-Type"] = reply.content_type
        # Like the platform: whole answers say their length, streams are chunked.
        if not reply.streams and fault.eof_after is None and fault.break_framing is None:
            headers["Content-Length"] = str(sum(map(len, reply.pieces)))
        response = _ScriptedResponse(status=reply.status, headers=headers | dict(fault.headers))
        if "Content-Length" not in headers and self._request.version < HttpVersion11:
            # HTTP/1.0 knows no chunks: what ends such a body is the end of the connection.
            response.force_close()
        if fault is NO_FAULT and not reply.streams:
            # By far the most frequent reply, in one write.
            response.hold_headers()
            await response.prepare(self._request)
            # After a body that is not asked for, the next answer would be taken for another one.
            asked = self._request.method != "HEAD"
            await response.write_eof(b"".join(reply.pieces) if asked else b"")
        else:
            await response.prepare(self._request)
            await self._write(response, reply)
        return response

    async def _write(self, response: web.StreamResponse, reply: PlannedReply) -> None:
        fault = self._fault
        between_frames = True
        for step in plan(reply, fault, self._pace):
            if isinstance(step, Pause):
                await self._pause(response, step.seconds, comments=between_frames)
            else:
                await response.write(step)
                between_frames = step.endswith(b"\n\n")
                await checkpoint()  # each write leaves as a packet of its own

        if fault.break_framing is not None:
            self._peer.write(fault.break_framing[1])
            await anyio.sleep_forever()  # the connection stays open: what ends it is the client
        # Nothing more is written: the missing last chunk is what makes the cut visible.
        if fault.cut_after is not None:
            await self._peer.drop(fault.how)
            return
        if fault.late_end:
            await self._pause(response, fault.late_end, comments=between_frames)
        await response.write_eof()

    async def _pause(self, response: web.StreamResponse, seconds: float, *, comments: bool) -> None:
        every = self._fault.comments_every
        # A comment inside a frame would become part of it.
        while every is not None and seconds > every and comments:
            await anyio.sleep(every)
            await response.write(KEEP_ALIVE)
            seconds -= every
        await anyio.sleep(seconds)
