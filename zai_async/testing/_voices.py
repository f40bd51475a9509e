"""Voices: the official ones, and clones of uploaded recordings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing._files import Files, uploaded
from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._reading import find_model, require
from zai_async.testing._reply import Reply
from zai_async.testing._tones import pcm, wav

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


class _List(Struct, rename="camel"):
    voice_name: str | None = None
    voice_type: Literal["OFFICIAL", "PRIVATE"] | None = None


class _Delete(Struct):
    voice: str
    request_id: str | None = None


class Voices:
    """Keep the voices that speech can use."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.reset()

    def reset(self) -> None:
        """Forget the clones."""
        self._voices = {name: _voice(name, name, "OFFICIAL") for name in _OFFICIAL}

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        path = "paas/v4/voice"
        custom = "paas/v4/audio/customization"
        return [
            Operation("audio.customization", "POST", custom, self.customize),
            Operation("voice.clone", "POST", f"{path}/clone", self.clone),
            Operation("voice.list", "GET", f"{path}/list", self.list),
            Operation("voice.delete", "POST", f"{path}/delete", self.delete),
        ]

    def find(self, voice: str) -> Json:
        """Return a voice, ``Refusal`` when there is none of this name."""
        require(voice in self._voices, f"voice: {voice} does not exist", "1214")
        return self._voices[voice]

    def customize(self, call: Call) -> Reply:
        """Beep in the voice of the recording that comes with the request."""
        request = call.read_form(_Customization)
        find_model(request.model, "speech", "clone")
        uploaded(call, "voice_data")
        return sound(call, spoken(request.input), request.response_format)

    def clone(self, call: Call) -> Reply:
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

    def list(self, call: Call) -> Reply:
        """List voices; the answer has no Content-Type, as live."""
        request = call.read_query(_List)
        wanted = {"voice_name": request.voice_name, "voice_type": request.voice_type}
        voices = [
            voice
            for voice in self._voices.values()
            if all(value in {None, voice[key]} for key, value in wanted.items())
        ]
        return replace(call.reply({"voice_list": voices}), content_type="")

    def delete(self, call: Call) -> Reply:
        """Forget a clone."""
        request = call.read(_Delete)
        voice = self.find(request.voice)
        require(voice["voice_type"] == "PRIVATE", "voice: official ones stay", "1220")
        del self._voices[request.voice]
        return call.reply({"voice": request.voice, "update_time": _beijing_time()})


def spoken(text: str, speed: float = 1.0, volume: float = 1.0) -> bytes:
    """Say a text: beep as long as reading it aloud would take."""
    return pcm(len(text) * _SECONDS_PER_CHARACTER / speed, volume)


def sound(call: Call, samples: bytes, kind: Literal["wav", "pcm"]) -> Reply:
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
    return f"{datetime.now(UTC) + timedelta(hours=8):%Y-%m-%d %H:%M:%S}"
