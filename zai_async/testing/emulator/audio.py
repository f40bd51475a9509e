"""Audio: speech to text and text to speech."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.catalogue import find_model
from zai_async.testing.emulator.files import uploaded
from zai_async.testing.emulator.media import RATE, wav_seconds
from zai_async.testing.emulator.operation import OperationCall, Route, UserId, require
from zai_async.testing.emulator.prose import tokens
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json
from zai_async.testing.emulator.transcripts import (
    TEXT_TYPE,
    TranscriptFormat,
    subtitles,
    verbose,
)
from zai_async.testing.emulator.voices import VoiceHandlers, sound, spoken

_MEGABYTE = 2**20
_PIECE = 72_000  # bytes of samples per event; as text more than the 64 KiB of many line readers


# https://docs.z.ai/api-reference/audio/audio-transcriptions
class _Transcription(Struct):
    model: str
    file_base64: str | None = None
    prompt: str | None = None
    hotwords: Annotated[list[str], Meta(max_length=100)] | None = None
    stream: bool = False
    response_format: TranscriptFormat = "json"
    request_id: str | None = None
    user_id: UserId | None = None


# https://docs.bigmodel.cn/api-reference: api.z.ai does not sell speech yet and answers 1211.
class _Speech(Struct):
    model: str
    input: Annotated[str, Meta(min_length=1, max_length=1024)]
    voice: str = "tongtong"
    speed: Annotated[float, Meta(ge=0.5, le=2)] = 1.0
    volume: Annotated[float, Meta(gt=0, le=10)] = 1.0
    response_format: Literal["wav", "pcm"] = "pcm"
    stream: bool = False
    encode_format: Literal["base64", "hex"] = "base64"
    watermark_enabled: bool | None = None
    request_id: str | None = None
    user_id: UserId | None = None


class AudioHandlers:
    """Hear what was registered, say everything as one long beep."""

    def __init__(self, voices: VoiceHandlers) -> None:
        self._voices = voices
        self.reset()

    def reset(self) -> None:
        """Forget the transcripts."""
        self._transcripts: dict[str, str] = {}

    def transcribe(self, recording: bytes | str, text: str) -> None:
        """Register what is said in a recording, given as its bytes or their SHA-256 in hex.

        Any other recording is transcribed as one sentence that says how long it is.
        """
        digest = recording if isinstance(recording, str) else sha256(recording).hexdigest()
        self._transcripts[digest] = text

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        path = "paas/v4/audio"
        return [
            Route("audio.transcriptions", "POST", f"{path}/transcriptions", self.write),
            Route("audio.speech", "POST", f"{path}/speech", self.speak),
        ]

    def write(self, call: OperationCall) -> PlannedReply:
        """Transcribe a WAV or MP3 file of at most 25 MB and 30 seconds."""
        request = call.read_form(_Transcription)
        find_model(request.model, "transcription")
        if "file" not in call.request.form.files and request.file_base64 is not None:
            try:
                recording = b64decode(request.file_base64, validate=True)
            except ValueError as error:
                raise Refusal("1210", f"file_base64: {error}") from error
        else:  # where both are sent, the file wins
            upload = uploaded(call)
            legal = upload.filename.lower().endswith((".wav", ".mp3"))
            require(legal, "file: neither .wav nor .mp3")
            recording = upload.data
        seconds = wav_seconds(recording)
        # The client checks the same limits before it sends; here they are checked for other
        # clients, and for files whose length cannot be told beforehand.
        require(len(recording) <= 25 * _MEGABYTE, "file: larger than 25 MB")
        require(seconds is None or seconds <= 30, "file: longer than 30 seconds")
        length = f"{len(recording)} bytes" if seconds is None else f"{seconds:.1f} seconds"
        digest = sha256(recording).hexdigest()
        text = self._transcripts.get(digest, f"This recording is {length} long.")
        if request.stream:
            head: Json = {"id": call.id, "created": int(time.time()), "model": request.model}
            *pieces, last = tokens(text) or [""]
            events = [head | {"type": "transcript.text.delta", "delta": piece} for piece in pieces]
            # As documented, the last event is no repetition of the text but its last piece.
            events.append(head | {"type": "transcript.text.done", "delta": last})
            return call.stream(events, 0.4, 1 / 60)
        # What is no WAV has no length that could be known here; subtitles need one.
        length_or_guess = 1.0 if seconds is None else seconds
        match request.response_format:
            case "text":
                return call.data(f"{text}\n".encode(), TEXT_TYPE)
            case "srt" | "vtt" as kind:
                return call.data(subtitles(text, length_or_guess, kind).encode(), TEXT_TYPE)
            case "verbose_json":
                return call.reply(verbose(text, length_or_guess))
            case _:
                head = call.stamp(request.request_id)
                return call.reply(head | {"model": request.model, "text": text})

    def speak(self, call: OperationCall) -> PlannedReply:
        """Beep 0.06 seconds per character, as a file or as a stream of samples."""
        request = call.read(_Speech)
        find_model(request.model, "speech")
        self._voices.find(request.voice)
        samples = spoken(request.input, request.speed, request.volume)
        if request.stream:
            require(request.response_format == "pcm", "response_format: a stream is pcm")
            # One event per piece of sound, then one that only says that it is over.
            head: Json = {"id": call.id, "created": int(time.time()), "model": request.model}
            events: list[Json] = []
            for start in range(0, len(samples), _PIECE):
                piece = samples[start : start + _PIECE]
                coded = piece.hex() if request.encode_format == "hex" else b64encode(piece).decode()
                delta = {"role": "assistant", "content": coded, "return_sample_rate": RATE}
                choice = {"index": 0, "delta": delta | {"return_format": "pcm"}}
                events.append(head | {"choices": [choice]})
            events.append(head | {"choices": [{"index": 0, "finish_reason": "stop"}]})
            return call.stream(events, 0.4, 0.1)
        return sound(call, samples, request.response_format)
