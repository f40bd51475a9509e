"""Pictures and films that were made, kept for the page to fetch while the server runs."""

import mimetypes
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import anyio

from zai_async._threads import to_the_end
from zai_async.web.parts import RelayedFile

__all__ = ["MediaFolder"]


class MediaFolder:
    """A temporary folder, made when the first file comes."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None

    async def keep(self, file: Any) -> RelayedFile:
        """Fetch a file of an answer, and give it an address here.

        The policy of the page forbids those of other hosts, and the platform's hold for a month.

        Raises:
            ZaiError: It cannot be fetched.
        """
        if self._folder is None:
            self._folder = await to_the_end(TemporaryDirectory)
        key = uuid4().hex
        path: Path = await file.download(f"{self._folder.name}/{key}/")
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return RelayedFile(f"api/media/{key}", media_type)

    async def find(self, key: str) -> Path | None:
        """Return where a file lies."""
        if self._folder is not None:
            # It is alone in its folder, under the name that the platform gave it.
            async for path in anyio.Path(self._folder.name, key).glob("*"):
                return Path(path)
        return None

    async def aclose(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            await to_the_end(self._folder.cleanup)
