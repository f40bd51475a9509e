"""The decoders of speech as it is spoken, and of transcriptions as they are written down."""

import base64
import binascii
import struct
from codecs import BOM_UTF8
from copy import copy
from typing import Final, Literal

import msgspec

from zai_async._protocol.accumulator import final_reason
from zai_async._protocol.context import DecoderContext
from zai_async._protocol.decoder import Decoder, EventDecoder
from zai_async._protocol.salvage import END_MARK
from zai_async._protocol.sse import in_order
from zai_async._protocol.state import DecoderState
from zai_async._protocol.text import ChunkedText
from zai_async._wire import Operation, parse_reply
from zai_async.errors import ResponseError, StreamMalformedError, StreamRestartedError
from zai_async.models import (
    BinaryReply,
    Outcome,
    SpeechChunk,
    Transcription,
    TranscriptionEvent,
    TranscriptionParams,
)
from zai_async.models.extra import extra_of
from zai_async.models.options import outcome_of

__all__ = ["SpeechDecoder", "TranscriptionDecoder"]

_RATE: Final = 24_000
_EXCERPT: Final = 1000
_FIELDS: Final = (b"data", b"event", b"id", b"retry", b":")
_LONGEST_FIELD: Final = 8
# The first bytes of WAV, MP3, Ogg and FLAC.
_SOUNDS: Final = (b"RIFF", b"ID3", b"\xff\xfb", b"\xff\xf3", b"OggS", b"fLaC")
_PCM: Final = frozenset({"audio/pcm", "audio/l16", "audio/x-pcm", "audio/raw"})
_TEXTS: Final = frozenset({b"", b"{", b"[", b"<"})
_HEARD: Final = frozenset({"transcript.text.delta", "transcript.text.done"})
_speech_json: Final = msgspec.json.Decoder(SpeechChunk)
_transcription_json: Final = msgspec.json.Decoder(TranscriptionEvent)
# As in the table of operations, which stands on a floor above.
_TRANSCRIPTION: Final = Operation(
    "audio.transcriptions.create",
    "",
    Transcription,
    TranscriptionParams,
    essential="text",
    bare_text="text",
)


def _is_event(begin: bytes) -> bool:
    """Tell whether a body that begins like this may be one of events."""
    return any(begin.startswith(field) or field.startswith(begin) for field in _FIELDS)


def _kind(context: DecoderContext) -> str:
    """Return what the header says that a body is."""
    return context.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class _Identity:
    """Who speaks, by what each event repeats."""

    def __init__(self) -> None:
        self.id = ""
        self.created = self.events = 0

    def follow(self, event: SpeechChunk | TranscriptionEvent) -> None:
        """Take note of an event with content.

        Raises:
            StreamRestartedError: It is of another generation than those before it.
        """
        # As of chat: relays that make up an id for each event have none that is stable, and the
        # backend that takes over from another has both another id and another time of creation.
        if event.id in {"", self.id}:
            self.events += 1
            return
        before, self.id = self.id, event.id
        known, self.created = self.created, event.created
        is_stable, self.events = self.events > 1, 1
        if is_stable and known and event.created and event.created != known:
            text = "the platform began its answer anew after a part of it had been handed out"
            raise StreamRestartedError(text, old_id=before, new_id=event.id)


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
        self._speaker = _Identity()

    @property
    def snapshot(self) -> None:
        """Nothing: all that arrived has been handed out."""
        return

    def _sniff(self, data: bytes) -> bytes:
        """Know sound that comes as it is, in place of events, by its label or its first bytes."""
        begin = bytes(self._foreign[:_LONGEST_FIELD] + data.removeprefix(BOM_UTF8)[:_LONGEST_FIELD])
        if data and any(sound.startswith(begin) for sound in _SOUNDS):
            self._foreign += data  # too little to tell
            return b""
        labelled = _kind(self._context).startswith("audio/")
        if self._state is DecoderState.WAITING and (
            begin.startswith(_SOUNDS) or (labelled and not _is_event(begin))
        ):
            self._state = DecoderState.DOCUMENT
        return super()._sniff(data)

    def _accept_document(self, data: bytes) -> None:
        """Read sound that was not streamed; of other forms than PCM, all of it is in the error."""
        kind = _kind(self._context)
        if data[:1] in _TEXTS or not (data.startswith(_SOUNDS) or kind.startswith("audio/")):
            super()._accept_document(data)
            return
        pcm, rate = data, self.sample_rate
        if data.startswith(b"RIFF"):
            pcm, rate = _unpacked(data) or (b"", rate)
        elif kind not in _PCM:
            pcm = b""
        if not pcm:
            raise ResponseError(
                f"the service sent {kind or 'sound'} in place of a stream of PCM",
                partial=BinaryReply(content=data, content_type=kind),
            )
        # In the words of an event: all that is known of those holds for it.
        text = pcm.hex() if self._encoding == "hex" else base64.b64encode(pcm).decode()
        delta = {"content": text, "return_sample_rate": rate}
        choice = {"finish_reason": "stop", "delta": delta}
        self._foreign, self._state = bytearray(), DecoderState.RECEIVING
        self.waiting += in_order([msgspec.json.encode({"choices": [choice]}), END_MARK], [])

    def _accept(self, data: bytes) -> bytes | None:
        chunk: SpeechChunk | None = self._event(data)
        if chunk is None:
            return None
        if not chunk.choices or chunk.error:
            self._context.raise_failure(data, whole=self._state is DecoderState.FINISHED)
        if not chunk.choices:
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
            return None
        self._has_begun = True
        pcm = b""
        for choice in chunk.choices:
            self._finish_reason = final_reason(self._finish_reason, choice.finish_reason)
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
        if pcm:
            self._speaker.follow(chunk)
            self.progress += 1
        elif not self.progress:
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
        if self._finish_reason:
            self._state = DecoderState.FINISHED
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
        return self._context.ensure_success(outcome, self._foreign)


