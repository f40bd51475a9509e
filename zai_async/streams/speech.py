"""Speech as it is spoken."""

import base64
import binascii
import os
import struct
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

from zai_async._threads import to_the_end
from zai_async.models import Outcome, SpeechChoice, SpeechChunk
from zai_async.models.options import outcome_of
from zai_async.streams.json_stream import JSONStream
from zai_async.streams.outcomes import ensure_success
from zai_async.streams.source import Source

__all__ = ["SpeechStream", "wav_header"]

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
        """Write what is left to a WAV file and return its length in bytes."""
        size = 0
        with ExitStack() as files:
            file = await to_the_end(lambda: files.enter_context(Path(path).open("wb")))
            await to_the_end(partial(file.write, wav_header(_ENDLESS, self.sample_rate)))
            async for piece in self:
                size += await to_the_end(partial(file.write, piece))
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
