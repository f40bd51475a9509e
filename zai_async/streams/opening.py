"""Opening the response of a stream, and reading what is left of one."""

import asyncio
import enum
import weakref
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio

from zai_async._protocol import DecoderContext
from zai_async._transport import Response
from zai_async._wire import open_envelope
from zai_async.errors import TransportError, ZaiError
from zai_async.models import Outcome, Reply
from zai_async.models.reply import attach_call
from zai_async.streams.interfaces import StreamCall

if TYPE_CHECKING:
    from zai_async.streams.reader import StreamReader

__all__ = [
    "Phase",
    "context_of",
    "done",
    "drain",
    "keep_payloads",
    "open_response",
    "record_call",
]

# What may be read after the end of an answer, so that its connection can be used again.
_DRAIN_SECONDS: Final = 0.25
_DRAIN_BYTES: Final = 2**16


class Phase(enum.Enum):
    """How far a stream has come."""

    NEW = "new"
    """No answer is there: nothing was sent, or what was sent has failed and may be sent again."""
    OPEN = "open"
    """There is more to be read."""
    READ = "read"
    """The body has come to its end; what is left is in the decoder."""
    OVER = "over"
    """The stream has come to its end, has failed, or was closed."""


def context_of(call: StreamCall, before: DecoderContext | None = None) -> DecoderContext:
    """Return what a decoder has to know of the call that it reads the answer of.

    ``before`` is the context of the answer that this one takes the place of.
    """
    return DecoderContext(
        allow=call.options.allow,
        on_restart=call.options.on_restart,
        max_event_bytes=call.settings.max_event_bytes,
        max_event_values=call.settings.max_event_values,
        max_bytes=call.settings.max_response_bytes,
        secrets=call.secrets,
        now=call.settings.clock.wall,
        unwrap=partial(open_envelope, call.settings.provider, dict),
        view=None if before is None else before.view,
        keeps_payloads=before is not None and before.keeps_payloads,
    )


def keep_payloads(reader: "StreamReader[Any]", *, wanted: bool) -> None:
    """Keep the bytes of events from now on, or no longer."""
    if reader.context.keeps_payloads is wanted:
        return
    reader.context.keeps_payloads = wanted
    json = reader.decoder.json
    if wanted:
        json.keep_payloads()
    else:
        json.forget_payloads()


def record_call(
    answer: Reply, call: StreamCall, headers: Mapping[str, str], outcome: Outcome | None
) -> None:
    """Write on an answer how it was fetched."""
    answer.request_id = answer.request_id or headers.get("X-Log-Id")
    attach_call(
        answer, attempts=call.attempts, timing=call.timing, outcome=outcome, headers=headers
    )


async def open_response(
    reader_of: "weakref.ref[StreamReader[Any]]", call: StreamCall, error: ZaiError | None
) -> None:
    """Open a response for a stream, if somebody still holds it then.

    What came in place of events, by the header, is looked at here: a refusal with HTTP 200 is
    raised by whoever opens the stream, as one with another status is.
    """
    while True:
        try:
            # The pause before a retry is a part of opening, so that no read has to outlast it.
            if error is not None:
                await call.recover(error)
                if _held(reader_of) is None:
                    call.leave()
                    return
            response = await call.open()
        except ZaiError as final:
            reader = _held(reader_of)
            if reader is None:
                call.leave()
            else:
                reader.conclude(final)
            return
        reader = _held(reader_of)
        if reader is None:
            response.close()
            call.leave()
            return
        reader.opened(response)
        kind = response.headers.get("Content-Type", "").lower()
        if not ("json" in kind or "html" in kind):
            return
        if reader.context.view is None:
            keep_payloads(reader, wanted=True)  # ``raw`` hands out what is read here
        error = await reader.look_ahead(response)
        if error is None:
            return
        del reader


def _held(reader_of: "weakref.ref[StreamReader[Any]]") -> "StreamReader[Any] | None":
    """Return a stream that somebody holds and has not closed."""
    reader = reader_of()
    return None if reader is None or reader.phase is Phase.OVER else reader


async def done(task: "asyncio.Task[None]") -> None:
    """Wait until a task is over, in whichever way; to give the wait up does not end the task."""
    over: asyncio.Future[None] = task.get_loop().create_future()

    def wake(_: object) -> None:
        if not over.done():
            over.set_result(None)

    task.add_done_callback(wake)
    await over


async def drain(response: Response) -> None:
    """Read it, so that the connection can be used again, unless it is long or takes long."""
    size = 0
    try:
        # The end of a chunked body comes a moment later than the end mark inside of it.
        with anyio.move_on_after(_DRAIN_SECONDS):
            while size < _DRAIN_BYTES and (piece := await response.read()):
                size += len(piece)
    except TransportError:
        return  # the answer was complete; that its connection is lost concerns nobody
