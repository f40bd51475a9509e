"""Files as callers have them: a path, bytes, an open file, a stream of pieces.

Files are read in worker threads or by await, a piece at a time; nothing is ever held whole. One
file may be read by several calls at once: what belongs to a call is not kept here.
"""

import inspect
import io
import os
import select
import stat
from collections.abc import AsyncGenerator, AsyncIterable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, cast

from zai_async._files import POLL_MILLISECONDS, file_path, open_at_once
from zai_async._threads import FILE_THREADS, abandonable
from zai_async.errors import ConfigurationError
from zai_async.uploads.open_files import (
    HEAD,
    AsyncFileSource,
    OpenFileSource,
    ReadOnce,
    as_bytes,
    read_already,
    readable,
)

__all__ = ["HEAD", "Source", "ThreadedFile", "kept", "open_source"]

# The first bytes of a file tell its type, also when they come one by one.
_ENOUGH: Final = 16
_END: Final = object()
_TEXT_MODE: Final = "a file must be opened in binary mode ('rb')"


class Source(Protocol):
    """Where the bytes of a file come from."""

    name: str
    replayable: bool
    """Whether it can be read again, as far as that is known before it is inspected."""
    content: Any
    """What the caller gave."""

    async def inspect(self) -> tuple[int | None, bytes]:
        """Return the size in bytes, None if nobody knows it yet, and the first bytes."""
        ...

    def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield all bytes, in pieces of this length where that is possible."""
        ...


class BytesSource:
    """Bytes in memory."""

    name = "file"
    replayable = True

    def __init__(self, content: Any) -> None:
        self.content = content
        view = memoryview(content)
        # A view with gaps has no bytes in a row.
        self._data = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())

    async def inspect(self) -> tuple[int | None, bytes]:
        """Return the size and the first bytes."""
        return len(self._data), bytes(self._data[:HEAD])

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield slices."""
        for start in range(0, len(self._data), length):
            yield bytes(self._data[start : start + length])


class ThreadedFile:
    """A file that is opened and read in threads, and closed by whoever uses it last.

    A read may be left behind: its thread closes the file when it is done, or has waited for a pipe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None
        self._busy = self._closing = False
        self.size: int | None = None
        """Bytes of a regular file, known when something has been read; None for a pipe."""

    async def read(self, length: int) -> bytes:
        """Return the next bytes, none at the end."""
        self._busy = True
        return await abandonable(partial(self._read, length))

    def _read(self, length: int) -> bytes:
        try:
            if self._file is None:
                # Opening a pipe would wait for its other end.
                self._file = open(self._path, "rb", buffering=0, opener=open_at_once)  # noqa: SIM115
                facts = os.fstat(self._file.fileno())
                self.size = facts.st_size if stat.S_ISREG(facts.st_mode) else None
            if self.size is None and hasattr(select, "poll"):  # Windows has no such pipes
                poll = select.poll()
                poll.register(self._file.fileno(), select.POLLIN)
                while not (self._closing or poll.poll(POLL_MILLISECONDS)):
                    pass
            return self._file.read(length) or b""
        finally:
            # In this order: close() looks at them the other way round, and one of the two sees
            # that it is its turn.
            self._busy = False
            if self._closing:
                self._close()

    def close(self) -> None:
        """Close the file soon; not here, since that may wait for a disk as well."""
        self._closing = True
        # A thread that is busy sees the flag when it is done. Closing twice does no harm.
        if not self._busy:
            FILE_THREADS.submit(self._close, waits=False)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    __del__ = _close


class PathSource:
    """A path: of a regular file, or of a pipe or device, which can be read once."""

    def __init__(self, content: str | os.PathLike[str]) -> None:
        self.content = content
        self._path = file_path(content)
        self.name = self._path.name
        self.replayable = True
        self._pipe: ThreadedFile | None = None
        self._head = b""
        self._taken = False

    async def inspect(self) -> tuple[int | None, bytes]:
        """Open the file and look at it; a pipe stays open, for what was read is gone from it."""
        if self._taken:
            raise read_already(self.name)
        if self._pipe is not None:
            return None, self._head
        file = ThreadedFile(self._path)
        try:
            with readable(str(self._path)):
                head = await file.read(HEAD)
        except BaseException:
            file.close()
            raise
        if file.size is None:
            self.replayable, self._pipe, self._head = False, file, head
        else:
            file.close()
        return file.size, head

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the content."""
        if self._taken:
            raise read_already(self.name)
        self._taken = self._pipe is not None
        # Opened anew for each call: they share nothing, and see what lies there now.
        file = self._pipe or ThreadedFile(self._path)
        try:
            if self._pipe is not None:
                yield self._head
            piece = b"-"
            while piece:
                with readable(str(self._path)):
                    piece = await file.read(length)
                if piece:
                    yield piece
        finally:
            file.close()


class PiecesSource:
    """An asynchronous iterator, which can be read once."""

    name = "file"
    replayable = False

    def __init__(self, content: AsyncIterable[bytes]) -> None:
        self.content = content
        self._pieces = aiter(content)
        # Not the content: some begin anew for each who iterates.
        self._once = ReadOnce(self._pieces, "the stream of pieces")

    async def inspect(self) -> tuple[int | None, bytes]:
        """Take as many pieces as tell the type."""
        return None, (await self._once.inspect(self._first))[:HEAD]

    async def _first(self) -> bytes:
        # Some senders begin with a few bytes, or with none.
        first = b""
        while len(first) < _ENOUGH:
            piece = await anext(self._pieces, _END)
            if piece is _END:
                break
            first += as_bytes(piece)
        return first

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:  # noqa: ARG002 - as every source
        """Yield the pieces as they come, whatever their length is."""
        yield self._once.take()
        async for piece in self._pieces:
            yield as_bytes(piece)


def kept(source: Source) -> bytes | Path:
    """Return what of a source can be copied and stored.

    Raises:
        TypeError: It is read while it is sent.
    """
    if isinstance(source.content, bytes | bytearray | memoryview):
        return bytes(cast("bytes", source.content))
    if isinstance(source.content, str | os.PathLike):
        return Path(cast("str", source.content))
    raise TypeError(
        f"{source.name} is an open file or a stream and cannot be copied or stored by zai_async: "
        "give its path or its bytes instead"
    )


def open_source(content: object) -> Source:
    """Return the source for a file as a caller has it.

    Raises:
        ConfigurationError: It is none of the accepted kinds.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        return BytesSource(content)
    if isinstance(content, str | os.PathLike):
        return PathSource(cast("str | os.PathLike[str]", content))
    if isinstance(content, io.TextIOBase):
        raise ConfigurationError(_TEXT_MODE)
    given: Any = content
    if hasattr(given, "read"):
        # The uploads of Starlette and FastAPI are files of a thread with an await around them.
        if hasattr(given, "filename") and hasattr(getattr(given, "file", None), "seekable"):
            return OpenFileSource(given.file, given.filename)
        by_await = inspect.iscoroutinefunction(given.read)
        return AsyncFileSource(given) if by_await else OpenFileSource(given)
    if hasattr(given, "__aiter__"):
        return PiecesSource(given)
    kind = type(content).__name__
    raise ConfigurationError(
        f"a file must be a path, bytes, a binary file or an async iterator, not {kind}"
    )
