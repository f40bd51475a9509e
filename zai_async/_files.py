"""Files that the caller names: their paths, and writing to them from threads."""

import errno
import io
import mimetypes
import os
import select
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from zai_async._secrets import one_line
from zai_async._threads import to_the_end
from zai_async.errors import InvalidFileError

__all__ = [
    "POLL_MILLISECONDS",
    "OutputFile",
    "file_path",
    "media_types",
    "naming",
    "open_at_once",
]

POLL_MILLISECONDS: Final = 200
"""A thread that waits for a pipe looks this often whether anybody still waits for it."""
_PAUSE: Final = 0.05


def file_path(given: str | os.PathLike[str]) -> Path:
    """Return the path that a caller means.

    Raises:
        InvalidFileError: It holds characters that no path can.
    """
    path = Path(os.fsdecode(given))
    try:
        legal = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        legal = False
    if not legal:
        raise InvalidFileError(f"{one_line(str(path))}: no file can be called so")
    return path


@cache
def media_types() -> mimetypes.MimeTypes:
    """Return which suffix tells which media type, as the standard library alone knows it.

    To make the tables takes longer than to import most modules.
    """
    # It would look into files of the system first, which it then leaves out: event loops wait here.
    known, mimetypes.inited = mimetypes.inited, True
    try:
        return mimetypes.MimeTypes(())
    finally:
        mimetypes.inited = known


@contextmanager
def naming(path: str | os.PathLike[str]) -> Generator[None]:
    """Have an error of the system name the file: a full disk says so without saying where."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise


def open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


class OutputFile:
    """A file that is made or emptied; or a device, or a pipe, which may wait for its reader.

    Whoever is cancelled meanwhile leaves no thread behind: a few pipes that nobody reads would
    stop all work with files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: io.FileIO | None = None
        self._given_up = False

    async def __aenter__(self) -> Self:
        try:
            with naming(self.path):
                await to_the_end(self._open, self._give_up)
        except BaseException:
            await to_the_end(self._close)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await to_the_end(self._close)

    async def write(self, data: bytes) -> None:
        """Append some bytes."""
        with naming(self.path):
            await to_the_end(partial(self._write, data), self._give_up)

    async def overwrite(self, data: bytes) -> None:
        """Write over the beginning, where there is a way back to it."""
        file = self._file
        if file is not None and await to_the_end(file.seekable):
            await to_the_end(partial(file.seek, 0))
            await self.write(data)

    def _give_up(self) -> None:
        self._given_up = True

    def _open(self) -> None:
        while self._file is None:
            try:
                self._file = open(self.path, "wb", buffering=0, opener=open_at_once)  # noqa: SIM115
            except OSError as error:
                # This is how a pipe without a reader answers, and a device without a driver.
                alone = error.errno == errno.ENXIO and stat.S_ISFIFO(self.path.stat().st_mode)
                if self._given_up or not alone:
                    raise
                time.sleep(_PAUSE)

    def _write(self, data: bytes) -> None:
        file, view = cast("io.FileIO", self._file), memoryview(data)
        while view and not self._given_up:
            # None says that a pipe is full.
            written = file.write(view)
            if written is None:
                poll = select.poll()
                poll.register(file.fileno(), select.POLLOUT)
                poll.poll(POLL_MILLISECONDS)
            view = view[written or 0 :]

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
