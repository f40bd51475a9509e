"""Time, waiting and chance; clocks are exchanged under test, where minutes pass at once."""

import asyncio
import math
import random
import time
from types import TracebackType
from typing import Any, Final, Protocol, Self

import anyio

__all__ = ["Clock", "Patience", "SystemClock"]

_FAR: Final = 60.0
"""Seconds after which to look again, so that most changes of a moment need no other timer."""


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


class Patience:
    """Ends what the current task awaits inside, and swallows the cancellation that this takes.

    Works as ``asyncio.timeout`` does, next to it and to anyio's scopes, but enters and leaves
    without a coroutine, and costs nothing when its moment is moved with every piece that arrives.
    """

    __slots__ = ("_before", "_ended", "_loop", "_moment", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._moment = math.inf
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._before = 0

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("calls are made inside a task")
        self._before = task.cancelling()
        return self

    def until(self, moment: float) -> None:
        """Set when waiting ends, on the clock of the loop."""
        self._moment = moment
        if self._timer is not None and self._timer.when() <= moment:
            return  # it will look again
        if self._timer is not None:
            self._timer.cancel()
        if moment < math.inf:
            self._timer = self._loop.call_at(min(moment, self._loop.time() + _FAR), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._moment:
            self.until(self._moment)  # it was moved
        else:
            self.interrupt()

    def interrupt(self) -> None:
        """End it now; nothing happens if nobody is inside."""
        task = self._task
        if task is None or self._ended:
            return
        waiter = getattr(task, "_fut_waiter", None)
        if task is asyncio.current_task(self._loop) or (waiter is not None and waiter.done()):
            # It goes on now; a cancellation would reach it after it has left.
            self._loop.call_soon(self.interrupt)
            return
        self._ended = True
        task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._ended or task is None:
            return False
        # Somebody else's cancellation is not swallowed, even if it came together with ours.
        return task.uncancel() <= self._before and isinstance(error, asyncio.CancelledError)
