"""The output of a run, which is its journal: locked, repaired, appended to, and never rewritten.

A line that ``os.write`` has taken survives the death of the process; ``fdatasync``, once for many
lines, is for the death of the machine. Both happen in a thread, and a result is handed out when
its line is on the disk.
"""

import asyncio
import os
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

from zai_async._files import naming
from zai_async._threads import to_the_end
from zai_async.batch.recovery import JournalError, Recovery, result_of
from zai_async.batch.results import Failed, Ok, RunState, StopCause

__all__ = ["Journal", "Manifest", "ServerPart", "is_locked", "manifest_path", "read_manifest"]

T = TypeVar("T")

_LONGEST_DELAY: Final = 0.05
"""Seconds after which what has come together is written, be it ever so little."""
_PIECE: Final = 2**14


class ServerPart(msgspec.Struct, kw_only=True):
    """Rows that are, or are to be, a batch of the platform."""

    number: int
    rows: int
    url: str = "/v4/chat/completions"
    file_id: str | None = None
    batch_id: str | None = None


class Manifest(msgspec.Struct, kw_only=True):
    """What stands beside an output, in ``<out>.run.json``."""

    version: int = 1
    config: str = ""
    """The hash of what changes answers."""
    settings: dict[str, Any] = {}
    """The same for people."""
    state: RunState = "running"
    reason: str | None = None
    message: str | None = None
    retry_at: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    done: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float = 0.0
    limits: dict[str, int] = {}
    """Requests in flight that were found to be possible, by model."""
    parts: list[ServerPart] = []
    """Batches of the platform that are not done."""


def manifest_path(out: str | os.PathLike[str]) -> Path:
    """Return where the manifest of an output is."""
    return Path(f"{os.fspath(out)}.run.json")


