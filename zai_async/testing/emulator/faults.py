"""Fault injection: what can go wrong, and how it changes a reply before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from zai_async.testing.emulator.error_shapes import SHAPES, ErrorShape, shaped
from zai_async.testing.emulator.reply import (
    CODE_OF_STATUS,
    DONE,
    HTML_TYPE,
    PAGE,
    STREAM_TYPE,
    PlannedReply,
    Refusal,
    frame,
)
from zai_async.testing.emulator.requests import RecordedRequest


@dataclass(slots=True, kw_only=True, eq=False)
class InjectedFault:
    """Describe one way to fail; arm it with ``emulator.fault(...)``, with the same keywords.

    Which requests:
        times: how many requests it hits; ``None`` for every one from now on.
        path: only requests whose operation (``"chat.completions"``) or path contains this text.

    Instead of the real reply:
        status, code, message: an error reply. ``code`` alone brings its usual status, ``status``
            alone its usual code (400, 401, 403, 429, 500) or, like a gateway, an HTML page.
        http_200: send that error with status 200, as the platform does now and then.
        error_shape: where that error hides its code: ``"platform"``, ``"flat"`` (at the top),
            ``"bracketed"`` (in the text), ``"relayed"`` (in JSON in the text of another error),
            ``"metadata_raw"``, ``"errors"``, ``"error_message"``, ``"title"``.
        body, content_type: these raw bytes as the whole body (a JSON type unless told otherwise).
        raw_frames: an event stream made of exactly these pieces, nothing added.
        hang: read the request, never answer.
        drop: close the connection without a single byte.
        drop_reused: the same, but only on a connection that has already served a request.

    The real reply in a form that was not asked for:
        answer_as: ``"json"`` answers a request for a stream with the whole answer, ``"stream"``
            answers any other with a stream.
        content_type: on its own, the real reply under this type, whatever it holds; ``""`` for
            none at all.

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
        break_framing: ``(bytes, junk)``: after this many body bytes write junk where a chunk should
            begin, such as ``b"<html>"``, and leave the connection open.
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
    error_shape: ErrorShape = "platform"
    body: bytes | None = None
    content_type: str | None = None
    raw_frames: Sequence[bytes | str] | None = None
    hang: bool = False
    drop: bool = False
    drop_reused: bool = False
    answer_as: Literal["json", "stream"] | None = None
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
    break_framing: tuple[int, bytes] | None = None
    write_size: int | None = None
    silence_after: tuple[int, float] | None = None
    comments_every: float | None = None
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        # Scripts are written by hand: a typing error must not look like a client that copes.
        if self.how not in {"rst", "fin"}:
            raise ValueError(f'how must be "rst" or "fin", not {self.how!r}')
        if self.answer_as not in {None, "json", "stream"}:
            raise ValueError(f'answer_as must be "json" or "stream", not {self.answer_as!r}')
        if self.error_shape not in SHAPES:
            raise ValueError(f"error_shape must be one of {', '.join(SHAPES)}")
        if self.write_size is not None and self.write_size < 1:
            raise ValueError("write_size must be at least 1")

    @property
    def drops(self) -> bool:
        """Whether the connection closes without an answer."""
        return self.drop or self.drop_reused

    @property
    def answers(self) -> bool:
        """Whether the real operation is not asked at all."""
        # Compared with None: a status of 0 or an empty body is a script, too.
        own = (self.status, self.code, self.body, self.raw_frames)
        return self.drops or self.hang or any(part is not None for part in own)

    @property
    def verbatim(self) -> bool:
        """Whether the reply is made of scripted bytes, which no gateway may wrap."""
        return self.body is not None or self.raw_frames is not None

    def hits(self, request: RecordedRequest) -> bool:
        """Whether the fault is armed for this request."""
        if self.times is not None and self.seen >= self.times:
            return False
        if self.path is not None and self.path not in f"{request.operation}\n{request.path}":
            return False
        # A change to a stream waits for the next stream, so that a poll in between does not use
        # it up.
        changes = (self.error_in_stream, self.no_done, self.restart_at, self.late_end)
        if any(changes) and not self.answers and not request.streams:
            return False
        # An idle connection that a server closed is noticed by the next request only.
        return request.reused or not self.drop_reused

    def reply(self, log_id: str) -> PlannedReply:
        """Build the reply that stands in for the operation's own."""
        code = self.code or CODE_OF_STATUS.get(self.status or 0)
        if self.raw_frames is not None:
            pieces = tuple(p.encode() if isinstance(p, str) else p for p in self.raw_frames)
            reply = PlannedReply(pieces=pieces, log_id=log_id, content_type=STREAM_TYPE)
        elif self.body is not None:
            reply = PlannedReply(pieces=(self.body,), log_id=log_id)
        elif code is None:
            # Statuses without a code of the platform come from the edge in front of it.
            status = self.status or 500
            page = PAGE % (status, status)
            reply = PlannedReply(pieces=(page,), log_id=log_id, content_type=HTML_TYPE)
        else:
            # The platform answers some refusals with 200; what counts is the code.
            refusal = Refusal(code, self.message, self.status)
            status = 200 if self.http_200 else refusal.status
            body = msgspec.json.encode(shaped(refusal, self.error_shape))
            return self.relabelled(PlannedReply(pieces=(body,), log_id=log_id, status=status))
        return self.relabelled(replace(reply, status=self.status or reply.status))

    def relabelled(self, reply: PlannedReply) -> PlannedReply:
        """Return the reply under the scripted content type, if there is one."""
        return (
            reply if self.content_type is None else replace(reply, content_type=self.content_type)
        )

    def changed(self, reply: PlannedReply, other_id: str) -> PlannedReply:
        """Return the operation's own reply with the faults that concern its form and frames."""
        if not reply.streams:
            return self.relabelled(reply)
        pieces = reply.pieces
        if self.restart_at is not None:
            number, byte = self.restart_at
            second = [p.replace(reply.log_id.encode(), other_id.encode()) for p in pieces]
            # Public reports show it: an edge that tried again upstream in the middle of a frame.
            pieces = (*pieces[:number], pieces[number][:byte] + second[0], *second[1:])
        # The status is long sent when a stream fails, so the error comes as an event; nothing
        # follows it.
        if self.error_in_stream is not None:
            refusal = Refusal(self.error_in_stream, self.message)
            event = "error" if self.event_error else ""
            pieces = (*pieces[: self.after], frame(shaped(refusal, self.error_shape), event=event))
        if self.no_done:
            pieces = tuple(piece for piece in pieces if piece != DONE)
        return self.relabelled(replace(reply, pieces=pieces))


NO_FAULT = InjectedFault()
"""What hits every request that no armed fault hits; it changes nothing."""
