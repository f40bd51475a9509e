"""Audio: speech to text, text to speech, and the voices it has."""

from __future__ import annotations

import binascii
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.account import BEIJING
from zai_async.testing.emulator.catalogue import find_model
from zai_async.testing.emulator.files import FileStore, uploaded
from zai_async.testing.emulator.media import RATE, pcm, wav, wav_seconds
from zai_async.testing.emulator.operation import OperationCall, Route, UserId, require
from zai_async.testing.emulator.prose import tokens
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json

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

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        path = "paas/v4/audio"
        return [
            Route("audio.transcriptions", "POST", f"{path}/transcriptions", self.write),
            Route("audio.speech", "POST", f"{path}/speech", self.speak),
        ]

    def write(self, call: OperationCall) -> PlannedReply:
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

    def speak(self, call: OperationCall) -> PlannedReply:
        """Beep 0.06 seconds per character, as a file or as a stream of samples."""
        request = call.read(_Speech)
        find_model(request.model, "speech")
        self._voices.find(request.voice)
        samples = spoken(request.input, request.speed, request.volume)
        if request.stream:
            require(request.response_format == "pcm", "response_format: a stream is pcm")
            return call.stream(_speech_events(call, request, samples), 0.4, 0.1)
        return sound(call, samples, request.response_format)


def _recording(call: OperationCall, request: _Transcription) -> bytes:
    """Take the file, which wins, or its base64 form."""
    if "file" not in call.request.form.files and request.file_base64 is not None:
        return _decoded(request.file_base64)
    upload = uploaded(call)
    require(upload.filename.lower().endswith((".wav", ".mp3")), "file: neither .wav nor .mp3")
    return upload.data


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise Refusal("1210", f"file_base64: {error}") from error


def _sentence(recording: bytes, seconds: float | None) -> str:
    length = f"{len(recording)} bytes" if seconds is None else f"{seconds:.1f} seconds"
    return f"This recording is {length} long."


def _transcript_events(call: OperationCall, model: str, text: str) -> Iterator[Json]:
    """Give deltas; the last piece comes with ``transcript.text.done``."""
    head: Json = {"id": call.id, "created": int(time.time()), "model": model}
    *pieces, last = tokens(text) or [""]
    for piece in pieces:
        yield head | {"type": "transcript.text.delta", "delta": piece}
    yield head | {"type": "transcript.text.done", "delta": last}


def _speech_events(call: OperationCall, request: _Speech, samples: bytes) -> Iterator[Json]:
    head: Json = {"id": call.id, "created": int(time.time()), "model": request.model}
    for start in range(0, len(samples), _PIECE):
        delta = {
            "role": "assistant",
            "content": _encoded(samples[start : start + _PIECE], request.encode_format),
            "return_sample_rate": RATE,
            "return_format": "pcm",
        }
        yield head | {"choices": [{"index": 0, "delta": delta}]}
    yield head | {"choices": [{"index": 0, "finish_reason": "stop"}]}


def _encoded(data: bytes, encoding: Literal["base64", "hex"]) -> str:
    return data.hex() if encoding == "hex" else b64encode(data).decode()


# Voices: the official ones, and clones of uploaded recordings

_OFFICIAL = ("tongtong", "chuichui", "xiaochen", "jam", "kazi", "douji", "luodo")
_SECONDS_PER_CHARACTER = 0.06
_INPUT_LIMIT = 10 * 2**20  # bytes


class _Customization(Struct):
    model: str
    input: Annotated[str, Meta(min_length=1, max_length=1024)]
    voice_text: str
    response_format: Literal["wav", "pcm"] = "wav"


class _Clone(Struct):
    model: str
    voice_name: str
    input: str
    file_id: str
    text: str | None = None
    request_id: str | None = None


class _VoiceQuery(Struct, rename="camel"):
    voice_name: str | None = None
    voice_type: Literal["OFFICIAL", "PRIVATE"] | None = None


class _Deletion(Struct):
    voice: str
    request_id: str | None = None


class VoiceHandlers:
    """Keep the voices that speech can use."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self.reset()

    def reset(self) -> None:
        """Forget the clones."""
        self._voices = {name: _voice(name, name, "OFFICIAL") for name in _OFFICIAL}

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        path = "paas/v4/voice"
        custom = "paas/v4/audio/customization"
        return [
            Route("audio.customization", "POST", custom, self.customize),
            Route("voice.clone", "POST", f"{path}/clone", self.clone),
            Route("voice.list", "GET", f"{path}/list", self.list),
            Route("voice.delete", "POST", f"{path}/delete", self.delete),
        ]

    def find(self, voice: str) -> Json:
        """Return a voice, ``Refusal`` when there is none of this name."""
        require(voice in self._voices, f"voice: {voice} does not exist", "1214")
        return self._voices[voice]

    def customize(self, call: OperationCall) -> PlannedReply:
        """Beep in the voice of the recording that comes with the request."""
        request = call.read_form(_Customization)
        find_model(request.model, "speech", "clone")
        uploaded(call, "voice_data")
        return sound(call, spoken(request.input), request.response_format)

    def clone(self, call: OperationCall) -> PlannedReply:
        """Make a voice of an uploaded recording, with a preview as a new file."""
        request = call.read(_Clone)
        find_model(request.model, "clone")
        source = self._files.find(request.file_id)
        require(source.purpose == "voice-clone-input", "file_id: not uploaded for a clone")
        require(len(source.data) <= _INPUT_LIMIT, "file_id: larger than 10 MB")
        preview = wav(spoken(request.input))
        name, purpose = f"{request.voice_name}.wav", "voice-clone-output"
        file = self._files.keep(call, name, purpose, preview)
        voice = f"voice_clone_{call.id}"
        self._voices[voice] = _voice(voice, request.voice_name, "PRIVATE")
        document = {"voice": voice, "file_id": file.id, "file_purpose": purpose}
        return call.reply(document | {"request_id": request.request_id or call.id})

    def list(self, call: OperationCall) -> PlannedReply:
        """List voices; the answer has no Content-Type, as live."""
        request = call.read_query(_VoiceQuery)
        wanted = {"voice_name": request.voice_name, "voice_type": request.voice_type}
        voices = [
            voice
            for voice in self._voices.values()
            if all(value in {None, voice[key]} for key, value in wanted.items())
        ]
        return replace(call.reply({"voice_list": voices}), content_type="")

    def delete(self, call: OperationCall) -> PlannedReply:
        """Forget a clone."""
        request = call.read(_Deletion)
        voice = self.find(request.voice)
        require(voice["voice_type"] == "PRIVATE", "voice: official ones stay", "1220")
        del self._voices[request.voice]
        return call.reply({"voice": request.voice, "update_time": _beijing_time()})


def spoken(text: str, speed: float = 1.0, volume: float = 1.0) -> bytes:
    """Say a text: beep as long as reading it aloud would take."""
    return pcm(len(text) * _SECONDS_PER_CHARACTER / speed, volume)


def sound(call: OperationCall, samples: bytes, kind: Literal["wav", "pcm"]) -> PlannedReply:
    """Answer with a sound in one of the two formats."""
    return call.data(wav(samples) if kind == "wav" else samples, f"audio/{kind}")


def _voice(voice: str, name: str, kind: Literal["OFFICIAL", "PRIVATE"]) -> Json:
    """Describe a voice; live answers have no ``download_url`` either."""
    return {
        "voice": voice,
        "voice_name": name,
        "voice_type": kind,
        "create_time": _beijing_time(),
    }


def _beijing_time() -> str:
    return f"{datetime.now(BEIJING):%Y-%m-%d %H:%M:%S}"