class Journal(Generic[T]):
    """An output that is open: no other process writes to it meanwhile.

    Args:
        deliver: Called with what was appended, when that is on the disk.
        fail: Called when nothing can be written any more.
        group: Lines after which what has come together is written.
        positions: Whether results are read again, from where their lines are.
    """

    def __init__(
        self,
        path: str,
        deliver: Callable[[list[T]], None],
        fail: Callable[[], None],
        *,
        group: int = 64,
        positions: bool = True,
    ) -> None:
        self.path = path
        self.recovery: Recovery
        self.manifest = self._before = Manifest()
        self._group = group
        self._positions = positions
        self._deliver = deliver
        self._fail = fail
        self._fd = -1
        self._lines: list[bytes] = []
        self._items: list[tuple[T, bytes, bool]] = []
        self._timer: asyncio.TimerHandle | None = None
        """Runs while there are lines that may wait for others."""
        self._writing: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._saving = threading.Lock()

    def open(self, source: str | None, config: str, *, force: bool) -> None:
        """Lock the output, read what is there, and repair its end; blocking.

        ``source`` is the input, ``config`` the hash of what changes answers.

        Raises:
            JournalError: It cannot be used.
        """
        # Opened for reading and writing without being cut: what another run has paid for stays,
        # whatever comes to light about it below.
        self._fd = _open_regular(self.path, source)
        try:
            # Before the first look: what is read without the lock may be changed by who holds it.
            _lock(self._fd)
            before = read_manifest(self.path)
            self.recovery = Recovery(known=before is not None, positions=self._positions)
            with open(self._fd, "rb", closefd=False) as file:
                for _ in self.recovery.read(iter(file)):
                    pass
            if before is not None and not force:
                _require_same(before, config, self.path)
            # Nothing was changed so far. From here on it is ours.
            self.manifest = before or Manifest()
            # A line that was torn by a crash is cut off, as nothing can be appended behind half a
            # line.
            if os.fstat(self._fd).st_size > self.recovery.end:
                os.ftruncate(self._fd, self.recovery.end)
            os.lseek(self._fd, 0, os.SEEK_END)
            if self.recovery.lacks_line_end:
                # Only its end was lost: the line itself is whole, and paid.
                self._write(b"\n")
                self.recovery.end += 1
        except BaseException:
            self.close()
            raise

    @property
    def pending(self) -> int:
        """Rows that are not on the disk yet."""
        return len(self._items)

    def append(self, line: bytes, item: T, key: bytes, *, failed: bool) -> None:
        """Write a line soon, and deliver the item when it is on the disk."""
        # The two lists run side by side: lines leave when they are given to the thread, and items
        # only when the disk has them, so that `pending` counts both.
        self._lines.append(line)
        self._items.append((item, key, failed))
        if len(self._lines) >= self._group:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LONGEST_DELAY, self.flush)

    def flush(self) -> None:
        """Begin to write what has come together, unless that is being done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines and self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._commit())

    async def _commit(self) -> None:
        try:
            while self._lines and self._timer is None and self._failure is None:
                # What comes while the thread writes makes up the next turn of the loop, if it is
                # due by then: each turn costs as much CPU as a row or two, however few its lines.
                lines, self._lines = self._lines, []
                count = len(lines)
                try:
                    await to_the_end(partial(self._write, b"".join(lines)))
                except OSError as error:
                    self._failure = error
                    # Nothing is delivered any more: what is in doubt must be bought again and not
                    # be shown.
                    self._fail()
                    return
                taken, self._items = self._items[:count], self._items[count:]
                recovery = self.recovery
                for line, (_, key, failed) in zip(lines, taken, strict=True):
                    # Not before the line is on the disk: an equal row is answered from this very
                    # place.
                    recovery.index.record(key, recovery.end, failed=failed)
                    recovery.end += len(line)
                self._deliver([item for item, _, _ in taken])
        finally:
            self._writing = None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        with naming(self.path):
            while view:
                view = view[os.write(self._fd, view) :]
            # macOS and Windows lack fdatasync.
            getattr(os, "fdatasync", os.fsync)(self._fd)

    async def settle(self) -> None:
        """Wait until everything is on the disk.

        Raises OSError if it cannot be written.
        """
        # More than once: rows may have come in while the last write was under way.
        while self._items and self._failure is None:
            self.flush()
            await asyncio.wait(filter(None, [self._writing]))
        if self._failure is not None:
            raise self._failure

    async def read(self, position: int) -> Ok | Failed:
        """Return the result whose line begins at a position.

        Raises:
            JournalError: No result is there any more.
            OSError: The output cannot be read.
        """

        def line() -> bytes:
            found, piece = b"", b" "
            # With pread, as the position of the descriptor belongs to whoever writes. Somebody may
            # have emptied the file: then nothing comes.
            while piece and b"\n" not in found:
                piece = os.pread(self._fd, _PIECE, position + len(found))
                found += piece
            return found.partition(b"\n")[0]

        return result_of(await to_the_end(line))

    def begin(self, config: str, settings: Mapping[str, Any]) -> None:
        """Note that a run begins."""
        self._before = self.manifest
        self.manifest = msgspec.structs.replace(
            self.manifest,
            config=config,
            settings={**settings},
            started=self.manifest.started or datetime.now(UTC),
            state="running",
            reason=None,
            message=None,
            retry_at=None,
            ended=None,
        )

    def conclude(self, cause: StopCause | None) -> None:
        """Note why a run has ended; without a cause it has come to its end."""
        cause = cause or StopCause("finished", None, None)
        self.manifest = msgspec.structs.replace(
            self.manifest,
            state=cause.state,
            reason=cause.reason,
            message=cause.message,
            retry_at=cause.retry_at,
            ended=datetime.now(UTC),
        )

    def note(self, *, tokens: int, cost: float, limits: Mapping[str, int]) -> None:
        """Note what a run has used so far, and found out."""
        index, before = self.recovery.index, self._before
        self.manifest = msgspec.structs.replace(
            self.manifest,
            done=index.done,
            failed=index.failed,
            tokens=before.tokens + tokens,
            cost=before.cost + cost,
            limits={**before.limits, **limits},
        )

    def save(self) -> None:
        """Replace the manifest; blocking."""
        target = manifest_path(self.path)
        # In the same folder: only there a rename is one step, after which either is whole.
        beside = target.with_name(f".{target.name}.part")
        # Progress and parts are noted by several threads; the last one must not be the older one.
        with self._saving, naming(target), beside.open("wb") as file:
            try:
                file.write(msgspec.json.format(msgspec.json.encode(self.manifest)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                beside.replace(target)
            except OSError:
                beside.unlink(missing_ok=True)
                raise

    def close(self) -> None:
        """Close the output, if it is open, and let others have it; blocking."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _open_regular(path: str, source: str | None) -> int:
    """Open a file for reading and writing, if it is one and not the input."""
    try:
        with suppress(FileNotFoundError):
            there = Path(path).stat()
            if not stat.S_ISREG(there.st_mode):
                raise JournalError(f"{path!r} is no regular file", reason="foreign")
            if source is not None and os.path.samestat(there, Path(source).stat()):
                raise JournalError(f"{path!r} is the input", reason="foreign")
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    except (OSError, ValueError) as error:
        if isinstance(error, JournalError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise JournalError(f"{path!r} cannot be written: {reason}") from None


def read_manifest(out: str | os.PathLike[str]) -> Manifest | None:
    """Return the manifest of an output, None if it has none; blocking.

    Raises:
        JournalError: It cannot be read.
    """
    try:
        return msgspec.json.decode(manifest_path(out).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        text = f"{str(manifest_path(out))!r} cannot be read: {error}"
        raise JournalError(text, reason="foreign") from None


def _require_same(before: Manifest, config: str, path: str) -> None:
    """Raise unless an output belongs to a run with the same settings."""
    if before.config not in {"", config}:
        text = (
            f"{path!r} belongs to a run with other settings, such as another model or system "
            "prompt: choose another output, or go on with force_resume=True"
        )
        raise JournalError(text, reason="changed")


def _lock(fd: int) -> None:
    if find_spec("fcntl") is None:  # pragma: no cover - Windows keeps no locks of this kind
        return
    import fcntl  # noqa: PLC0415 - Windows has none

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise JournalError("another run writes to the output", reason="locked") from None


def is_locked(path: str) -> bool:
    """Tell whether a run writes to an output; blocking."""
    if find_spec("fcntl") is None:  # pragma: no cover - as above
        return False
    import fcntl  # noqa: PLC0415 - as above

    with Path(path).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
