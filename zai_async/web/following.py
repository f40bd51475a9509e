"""Reading an answer out of a replay, as a response."""

from contextlib import aclosing
from functools import partial
from itertools import repeat
from typing import Any

import anyio

from zai_async.errors import ZaiError
from zai_async.streams.combinators import SteadyIterator
from zai_async.web.asgi import BODY, Receive, Scope, Send, send_answer, send_start, while_read
from zai_async.web.encoders import AnswerEncoder
from zai_async.web.frames import event_frame, numbered
from zai_async.web.openai_stream import OpenAIEncoder
from zai_async.web.pump import with_silences
from zai_async.web.replay import KeptAnswer, ReplayGap
from zai_async.web.responses import RelaySettings, accepts_json, refusal_of
from zai_async.web.ui_messages import UIMessageEncoder
from zai_async.web.writing import AnswerWriter

__all__ = ["ReplayResponse", "encoder_named"]


class ReplayResponse:
    """One reader of an answer that is kept, as an ASGI application; leaving it stops nothing."""

    # What FastAPI looks at in a response, and may set.
    background: Any = None
    status_code = 200

    def __init__(
        self,
        kept: KeptAnswer | None,
        settings: RelaySettings,
        *,
        after: int = 0,
        writer: AnswerWriter | None = None,
    ) -> None:
        self._kept = kept
        self._settings = settings
        self._after = after
        self._writer = writer
        self._reading: SteadyIterator[tuple[int, list[bytes]] | ReplayGap] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; an ASGI server calls this."""

        async def leave() -> None:
            # The answer goes on without this reader; a status is awaited by nobody any more.
            if self._writer is not None:
                self._writer.is_awaited = False
            if self._reading is not None:
                await self._reading.aclose()

        await while_read(receive, send, partial(self._respond, scope), leave)
        if self.background is not None:
            await self.background()

    async def _respond(self, scope: Scope, send: Send) -> None:
        kept = self._kept
        if kept is None:
            await send_answer(send, 204, {}, b"")
            return
        encoder = encoder_named(kept.head.protocol)
        error = await self._refused()
        if isinstance(error, ZaiError):
            await send_answer(send, *refusal_of(error, encoder(), accepts_json(scope)))
            return
        if error is not None:
            raise error
        await send_start(send, 200, encoder.headers)
        # A heartbeat gives up its wait, which must not give up the read as well.
        self._reading = SteadyIterator(kept.read(self._after))
        async with aclosing(with_silences(self._reading, self._settings.heartbeat)) as batches:
            async for batch in batches:
                if isinstance(batch, ReplayGap) and encoder is UIMessageEncoder:
                    # Its pages know no gap, and take nothing but the whole answer.
                    error = ZaiError("the beginning is not kept any more", kind="stream")
                    await send({"type": BODY, "body": encoder().fail(error), "more_body": True})
                    break
                name = kept.head.answer_id
                body = encoder.heartbeat if batch is None else _framed(batch, name)
                await send({"type": BODY, "body": body, "more_body": True})
        await send({"type": BODY, "body": b"", "more_body": False})

    async def _refused(self) -> Exception | None:
        """Wait for the answer to begin, but not for long; return what came in its place."""
        writer = self._writer
        if writer is None:
            return None
        with anyio.move_on_after(self._settings.prime):
            await writer.has_begun.wait()
        writer.is_awaited = False
        return writer.error


def encoder_named(protocol: str) -> type[AnswerEncoder]:
    """Return the encoder that wrote an answer."""
    return OpenAIEncoder if protocol == OpenAIEncoder.protocol else UIMessageEncoder


def _framed(batch: tuple[int, list[bytes]] | ReplayGap, answer_id: str) -> bytes:
    """Return events with their ids, from which a reader can go on."""
    if isinstance(batch, ReplayGap):
        return event_frame("gap", batch._asdict())
    last, events = batch
    numbers = range(last - len(events) + 1, last + 1)
    return b"".join(map(numbered, events, repeat(answer_id), numbers))
