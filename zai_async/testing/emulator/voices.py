"""Voices: the official ones, and clones of uploaded recordings."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.account import BEIJING
from zai_async.testing.emulator.catalogue import find_model
from zai_async.testing.emulator.files import FileStore, uploaded
from zai_async.testing.emulator.media import pcm, wav
from zai_async.testing.emulator.operation import OperationCall, Route, require
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json

# The list is documented; cloned voices are known by an id like any of these names.
_OFFICIAL = ("tongtong", "chuichui", "xiaochen", "jam", "kazi", "douji", "luodo")
_SECONDS_PER_CHARACTER = 0.06
_INPUT_LIMIT = 10 * 2**20  # bytes


# Without a page of its own: the official client has it, from before voices could be kept.
class _Customization(Struct):
    model: str
    input: Annotated[str, Meta(min_length=1, max_length=1024)]
    voice_text: str
    response_format: Literal["wav", "pcm"] = "wav"


class _Clone(Struct):
    model: str
    voice_name: str
    input: Annotated[str, Meta(max_length=1024)]
    file_id: str
    text: str | None = None
    request_id: str | None = None


# The only query of the platform in camel case.
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
        self._official = {name: _voice(name, name, "OFFICIAL") for name in _OFFICIAL}
        self._clones: RecentItems[Json] = RecentItems(max_items=1_000)

    def routes(self) -> list[Route]:
        """List the routes of this group."""
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
        found = self._official.get(voice) or self._clones.get(voice)
        if found is None:
            raise Refusal("1214", f"voice: {voice} does not exist")
        return found

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
        self._clones[voice] = _voice(voice, request.voice_name, "PRIVATE")
        document = {"voice": voice, "file_id": file.id, "file_purpose": purpose}
        return call.reply(document | {"request_id": request.request_id or call.id})

    def list(self, call: OperationCall) -> PlannedReply:
        """List voices."""
        request = call.read_query(_VoiceQuery)
        wanted = {"voice_name": request.voice_name, "voice_type": request.voice_type}
        voices = [
            voice
            for voice in (*self._official.values(), *self._clones.values())
            if all(value in {None, voice[key]} for key, value in wanted.items())
        ]
        # Recorded live: the one answer of the platform that does not say that it is JSON.
        return replace(call.reply({"voice_list": voices}), content_type="")

    def delete(self, call: OperationCall) -> PlannedReply:
        """Forget a clone."""
        request = call.read(_Deletion)
        voice = self.find(request.voice)
        require(voice["voice_type"] == "PRIVATE", "voice: official ones stay", "1220")
        self._clones.discard(request.voice)
        return call.reply({"voice": request.voice, "update_time": beijing_time()})


def spoken(text: str, speed: float = 1.0, volume: float = 1.0) -> bytes:
    """Say a text: beep as long as reading it aloud would take."""
    return pcm(len(text) * _SECONDS_PER_CHARACTER / speed, volume)


def sound(call: OperationCall, samples: bytes, kind: Literal["wav", "pcm"]) -> PlannedReply:
    """Answer with a sound in one of the two formats."""
    return call.data(wav(samples) if kind == "wav" else samples, f"audio/{kind}")


def _voice(voice: str, name: str, kind: Literal["OFFICIAL", "PRIVATE"]) -> Json:
    # Documented with a `download_url`, which live answers do not have.
    return {
        "voice": voice,
        "voice_name": name,
        "voice_type": kind,
        "create_time": beijing_time(),
    }


def beijing_time() -> str:
    """Return the time as voices have it: local, without a zone."""
    return f"{datetime.now(BEIJING):%Y-%m-%d %H:%M:%S}"
