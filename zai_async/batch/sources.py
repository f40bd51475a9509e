"""Where rows come from: iterables, files, compressed ones, stdin; never more than is asked for."""

import gzip
import os
import stat
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from contextlib import contextmanager
from importlib import import_module
from io import BufferedReader
from typing import Any, BinaryIO, Final, Protocol, TypeAlias, cast

from zai_async._threads import abandonable, to_the_end
from zai_async.errors import ConfigurationError

__all__ = ["GivenRows", "RowSource", "Rows", "open_rows"]

Rows: TypeAlias = str | os.PathLike[str] | Iterable[Any] | AsyncIterable[Any]
"""A path, ``"-"`` for stdin, or the rows themselves: dictionaries, prompts, or lines as bytes."""

_PIECE: Final = 2**16
_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_PARQUET_ROWS: Final = 64


class RowSource(Protocol):
    """Rows one after the other."""

    path: str | None
    """The file that they come from."""

    @property
    def total(self) -> int | None:
        """How many there are; None where nobody knows."""
        ...

    def __aiter__(self) -> AsyncGenerator[object, None]:  # noqa: PYI058 - it is closed in time
        """Return the rows."""
        ...

    async def aclose(self) -> None:
        """Close what was opened for them."""
        ...


class ReadableFile(Protocol):
    """A file that gives what is there already, and waits only for the first byte."""

    def read1(self, size: int = -1, /) -> bytes:
        """Return some bytes, none at the end."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def open_rows(rows: Rows) -> RowSource:
    """Return a source of rows; of a file only the first bytes are read.

    Raises:
        ConfigurationError: There is no such file, or what is given has no rows.
    """
    if isinstance(rows, str | os.PathLike):
        path = os.fspath(rows)
        if path == "-":
            return LineRows(cast("ReadableFile", sys.stdin.buffer), None)
        return _open_file(path)
    given: Any = rows
    # Bytes are an iterable of numbers, and a mapping one of names: no rows in either.
    iterates = hasattr(given, "__iter__") or hasattr(given, "__aiter__")
    if iterates and not isinstance(given, bytes | bytearray | Mapping):
        return GivenRows(given)
    raise ConfigurationError(f"rows must be an iterable or a path, not {type(rows).__name__}")


@contextmanager
def _reading(path: str | None) -> Generator[None]:
    """Raise what goes wrong with a file as what it is to the caller: an input that is none."""
    try:
        yield
    except Exception as error:  # each decompressor has errors of its own
        reason = getattr(error, "strerror", None) or error
        name = "stdin" if path is None else repr(path)
        raise ConfigurationError(f"{name} cannot be read: {reason}") from error


class GivenRows:
    """The rows of an iterable of the caller's."""

    path: str | None = None

    def __init__(self, rows: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._rows = rows
        self.total = len(rows) if isinstance(rows, Sized) else None

    async def __aiter__(self) -> AsyncGenerator[object, None]:
        """Ask for one row after the other; an iterable that blocks blocks the event loop."""
        if isinstance(self._rows, AsyncIterable):
            async for row in self._rows:
                yield row
        else:
            for row in self._rows:
                yield row

    async def aclose(self) -> None:
        """Nothing of it is ours."""


class LineRows:
    """The lines of a file, read in pieces by a thread."""

    def __init__(self, file: "ReadableFile", path: str | None, raw: BinaryIO | None = None) -> None:
        self.path = path
        self._file = file
        self._raw = raw
        """The file on the disk, which a decompressor reads from."""
        self._size = 0 if raw is None else os.fstat(raw.fileno()).st_size
        self._taken = self._handed = 0
        """Bytes that were read, decompressed, and those of them that were handed out as lines."""
        self._position = 0
        self._read = 0
        self.line = 0
        """The number of the line that was handed out last."""

    @property
    def total(self) -> int | None:
        """Rows, as far as their size so far lets guess it."""
        if not self._handed or not self._size:
            return None
        whole = self._size * self._taken / self._position
        return max(self._read, round(self._read * whole / self._handed))

    async def __aiter__(self) -> AsyncGenerator[object, None]:
        rest, first = b"", True
        while True:
            piece = await abandonable(self._read_piece)
            # A line that spans many pieces must not be searched once for each of them.
            lines = (rest + piece).split(b"\n") if b"\n" in piece else [rest + piece]
            rest = lines.pop() if piece else b""
            for whole in lines:
                self.line += 1
                self._handed += len(whole) + 1
                # Editors of Windows put a mark in front of the first line.
                line, first = whole.removeprefix(_BOM) if first else whole, False
                if line.strip():
                    self._read += 1
                    yield line
            if not piece:
                return

    def _read_piece(self) -> bytes:
        with _reading(self.path):
            piece = self._file.read1(_PIECE)
        self._taken += len(piece)
        if self._raw is not None and self._size:  # a pipe has neither size nor position
            # Of the file as it is on the disk: what a compressed one holds is not known in advance.
            self._position = self._raw.tell()
        return piece

    async def aclose(self) -> None:
        """Close what was opened; stdin is the caller's."""
        if self._raw is not None:
            # A decompressor leaves the file below it open.
            await to_the_end(self._file.close)
            await to_the_end(self._raw.close)


class ParquetRows:
    """The rows of a parquet file, as dictionaries of its columns."""

    def __init__(self, path: str) -> None:
        try:
            parquet: Any = import_module("pyarrow.parquet")  # an extra, slow to import
        except ImportError:
            text = "parquet needs pyarrow: pip install 'zai-async[parquet]'"
            raise ConfigurationError(text) from None
        self.path: str | None = path
        with _reading(path):
            self._file: Any = parquet.ParquetFile(path)
        self.total: int | None = self._file.metadata.num_rows

    async def __aiter__(self) -> AsyncGenerator[object, None]:
        batches: Iterator[Any] = self._file.iter_batches(batch_size=_PARQUET_ROWS)

        def read() -> list[Any] | None:
            with _reading(self.path):
                batch = next(batches, None)
                return None if batch is None else batch.to_pylist()

        while (rows := await abandonable(read)) is not None:
            for row in rows:
                yield row

    async def aclose(self) -> None:
        """Close the file."""
        await to_the_end(self._file.close)


def _open_file(path: str) -> RowSource:
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - pathlib would say it in more words
            raise ConfigurationError(f"{path!r} is a directory")
        raw = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115 - closed with its source
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path!r} cannot be read: {reason}") from None
    # A pipe cannot be looked into and put back: what comes from one are lines.
    if not raw.seekable():
        return LineRows(BufferedReader(raw), path, raw)
    start = raw.read(4)
    raw.seek(0)
    if start == _PARQUET:
        raw.close()
        # Opened again by its reader, which starts at the end of the file.
        return ParquetRows(path)
    if start.startswith(_GZIP):
        return LineRows(gzip.GzipFile(fileobj=raw), path, raw)
    if start == _ZSTD:
        return LineRows(_open_zstd(raw), path, raw)
    return LineRows(BufferedReader(raw), path, raw)


def _open_zstd(raw: BinaryIO) -> Any:
    try:
        # Some builds of Python are without it; for the others it is an extra.
        zstd: Any = import_module(
            "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        )
    except ImportError:
        raw.close()
        text = "zstd needs Python 3.14 or backports.zstd: pip install 'zai-async[compression]'"
        raise ConfigurationError(text) from None
    return zstd.ZstdFile(raw)
