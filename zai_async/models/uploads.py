"""Files on their way to the service."""

import os
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import BinaryIO, NotRequired, Protocol

from zai_async.models.options import CallParams


class AsyncFile(Protocol):
    """An open file that is read by await, as those of FastAPI, anyio and aiofiles are."""

    async def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        ...


FileContent = (
    str | os.PathLike[str] | bytes | bytearray | BinaryIO | AsyncFile | AsyncIterable[bytes]
)
"""A path, or the bytes themselves: at once, from a file opened in binary mode, or as they come."""

FileInput = FileContent | tuple[str, FileContent] | tuple[str, FileContent, str]
"""A content, alone or with its file name, or with its file name and media type."""

Progress = Callable[[int, int | None], Awaitable[None] | None]
"""Called with the bytes sent so far and the total, which is None while nobody knows it."""


class UploadParams(CallParams):
    """Give an operation that sends a file a way to watch it go."""

    on_progress: NotRequired[Progress]
    """Called as pieces are sent; a function or a coroutine function."""
