"""Files that the caller names: their paths, and writing to them from threads."""

import errno
import io
import mimetypes
import os
import select
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
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
    "reserve",
]

POLL_MILLISECONDS: Final = 200
"""A thread that waits for a pipe looks this often whether anybody still waits for it."""
_PAUSE: Final = 0.05
_BLOCK: Final = 2**20
# What systems say that cannot reserve room on this file system.
_UNKNOWN: Final = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


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


def reserve(number: int, size: int) -> None:
    """Have room for so many bytes in an open file, of which nothing is overwritten.

    Raises:
        OSError: There is none; the file is as it was.
    """
    before = os.fstat(number).st_size
    try:
        try:
            os.posix_fallocate(number, 0, max(size, 1))
            start = size - 1  # some limits are seen by who writes
        except (OSError, AttributeError) as error:
            if getattr(error, "errno", errno.ENOSYS) not in _UNKNOWN:
                raise
            # What is there has its room already; and Windows cannot write to a place like this.
            start = before if hasattr(os, "pwrite") else size
        while before <= start < size:
            start += os.pwrite(number, bytes(min(_BLOCK, size - start)), start)
    except OSError:
        os.ftruncate(number, before)
        raise


def _open_kept(path: str, flags: int) -> int:
    """Open a file as it is, without emptying it."""
    return open_at_once(path, flags & ~os.O_TRUNC)


class OutputFile:
    """A file that is made or written over; or a device, or a pipe, which may wait for its reader.

    Where the disk has no room, or the block does not end well, what was in the file is still
    there: it is written over, with its links and permissions, when all of the new one is there.
    What is known to have a ``size`` needs no room for both.

    Whoever is cancelled meanwhile leaves no thread behind: a few pipes that nobody reads would
    stop all work with files.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._size = size
        self._file: io.FileIO | None = None
        self._older: io.FileIO | None = None
        self._reserved = False
        self._given_up = False

    async def __aenter__(self) -> Self:
        try:
            with naming(self.path):
                await to_the_end(self._open, self._give_up)
        except BaseException:
            await to_the_end(partial(self._close, keeps=False))
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with naming(self.path):
            await to_the_end(partial(self._close, keeps=kind is None))

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

    def write_at_once(self, content: bytes) -> None:
        """Open it, write everything, and close it; blocking."""
        keeps = False
        try:
            with naming(self.path):
                self._open()
                self._write(content)
                keeps = True
        finally:
            self._close(keeps=keeps)

    def _give_up(self) -> None:
        self._given_up = True

    def _open(self) -> None:
        is_new = not self.path.exists()
        while self._file is None:
            try:
                self._file = open(self.path, "wb", buffering=0, opener=_open_kept)  # noqa: SIM115
            except OSError as error:
                # This is how a pipe without a reader answers, and a device without a driver.
                alone = error.errno == errno.ENXIO and stat.S_ISFIFO(self.path.stat().st_mode)
                if self._given_up or not alone:
                    raise
                time.sleep(_PAUSE)
        if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._prepare(is_new=is_new)

    def _prepare(self, *, is_new: bool) -> None:
        """See to it that what is in a file stays there until there is room for the new."""
        file = cast("io.FileIO", self._file)
        if self._size is not None:
            try:
                reserve(file.fileno(), self._size)
            except OSError:
                if is_new:
                    self.path.unlink(missing_ok=True)
                raise
            self._reserved = True
        elif not is_new and os.fstat(file.fileno()).st_size:
            try:
                beside = tempfile.TemporaryFile(buffering=0, dir=self.path.parent)  # noqa: SIM115
            except OSError:  # of a directory that is not ours, say: then into the file itself
                file.truncate()
            else:
                self._file, self._older = beside, file

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

    def _close(self, *, keeps: bool) -> None:
        with ExitStack() as opened:
            for file in filter(None, (self._file, self._older)):
                opened.callback(file.close)
            if self._file is None:
                return
            if self._older is not None and keeps:
                reserve(self._older.fileno(), self._file.seek(0, os.SEEK_END))
                self._file.seek(0)
                shutil.copyfileobj(self._file, self._older, _BLOCK)
                self._older.truncate()
            elif self._reserved:
                self._file.truncate()
