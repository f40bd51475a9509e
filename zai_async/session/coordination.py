"""One limit for several processes.

Each process of a service has a client, and the platform counts the requests of all of them
together. A coordinator keeps one window for all.
"""

import hashlib
import os
import random
import secrets
import threading
import time
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol
from weakref import finalize

import anyio
import msgspec

from zai_async._threads import to_the_end
from zai_async._version import __version__
from zai_async.errors import ConfigurationError, LocalResourceError
from zai_async.limiter import SharedWindow, WindowReply, WindowReport

__all__ = ["Coordinator", "MachineSlots", "window_name"]

_PAUSE: Final = 0.002
"""Seconds, about, until a file is tried again that another process is writing."""
_FLAGS: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
"""A link in place of a file would let somebody choose what is opened."""


class Coordinator(Protocol):
    """Keeps the windows that several processes share, on one machine or on many.

    For each window it keeps a ``SharedWindow``, made with the limits of the first report, passes
    every report to ``SharedWindow.exchange()``, one after the other, with the time of one clock,
    and returns the reply.
    """

    async def exchange(self, window: str, report: WindowReport) -> WindowReply:
        """Report what has happened in a process; return what the window replies.

        ``window`` names what the platform counts together, the same in every process, and holds
        no secret. A client has one exchange under way for each window and event after event in
        its reports; one that fails is repeated, and what it raises is raised by the calls that
        wait.
        """
        ...


class MachineSlots:
    """Share limits between the processes of one machine, through files.

    Known limits and those that are found out, and rates, too. The requests of a process that ends
    are over at once, however it ends; what was learnt stays until the machine is started again.

    The files lie in a folder of their own that nobody else may enter or replace, so that the
    directory may be one that everybody writes to.

    Args:
        directory: Where that folder lies: in a directory that exists, on a local disk, the same in
            every process.

    Raises:
        ConfigurationError: This system has no such locks.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        if find_spec("fcntl") is None:
            raise ConfigurationError("MachineSlots needs the file locks of Unix")
        self._directory = Path(directory)
        self._presence: _Presence | None = None
        self._opening = threading.Lock()  # several loops may begin at once

    async def exchange(self, window: str, report: WindowReport) -> WindowReply:
        """Report to the window in the file of that name.

        Raises:
            ConfigurationError: The directory cannot be used.
            LocalResourceError: This process has too many files open.
        """
        while True:
            reply = await to_the_end(partial(self._try, f"{window}.{__version__}.window", report))
            if reply is not None:
                return reply
            await anyio.sleep(_PAUSE * (0.5 + random.random()))  # noqa: S311 - no cryptography

    def _try(self, name: str, report: WindowReport) -> WindowReply | None:
        try:
            presence = self._presence
            if presence is None or presence.process != os.getpid():
                presence = self._enter()
            me, folder = presence.name, presence.folder
            file = os.open(name, _FLAGS | os.O_CREAT, 0o600, dir_fd=folder)
            try:
                if not _lock(file):
                    return None
                window = SharedWindow(report.limits)
                # A process may have been killed while it wrote, and then all begin anew.
                with suppress(ValueError):
                    window = SharedWindow.from_bytes(os.pread(file, os.fstat(file).st_size, 0))
                for member in window.members:
                    process = member.partition(".")[0]
                    if process != me and not _lives(process, folder):
                        window.drop(member)
                report = msgspec.structs.replace(report, member=f"{me}.{report.member}")
                reply = window.exchange(report, time.monotonic())
                os.ftruncate(file, os.pwrite(file, window.to_bytes(), 0))
            finally:
                os.close(file)
        except OSError as error:
            shortage = LocalResourceError.of_files(error)
            if shortage is not None:
                raise shortage from None
            raise ConfigurationError(f"cannot share limits in {self._directory}: {error}") from None
        return reply

    def _enter(self) -> "_Presence":
        """Make this process known in the folder, once; after a fork, the child as well."""
        with self._opening:
            before = self._presence
            if before is not None and before.process == os.getpid():
                return before
            if before is not None:
                before.leave()
            # The folder of this user: whoever may write to it sets the limits of our calls. It is
            # opened before it is looked at, as another may be put in its place in between.
            name = self._directory / f"zai-slots-{os.getuid()}"
            with suppress(FileExistsError):
                name.mkdir(0o700)
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                presence = self._presence = _Presence(name, folder)
            except BaseException:
                os.close(folder)
                raise
            finalize(self, presence.leave)
            return presence


class _Presence:
    """A file that a process keeps locked while it lives; the system unlocks it, come what may.

    Args:
        place: Where the folder lies, for messages.
        folder: Kept open, so that nobody can put another folder in its place.
    """

    def __init__(self, place: Path, folder: int) -> None:
        status = os.fstat(folder)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise ConfigurationError(f"{place} is open to others; remove it, or take another place")
        self.folder = folder
        self.process = os.getpid()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".process"):
                    # Else it would stay for good.
                    _lives(entry.name.removesuffix(".process"), folder)
        while True:
            self.name = secrets.token_hex(8)
            path = f"{self.name}.process"
            self._file = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            # Somebody may have found it before it was locked, and removed it.
            if _lock(self._file) and os.fstat(self._file).st_nlink:
                return
            os.close(self._file)

    def leave(self) -> None:
        """Be gone; again is harmless. Who comes next removes the file."""
        if self.folder >= 0:
            # In the child of a fork, too: open there, the file would keep the parent alive.
            os.close(self._file)
            os.close(self.folder)
            self.folder = -1


def _lives(process: str, folder: int) -> bool:
    """Tell whether a process still holds its lock; what a dead one has left is removed."""
    path = f"{process}.process"
    try:
        file = os.open(path, _FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        dead = _lock(file)
        if dead:
            with suppress(FileNotFoundError):
                os.unlink(path, dir_fd=folder)
    finally:
        os.close(file)
    return not dead


def _lock(file: int) -> bool:
    import fcntl  # noqa: PLC0415 - Windows has none

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def window_name(*parts: str) -> str:
    """Name a window after what identifies it, in a way that tells nothing about it."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
