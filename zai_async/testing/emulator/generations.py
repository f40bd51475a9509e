"""Images and videos: made from the prompt, asked for at once or as a task."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.catalogue import find_model
from zai_async.testing.emulator.media import PixelSize, image_link, video_link
from zai_async.testing.emulator.operation import OperationCall, Route, UserId, require
from zai_async.testing.emulator.reply import PlannedReply
from zai_async.testing.emulator.tasks import TaskHandlers

_IMAGE_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_OFFERED = frozenset({"1728x960", "960x1728"})  # offered although a side is below the limit
_IMAGE_SECONDS = 8.0


class ReceivedImage(Struct):
    """An image request; https://docs.z.ai/api-reference/image/generate-image."""

    model: str
    prompt: str
    quality: Literal["hd", "standard"] | None = None
    size: str | None = None
    request_id: str | None = None
    user_id: UserId | None = None
    watermark_enabled: bool | None = None


class ImageHandlers:
    """Paint gradients: the prompt decides the colour, ``size`` the size."""

    def __init__(self, tasks: TaskHandlers) -> None:
        self._tasks = tasks

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [
            Route("images.generate", "POST", "paas/v4/images/generations", self.generate),
            Route("images.create", "POST", "paas/v4/async/images/generations", self.create),
        ]

    def generate(self, call: OperationCall) -> PlannedReply:
        """Answer with the address of an image."""
        request = call.read(ReceivedImage)
        model = find_model(request.model, "image")
        link = image_link(call, request.prompt, image_size(request.size, model.id))
        document = {"created": int(time.time()), "data": [{"url": link}], "id": call.id}
        return call.reply(document | {"request_id": request.request_id or call.id}, _IMAGE_SECONDS)

    def create(self, call: OperationCall) -> PlannedReply:
        """Start a task; only ``glm-image`` does this, and only in ``hd``."""
        request = call.read(ReceivedImage)
        # https://docs.z.ai/api-reference/image/generate-image-async
        require(find_model(request.model, "image").id == "glm-image", "model: not here", "1212")
        require(request.quality in {None, "hd"}, "quality: only hd")
        link = image_link(call, request.prompt, image_size(request.size, "glm-image"))
        result = {"image_result": [{"url": link}]}
        return self._tasks.start(call, request.model, request.request_id, result)


def image_size(size: str | None, model: str) -> PixelSize:
    """Read a size, ``Refusal`` when the model does not paint it."""
    large = model == "glm-image"
    if size is None:
        return (1280, 1280) if large else (1024, 1024)
    match = _IMAGE_SIZE.fullmatch(size)
    require(match is not None, f"size: not WIDTHxHEIGHT: {size}")
    width, height = (int(side) for side in size.split("x"))
    # Sides and their steps are documented per model; the largest area is, too.
    low, step, most = (1024, 32, 2**22) if large else (512, 16, 2**21)
    fits = all(low <= side <= 2048 and side % step == 0 for side in (width, height))
    offered = large and size in _OFFERED
    require(offered or (fits and width * height <= most), f"size: not possible: {size}")
    return width, height


# Videos: always a task


class ReceivedVideo(Struct):
    """A video request of any model; https://docs.z.ai/api-reference/video."""

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
        """The images to start from."""
        given = self.image_url
        return [given] if isinstance(given, str) else given or []


@dataclass(frozen=True, slots=True)
class _VideoRules:
    # What each model takes; documented per model, refused by all others.
    images: int
    durations: tuple[int, ...]
    sizes: frozenset[str] = field(repr=False)


_FULL, _HD = frozenset({"1920x1080"}), frozenset({"1280x720"})
_SHARED = frozenset({"1024x1024", "1080x1920", "2048x1080", "3840x2160"}) | _FULL
_THREE = _VideoRules(2, (5, 10), _SHARED | _HD | {"720x1280"})
_TWO = _VideoRules(1, (5, 10), _SHARED | {"720x480", "1280x960", "960x1280"})
_VIDEO_RULES: Mapping[str, _VideoRules] = {
    "cogvideox-3": _THREE,
    "cogvideox-2": _TWO,
    "cogvideox-flash": _TWO,
    "viduq1-text": _VideoRules(0, (5,), _FULL),
    "viduq1-image": _VideoRules(1, (5,), _FULL),
    "viduq1-start-end": _VideoRules(2, (5,), _FULL),
    "vidu2-image": _VideoRules(1, (4,), _HD),
    "vidu2-start-end": _VideoRules(2, (4,), _HD),
    "vidu2-reference": _VideoRules(3, (4,), _HD),
}


class VideoHandlers:
    """Make videos that show one image."""

    def __init__(self, tasks: TaskHandlers) -> None:
        self._tasks = tasks

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [Route("videos.create", "POST", "paas/v4/videos/generations", self.create)]

    def create(self, call: OperationCall) -> PlannedReply:
        """Start a task that ends with a video and its cover."""
        request = call.read(ReceivedVideo)
        rules = _VIDEO_RULES[find_model(request.model, "video").id]
        images = len(request.images)
        require(bool(request.prompt or images), "prompt: required without image_url", "1213")
        require(images <= rules.images, f"image_url: at most {rules.images}, not {images}")
        # First and last picture: documented for the fast mode only.
        pair = request.model.lower() == "cogvideox-3" and images == 2
        require(not pair or request.quality != "quality", "quality: two images only with speed")
        for name, value, known in (
            ("duration", request.duration, rules.durations),
            ("size", request.size, rules.sizes),
        ):
            offered = ", ".join(map(str, sorted(known, key=str)))
            legal = value is None or value in known
            require(legal, f"{name}: {value} is not one of {offered}")
        subject = "\n".join([request.prompt or "", *request.images])
        video = video_link(call, subject, request.duration or rules.durations[0])
        cover = image_link(call, subject, (64, 64))
        # A list, though there is never more than one; the cover is an image of its own.
        result = {"video_result": [{"url": video, "cover_image_url": cover}]}
        return self._tasks.start(call, request.model, request.request_id, result)
