"""Faults: what can go wrong, and how it changes the reply before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from zai_async.testing._ledger import RecordedRequest
from zai_async.testing._refusal import CODE_OF_STATUS, PAGE, Refusal
from zai_async.testing._reply import DONE, HTML_TYPE, JSON_TYPE, STREAM_TYPE, Reply, frame


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """Describe one way to fail; arm it with ``emulator.fault(...)``, with the same keywords.

    Which requests:
        times: how many requests it hits; ``None`` for every one from now on.
        path: only requests whose operation (``"chat.completions"``) or path contains this text.

    Instead of the real reply:
        status, code, message: an error reply. ``code`` alone brings its usual status, ``status``
            alone its usual code (400, 401, 403, 429, 500) or, like a gateway, an HTML page.
        http_200: send that error with status 200, as the platform does now and then.
        body, content_type: these raw bytes as the whole body (a JSON type unless told otherwise).
        raw_frames: an event stream made of exactly these pieces, nothing added.
        hang: read the request, never answer.
        drop: close the connection without a single byte.
        drop_reused: the same, but only on a connection that has already served a request.

    Changes to a stream (other requests do not trigger them):
        error_in_stream: after ``after`` deltas send an error with this code, then end;
            with ``event_error`` as ``event: error``.
        no_done: leave out ``data: [DONE]``.
        restart_at: ``(frame, byte)``: cut that frame (counted from 0) at that byte, glue the first
            frame of a second generation to it (same answer, other id) and go on with that one.
        late_end: seconds for which the connection stays open after the last byte.

    How the bytes travel:
        headers: more response headers.
        delay: seconds before the headers.
        cut_after: drop the connection after this many body bytes; ``how`` is ``"rst"`` (reset) or
            ``"fin"`` (orderly close, but the HTTP body stays unfinished).
        eof_after: end the body cleanly after this many bytes, as if that were all.
        write_size: bytes per write, each handed to the socket on its own.
        silence_after: ``(bytes, seconds)``: say nothing for a while (``math.inf`` for ever).
        comments_every: seconds between ``: keep-alive`` comments while nothing else is sent;
            never inside a frame.

    ``seen`` counts the requests it has hit.
    """

    times: int | None = 1
    path: str | None = None
    status: int | None = None
    code: str | None = None
    message: str | None = None
    http_200: bool = False
    body: bytes | None = None
    content_type: str | None = None
    raw_frames: Sequence[bytes | str] | None = None
    hang: bool = False
    drop: bool = False
    drop_reused: bool = False
    error_in_stream: str | None = None
    after: int = 0
    event_error: bool = False
    no_done: bool = False
    restart_at: tuple[int, int] | None = None
    late_end: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0
    cut_after: int | None = None
    how: Literal["rst", "fin"] = "rst"
    eof_after: int | None = None
    write_size: int | None = None
    silence_after: tuple[int, float] | None = None
    comments_every: float | None = None
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.how not in {"rst", "fin"}:
            raise ValueError(f'how must be "rst" or "fin", not {self.how!r}')
        if self.write_size is not None and self.write_size < 1:
            raise ValueError("write_size must be at least 1")

    @property
    def drops(self) -> bool:
        """Say whether the connection closes without an answer."""
        return self.drop or self.drop_reused

    @property
    def answers(self) -> bool:
        """Say whether the real operation is not asked at all."""
        own = (self.status, self.code, self.body, self.raw_frames)
        return self.drops or self.hang or any(part is not None for part in own)

    @property
    def verbatim(self) -> bool:
        """Say whether the reply is made of scripted bytes, which no gateway may wrap."""
        return self.body is not None or self.raw_frames is not None

    @property
    def _for_streams(self) -> bool:
        changes = (self.error_in_stream, self.no_done, self.restart_at, self.late_end)
        return any(changes) and not self.answers

    def hits(self, request: RecordedRequest) -> bool:
        """Say whether the fault is armed for this request."""
        return (
            (self.times is None or self.seen < self.times)
            and (self.path is None or self.path in request.operation or self.path in request.path)
            and (request.reused or not self.drop_reused)
            and (request.streams or not self._for_streams)
        )

    def reply(self, log_id: str) -> Reply:
        """Build the reply that stands in for the operation's own."""
        status, kind, body = self._error()
        if self.raw_frames is not None:
            kind = STREAM_TYPE
            pieces = tuple(p.encode() if isinstance(p, str) else p for p in self.raw_frames)
        else:
            pieces = (body if self.body is None else self.body,)
        kind = kind if self.content_type is None else self.content_type
        return Reply(pieces=pieces, log_id=log_id, status=status, content_type=kind)

    def _error(self) -> tuple[int, str, bytes]:
        code = self.code or CODE_OF_STATUS.get(self.status or 0)
        if self.verbatim:
            return self.status or 200, JSON_TYPE, b""
        if code is None:
            status = self.status or 500
            return status, HTML_TYPE, PAGE % (status, status)
        refusal = Refusal(code, self.message, self.status)
        return 200 if self.http_200 else refusal.status, JSON_TYPE, refusal.body

    def changed(self, reply: Reply, other_id: str) -> Reply:
        """Return the reply with the faults that concern the frames of a stream."""
        if not reply.streams:
            return reply
        pieces = reply.pieces
        if self.restart_at is not None:
            pieces = _restarted(pieces, *self.restart_at, reply.log_id, other_id)
        if self.error_in_stream is not None:
            pieces = (*pieces[: self.after], self._error_frame(self.error_in_stream))
        if self.no_done:
            pieces = tuple(piece for piece in pieces if piece != DONE)
        return replace(reply, pieces=pieces)

    def _error_frame(self, code: str) -> bytes:
        refusal = Refusal(code, self.message)
        document = {"error": {"code": refusal.code, "message": refusal.message}}
        return frame(document, event="error" if self.event_error else "")


def _restarted(
    pieces: tuple[bytes, ...], number: int, byte: int, old_id: str, new_id: str
) -> tuple[bytes, ...]:
    second = [piece.replace(old_id.encode(), new_id.encode()) for piece in pieces]
    return (*pieces[:number], pieces[number][:byte] + second[0], *second[1:])
