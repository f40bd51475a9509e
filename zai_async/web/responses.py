"""An answer as the response of a web application: ASGI by itself, and what frameworks ask for."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import msgspec

from zai_async.errors import ZaiError
from zai_async.web.asgi import (
    BODY,
    Receive,
    Scope,
    Send,
    for_framework,
    send_answer,
    send_start,
    while_read,
)
from zai_async.web.encoders import AnswerEncoder, Protocol, TextEncoder
from zai_async.web.openai_replies import refusal_headers
from zai_async.web.openai_stream import OpenAIEncoder
from zai_async.web.pump import frames_of
from zai_async.web.source import AnswerSource, Relayable, head_of
from zai_async.web.ui_messages import UIMessageEncoder

__all__ = [
    "EventResponse",
    "RelaySettings",
    "accepts_json",
    "encoder_of",
    "refusal_of",
    "sse_response",
]

_JSON = "application/json"


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer is relayed; times in seconds."""

    heartbeat: float | None = 15.0
    """Silence after which a comment is sent: proxies cut silent connections after a minute."""
    coalesce: float = 0.025
    """How long to wait for more text before it is sent; 0 sends every piece by itself."""
    prime: float = 10.0
    """How long to hold the status back, in case that an error comes in place of the answer."""

    def __post_init__(self) -> None:
        if self.heartbeat is not None and not self.heartbeat > 0:
            raise ValueError("heartbeat must be positive, or None")
        if not (self.coalesce >= 0 and self.prime >= 0):
            raise ValueError("coalesce and prime must not be negative")


class EventResponse:
    """An answer on its way to one reader, as an ASGI application.

    From its first moment it listens for the reader to leave, and it owns the answer: when it is
    over, in whichever way, the connection to the platform is closed and its place in the limiter is
    free. Iterating over it yields the frames, for frameworks that do not speak ASGI.
    """

    # What FastAPI looks at in a response, and may set.
    background: Any = None
    status_code = 200

    def __init__(
        self, answer: Relayable, encoder: AnswerEncoder, settings: RelaySettings | None = None
    ) -> None:
        self.source = AnswerSource(answer)
        self.encoder = encoder
        self.settings = settings or RelaySettings()

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields of the response."""
        return self.encoder.headers

    def frames(self) -> AsyncGenerator[bytes, None]:
        """Return the frames, heartbeats included."""
        return frames_of(
            self.source,
            self.encoder,
            heartbeat=self.settings.heartbeat,
            max_delay=self.settings.coalesce,
        )

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self.frames()) as frames:
                async for frame in frames:
                    yield frame
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the answer and its connection to the platform."""
        with anyio.CancelScope(shield=True):
            await self.source.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; an ASGI server calls this."""
        await while_read(receive, send, partial(self._respond, scope), self.aclose)
        if self.background is not None:
            await self.background()

    async def _respond(self, scope: Scope, send: Send) -> None:
        try:
            await self.source.prime(self.settings.prime)
        except ZaiError as error:
            # Nothing has been sent so far, and a status is understood by everybody.
            await send_answer(send, *refusal_of(error, self.encoder, accepts_json(scope)))
            return
        await send_start(send, 200, self.headers)
        if self.encoder.heartbeat and not self.source.has_begun:
            # Not every proxy passes headers on that nothing follows.
            await send({"type": BODY, "body": self.encoder.heartbeat, "more_body": True})
        async with aclosing(self.frames()) as frames:
            async for frame in frames:
                await send({"type": BODY, "body": frame, "more_body": True})
        if self.encoder.is_cut:
            return  # the body has no end, which is all that plain text can say of a failure
        await send({"type": BODY, "body": b"", "more_body": False})


def accepts_json(scope: Scope) -> bool:
    """Tell whether a client asks for JSON."""
    headers: Any = scope.get("headers", ())
    return any(name == b"accept" and _JSON.encode() in value for name, value in headers)


def refusal_of(
    error: ZaiError, encoder: AnswerEncoder, as_json: bool
) -> tuple[int, dict[str, str], bytes]:
    """Return the answer in place of a stream.

    A page of the AI SDK shows the body as it is, so it gets one sentence unless it asks for JSON.
    """
    answer = error.to_http()
    if isinstance(encoder, OpenAIEncoder):
        return answer.status, refusal_headers(answer), answer.content
    if as_json:
        return answer.status, dict(answer.headers), answer.content
    headers = {**answer.headers, "Content-Type": "text/plain; charset=utf-8"}
    return answer.status, headers, answer.message.encode()


def encoder_of(answer: Relayable, protocol: Protocol, message_id: str | None) -> AnswerEncoder:
    """Return the encoder of a protocol."""
    if protocol == "ui-message-v1":
        return UIMessageEncoder(message_id)
    if protocol == "openai":
        return OpenAIEncoder(head=partial(head_of, answer))
    if protocol == "text":
        return TextEncoder()
    raise ValueError(f"{protocol!r} is no protocol: it is 'ui-message-v1', 'openai' or 'text'")


def sse_response(
    answer: Relayable,
    *,
    protocol: Protocol = "ui-message-v1",
    message_id: str | None = None,
    encoder: AnswerEncoder | None = None,
    heartbeat: float | None = 15.0,
    coalesce: float = 0.025,
    prime: float = 10.0,
) -> EventResponse:
    """Relay an answer to a browser, or to a client of OpenAI.

    The response is an ASGI application: return it from a handler of FastAPI, Starlette or Litestar.
    It opens the stream, answers with a real status while nothing has come, and closes it in any
    case.

    Args:
        answer: A stream, opened or not; or an iterator of events, of parts such as ``ToolOutput``,
            or of texts.
        protocol: ``"ui-message-v1"``, ``"openai"`` or ``"text"``.
        message_id: The id of the message on the page.
        encoder: In place of ``protocol``, an encoder with settings of its own.
        heartbeat: Seconds of silence after which a comment is sent; None for none.
        coalesce: Seconds to wait for more text; 0 sends every piece by itself.
        prime: Seconds to hold the status back while nothing has come.

    Raises:
        ValueError: There is no such protocol, or a time is out of range.
        TypeError: The answer has nothing that can be relayed.
    """
    settings = RelaySettings(heartbeat=heartbeat, coalesce=coalesce, prime=prime)
    encoder = encoder or encoder_of(answer, protocol, message_id)
    return for_framework(EventResponse)(answer, encoder, settings)
