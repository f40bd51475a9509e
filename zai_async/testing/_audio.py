"""Audio: speech to text and text to speech."""

from __future__ import annotations

import binascii
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing._files import uploaded
from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._prose import tokens
from zai_async.testing._reading import UserId, find_model, require
from zai_async.testing._refusal import Refusal
from zai_async.testing._reply import Reply
from zai_async.testing._tones import RATE, wav_seconds
from zai_async.testing._voices import Voices, sound, spoken

_MEGABYTE = 2**20
_PIECE = 72_000  # bytes of samples per event; as text more than the 64 KiB of many line readers


class _Transcription(Struct):
    model: str
    file_base64: str | None = None
    prompt: str | None = None
    hotwords: Annotated[list[str], Meta(max_length=100)] | None = None
    stream: bool = False
    request_id: str | None = None
    user_id: UserId | None = None


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


class Audio:
    """Hear what was registered, say everything as one long beep."""

    def __init__(self, voices: Voices) -> None:
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

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        path = "paas/v4/audio"
        return [
            Operation("audio.transcriptions", "POST", f"{path}/transcriptions", self.write),
            Operation("audio.speech", "POST", f"{path}/speech", self.speak),
        ]

    def write(self, call: Call) -> Reply:
        """Transcribe a WAV or MP3 file of at most 25 MB and 30 seconds."""
        request = call.read_form(_Transcription)
        find_model(request.model, "transcription")
        recording = _recording(call, request)
        seconds = wav_seconds(recording)
        require(len(recording) <= 25 * _MEGABYTE, "file: larger than 25 MB")
        require(seconds is None or seconds <= 30, "file: longer than 30 seconds")
        text = self._transcripts.get(sha256(recording).hexdigest(), _sentence(recording, seconds))
        if request.stream:
            return call.stream(_transcript_events(call, request.model, text), 0.4, 1 / 60)
        return call.reply(call.stamp(request.request_id) | {"model": request.model, "text": text})

    def speak(self, call: Call) -> Reply:
        """Beep 0.06 seconds per character, as a file or as a stream of samples."""
        request = call.read(_Speech)
        find_model(request.model, "speech")
        self._voices.find(request.voice)
        samples = spoken(request.input, request.speed, request.volume)
        if request.stream:
            require(request.response_format == "pcm", "response_format: a stream is pcm")
            return call.stream(_speech_events(call, request, samples), 0.4, 0.1)
        return sound(call, samples, request.response_format)


def _recording(call: Call, request: _Transcription) -> bytes:
    """Take the file, which wins, or its base64 form."""
    if "file" not in call.request.form.files and request.file_base64 is not None:
        return _unpacked(request.file_base64)
    upload = uploaded(call)
    require(upload.filename.lower().endswith((".wav", ".mp3")), "file: neither .wav nor .mp3")
    return upload.data


def _unpacked(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise Refusal("1210", f"file_base64: {error}") from error


def _sentence(recording: bytes, seconds: float | None) -> str:
    length = f"{len(recording)} bytes" if seconds is None else f"{seconds:.1f} seconds"
    return f"This recording is {length} long."


def _transcript_events(call: Call, model: str, text: str) -> Iterator[Json]:
    """Give deltas; the last piece comes with ``transcript.text.done``."""
    head: Json = {"id": call.id, "created": int(time.time()), "model": model}
    *pieces, last = tokens(text) or [""]
    for piece in pieces:
        yield head | {"type": "transcript.text.delta", "delta": piece}
    yield head | {"type": "transcript.text.done", "delta": last}


def _speech_events(call: Call, request: _Speech, samples: bytes) -> Iterator[Json]:
    head: Json = {"id": call.id, "created": int(time.time()), "model": request.model}
    for start in range(0, len(samples), _PIECE):
        delta = {
            "role": "assistant",
            "content": _text(samples[start : start + _PIECE], request.encode_format),
            "return_sample_rate": RATE,
            "return_format": "pcm",
        }
        yield head | {"choices": [{"index": 0, "delta": delta}]}
    yield head | {"choices": [{"index": 0, "finish_reason": "stop"}]}


def _text(data: bytes, encoding: Literal["base64", "hex"]) -> str:
    return data.hex() if encoding == "hex" else b64encode(data).decode()
