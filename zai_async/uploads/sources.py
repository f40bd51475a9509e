"""Files as callers have them: a path, bytes, an open file, a stream of pieces.

Files are read in worker threads or by await, a piece at a time; nothing is ever held whole. One
file may be read by several calls at once: what belongs to a call is not kept here.
"""

import asyncio
import inspect
import io
import os
import select
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterable
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Protocol, cast
from weakref import WeakKeyDictionary

from zai_async._threads import FILE_THREADS, abandonable
from zai_async.errors import ConfigurationError

__all__ = ["HEAD", "Source", "ThreadedFile", "kept", "open_source"]

HEAD: Final = 2**12
# The first bytes of a file tell its type, also when they come one by one.
_ENOUGH: Final = 16
_TEXT_MODE: Final = "a file must be opened in binary mode ('rb')"
_POLL_MILLISECONDS: Final = 200


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
        self._data = memoryview(content).cast("B")

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
                while not (self._closing or poll.poll(_POLL_MILLISECONDS)):
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
            FILE_THREADS.submit(self._close)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    __del__ = _close


def open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for anything."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class PathSource:
    """A path: of a regular file, or of a pipe or device, which can be read once."""

    def __init__(self, content: str | os.PathLike[str]) -> None:
        self.content = content
        self._path = Path(content)
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
            head = await file.read(HEAD)
        except BaseException as error:
            file.close()
            if isinstance(error, OSError):
                text = f"{self._path}: {error.strerror or error}"
                raise ConfigurationError(text) from error
            raise
        if file.size is None:
            self.replayable, self._pipe, self._head = False, file, head
        else:
            file.close()
        return file.size, head

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the content."""
        self._taken = self._pipe is not None
        # Opened anew for each call: they share nothing, and see what lies there now.
        file = self._pipe or ThreadedFile(self._path)
        try:
            if self._pipe is not None:
                yield self._head
            while piece := await file.read(length):
                yield piece
        finally:
            file.close()


class SharedPosition:
    """Where an open file of the caller's stands; several threads may read it, one after the other.

    Each read puts the file back to where it stood, so that every call finds it at its start.
    """

    known: ClassVar[WeakKeyDictionary[Any, "SharedPosition"]] = WeakKeyDictionary()

    def __init__(self, file: Any) -> None:
        self.lock = threading.Lock()
        self.start: int = file.tell()

    @classmethod
    def of(cls, file: Any) -> "SharedPosition":
        """Return the position of a file, the same for all who read it."""
        try:
            position = cls.known.get(file)
            if position is None:
                position = cls.known[file] = cls(file)
        except TypeError:  # no weak reference, or no hash
            return cls(file)
        # While a thread reads, the file stands anywhere.
        if position.lock.acquire(blocking=False):
            try:
                position.start = file.tell()
            finally:
                position.lock.release()
        return position


class OpenFileSource:
    """An open file, from where it stands."""

    def __init__(self, content: IO[bytes], name: object = None) -> None:
        self.content = content
        self.name = file_name(name or getattr(content, "name", None))
        self.replayable = content.seekable()
        self._position = SharedPosition.of(content) if self.replayable else None
        self._start = self._position.start if self._position else 0
        self._head = b""
        self._taken = False

    async def inspect(self) -> tuple[int | None, bytes]:
        """Measure the file, or look at its beginning where it can be read once."""
        if self._position is not None:
            return await abandonable(partial(self._read, self._start, HEAD))
        if self._taken:
            raise read_already(self.name)
        # Asked again after a failure before anything was sent: what was read is not lost.
        self._head = self._head or await abandonable(partial(self.content.read, HEAD))
        return None, self._head

    def _read(self, offset: int, length: int) -> tuple[int, bytes]:
        """Return the size as it is now, and the bytes at a place."""
        file, position = self.content, cast("SharedPosition", self._position)
        # Not pread(): what can seek need not be a file of the system.
        with position.lock:
            stood = file.tell()
            try:
                file.seek(0, io.SEEK_END)
                size = file.tell() - self._start
                file.seek(offset)
                return size, file.read(length)
            finally:
                file.seek(stood)

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the content."""
        if self._position is None:
            self._taken = True
            yield self._head
            while piece := await abandonable(partial(self.content.read, length)):
                yield piece
            return
        offset = self._start
        while piece := (await abandonable(partial(self._read, offset, length)))[1]:
            yield piece
            offset += len(piece)


class AsyncFileSource:
    """An open file that is read by await, from where it stands; one that cannot tell, only once."""

    locks: ClassVar[WeakKeyDictionary[Any, asyncio.Lock]] = WeakKeyDictionary()

    def __init__(self, content: Any) -> None:
        self.content = content
        self.name = file_name(getattr(content, "filename", None) or getattr(content, "name", None))
        self.replayable = True
        self._start: int | None = None
        self._head = b""
        self._taken = False
        try:
            self._lock = self.locks.setdefault(content, asyncio.Lock())
        except TypeError:
            self._lock = asyncio.Lock()

    async def inspect(self) -> tuple[int | None, bytes]:
        """Measure the file, or look at its beginning where it can be read once."""
        if self._taken:
            raise read_already(self.name)
        size = None
        async with self._lock:
            if self._start is None and self.replayable:
                try:
                    self._start = await self.content.tell()
                except (AttributeError, OSError):
                    self.replayable = False
            if self._start is not None:
                size = int(await self.content.seek(0, io.SEEK_END)) - self._start
                await self.content.seek(self._start)
                self._head = await self.content.read(HEAD)
                await self.content.seek(self._start)
            else:
                self._head = self._head or await self.content.read(HEAD)
        if isinstance(self._head, str):
            raise ConfigurationError(_TEXT_MODE)
        return size, self._head

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the content."""
        if self._start is None:
            self._taken = True
            yield self._head
            while piece := await self.content.read(length):
                yield piece
            return
        offset, piece = self._start, b"-"
        while piece:
            async with self._lock:
                await self.content.seek(offset)
                piece = await self.content.read(length)
                await self.content.seek(self._start)
            if piece:
                yield piece
            offset += len(piece)


class PiecesSource:
    """An asynchronous iterator, which can be read once."""

    name = "file"
    replayable = False

    def __init__(self, content: AsyncIterable[bytes]) -> None:
        self.content = content
        self._pieces = aiter(content)
        self._first = b""
        self._taken = False

    async def inspect(self) -> tuple[int | None, bytes]:
        """Take as many pieces as tell the type."""
        if self._taken:
            raise read_already("the stream of pieces")
        # Some senders begin with a few bytes, or with none.
        while len(self._first) < _ENOUGH:
            piece = await anext(self._pieces, None)
            if piece is None:
                break
            self._first += piece
        return None, self._first[:HEAD]

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the pieces as they come."""
        del length
        self._taken = True
        yield self._first
        async for piece in self._pieces:
            yield piece


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


def read_already(name: str) -> ConfigurationError:
    """Return the error for what can be read once and has been."""
    return ConfigurationError(
        f"{name} can be read only once, and another request has read it",
        hint="Give a path, bytes or a file that can be rewound.",
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


def file_name(given: object) -> str:
    """Return the last part of a path that may be the path of a file."""
    return Path(str(given or "file")).name
