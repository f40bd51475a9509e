"""Speech as it is spoken, and transcriptions as they are written down."""

import base64
import binascii
import os
import struct
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

from zai_async._outcomes import ensure_success
from zai_async._threads import to_the_end
from zai_async.errors import StreamMalformedError
from zai_async.models import Outcome, SpeechChoice, SpeechChunk, Transcription, TranscriptionEvent
from zai_async.models.options import outcome_of
from zai_async.models.reply import attach_call
from zai_async.streams.interfaces import Source
from zai_async.streams.json_stream import JSONStream, Pieces

__all__ = ["SpeechStream", "TranscriptionStream", "wav_header"]

_RATE = 24_000
_WIDTH = 2  # 16 bit, mono
# The length of a WAV whose end nobody knows yet.
_ENDLESS = 0xFFFFFFFF - 36


class SpeechStream(JSONStream[bytes]):
    """Speech as it is spoken: iterate for pieces of PCM, 16 bit mono at ``sample_rate``.

    Source: https://docs.bigmodel.cn/cn/guide/models/sound-and-video/glm-tts
    """

    def __init__(self, source: Source, encoding: Literal["base64", "hex"] = "base64") -> None:
        self._encoding = encoding
        super().__init__(source)

    def _begin(self) -> None:
        super()._begin()
        self.sample_rate = _RATE
        """Samples a second, as the platform reports it."""
        self._finish_reason: str | None = None
        self._chunks = 0

    async def read(self) -> bytes:
        """Read what is left and return it as PCM."""
        return b"".join([piece async for piece in self])

    async def save(self, path: str | os.PathLike[str]) -> int:
        """Write what is left to a WAV file and return its length in bytes.

        Into a FIFO or a pipe the header says that the sound goes on to the end of the file.
        """
        size = 0
        with ExitStack() as files:
            file = await to_the_end(lambda: files.enter_context(Path(path).open("wb")))
            await to_the_end(partial(file.write, wav_header(_ENDLESS, self.sample_rate)))
            async for piece in self:
                size += await to_the_end(partial(file.write, piece))
            # The length is known now, but a FIFO cannot go back to its beginning.
            if file.seekable():
                await to_the_end(partial(file.seek, 0))
                await to_the_end(partial(file.write, wav_header(size, self.sample_rate)))
            await to_the_end(file.close)
        return size + len(wav_header(size, self.sample_rate))

    def _accept(self, data: bytes) -> bytes | None:
        chunk: SpeechChunk | None = self._read_event(data)
        if chunk is None:
            return None
        if not chunk.choices or chunk.error is not None:
            self._raise_fault(data)
        self._chunks += 1
        pcm = b"".join(self._sound(choice, data) for choice in chunk.choices)
        self._progress += bool(pcm)
        return pcm or None

    def _sound(self, choice: SpeechChoice, data: bytes) -> bytes:
        """Return the sound that a choice adds."""
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta
        if delta is None:
            return b""
        self.sample_rate = delta.return_sample_rate or self.sample_rate
        try:
            return _decoded(delta.content or "", self._encoding)
        except (binascii.Error, ValueError):
            raise self._malformed(data) from None

    def _finished(self) -> bool:
        return self._finish_reason is not None

    def _partial(self) -> None:
        """Return nothing: all that arrived has been handed out."""

    def _judge(self, *, done: bool) -> Outcome:
        if not self._chunks:
            self._raise_foreign()
        if not (done or self._finished()):
            raise self._truncated("the stream ended before the speech did")
        return ensure_success(self._end(), self._source.options.allow)

    def _end(self) -> Outcome:
        if not self._chunks:
            return "empty"
        return outcome_of(self._finish_reason) if self._finish_reason else "completed"


def _decoded(text: str, encoding: str) -> bytes:
    return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)


def wav_header(size: int, rate: int) -> bytes:
    """Return the header of a WAV file with this many bytes of 16 bit mono sound."""
    form = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
    kind = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * _WIDTH, _WIDTH, 8 * _WIDTH)
    return form + kind + struct.pack("<4sI", b"data", size)


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
        return Pieces(partial(self._claim, "text"), self.__anext__, _piece)

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
