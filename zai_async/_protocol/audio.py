"""The decoders of speech as it is spoken, and of transcriptions as they are written down."""

import base64
import binascii
from typing import Final, Literal

import msgspec

from zai_async._outcomes import ensure_success
from zai_async._protocol.decoder import Decoder, DecoderContext, EventDecoder
from zai_async._protocol.state import DecoderState
from zai_async._protocol.text import ChunkedText
from zai_async.errors import StreamMalformedError
from zai_async.models import Outcome, SpeechChunk, Transcription, TranscriptionEvent
from zai_async.models.options import outcome_of

__all__ = ["SpeechDecoder", "TranscriptionDecoder"]

_RATE: Final = 24_000
_EXCERPT: Final = 1000
_speech_json: Final = msgspec.json.Decoder(SpeechChunk)
_transcription_json: Final = msgspec.json.Decoder(TranscriptionEvent)


class SpeechDecoder(Decoder[bytes]):
    """Turns the body of a speech stream into pieces of PCM, 16 bit mono at ``sample_rate``.

    Args:
        encoding: How the platform writes sound into JSON.

    Source: https://docs.bigmodel.cn/cn/guide/models/sound-and-video/glm-tts
    """

    def __init__(
        self,
        encoding: Literal["base64", "hex"] = "base64",
        *,
        context: DecoderContext | None = None,
    ) -> None:
        super().__init__(EventDecoder(_speech_json), context or DecoderContext())
        self._encoding = encoding
        self.sample_rate = _RATE
        """Samples a second, as the platform reports it."""
        self._finish_reason: str | None = None
        self._has_begun = False

    @property
    def snapshot(self) -> None:
        """Nothing: all that arrived has been handed out."""
        return

    def _accept(self, data: bytes) -> bytes | None:
        chunk: SpeechChunk | None = self._event(data)
        if chunk is None:
            return None
        if not chunk.choices or chunk.error is not None:
            self._context.raise_fault(data)
        if not chunk.choices:
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
            return None
        self._has_begun = True
        pcm = b""
        for choice in chunk.choices:
            self._finish_reason = choice.finish_reason or self._finish_reason
            if choice.delta is None:
                continue
            self.sample_rate = choice.delta.return_sample_rate or self.sample_rate
            text = choice.delta.content or ""
            # Base64 of other servers' hex decodes to noise, so what it is has to be told.
            try:
                pcm += (
                    bytes.fromhex(text)
                    if self._encoding == "hex"
                    else base64.b64decode(text, validate=True)
                )
            except (binascii.Error, ValueError):
                raise self._context.malformed(data) from None
        if self._finish_reason:
            self._state = DecoderState.FINISHED
        self.progress += bool(pcm)
        return pcm or None

    def _judge(self, *, done: bool) -> Outcome:
        if not self._has_begun:
            self._context.raise_foreign(bytes(self._foreign))
        if not (done or self._finish_reason):
            raise self.truncated("the stream ended before the speech did")
        # A finish reason without a sound is a failure that looks like success.
        outcome: Outcome = "empty"
        if self.progress:
            outcome = outcome_of(self._finish_reason) if self._finish_reason else "completed"
        return ensure_success(outcome, self._context.allow)


class TranscriptionDecoder(Decoder[TranscriptionEvent]):
    """Turns the body of a transcription's stream into events and the whole text.

    Where the last event brings the whole text, that is what counts.

    Args:
        joins_pieces: Whether the caller puts the text together from the pieces, so that pieces
            that say something else than the whole text are an error.

    Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
    """

    def __init__(
        self, *, joins_pieces: bool = False, context: DecoderContext | None = None
    ) -> None:
        super().__init__(EventDecoder(_transcription_json), context or DecoderContext())
        self._joins_pieces = joins_pieces
        self._pieces = ChunkedText()
        self._whole = ""
        self._first: TranscriptionEvent | None = None

    @property
    def snapshot(self) -> Transcription:
        """The transcription as far as it has been read."""
        first = self._first or TranscriptionEvent()
        return Transcription(
            id=first.id,
            request_id=first.request_id,
            created=first.created,
            model=first.model,
            text=self._whole or "".join(self._pieces),
        )

    def _accept(self, data: bytes) -> TranscriptionEvent | None:
        event: TranscriptionEvent | None = self._event(data)
        if event is None:
            return None
        if not event.type or event.error is not None:
            self._context.raise_fault(data)
        # An empty text is that of a silent recording; without the field it is no transcription.
        if not (event.type or event.delta or event.text is not None):
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
            return None
        self._first = self._first or event
        if event.type.endswith(".done"):
            self._state = DecoderState.FINISHED
            event.delta = self._tail(event)
        self._pieces.append(event.delta)
        self._pieces.pack()
        self.progress += bool(event.delta)
        if self._whole and (self._joins_pieces or self._context.view == "text"):
            pieces = "".join(self._pieces)
            if "".join(pieces.split()) != "".join(self._whole.split()):
                raise StreamMalformedError("the pieces of the text do not add up to the whole")
        return event

    def _tail(self, event: TranscriptionEvent) -> str:
        """Return what the last event adds to the text.

        No page says whether it repeats the whole text, brings the last piece, or neither.
        """
        # Servers of this API do each of these; text that is said twice is worse than late text.
        so_far = "".join(self._pieces)
        if event.text:
            self._whole = event.text
            return event.text.removeprefix(so_far) if event.text.startswith(so_far) else ""
        return "" if so_far.endswith(event.delta) else event.delta

    def _judge(self, *, done: bool) -> Outcome:
        if self._first is None:
            self._context.raise_foreign(bytes(self._foreign))
        if not (done or self._state is DecoderState.FINISHED):
            raise self.truncated("the stream ended before the transcription did")
        outcome: Outcome = "completed" if self._first is not None else "empty"
        return ensure_success(outcome, self._context.allow)
