"""Images and videos."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Final, Literal, Required

from msgspec import field

from zai_async.models.chat import ContentFilter
from zai_async.models.files import Downloadable
from zai_async.models.json_object import JSONObject
from zai_async.models.options import CallParams
from zai_async.models.reply import Reply
from zai_async.models.tasks import TaskStatus
from zai_async.models.tolerant import Count

__all__ = [
    "Image",
    "ImageParams",
    "ImageResult",
    "ImagesResponse",
    "Video",
    "VideoFile",
    "VideoModel",
    "VideoParams",
]

VideoModel = Literal[
    "cogvideox-3",
    "viduq1-text",
    "viduq1-image",
    "viduq1-start-end",
    "vidu2-image",
    "vidu2-start-end",
    "vidu2-reference",
]
"""Models of Z.AI for videos; any other name may be given as well."""
_OF_ADDRESSES: Final = str.maketrans("-_", "+/")


class ImageParams(CallParams, total=False):
    """Parameters of an image request.

    Source: https://docs.z.ai/api-reference/image/generate-image
    """

    model: Required[Literal["glm-image", "cogview-4-250304"] | str]
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


class Image(Downloadable, JSONObject, kw_only=True, dict=True):
    """One image: its address, or at some relays the image itself."""

    url: str = ""
    """Lives for 30 days."""
    b64_json: str | None = None
    """The image in base64, where a relay sends no address."""
    revised_prompt: str | None = None
    """The prompt as the model has rewritten it."""

    @property
    def content(self) -> bytes | None:
        """The bytes of an image that came in base64; None where there is only an address."""
        # Some relays put a data URL there, or leave out the padding, or write for addresses.
        text = self.b64_json or ""
        if text[:5].lower() == "data:":
            text = text.partition(",")[2]
        text = "".join(text.split()).rstrip("=").translate(_OF_ADDRESSES)
        try:
            # What cannot be decoded is no image.
            return b64decode(text + "=" * (-len(text) % 4), validate=True) or None
        except ValueError:
            return None


class ImagesResponse(Downloadable, Reply, kw_only=True):
    """Generated images."""

    created: Count = 0
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


# The same image in another frame: tasks answer image_result where a call answers data.
class ImageResult(Downloadable, TaskStatus, kw_only=True):
    """The result of an image task, empty until the task is done."""

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


class VideoParams(CallParams, total=False):
    """Parameters of a video request; which of them count depends on the model.

    Source: https://docs.z.ai/api-reference/video/generate-video
    """

    model: Required[VideoModel | str]
    """``cogvideox-3``, ``viduq1-text``, ``viduq1-image``, ``viduq1-start-end``, ``vidu2-image``,
    ``vidu2-start-end``, ``vidu2-reference``; on bigmodel.cn also ``cogvideox-2`` and
    ``cogvideox-flash``."""
    prompt: str
    """What is to be seen, up to 512 characters; most models take an image instead or as well."""
    image_url: str | Sequence[str]
    """One image, or the list that the model wants: first and last frame, or up to 3 references.
    Addresses or base64; at most 5 MB for CogVideoX, 50 MB for Vidu. Sent as it is."""
    quality: Literal["speed", "quality"]
    """Default speed (CogVideoX)."""
    with_audio: bool
    """Whether sound is made too; default false."""
    size: str
    """Width and height in pixels, such as ``"1920x1080"``."""
    fps: Literal[30, 60]
    """Frames per second; default 30 (CogVideoX)."""
    duration: int
    """Seconds: 5 or 10 for CogVideoX-3, 5 for Vidu Q1, 4 for Vidu 2."""
    style: Literal["general", "anime"]
    """Default general (``viduq1-text``)."""
    aspect_ratio: Literal["16:9", "9:16", "1:1"]
    """Default 16:9 (``viduq1-text`` and ``vidu2-reference``)."""
    movement_amplitude: Literal["auto", "small", "medium", "large"]
    """How much moves; default auto (Vidu)."""
    watermark_enabled: bool
    """Whether the video is marked; false needs a signed statement (bigmodel.cn)."""
    request_id: str
    """Your id for the request, 6 to 64 characters, unique; generated by the service if absent."""
    user_id: str
    """Your id for the end user, 6 to 128 characters."""


class VideoFile(Downloadable, JSONObject, kw_only=True, dict=True):
    """Say where one finished video lies."""

    url: str = ""
    """The service does not say for how long it lives: download it soon."""
    cover_image_url: str = ""


class Video(Downloadable, TaskStatus, kw_only=True):
    """The result of a video task, empty until the task is done."""

    # A list, as documented, although a request makes one film.
    video_result: list[VideoFile] = field(default_factory=list)

    @property
    def files(self) -> list[VideoFile]:
        """The videos, each with a ``download`` of its own."""
        return self.video_result

    @property
    def url(self) -> str | None:
        """The address of the first video."""
        return next(iter(self.urls), None)

    @property
    def urls(self) -> list[str]:
        """The addresses of all videos."""
        return _urls(self.video_result)

    @property
    def cover_url(self) -> str | None:
        """The address of a still of the first video."""
        return next((video.cover_image_url or None for video in self.video_result), None)


def _urls(files: Sequence[Image | VideoFile]) -> list[str]:
    return [file.url for file in files if file.url.strip()]
