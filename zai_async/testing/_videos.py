"""Video generation: always a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing._cdn import film_link, picture_link
from zai_async.testing._operation import Call, Operation
from zai_async.testing._reading import UserId, find_model, require
from zai_async.testing._reply import Reply
from zai_async.testing._tasks import Tasks


class VideoRequest(Struct):
    """Hold a video request of any model; https://docs.z.ai/api-reference/video."""

    model: str
    prompt: Annotated[str, Meta(max_length=512)] | None = None
    image_url: str | list[str] | None = None
    duration: int | None = None
    size: str | None = None
    quality: Literal["speed", "quality"] | None = None
    with_audio: bool | None = None
    fps: Literal[30, 60] | None = None
    style: Literal["general", "anime"] | None = None
    aspect_ratio: Literal["16:9", "9:16", "1:1"] | None = None
    movement_amplitude: Literal["auto", "small", "medium", "large"] | None = None
    request_id: str | None = None
    user_id: UserId | None = None
    watermark_enabled: bool | None = None

    @property
    def images(self) -> list[str]:
        """List the images to start from."""
        given = self.image_url
        return [given] if isinstance(given, str) else given or []


@dataclass(frozen=True, slots=True)
class _Rules:
    images: int
    durations: tuple[int, ...]
    sizes: frozenset[str] = field(repr=False)


_FULL, _HD = frozenset({"1920x1080"}), frozenset({"1280x720"})
_SHARED = frozenset({"1024x1024", "1080x1920", "2048x1080", "3840x2160"}) | _FULL
_THREE = _Rules(2, (5, 10), _SHARED | _HD | {"720x1280"})
_TWO = _Rules(1, (5, 10), _SHARED | {"720x480", "1280x960", "960x1280"})
_RULES: Mapping[str, _Rules] = {
    "cogvideox-3": _THREE,
    "cogvideox-2": _TWO,
    "cogvideox-flash": _TWO,
    "viduq1-text": _Rules(0, (5,), _FULL),
    "viduq1-image": _Rules(1, (5,), _FULL),
    "viduq1-start-end": _Rules(2, (5,), _FULL),
    "vidu2-image": _Rules(1, (4,), _HD),
    "vidu2-start-end": _Rules(2, (4,), _HD),
    "vidu2-reference": _Rules(3, (4,), _HD),
}


class Videos:
    """Shoot films of one still picture."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [Operation("videos.create", "POST", "paas/v4/videos/generations", self.create)]

    def create(self, call: Call) -> Reply:
        """Start a task that ends with a film and its cover."""
        request = call.read(VideoRequest)
        rules = _RULES[find_model(request.model, "video").id]
        _check(request, rules)
        subject = "\n".join([request.prompt or "", *request.images])
        film = film_link(call, subject, request.duration or rules.durations[0])
        cover = picture_link(call, subject, (64, 64))
        result = {"video_result": [{"url": film, "cover_image_url": cover}]}
        return self._tasks.start(call, request.model, request.request_id, result)


def _check(request: VideoRequest, rules: _Rules) -> None:
    images = len(request.images)
    require(bool(request.prompt or images), "prompt: required without image_url", "1213")
    require(images <= rules.images, f"image_url: at most {rules.images}, not {images}")
    _one_of("duration", request.duration, rules.durations)
    _one_of("size", request.size, rules.sizes)
    pair = request.model.lower() == "cogvideox-3" and images == 2
    require(not pair or request.quality != "quality", "quality: two images only with speed")


def _one_of(name: str, value: object, known: tuple[int, ...] | frozenset[str]) -> None:
    known_text = ", ".join(map(str, sorted(known, key=str)))
    require(value is None or value in known, f"{name}: {value} is not one of {known_text}")
