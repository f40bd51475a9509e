"""Time and chance, behind one small protocol so that minutes pass in microseconds under test."""

import asyncio
import random
import time
from typing import Protocol

import anyio

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the package knows of time and chance."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ...

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        ...

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Return the time of the running event loop."""
        # Not anyio's, which knows tasks only: a watchdog asks from a callback of the loop.
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        """Return the time of the system."""
        return time.time()

    def random(self) -> float:
        """Return a number nobody can foresee well enough to matter."""
        return random.random()  # noqa: S311 - jitter, not cryptography

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await anyio.sleep(seconds)
