"""Image generation, at once and as a task."""

from __future__ import annotations

import re
import time
from typing import Literal

from msgspec import Struct

from zai_async.testing._cdn import Seen, picture_link
from zai_async.testing._operation import Call, Operation
from zai_async.testing._reading import UserId, find_model, require
from zai_async.testing._reply import Reply
from zai_async.testing._tasks import Tasks

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_LARGE = frozenset({"1728x960", "960x1728"})  # offered although a side is below the limit
_SECONDS = 8.0


class ImageRequest(Struct):
    """Hold an image request; https://docs.z.ai/api-reference/image/generate-image."""

    model: str
    prompt: str
    quality: Literal["hd", "standard"] | None = None
    size: str | None = None
    request_id: str | None = None
    user_id: UserId | None = None
    watermark_enabled: bool | None = None


class Images:
    """Paint gradients: the prompt decides the colour, ``size`` the size."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [
            Operation("images.generate", "POST", "paas/v4/images/generations", self.generate),
            Operation("images.create", "POST", "paas/v4/async/images/generations", self.create),
        ]

    def generate(self, call: Call) -> Reply:
        """Answer with the address of a picture."""
        request = call.read(ImageRequest)
        model = find_model(request.model, "image")
        link = picture_link(call, request.prompt, _checked_size(request.size, model.id))
        document = {"created": int(time.time()), "data": [{"url": link}], "id": call.id}
        return call.reply(document | {"request_id": request.request_id or call.id}, _SECONDS)

    def create(self, call: Call) -> Reply:
        """Start a task; only ``glm-image`` does this, and only in ``hd``."""
        request = call.read(ImageRequest)
        require(find_model(request.model, "image").id == "glm-image", "model: not here", "1212")
        require(request.quality in {None, "hd"}, "quality: only hd")
        link = picture_link(call, request.prompt, _checked_size(request.size, "glm-image"))
        result = {"image_result": [{"url": link}]}
        return self._tasks.start(call, request.model, request.request_id, result)


def _checked_size(size: str | None, model: str) -> Seen:
    large = model == "glm-image"
    if size is None:
        return (1280, 1280) if large else (1024, 1024)
    match = _SIZE.fullmatch(size)
    require(match is not None, f"size: not WIDTHxHEIGHT: {size}")
    width, height = (int(side) for side in size.split("x"))
    low, step, most = (1024, 32, 2**22) if large else (512, 16, 2**21)
    fits = all(low <= side <= 2048 and side % step == 0 for side in (width, height))
    offered = large and size in _LARGE
    require(offered or (fits and width * height <= most), f"size: not possible: {size}")
    return width, height
