"""Who waits for a permit of a window: futures and timers on any number of event loops.

Whoever calls these methods holds the lock of the queue.
"""

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from zai_async._clock import Clock
from zai_async._threads import running_loop
from zai_async.limiter import QueueEntry, Window

__all__ = ["WaitingList"]

_CHECK: Final = 1.0
"""Seconds between two looks for loops that were closed by hand, while several are in use."""


class Waiter(NamedTuple):
    """A task that waits."""

    future: asyncio.Future[None]
    innermost: QueueEntry | None
    """The last permit that the task got, in any window."""
    warn: Callable[[], None]


class Timer(NamedTuple):
    """When an event loop looks again who may go."""

    moment: float
    handle: asyncio.TimerHandle


class WaitingList:
    """The tasks that wait for the permits of one window."""

    def __init__(self, window: Window, clock: Clock, lock: threading.RLock) -> None:
        self.waiters: dict[QueueEntry, Waiter] = {}
        self.timers: dict[asyncio.AbstractEventLoop, Timer | None] = {}
        """The event loops that use the window; each has a timer of its own."""
        self._window = window
        self._clock = clock
        self._lock = lock
        self._admitting = self._once_more = False
        self._stubborn = False  # somebody was refused more than once

    def register(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that an event loop uses the window, and forget those that have closed."""
        self._forget_closed_loops()
        self.timers[loop] = None

    def add(
        self, entry: QueueEntry, innermost: QueueEntry | None, warn: Callable[[], None]
    ) -> asyncio.Future[None]:
        """Return a future that is done once the request may go.

        ``warn`` is called if all permits are held by the task that waits, whose ``innermost`` one
        leads to the others.
        """
        if len(self.timers) > 1:
            self._forget_closed_loops()
        future = asyncio.get_running_loop().create_future()
        self.waiters[entry] = Waiter(future, innermost, warn)
        self._stubborn = self._stubborn or entry.refusals > 1
        self._admit()
        return future

    def discard(self, entry: QueueEntry) -> None:
        """Note that a request waits no more, or that its permit is free."""
        self.waiters.pop(entry, None)
        if running_loop() is not None:
            self._admit()
        else:
            # Nobody's task: the garbage collector gives back what was forgotten.
            self._look_elsewhere()

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back what the calls of an event loop hold, and let others have it."""
        self._forget(loop)
        self._look_elsewhere()

    def _admit(self) -> None:
        """Let those in who may go now, and come back when time alone may let others in."""
        if self._admitting:
            # The garbage collector gave something back in the middle of this very method.
            self._once_more = True
            return
        here = asyncio.get_running_loop()
        now, self._admitting, self._once_more = self._clock.monotonic(), True, True
        while self._once_more:
            admitted = self._window.admit(now)
            self._once_more = bool(admitted)
            for entry in admitted:
                future = self.waiters.pop(entry).future
                loop = future.get_loop()
                if loop is here:
                    # A cancelled waiter gives its permit back itself.
                    if not future.done():
                        future.set_result(None)
                elif not _call_in(loop, _resolve, future):
                    self._window.released(entry)
        self._admitting = False

        moment = self._window.next_at(now)
        # Time alone helps unless the window is full; but a request that was refused twice while
        # nobody else sends anything is refused because of the stream around it.
        if moment is None or self._stubborn:
            self._warn_of_nesting()
        if len(self.timers) == 1:
            self._arm(here, moment)
        else:
            check = now + _CHECK if self.waiters else math.inf
            soonest = min(math.inf if moment is None else moment, check)
            self._arm_all(here, None if soonest == math.inf else soonest)

    def _arm_all(self, here: asyncio.AbstractEventLoop, moment: float | None) -> None:
        """Let each event loop look again in time, as any other one may end before it does.

        A loop that is closed by hand tells nobody that its permits are free.
        """
        self._arm(here, moment)
        if moment is None:
            return
        for loop, timer in tuple(self.timers.items()):
            if loop is not here and (timer is None or timer.moment > moment):
                _call_in(loop, self._arm, loop, moment)

    def _arm(self, loop: asyncio.AbstractEventLoop, moment: float | None) -> None:
        with self._lock:
            timer = self.timers.get(loop)
            if timer is not None:
                timer.handle.cancel()
            self.timers[loop] = None
            if moment is not None:
                wait = max(0.0, moment - self._clock.monotonic())
                self.timers[loop] = Timer(moment, loop.call_later(wait, self._look))

    def _look(self) -> None:
        with self._lock:
            self._forget_closed_loops()
            self._admit()

    def _look_elsewhere(self) -> None:
        """Look who may go now, on the loop of somebody who waits."""
        any(_call_in(one.future.get_loop(), self._look) for one in tuple(self.waiters.values()))

    def _warn_of_nesting(self) -> None:
        """Warn the first that waits if it waits for permits which it holds itself."""
        entry = self._window.first
        waiter = None if entry is None else self.waiters.get(entry)
        self._stubborn = entry is not None and entry.refusals > 1
        if waiter is None:
            return
        held, holder = 0, waiter.innermost
        while holder is not None:
            held += self._window.sends(holder)
            holder = holder.outer
        if 0 < held == self._window.in_flight:
            waiter.warn()

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self.timers if loop.is_closed()]:
            self._forget(loop)

    def _forget(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timers.pop(loop, None)
        for entry in self._window.owned_by(loop):
            self.waiters.pop(entry, None)
            self._window.released(entry)


def _call_in(
    loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object
) -> bool:
    """Call a function in its event loop, soon; False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # closed, perhaps at this very moment
        return False
    return True


def _resolve(future: asyncio.Future[None]) -> None:
    # A cancelled waiter gives its permit back itself.
    if not future.done():
        future.set_result(None)
