"""Slots that several processes share.

Each process of a service has a client, and the platform counts the requests of all of them
together. Where the number is known, a coordinator hands its slots out one by one.
"""

import hashlib
import os
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from weakref import finalize

import anyio
import anyio.to_thread

from zai_async.errors import ConfigurationError

__all__ = ["Coordinator", "MachineSlots", "window_name"]

_SHORTEST, _LONGEST = 0.005, 0.05


class Coordinator(Protocol):
    """Share the slots of a window with other processes, or with other machines."""

    async def acquire(self, window: str, slots: int) -> Callable[[], None]:
        """Wait for one of ``slots`` slots; return what gives it back.

        ``window`` names what the platform counts together, the same in every process, and holds
        no secret. What is returned is called once, from any thread; it must not block, nor fail.
        """
        ...


class MachineSlots:
    """Share slots between the processes of one machine, through locks on files.

    The operating system frees the slots of a process that ends, however it ends.

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
        self._folder: int | None = None
        self._held: set[int] = set()
        self._process = os.getpid()

    async def acquire(self, window: str, slots: int) -> Callable[[], None]:
        """Wait for a slot; nobody who waits is preferred.

        Raises:
            ConfigurationError: The directory cannot be used.
        """
        pause = _SHORTEST
        if self._folder is None:
            self._folder = await anyio.to_thread.run_sync(self._open_folder)
            # Kept open, so that nobody can put another folder in its place.
            finalize(self, os.close, self._folder)
        while True:
            release = self._try(window, slots, self._folder)
            if release is not None:
                return release
            await anyio.sleep(pause * (0.5 + _jitter()))
            pause = min(2 * pause, _LONGEST)

    def _try(self, window: str, slots: int, folder: int) -> Callable[[], None] | None:
        if self._process != os.getpid():
            # What a fork brought along would keep the slots of a parent that crashes.
            for file in self._held:
                os.close(file)
            self._held, self._process = set(), os.getpid()
        try:
            first = int(_jitter() * slots)  # not all at the same file
            for number in (*range(first, slots), *range(first)):
                # A link in place of a file would let somebody choose what is opened.
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
                file = os.open(f"{window}.{number}", flags, 0o600, dir_fd=folder)
                if _lock(file):
                    self._held.add(file)
                    return partial(self._unlock, file)
                os.close(file)
        except OSError as error:
            raise ConfigurationError(f"cannot share slots in {self._directory}: {error}") from None
        return None

    def _open_folder(self) -> int:
        """Open the folder of this user, making it at first; it must be ours, and ours alone."""
        name = self._directory / f"zai-slots-{os.getuid()}"
        try:
            with suppress(FileExistsError):
                name.mkdir(0o700)
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise ConfigurationError(f"cannot share slots in {self._directory}: {error}") from None
        status = os.fstat(folder)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            os.close(folder)
            raise ConfigurationError(f"{name} is open to others; remove it, or take another place")
        return folder

    def _unlock(self, file: int) -> None:
        import fcntl  # noqa: PLC0415 - Windows has none

        self._held.discard(file)
        # A child that was forked meanwhile holds the file open, too: closing alone would not do.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


def _lock(file: int) -> bool:
    import fcntl  # noqa: PLC0415 - Windows has none

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _jitter() -> float:
    return random.random()  # noqa: S311 - which file first, not cryptography


def window_name(*parts: str) -> str:
    """Name a window after what identifies it, in a way that tells nothing about it."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
