"""Files: on their way to the service, kept there, and those that results point to."""

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, NotRequired, Protocol, Required, TypedDict, Unpack

from zai_async.errors import ConfigurationError
from zai_async.models.options import CallParams
from zai_async.models.reply import Reply, moment
from zai_async.models.tolerant import Count

__all__ = [
    "File",
    "FileContent",
    "FileDeletion",
    "FileIdParams",
    "FileInput",
    "FileListParams",
    "FileUploadParams",
    "Progress",
    "UploadParams",
]


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


class FileUploadParams(UploadParams, total=False):
    """A file and what it is for.

    Source: https://docs.z.ai/api-reference/agents/file-upload
    """

    file: Required[FileInput]
    """At most 100 MB; which types are taken depends on the purpose."""
    purpose: Required[str]
    """``agent``; on bigmodel.cn also ``batch``, ``code-interpreter`` and ``voice-clone-input``."""


class FileListParams(CallParams, total=False):
    """Which files are looked for."""

    purpose: Required[str]
    """``agent``, ``batch`` or ``code-interpreter``."""
    after: str
    """The id that the page begins after."""
    order: Literal["created_at"]
    limit: int
    """Files in a page, 1 to 100; default 20."""


class FileIdParams(CallParams):
    """Name the file."""

    file_id: str


class File(Reply, kw_only=True):
    """A file on the service."""

    id: str = ""
    object: str = ""
    # The name is the wire's; inside of this class it hides the built-in.
    bytes: Count = 0
    filename: str = ""
    purpose: str = ""
    created_at: Count = 0
    """Unix seconds."""
    status: str = ""
    """Such as ``"processed"`` or ``"error"``, where the service tells."""

    @property
    def created(self) -> datetime | None:
        """When it was uploaded, in UTC."""
        return moment(self.created_at)


class FileDeletion(Reply, kw_only=True):
    """Confirm that a file is gone."""

    id: str = ""
    object: str = ""
    deleted: bool = False


class DownloadOptions(TypedDict, total=False):
    """Change how a file is fetched."""

    max_bytes: int
    """A larger file is refused; default 2 GiB."""
    on_progress: Progress
    """Called with the bytes so far and the total, as pieces arrive."""
    allow: Callable[[str, str], bool]
    """Asked about each address of the way, and what it resolves to, before it is connected to."""


class Downloader(Protocol):
    """What fetches a file."""

    async def __call__(
        self, url: str, to: str | os.PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Path:
        """Fetch a file and return where it lies."""
        ...


class _Addressed(Protocol):
    @property
    def url(self) -> str | None: ...


class Downloadable:
    """Give an answer that names a file, or the part of it that does, a way to fetch it."""

    __slots__ = ()

    @property
    def files(self) -> Sequence["Downloadable"]:
        """The files of the answer, each with a ``download`` of its own."""
        return ()

    async def download(
        self: _Addressed, to: str | os.PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Path:
        """Fetch the file, the first of several, and return where it lies; see ``zai.download``.

        Raises:
            ConfigurationError: There is no file yet, or the answer came from a pickle or a copy.
        """
        # Set when the answer was fetched, and left behind by every copy: sockets cannot be pickled.
        fetch: Downloader | None = vars(self).get("downloader")
        if fetch is None:
            raise ConfigurationError("a copy has no connection: use zai.download(answer.url, to)")
        if not self.url:
            raise ConfigurationError("there is nothing to download: the answer names no address")
        work = fetch(self.url, to, **options)
        del self  # a traceback would show it, and with it an address that may be signed
        return await work
