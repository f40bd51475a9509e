"""What files of the caller are, the documented limits on them, and how they lie in a JSON request.

Sources: https://docs.z.ai/api-reference/audio/audio-transcriptions,
https://docs.z.ai/api-reference/llm/chat-completion and https://docs.z.ai/api-reference/files.
"""

import base64
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec

from zai_async.errors import InvalidFileError
from zai_async.models import AudioPartParam, FilePartParam, ImagePartParam, VideoPartParam
from zai_async.models.files import FileContent
from zai_async.uploads.sources import HEAD, Source, kept, open_source

__all__ = [
    "MARK",
    "Encoding",
    "FileLimits",
    "Media",
    "audio_part",
    "file_part",
    "image",
    "media_type",
    "video_part",
    "wav_seconds",
]

_MIB: Final = 2**20

# (offset, bytes there, type); the first match counts.
_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    # RIFF, four bytes of length, and then what is inside.
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    # MP3 without a tag begins with a frame: eleven bits set, then version and layer.
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    # A box of ISO 14496-12 begins with its length; the brand follows its name.
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
)


class FileLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation accepts; None where nothing is documented."""

    types: tuple[str, ...] | None = None
    max_bytes: int | None = None
    max_seconds: float | None = None

    def check(self, name: str, head: bytes, size: int | None) -> None:
        """Raise InvalidFileError for what is wrong with a file; its size may not be known yet."""
        found = media_type(head)
        if self.types is not None and found not in self.types:
            text = f"{name} is {found or 'of an unknown type'}; accepted: {', '.join(self.types)}"
            raise InvalidFileError(text, limit="type")
        # What comes in pieces is counted while it is sent.
        if size is None:
            return
        if not size:
            raise InvalidFileError(f"{name} is empty", limit="size")
        if self.max_bytes is not None and size > self.max_bytes:
            text = f"{name} has {size / _MIB:.1f} MiB; at most {self.max_bytes / _MIB:g} MiB"
            raise InvalidFileError(text, limit="size")
        seconds = None if self.max_seconds is None else wav_seconds(head, size)
        if seconds is not None and self.max_seconds is not None and seconds > self.max_seconds:
            text = f"{name} plays {seconds:.1f} s; at most {self.max_seconds:g} s"
            raise InvalidFileError(text, limit="duration")


def media_type(head: bytes) -> str | None:
    """Return the media type that the first bytes of a file tell, None if they tell none."""
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    return None


def wav_seconds(head: bytes, size: int) -> float | None:
    """Return how long a WAV of this size plays, None if the head is not that of a WAV."""
    if media_type(head) != "audio/wav":
        return None
    # The bytes per second stand eight bytes into the chunk, after format, channels and rate.
    start = head.find(b"fmt ")
    rate = struct.unpack_from("<I", head, start + 16)[0] if 0 < start <= len(head) - 24 else 0
    data = head.find(b"data")
    return (size - data - 8) / rate if rate and data > 0 else None


# Random digits follow: no text of a caller's can be taken for a file.
MARK: Final = "zai-media-"

Encoding = Literal["auto", "raw", "data_url"]
"""How a file is written: bare base64, a data URL, or whichever the operation is known to want."""


class Media(str):  # noqa: SLOT000 - the few there are need no slots
    """A file in the place of a string; it prints as a mark, and is sent as base64.

    Many messages and calls may hold the same one: nothing of a call is kept here.
    """

    source: Source
    encoding: Encoding
    limits: FileLimits
    kind: str | None

    def __new__(
        cls,
        content: Any,
        *,
        encoding: Encoding = "data_url",
        limits: FileLimits | None = None,
        kind: str | None = None,
    ) -> Self:
        """Take a file by path, bytes, open file or pieces; nothing is read yet."""
        media = super().__new__(cls, MARK + secrets.token_hex(12))
        media.source = open_source(content)
        media.encoding = encoding
        media.limits = limits or FileLimits()
        media.kind = kind
        return media

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        # What it stands for cannot be copied, and need not be: it is not changed.
        return self

    def __reduce__(self) -> tuple[Callable[..., "Media"], tuple[Any, ...]]:
        return restored_media, (kept(self.source), self.encoding, self.limits, self.kind)

    def prefix(self, head: bytes, encoding: Encoding) -> str:
        """Return what comes before the base64 of a file that begins like this."""
        if encoding == "raw":
            return ""
        return f"data:{self.kind or media_type(head) or 'application/octet-stream'};base64,"

    def inline(self) -> str:
        """Return the text that is sent in its place, to be kept beside the other messages.

        A path is read here and now.

        Raises:
            TypeError: It is a file that is read while it is sent, and cannot be kept.
            InvalidFileError: The file is not accepted.
        """
        found = kept(self.source)
        content = found.read_bytes() if isinstance(found, Path) else found
        self.limits.check(self.source.name, content[:HEAD], len(content))
        prefix = self.prefix(content[:HEAD], self.encoding)
        return prefix + base64.b64encode(content).decode()


def restored_media(content: Any, encoding: Encoding, limits: FileLimits, kind: str | None) -> Media:
    """Make a media handle again that was pickled."""
    return Media(content, encoding=encoding, limits=limits, kind=kind)


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
