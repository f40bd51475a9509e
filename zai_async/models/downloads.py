"""Results that are files somewhere else."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypedDict, Unpack

from zai_async.errors import ConfigurationError
from zai_async.models.uploads import Progress


class DownloadOptions(TypedDict, total=False):
    """Change how a file is fetched."""

    max_bytes: int
    """A larger file is refused; default 2 GiB."""
    on_progress: Progress
    """Called with the bytes so far and the total, as pieces arrive."""


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
        fetch: Downloader | None = vars(self).get("downloader")
        if fetch is None:
            raise ConfigurationError("a copy has no connection: use zai.download(answer.url, to)")
        if not self.url:
            raise ConfigurationError("there is nothing to download: the answer names no address")
        return await fetch(self.url, to, **options)


def attach_downloader(answer: Downloadable, fetch: Downloader) -> None:
    """Give an answer the network that its files are fetched through."""
    vars(answer)["downloader"] = fetch
    for file in answer.files:
        attach_downloader(file, fetch)
