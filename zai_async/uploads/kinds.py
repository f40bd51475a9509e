"""What a file is, by its first bytes, and the documented limits on files.

Sources: https://docs.z.ai/api-reference/audio/audio-transcriptions,
https://docs.z.ai/api-reference/llm/chat-completion and https://docs.z.ai/api-reference/files.
"""

import struct
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from zai_async.errors import InvalidFileError

__all__ = ["FileLimits", "media_type", "wav_seconds"]

_MIB: Final = 2**20

# (offset, bytes there, type); the first match counts.
_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
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
        self.check_type(name, head)
        if size is not None:
            self.check_size(name, size)
            self.check_length(name, head, size)

    async def watch(
        self, name: str, head: bytes, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """Yield the pieces of a file, counted: it may be of unknown size, or have changed."""
        size = 0
        async for piece in pieces:
            size += len(piece)
            if piece:
                self.check(name, head, size)
                yield piece
        self.check_size(name, size)

    def check_type(self, name: str, head: bytes) -> None:
        """Raise InvalidFileError if the file is of a type that is not accepted."""
        found = media_type(head)
        if self.types is not None and found not in self.types:
            text = f"{name} is {found or 'of an unknown type'}; accepted: {', '.join(self.types)}"
            raise InvalidFileError(text, limit="type")

    def check_size(self, name: str, size: int) -> None:
        """Raise InvalidFileError if the file is empty or too large."""
        if not size:
            raise InvalidFileError(f"{name} is empty", limit="size")
        if self.max_bytes is not None and size > self.max_bytes:
            text = f"{name} has {size / _MIB:.1f} MiB; at most {self.max_bytes / _MIB:g} MiB"
            raise InvalidFileError(text, limit="size")

    def check_length(self, name: str, head: bytes, size: int) -> None:
        """Raise InvalidFileError if a WAV plays for too long."""
        seconds = wav_seconds(head, size)
        if self.max_seconds is not None and seconds is not None and seconds > self.max_seconds:
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
    start = head.find(b"fmt ")
    rate = struct.unpack_from("<I", head, start + 16)[0] if 0 < start <= len(head) - 24 else 0
    data = head.find(b"data")
    return (size - data - 8) / rate if rate and data > 0 else None
