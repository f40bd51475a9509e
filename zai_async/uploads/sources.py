"""Files as callers have them: a path, bytes, an open file, a stream of pieces.

Files are read in worker threads or by await, a piece at a time; nothing is ever held whole.
"""

import inspect
import io
import os
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

from zai_async._threads import to_the_end
from zai_async.errors import ConfigurationError

__all__ = ["Source", "open_source"]

HEAD: Final = 2**12
# The first bytes of a file tell its type, also when they come one by one.
_ENOUGH: Final = 16
_TEXT_MODE: Final = "a file must be opened in binary mode ('rb')"


class Source(Protocol):
    """Where the bytes of a file come from."""

    name: str
    replayable: bool

    async def inspect(self) -> tuple[int | None, bytes]:
        """Return the size in bytes, None if nobody knows it yet, and the first bytes."""
        ...

    def pieces(self, length: int) -> AsyncIterator[bytes]:
        """Yield all bytes, in pieces of this length where that is possible."""
        ...

    def keep(self) -> bytes | Path:
        """Return what can be copied and stored; raise TypeError if there is nothing of the kind."""
        ...


class _Bytes:
    name = "file"
    replayable = True

    def __init__(self, data: memoryview) -> None:
        self._data = data.cast("B")

    async def inspect(self) -> tuple[int | None, bytes]:
        return len(self._data), bytes(self._data[:HEAD])

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), length):
            yield bytes(self._data[start : start + length])

    def keep(self) -> bytes | Path:
        return bytes(self._data)


class _Path:
    replayable = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self.name = self._path.name

    async def inspect(self) -> tuple[int | None, bytes]:
        try:
            return await to_the_end(self._look)
        except OSError as error:
            text = f"{self._path}: {error.strerror or error}"
            raise ConfigurationError(text) from error

    def _look(self) -> tuple[int, bytes]:
        with self._path.open("rb") as file:
            return os.fstat(file.fileno()).st_size, file.read(HEAD)

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        with ExitStack() as files:
            file = await to_the_end(lambda: files.enter_context(self._path.open("rb")))
            while piece := await to_the_end(partial(file.read, length)):
                yield piece

    def keep(self) -> bytes | Path:
        return self._path


class _Passing:
    """What is read while it is sent."""

    name: str

    def keep(self) -> bytes | Path:
        raise TypeError(
            f"{self.name} is an open file or a stream and cannot be copied or stored: "
            "give its path or its bytes instead"
        )


class _File(_Passing):
    """An open file, from where it stands."""

    def __init__(self, file: IO[bytes], name: object = None) -> None:
        self._file = file
        self.name = _name(name or getattr(file, "name", None))
        self.replayable = file.seekable()
        self._start = file.tell() if self.replayable else 0
        self._head = b""

    async def inspect(self) -> tuple[int | None, bytes]:
        if self.replayable:
            return await to_the_end(self._measure)
        self._head = await to_the_end(partial(self._file.read, HEAD))
        return None, self._head

    def _measure(self) -> tuple[int, bytes]:
        size = self._file.seek(0, io.SEEK_END) - self._start
        self._file.seek(self._start)
        return size, self._file.read(HEAD)

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        if self.replayable:
            await to_the_end(partial(self._file.seek, self._start))
        elif self._head:
            yield self._head
        while piece := await to_the_end(partial(self._file.read, length)):
            yield piece


class _AsyncFile(_Passing):
    """An open file that is read by await, from where it stands; one that cannot tell, only once."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.name = _name(getattr(file, "filename", None) or getattr(file, "name", None))
        self.replayable = True
        self._start: int | None = None
        self._head = b""

    async def inspect(self) -> tuple[int | None, bytes]:
        if self._start is None and self.replayable:
            await self._find_start()
        size = await self._measure(self._start) if self._start is not None else None
        self._head = self._head or await self._file.read(HEAD)
        if isinstance(self._head, str):
            raise ConfigurationError(_TEXT_MODE)
        return size, self._head

    async def _find_start(self) -> None:
        try:
            self._start = await self._file.tell()
        except (AttributeError, OSError):
            self.replayable = False

    async def _measure(self, start: int) -> int:
        size = int(await self._file.seek(0, io.SEEK_END)) - start
        await self._file.seek(start)
        self._head = b""
        return size

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        if self._start is not None:
            await self._file.seek(self._start)
        else:
            yield self._head
        while piece := await self._file.read(length):
            yield piece


class _Pieces(_Passing):
    """An asynchronous iterator, which can be read once."""

    name = "file"
    replayable = False

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = aiter(pieces)
        self._first = b""

    async def inspect(self) -> tuple[int | None, bytes]:
        while len(self._first) < _ENOUGH:
            piece = await anext(self._pieces, None)
            if piece is None:
                break
            self._first += piece
        return None, self._first[:HEAD]

    async def pieces(self, length: int) -> AsyncIterator[bytes]:
        del length
        yield self._first
        async for piece in self._pieces:
            yield piece


def open_source(content: object) -> Source:
    """Return the source for a file as a caller has it.

    Raises:
        ConfigurationError: It is none of the accepted kinds.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        return _Bytes(memoryview(cast("bytes", content)))
    if isinstance(content, str):
        return _Path(content)
    if isinstance(content, os.PathLike):
        return _Path(os.fspath(cast("os.PathLike[str]", content)))
    if isinstance(content, io.TextIOBase):
        raise ConfigurationError(_TEXT_MODE)
    given: Any = content
    if hasattr(given, "read"):
        return _open_file(given)
    if hasattr(given, "__aiter__"):
        return _Pieces(given)
    kind = type(content).__name__
    raise ConfigurationError(
        f"a file must be a path, bytes, a binary file or an async iterator, not {kind}"
    )


def _open_file(given: Any) -> Source:
    # The uploads of Starlette and FastAPI are files of a thread with an await around them.
    if hasattr(given, "filename") and hasattr(getattr(given, "file", None), "seekable"):
        return _File(given.file, given.filename)
    return _AsyncFile(given) if inspect.iscoroutinefunction(given.read) else _File(given)


def _name(given: object) -> str:
    return Path(str(given or "file")).name
