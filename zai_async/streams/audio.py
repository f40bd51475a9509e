"""Speech as it is spoken, and transcriptions as they are written down."""

import os
from collections.abc import AsyncIterator
from functools import partial
from operator import attrgetter
from typing import Any, Final, Literal

from zai_async._files import OutputFile, file_path
from zai_async._protocol import DecoderContext, SpeechDecoder, TranscriptionDecoder
from zai_async.models import Transcription, TranscriptionEvent
from zai_async.streams.event_stream import EventStream
from zai_async.streams.interfaces import StreamCall
from zai_async.streams.reader import StreamReader
from zai_async.streams.views import TextIterator, claim
from zai_async.uploads.waves import WaveFormat

__all__ = ["SpeechStream", "TranscriptionStream"]

# The length of a WAV whose end nobody knows yet.
_ENDLESS: Final = 0xFFFFFFFF - 36


class SpeechStream(EventStream[bytes]):
    """Speech as it is spoken: iterate for pieces of PCM, 16 bit mono at ``sample_rate``.

    Source: https://docs.bigmodel.cn/cn/guide/models/sound-and-video/glm-tts
    """

    def __init__(self, call: StreamCall, encoding: Literal["base64", "hex"] = "base64") -> None:
        def decoder(context: DecoderContext) -> SpeechDecoder:
            return SpeechDecoder(encoding, context=context)

        super().__init__(StreamReader(call, decoder))

    @property
    def sample_rate(self) -> int:
        """Samples a second, as the platform reports it."""
        decoder: Any = self._reader.decoder
        rate: int = decoder.sample_rate
        return rate

    async def read(self) -> bytes:
        """Read what is left and return it as PCM."""
        return b"".join([piece async for piece in self])

    async def save(self, path: str | os.PathLike[str]) -> int:
        """Write what is left to a WAV file and return its length in bytes.

        What was in the file is written over when all of the sound is there, or else stays.
        Into a FIFO or a pipe the header says that the sound goes on to the end of the file.
        """
        size = 0
        async with OutputFile(file_path(path)) as file:
            await file.write(WaveFormat(self.sample_rate).header(_ENDLESS))
            async for piece in self:
                await file.write(piece)
                size += len(piece)
            # The length is known now, but a FIFO cannot go back to its beginning.
            header = WaveFormat(self.sample_rate).header(size)
            await file.overwrite(header)
        return size + len(header)


class TranscriptionStream(EventStream[TranscriptionEvent]):
    """A transcription as it is written down.

    Iterate over the stream for the events on the wire, or over ``text`` for the pieces of text.
    Where the last event brings the whole text, that is what counts: if the pieces say something
    else, ``transcription()`` returns the whole text, and ``text``, which has handed the pieces out,
    raises StreamMalformedError with it in ``partial``.

    Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
    """

    def __init__(self, call: StreamCall) -> None:
        super().__init__(StreamReader(call, lambda context: TranscriptionDecoder(context=context)))

    @property
    def text(self) -> AsyncIterator[str]:
        """The text, piece by piece."""
        return TextIterator(
            partial(claim, self._reader, "text"), self._reader.__anext__, attrgetter("delta")
        )

    @property
    def snapshot(self) -> Transcription:
        """The transcription as far as it has been read."""
        transcription: Transcription = self._reader.snapshot
        return transcription

    async def transcription(self) -> Transcription:
        """Read what is left and return the whole transcription."""
        await self._exhaust()
        return self.snapshot
