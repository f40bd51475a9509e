"""Transcriptions as they are written down."""

import functools
from collections.abc import AsyncIterator

from zai_async.errors import StreamMalformedError
from zai_async.models import Outcome, Transcription, TranscriptionEvent
from zai_async.models.reply import attach_call
from zai_async.streams.altitudes import Pieces
from zai_async.streams.json_stream import JSONStream
from zai_async.streams.outcomes import ensure_success

__all__ = ["TranscriptionStream"]


class TranscriptionStream(JSONStream[TranscriptionEvent]):
    """A transcription as it is written down.

    Iterate over the stream for the events on the wire, or over ``text`` for the pieces of text.
    Where the last event brings the whole text, that is what counts: if the pieces say something
    else, ``transcription()`` returns the whole text, and ``text``, which has handed the pieces out,
    raises StreamMalformedError with it in ``partial``.

    Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
    """

    def _begin(self) -> None:
        super()._begin()
        self._pieces: list[str] = []
        self._whole = ""
        self._first: TranscriptionEvent | None = None
        self._complete = False

    @property
    def text(self) -> AsyncIterator[str]:
        """The text, piece by piece."""
        return Pieces(functools.partial(self._claim, "text"), self.__anext__, _piece)

    @property
    def snapshot(self) -> Transcription:
        """The transcription as far as it has been read."""
        first = self._first or TranscriptionEvent()
        result = Transcription(
            id=first.id,
            request_id=first.request_id or self._request_id,
            created=first.created,
            model=first.model,
            text=self._whole or "".join(self._pieces),
        )
        attach_call(result, attempts=self.attempts, timing=self.timing, outcome=self._outcome)
        return result

    async def transcription(self) -> Transcription:
        """Read what is left and return the whole transcription."""
        await self._exhaust()
        return self.snapshot

    def _accept(self, data: bytes) -> TranscriptionEvent | None:
        event: TranscriptionEvent | None = self._read_event(data)
        if event is None:
            return None
        if not event.type or event.error is not None:
            self._raise_fault(data)
        self._first = self._first or event
        if event.type.endswith(".done"):
            self._complete = True
            event.delta = self._tail(event)
        self._pieces.append(event.delta)
        self._progress += bool(event.delta)
        self._check_whole()
        return event

    def _tail(self, event: TranscriptionEvent) -> str:
        """Return what the last event adds to the text.

        No page says whether it repeats the whole text, brings the last piece, or neither.
        """
        so_far = "".join(self._pieces)
        if event.text:
            self._whole = event.text
            return event.text.removeprefix(so_far) if event.text.startswith(so_far) else ""
        return "" if so_far.endswith(event.delta) else event.delta

    def _check_whole(self) -> None:
        """Raise if pieces were handed out that do not add up to the whole, but for white space."""
        if self._whole and self._altitude not in {"chunks", "completion"}:
            pieces = "".join(self._pieces)
            if "".join(pieces.split()) != "".join(self._whole.split()):
                raise StreamMalformedError("the pieces of the text do not add up to the whole")

    def _finished(self) -> bool:
        return self._complete

    def _partial(self) -> Transcription:
        return self.snapshot

    def _judge(self, *, done: bool) -> Outcome:
        if self._first is None:
            self._raise_foreign()
        if not (done or self._complete):
            raise self._truncated("the stream ended before the transcription did")
        outcome: Outcome = "completed" if self._first is not None else "empty"
        return ensure_success(outcome, self._source.options.allow)


def _piece(event: TranscriptionEvent) -> str:
    return event.delta
