"""Images: https://docs.z.ai/api-reference/image/generate-image."""

from typing import Literal, Required

from msgspec import Struct, field

from zai_async.models.chat import ContentFilter
from zai_async.models.downloads import Downloadable
from zai_async.models.options import CallParams
from zai_async.models.reply import Reply
from zai_async.models.tasks import TaskStatus


class ImageParams(CallParams, total=False):
    """Hold the keywords of an image request."""

    model: Required[str]
    """``glm-image`` or ``cogview-4-250304``, on bigmodel.cn also ``cogview-4`` and
    ``cogview-3-flash``; a submitted task takes ``glm-image`` only."""
    prompt: Required[str]
    """What is to be seen."""
    quality: Literal["hd", "standard"]
    """``hd`` takes about 20 seconds, ``standard`` 5 to 10; ``glm-image`` knows hd only."""
    size: str
    """Width and height in pixels, such as ``"1280x1280"``; each model has its own bounds."""
    request_id: str
    """Your id for the request, unique (undocumented)."""
    user_id: str
    """Your id for the end user, 6 to 128 characters."""
    watermark_enabled: bool
    """Whether the image is marked; false needs a signed statement (bigmodel.cn)."""


class Image(Downloadable, Struct, kw_only=True, dict=True):
    """Say where one image lies."""

    url: str = ""
    """Lives for 30 days."""


class ImagesResponse(Downloadable, Reply, kw_only=True):
    """Hold generated images."""

    created: int = 0
    """Unix seconds."""
    data: list[Image] = field(default_factory=list)
    content_filter: list[ContentFilter] = field(default_factory=list)

    @property
    def files(self) -> list[Image]:
        """The images, each with a ``download`` of its own."""
        return self.data

    @property
    def url(self) -> str | None:
        """The address of the first image."""
        return next(iter(self.urls), None)

    @property
    def urls(self) -> list[str]:
        """The addresses of all images."""
        return _urls(self.data)


class ImageResult(Downloadable, TaskStatus, kw_only=True):
    """Hold the result of an image task, empty until the task is done."""

    image_result: list[Image] = field(default_factory=list)

    @property
    def files(self) -> list[Image]:
        """The images, each with a ``download`` of its own."""
        return self.image_result

    @property
    def url(self) -> str | None:
        """The address of the first image."""
        return next(iter(self.urls), None)

    @property
    def urls(self) -> list[str]:
        """The addresses of all images."""
        return _urls(self.image_result)


def _urls(images: list[Image]) -> list[str]:
    return [image.url for image in images if image.url]
