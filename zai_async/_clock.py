"""Time, waiting and chance; clocks are exchanged under test, where minutes pass at once."""

import asyncio
import math
import random
import time
from types import TracebackType
from typing import Any, Final, Protocol, Self

import anyio

__all__ = ["Clock", "RescheduleTimeout", "SystemClock", "outside_asyncio"]

_FAR: Final = 60.0
"""Seconds after which to look again, so that most changes of a moment need no other timer."""


def outside_asyncio() -> RuntimeError:
    """Return what to raise where a loop of asyncio is needed and none runs."""
    text = "zai_async runs on asyncio, and no event loop of asyncio is running here"
    return RuntimeError(text)


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

    # These two are functions of C: a call asks for them more than once.
    wall = staticmethod(time.time)
    random = staticmethod(random.random)

    def monotonic(self) -> float:
        """Return the time of the running event loop."""
        # Not anyio's, which knows tasks only: a watchdog asks from a callback of the loop.
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            raise outside_asyncio() from None

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await anyio.sleep(seconds)


class RescheduleTimeout:
    """Ends what the current task awaits inside, and swallows the cancellation that this takes.

    Works as ``asyncio.timeout`` does, next to it and to anyio's scopes, but enters and leaves
    without a coroutine, and costs nothing when its moment is moved with every piece that arrives.
    It may be entered again when it has been left, for the next step of the same work.
    """

    # No __init__: most of these are set anew at each entry.
    loop: asyncio.AbstractEventLoop
    _task: asyncio.Task[Any] | None = None
    _timer: asyncio.TimerHandle | None = None
    _moment = math.inf
    _due = math.inf
    _ended = False
    _cancels_before = 0
    _entries = 0

    def __enter__(self) -> Self:
        try:
            loop = self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise outside_asyncio() from None
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("calls are made inside a task")
        self._task = task
        self._cancels_before = task.cancelling()
        self._moment, self._ended = math.inf, False
        self._entries += 1
        return self

    def reschedule(self, when: float) -> None:
        """Set when waiting ends, on the clock of the loop."""
        self._moment = when
        if self._timer is not None and self._due <= when:
            return  # it will look again
        if self._timer is not None:
            self._timer.cancel()
        if when < math.inf:
            # Kept here: what uvloop makes of a moment that is now cannot be asked for it.
            self._due = min(when, self.loop.time() + _FAR)
            self._timer = self.loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.loop.time() < self._moment:
            self.reschedule(self._moment)  # it was moved
        else:
            self.interrupt()

    def interrupt(self) -> None:
        """End it now; nothing happens if nobody is inside."""
        self._end(self._entries)

    def _end(self, entry: int) -> None:
        task = self._task
        # A request to end that was put off must not reach the block after the one it was for.
        if task is None or self._ended or entry != self._entries:
            return
        waiter = getattr(task, "_fut_waiter", None)
        if task is asyncio.current_task(self.loop) or (waiter is not None and waiter.done()):
            # It goes on now; a cancellation would reach it after it has left, or throw away
            # what it has been waiting for: an answer that is here, a permit that was granted.
            self.loop.call_soon(self._end, entry)
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
        return task.uncancel() <= self._cancels_before and isinstance(error, asyncio.CancelledError)
