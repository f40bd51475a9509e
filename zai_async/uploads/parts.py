"""Content parts of a chat message, made from files or addresses.

Source: https://docs.z.ai/api-reference/llm/chat-completion (vision models).
"""

from pathlib import Path
from typing import Any, Final

from zai_async.models import AudioPartParam, FilePartParam, ImagePartParam, VideoPartParam
from zai_async.models.files import FileContent
from zai_async.uploads.kinds import FileLimits
from zai_async.uploads.media import Encoding, Media

__all__ = ["audio_part", "file_part", "image", "video_part"]

_MIB: Final = 2**20
_IMAGES: Final = FileLimits(types=("image/png", "image/jpeg"), max_bytes=5 * _MIB)
_VIDEOS: Final = FileLimits(
    types=("video/mp4", "video/x-matroska", "video/quicktime"), max_bytes=200 * _MIB
)
_DOCUMENTS: Final = FileLimits(max_bytes=50 * _MIB)
_AUDIO: Final = FileLimits(types=("audio/wav", "audio/mpeg"), max_seconds=600)


def image(content: FileContent, *, encoding: Encoding = "auto") -> ImagePartParam:
    """Show an image to a vision model: an http(s) address, a path, or the bytes (png or jpeg).

    A file is sent as base64 while it is read; ``encoding`` says in which form.

    Raises:
        InvalidFileError: When the request is sent, for a file of another type or above 5 MiB.
    """
    return {"type": "image_url", "image_url": {"url": _url(content, _IMAGES, encoding)}}


def video_part(content: FileContent, *, encoding: Encoding = "auto") -> VideoPartParam:
    """Show a video to a vision model: an http(s) address, a path, or the bytes.

    Raises:
        InvalidFileError: When the request is sent, unless it is an mp4, mkv or mov up to 200 MiB.
    """
    return {"type": "video_url", "video_url": {"url": _url(content, _VIDEOS, encoding)}}


def file_part(content: FileContent, *, filename: str | None = None) -> FilePartParam:
    """Show a document to a model: an http(s) address, a path, or the bytes, up to 50 MiB.

    Raises:
        InvalidFileError: When the request is sent, for a file that is too large.
    """
    if _is_address(content):
        return {"type": "file", "file": {"file_url": str(content)}}
    media = Media(content, limits=_DOCUMENTS)
    name = filename or media.source.name
    return {"type": "file", "file": {"file_data": media, "filename": name}}


def audio_part(content: FileContent, *, format: str | None = None) -> AudioPartParam:
    """Let a model hear a sound: a path or the bytes of a WAV or MP3, up to ten minutes.

    ``format`` is needed for bytes that are not WAV; it is taken from the name of a path.
    """
    media = Media(content, encoding="raw", limits=_AUDIO)
    kind = format or Path(media.source.name).suffix.removeprefix(".").lower() or "wav"
    part: Any = {"type": "input_audio", "input_audio": {"data": media, "format": kind}}
    return part  # type: ignore[no-any-return]


def _is_address(content: object) -> bool:
    return isinstance(content, str) and content.startswith(("http://", "https://", "data:"))


def _url(content: FileContent, limits: FileLimits, encoding: Encoding) -> str:
    return (
        str(content) if _is_address(content) else Media(content, encoding=encoding, limits=limits)
    )
