"""Slots that several processes share.

Each process of a service has a client, and the platform counts the requests of all of them
together. Where the number is known, a coordinator hands its slots out one by one.
"""

import hashlib
import os
import random
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import anyio

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

    Args:
        directory: Where the files lie: one that exists, on a local disk, the same in every process.

    Raises:
        ConfigurationError: This system has no such locks.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        if find_spec("fcntl") is None:
            raise ConfigurationError("MachineSlots needs the file locks of Unix")
        self._directory = Path(directory)

    async def acquire(self, window: str, slots: int) -> Callable[[], None]:
        """Wait for a slot; nobody who waits is preferred.

        Raises:
            ConfigurationError: The directory cannot be used.
        """
        pause = _SHORTEST
        while True:
            release = self._try(window, slots)
            if release is not None:
                return release
            await anyio.sleep(pause * (0.5 + _chance()))
            pause = min(2 * pause, _LONGEST)

    def _try(self, window: str, slots: int) -> Callable[[], None] | None:
        first = int(_chance() * slots)  # not all at the same file
        for number in (*range(first, slots), *range(first)):
            file = self._open(f"zai-{window}.{number}")
            if _lock(file):
                return partial(_unlock, file)
            os.close(file)
        return None

    def _open(self, name: str) -> int:
        try:
            return os.open(self._directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(f"cannot share slots in {self._directory}: {error}") from None


def _lock(file: int) -> bool:
    import fcntl  # noqa: PLC0415 - Windows has none

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(file: int) -> None:
    import fcntl  # noqa: PLC0415 - Windows has none

    # A child that was forked meanwhile holds the file open, too: closing alone would not do.
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def _chance() -> float:
    return random.random()  # noqa: S311 - which file first, not cryptography


def window_name(*parts: str) -> str:
    """Name a window after what identifies it, in a way that tells nothing about it."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
