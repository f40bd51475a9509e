"""Open files of the caller: one may be read by several calls at once, each from where it stood."""

import asyncio
import io
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary, finalize

from zai_async._secrets import one_line
from zai_async._threads import abandonable
from zai_async.errors import ConfigurationError, InvalidFileError, LocalResourceError

__all__ = [
    "HEAD",
    "AsyncFileSource",
    "OpenFileSource",
    "ReadOnce",
    "as_bytes",
    "read_already",
    "readable",
]

HEAD: Final = 2**12


@contextmanager
def readable(name: str) -> Generator[None]:
    """Tell as a fault of the file what the system has against reading it.

    Raises:
        InvalidFileError: It is not there, cannot be read, or was closed.
        LocalResourceError: Too many files are open, which is no fault of this one.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigurationError):  # ours already
            raise
        shortage = LocalResourceError.of_files(error)
        if shortage is not None:
            raise shortage from error
        reason = getattr(error, "strerror", None) or error
        raise InvalidFileError(f"{one_line(name)}: {reason}") from error


def as_bytes(piece: object) -> bytes:
    """Return what was read of a file.

    Raises:
        InvalidFileError: It is text, or anything else that is no bytes.
    """
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return bytes(cast("bytearray", piece))
    raise InvalidFileError(
        f"a file must give bytes, not {type(piece).__name__}",
        hint="Open it in binary mode ('rb')." if isinstance(piece, str) else None,
    )


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


class ReadOnce:
    """The beginning of what can be read once: kept for the request that reads it.

    A second request is refused, as each would get, and send, a part. An object of the caller's
    belongs to the first source that reads it, for as long as the object lives.
    """

    claims: ClassVar[dict[int, object]] = {}

    def __init__(self, content: object, name: str) -> None:
        self._content = content
        self._name = name
        self._claim: object | None = None
        # One part of a message may be in several requests at once, and has one source.
        self._lock = asyncio.Lock()
        self._taken = False
        self.head = b""

    async def inspect(self, read: Callable[[], Awaitable[object]]) -> bytes:
        """Return the head, or have it read.

        Asked again after a failure before anything was sent, what was read is not lost.
        """
        if self._taken or not self._is_claimed():
            raise self._refusal()
        async with self._lock:
            if not self.head:
                try:
                    self.head = as_bytes(await read())
                except asyncio.CancelledError:
                    # What was under way may be read all the same, by a thread, and is lost.
                    self._taken = True
                    raise
        return self.head

    def take(self) -> bytes:
        """Return the head to the request that sends the rest as well."""
        if self._taken:
            raise self._refusal()
        self._taken = True
        return self.head

    def _is_claimed(self) -> bool:
        """Tell whether the content is this source's, which it becomes if it was nobody's."""
        if self._claim is None:
            place, claim = id(self._content), object()
            if self.claims.setdefault(place, claim) is not claim:
                return False
            self._claim = claim
            try:
                finalize(self._content, self.claims.pop, place, None).atexit = False
            except TypeError:  # no weak reference: the content lives at least as long as this
                finalize(self, self.claims.pop, place, None).atexit = False
        return True

    def _refusal(self) -> ConfigurationError:
        return read_already(self._name)


class OpenFileSource:
    """An open file, from where it stands."""

    def __init__(self, content: IO[bytes], name: object = None) -> None:
        self.content = content
        self.name = file_name(name or getattr(content, "name", None))
        require_open(content, self.name)
        # What is only said to be a file may be able to do no more than read().
        self.replayable = hasattr(content, "seekable") and content.seekable()
        self._position = SharedPosition.of(content) if self.replayable else None
        self._start = self._position.start if self._position else 0
        self._once = ReadOnce(content, self.name)

    async def inspect(self) -> tuple[int | None, bytes]:
        """Measure the file, or look at its beginning where it can be read once."""
        with readable(self.name):
            if self._position is not None:
                return await abandonable(partial(self._read, self._start, HEAD))
            return None, await self._once.inspect(partial(self._next, HEAD))

    async def _next(self, length: int) -> bytes:
        return as_bytes(await abandonable(partial(self.content.read, length)))

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
                return size, as_bytes(file.read(length))
            finally:
                file.seek(stood)

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the content."""
        offset, piece = self._start, b"-"
        if self._position is None:
            yield self._once.take()
        while piece:
            with readable(self.name):
                if self._position is None:
                    piece = await self._next(length)
                else:
                    piece = (await abandonable(partial(self._read, offset, length)))[1]
            if piece:
                yield piece
                offset += len(piece)


class AsyncFileSource:
    """An open file that is read by await, from where it stands; one that cannot tell, only once."""

    locks: ClassVar[WeakKeyDictionary[Any, asyncio.Lock]] = WeakKeyDictionary()

    def __init__(self, content: Any) -> None:
        self.content = content
        self.name = file_name(getattr(content, "filename", None) or getattr(content, "name", None))
        require_open(content, self.name)
        self.replayable = True
        self._start: int | None = None
        self._once = ReadOnce(content, self.name)
        try:
            self._lock = self.locks.setdefault(content, asyncio.Lock())
        except TypeError:
            self._lock = asyncio.Lock()

    async def inspect(self) -> tuple[int | None, bytes]:
        """Measure the file, or look at its beginning where it can be read once."""
        async with self._lock:
            if self._start is None and self.replayable:
                try:
                    self._start = await self.content.tell()
                except (AttributeError, OSError):
                    self.replayable = False
            if self._start is not None:
                size = int(await self.content.seek(0, io.SEEK_END)) - self._start
                await self.content.seek(self._start)
                head = as_bytes(await self.content.read(HEAD))
                await self.content.seek(self._start)
                return size, head
        return None, await self._once.inspect(partial(self.content.read, HEAD))

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the content."""
        if self._start is None:
            yield self._once.take()
            while piece := as_bytes(await self.content.read(length)):
                yield piece
            return
        offset, piece = self._start, b"-"
        while piece:
            async with self._lock:
                await self.content.seek(offset)
                piece = as_bytes(await self.content.read(length))
                await self.content.seek(self._start)
            if piece:
                yield piece
            offset += len(piece)


def require_open(file: Any, name: str) -> None:
    """Raise InvalidFileError for a file that has been closed."""
    if getattr(file, "closed", False) is True:
        raise InvalidFileError(f"{name} is closed")


def read_already(name: str) -> ConfigurationError:
    """Return the error for what can be read once and has been."""
    return ConfigurationError(
        f"{name} can be read only once, and another request has read it",
        hint="Give a path, bytes or a file that can be rewound.",
    )


def file_name(given: object) -> str:
    """Return the last part of a path that may be the path of a file."""
    return Path(os.fsdecode(given) if isinstance(given, bytes) else str(given or "file")).name
