"""What goes back to a client: replies, refusals, and the faults that change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from zai_async.testing.emulator.requests import RecordedRequest

JSON_TYPE = "application/json;charset=UTF-8"
HTML_TYPE = "text/html"
STREAM_TYPE = "text/event-stream;charset=UTF-8"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReply:
    """Hold one answer, before any fault and before anything is sent.

    ``pieces`` are the frames of a stream, or one whole body. ``latency`` (before the headers) and
    ``pause`` (after each piece) are the seconds a real server takes; the emulator's pace scales
    them. With an empty ``content_type`` the reply does not say what it is.
    """

    pieces: tuple[bytes, ...]
    log_id: str
    status: int = 200
    content_type: str = JSON_TYPE
    latency: float = 0.0
    pause: float = 0.0

    @property
    def streams(self) -> bool:
        """Say whether the body is an event stream."""
        return self.content_type.startswith("text/event-stream")


def frame(document: Any, *, event: str = "") -> bytes:
    """Encode one server-sent event with a JSON payload."""
    name = f"event: {event}\n".encode() if event else b""
    return b"%sdata: %s\n\n" % (name, msgspec.json.encode(document))


# Errors as the platform words them: a business code, its HTTP status and a message

_FIVE_HOURS = "Usage limit reached for 5 hour. Your limit will reset at 2030-01-01 00:00:00"
_SEVEN_DAYS = "Weekly/Monthly Limit Exhausted. Your limit will reset at 2030-01-01 00:00:00"

CODES: dict[str, tuple[int, str]] = {
    "500": (500, "Internal error"),
    "1000": (401, "Authentication failed"),
    "1001": (401, "No Authorization header was received, authentication is not possible"),
    "1002": (401, "The token is not valid"),
    "1003": (401, "The token has expired"),
    "1004": (401, "The token could not be verified"),
    "1005": (401, "The login needs a second factor"),
    "1100": (429, "The account cannot be read or written"),
    "1110": (429, "The account is not active"),
    "1111": (429, "The account does not exist"),
    "1112": (429, "The account is locked"),
    "1113": (429, "Insufficient balance or no resource package, please recharge"),
    "1120": (429, "The account cannot be reached at the moment"),
    "1121": (429, "The account is locked because of irregular activity"),
    "1200": (500, "The API call failed"),
    "1210": (400, "API parameters are wrong"),
    "1211": (400, "The model does not exist, check the model code"),
    "1212": (400, "The model does not support this call method"),
    "1213": (400, "A parameter was not received"),
    "1214": (400, "A parameter is not valid"),
    "1215": (400, "Two parameters exclude each other"),
    "1220": (403, "No permission for this API"),
    "1221": (400, "The API is offline"),
    "1222": (400, "The API does not exist"),
    "1230": (500, "The API call did not get through its process"),
    "1231": (400, "A request with this request_id is still running"),
    "1233": (400, "The task does not exist"),
    "1234": (500, "Network error, please try again later"),
    "1261": (400, "The prompt is too long"),
    "1300": (400, "The call was blocked by policy"),
    "1301": (400, "Unsafe or sensitive content was found in the input or the output"),
    "1302": (429, "Rate limit reached for requests"),
    "1303": (429, "Requests come too often"),
    "1304": (429, "The daily quota of this API is used up"),
    "1305": (429, "The model is overloaded at the moment, please try again later"),
    "1308": (429, _FIVE_HOURS),
    "1309": (429, "The Coding Plan has expired"),
    "1310": (429, _SEVEN_DAYS),
    "1311": (429, "The plan does not include this model"),
    "1312": (429, "The model is under high traffic, please use another one"),
    "1313": (429, "The account is restricted by the fair use policy"),
    "1314": (429, "The enterprise plan is not valid"),
    "1315": (429, "The key is only for the enterprise Coding Plan"),
    "1316": (429, _FIVE_HOURS),
    "1317": (429, _SEVEN_DAYS),
    "1318": (429, _FIVE_HOURS),
    "1319": (429, _SEVEN_DAYS),
    "1320": (429, _FIVE_HOURS),
    "1321": (429, _SEVEN_DAYS),
}
"""Business code -> (HTTP status, message); https://docs.z.ai/api-reference/api-code."""

CODE_OF_STATUS = {400: "1210", 401: "1000", 403: "1220", 429: "1302", 500: "500"}
"""The code a status stands for when a script names only the status."""

PAGE = (
    b"<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n"
    b"<center><h1>%d</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
"""What the edge in front of the platform answers when it fails itself."""

WRONG_PATH = b'{"code":500,"msg":"404 NOT_FOUND","success":false}'
"""The body of an unknown path; it comes with status 200."""


class Refusal(Exception):  # noqa: N818 - not an error of this program but an answer to a client
    """Leave an operation with an error reply.

    ``status`` and ``message`` default to those of the business code.
    """

    def __init__(self, code: str, message: str | None = None, status: int | None = None) -> None:
        usual_status, usual_message = CODES.get(code, (400, f"Error {code}"))
        self.code = code
        self.status = usual_status if status is None else status
        self.message = usual_message if message is None else message
        super().__init__(f"{self.code}: {self.message}")

    @property
    def body(self) -> bytes:
        """Give the JSON body: codes are strings on the wire."""
        return msgspec.json.encode({"error": {"code": self.code, "message": self.message}})


# What can go wrong, and how it changes the reply before it is sent


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

    def reply(self, log_id: str) -> PlannedReply:
        """Build the reply that stands in for the operation's own."""
        status, kind, body = self._error()
        if self.raw_frames is not None:
            kind = STREAM_TYPE
            pieces = tuple(p.encode() if isinstance(p, str) else p for p in self.raw_frames)
        else:
            pieces = (body if self.body is None else self.body,)
        kind = kind if self.content_type is None else self.content_type
        return PlannedReply(pieces=pieces, log_id=log_id, status=status, content_type=kind)

    def _error(self) -> tuple[int, str, bytes]:
        code = self.code or CODE_OF_STATUS.get(self.status or 0)
        if self.verbatim:
            return self.status or 200, JSON_TYPE, b""
        if code is None:
            status = self.status or 500
            return status, HTML_TYPE, PAGE % (status, status)
        refusal = Refusal(code, self.message, self.status)
        return 200 if self.http_200 else refusal.status, JSON_TYPE, refusal.body

    def changed(self, reply: PlannedReply, other_id: str) -> PlannedReply:
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