def _unpacked(wav: bytes) -> tuple[bytes, int] | None:
    """Return the samples of a WAV file and their rate, if they are 16 bit mono."""
    place, rate = 12, 0
    while place + 8 <= len(wav):
        name, size = struct.unpack_from("<4sI", wav, place)
        place += 8
        if name == b"fmt " and place + 16 <= len(wav):
            form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", wav, place)
            if (form, channels, bits) != (1, 1, 16):
                return None
        elif name == b"data":
            # A length that nobody knew when the header was written reaches beyond the end.
            return (wav[place : place + size], rate) if rate else None
        place += size + size % 2
    return None


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
        self._answer: Transcription | None = None
        """What has come but for the pieces: who speaks, and the whole text where that is told."""
        self._speaker = _Identity()

    @property
    def snapshot(self) -> Transcription:
        """The transcription as far as it has been read."""
        answer = copy(self._answer) or Transcription()
        answer.text = answer.text or "".join(self._pieces)
        return answer

    def _sniff(self, data: bytes) -> bytes:
        """Know a text that comes as it is, in place of events, by its label."""
        # What has come before, and did not tell, is blank.
        begin = data.removeprefix(BOM_UTF8).lstrip()[:_LONGEST_FIELD]
        is_text = self._is_text or begin.startswith(b'"')
        if self._state is DecoderState.WAITING and is_text and begin and not _is_event(begin):
            self._state = DecoderState.DOCUMENT
        return super()._sniff(data)

    def _accept_document(self, data: bytes) -> None:
        """Read a transcription that was not streamed."""
        # The answer that would have come without streaming, in whatever a relay puts around it.
        context = self._context
        try:
            self._answer = parse_reply(
                _TRANSCRIPTION,
                data,
                status=200,
                headers=context.headers,
                now=context.now(),
                secrets=context.secrets,
            )
        except ResponseError:
            super()._accept_document(data)
            return
        text = self._answer.text
        event = {"type": "transcript.text.done", "text": text}
        self._foreign, self._state = bytearray(), DecoderState.RECEIVING
        self.waiting += in_order([msgspec.json.encode(event), END_MARK], [])

    @property
    def _is_text(self) -> bool:
        kind = _kind(self._context)
        plain = kind.startswith("text/") and kind not in {"text/event-stream", "text/html"}
        return plain or "subrip" in kind

    def _accept(self, data: bytes) -> TranscriptionEvent | None:
        event: TranscriptionEvent | None = self._event(data)
        if event is None:
            return None
        if event.error or event.type not in _HEARD:
            self._context.raise_failure(data, whole=self._state is DecoderState.FINISHED)
        # An empty text is that of a silent recording; without the field it is no transcription.
        typed = event.type.endswith(".done") or (event.type and b'"delta"' in data)
        # Segments repeat what pieces say; an answer of nothing else is one of another service.
        tells = event.text is not None and (not event.type or event.type.endswith(".delta"))
        if not (typed or event.delta or tells):
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
            return event if event.type else None  # of a type that is not known yet
        self._answer = self._answer or Transcription(
            id=event.id, request_id=event.request_id, created=event.created, model=event.model
        )
        if event.delta or event.text:
            self._speaker.follow(event)
        if event.type.endswith(".done"):
            self._state = DecoderState.FINISHED
            if not (event.text or event.delta or self.progress):
                event.text = _said_in_segments(event)
            self._answer.text = event.text or self._answer.text
            event.delta = self._tail(event)
        elif tells:
            event.delta = event.delta or self._piece(event.text or "")
        self._pieces.append(event.delta)
        self._pieces.pack()
        self.progress += bool(event.delta)
        whole = self._answer.text
        if whole and (self._joins_pieces or self._context.view == "text"):
            pieces = "".join(self._pieces)
            if "".join(pieces.split()) != "".join(whole.split()):
                raise StreamMalformedError("the pieces of the text do not add up to the whole")
        return event

    def _tail(self, event: TranscriptionEvent) -> str:
        """Return what the last event adds to the text.

        No page says whether it repeats the whole text, brings the last piece, or neither.
        """
        # Servers of this API do each of these; text that is said twice is worse than late text.
        so_far = "".join(self._pieces)
        if event.text:
            return event.text.removeprefix(so_far) if event.text.startswith(so_far) else ""
        return "" if so_far.endswith(event.delta) else event.delta

    def _piece(self, text: str) -> str:
        """Return what a text in place of a piece adds: it may repeat all that was said before."""
        so_far = "".join(self._pieces)
        grows = len(text) > len(so_far) and text.startswith(so_far)
        return text.removeprefix(so_far) if grows else text

    def _judge(self, *, done: bool) -> Outcome:
        if self._answer is None:
            self._context.raise_foreign(bytes(self._foreign))
        if not (done or self._state is DecoderState.FINISHED):
            raise self.truncated("the stream ended before the transcription did")
        outcome: Outcome = "completed" if self._answer is not None else "empty"
        return self._context.ensure_success(outcome, self._foreign)


class _SaidSegment(msgspec.Struct):
    text: str = ""


def _said_in_segments(event: TranscriptionEvent) -> str | None:
    """Return the text of an event that says it in segments only, which repeat it elsewhere."""
    try:
        segments = msgspec.convert(extra_of(event).get("segments", ()), tuple[_SaidSegment, ...])
    except msgspec.ValidationError:
        return event.text
    return "".join(segment.text for segment in segments) or event.text
