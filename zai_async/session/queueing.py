"""The queue for the permits of one window: futures and timers on any number of event loops.

A permit belongs to a process, an event loop and a call, and ends with whichever ends first: the
child of a fork starts with none, and a loop that closes gives back what its calls still held.
"""

import asyncio
import math
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NamedTuple

from zai_async._clock import Clock
from zai_async._threads import running_loop
from zai_async.errors import DeadlineError
from zai_async.errors.repeats import own_copy
from zai_async.limiter import QueueEntry, Refusal, Snapshot, Window, WindowLink

__all__ = ["LimiterQueue", "WaitingList", "nest"]

_FIRST_TOKENS: Final = 1000.0
"""What a call is expected to use before any has told: else the first burst would have no bound."""
_MEMORY: Final = 8
"""Calls after which most of what was known about their size is forgotten."""
_CHECK: Final = 1.0
"""Seconds between two looks for loops that were closed by hand, while several are in use."""

# The last request that this task, or one that it stems from, got a permit for.
_innermost: ContextVar[QueueEntry | None] = ContextVar("zai_async.innermost_permit", default=None)


def nest(entry: QueueEntry) -> None:
    """Remember a permit as the innermost of this task, and forget those that were given back."""
    outer = _innermost.get()
    while outer is not None and not outer.in_flight:
        outer = outer.outer
    holder = outer
    while holder is not None:
        if holder is entry:
            return  # known already; a second time it would be its own outer one
        # Streams that overlap would otherwise grow a chain that never ends.
        while holder.outer is not None and not holder.outer.in_flight:
            holder.outer = holder.outer.outer
        holder = holder.outer
    entry.outer = outer
    _innermost.set(entry)


class LimiterQueue:
    """The way to the permits of one window, for the tasks of any number of event loops."""

    def __init__(self, window: Window | WindowLink, clock: Clock) -> None:
        self.window = window
        self.used_at = 0.0
        self.clock = clock
        self._usual_tokens = _FIRST_TOKENS
        self._counted = 0
        self.start_clean()

    def start_clean(self) -> None:
        """Begin without requests: after a fork they are the parent's, and so is the lock."""
        # A client may be used by several threads; nothing is awaited while it is held. The garbage
        # collector may run inside, and gives back what was forgotten.
        self.lock = threading.RLock()
        self._process = os.getpid()
        self.waiting = WaitingList(self.window, self.clock, self.lock)
        self.window.forget_requests()

    def try_enter(self) -> QueueEntry | None:
        """Take a permit if one is free and nobody waits for it."""
        if self._process != os.getpid():
            self.start_clean()
        loop = asyncio.get_running_loop()
        with self.lock:
            # Noted at its first call: a loop that closes gives back what its calls have held.
            if loop not in self.waiting.timers:
                self.waiting.register(loop)
            self.used_at = self.clock.monotonic()
            entry = self.window.try_admit(self.used_at, self._usual_tokens, loop)
        if entry is not None:
            nest(entry)
        return entry

    async def enter(
        self,
        warn: Callable[[], None],
        deadline_at: float | None = None,
        *,
        background: bool = False,
    ) -> QueueEntry:
        """Wait for a permit; ``warn`` is called if nobody else can give one back.

        Raises:
            DeadlineError: The rate lets nobody in before ``deadline_at``.
        """
        with self.lock:
            if deadline_at is not None and self.window.earliest > deadline_at:
                wait = self.window.earliest - self.clock.monotonic()
                text = f"the rate lets nobody in for {wait:.3g} s, which is beyond the deadline"
                raise DeadlineError(text)
            loop, tokens = asyncio.get_running_loop(), self._usual_tokens
            entry = self.window.request(tokens=tokens, owner=loop, background=background)
            waiter = self.waiting.add(entry, _innermost.get(), warn)
        await self._until_admitted(entry, waiter)
        nest(entry)
        return entry

    async def return_to(
        self, entry: QueueEntry, kind: Refusal, warn: Callable[[], None], rest: float
    ) -> None:
        """Give the permit of a refused request back, and wait at the head of the queue.

        ``rest`` is how many seconds the server asks to wait; others may go in the meantime.
        """
        with self.lock:
            now, jitter = self.clock.monotonic(), self.clock.random()
            self.window.rejected(entry, now, kind, jitter=jitter, rest=rest)
            waiter = self.waiting.add(entry, _innermost.get(), warn)
        await self._until_admitted(entry, waiter)

    def refused(self, entry: QueueEntry, kind: Refusal) -> None:
        """Report a refusal after which nothing is tried again, and take the permit back."""
        with self.lock:
            now, jitter = self.clock.monotonic(), self.clock.random()
            self.window.rejected(entry, now, kind, jitter=jitter)
        self.leave(entry)

    async def _until_admitted(self, entry: QueueEntry, waiter: asyncio.Future[None]) -> None:
        try:
            await waiter
        # Whatever ends the wait, a cancellation included, must leave no permit with nobody.
        except BaseException:
            self.leave(entry)
            raise

    def leave(self, entry: QueueEntry, *, tokens: int | None = None) -> None:
        """Give a permit back, or the place in the queue; again is harmless.

        ``tokens`` tells how many were used, if that is known; the next are expected to use as
        many as those before them.
        """
        if self._process != os.getpid():
            return  # it was the parent's
        with self.lock:
            self.window.released(entry, tokens=tokens)
            if tokens is not None:
                self._counted = min(self._counted + 1, _MEMORY)
                self._usual_tokens += (tokens - self._usual_tokens) / self._counted
                if self._counted == 1:
                    self.window.expect(self._usual_tokens)
            # In the usual case nobody waits, and nobody has to be looked for.
            if self.waiting.waiters:
                self.waiting.discard(entry)

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back what the calls of an event loop hold that is about to close."""
        if self._process == os.getpid():
            with self.lock:
                self.waiting.forget(loop)

    @property
    def is_full(self) -> bool:
        """Whether the next request has to wait, now that it has got no permit at once."""
        return True

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        if self._process != os.getpid():
            self.start_clean()  # or it would show what the parent holds, and wait for its threads
        with self.lock:
            return self.window.snapshot()


class Waiter(NamedTuple):
    """A task that waits."""

    future: asyncio.Future[None]
    innermost: QueueEntry | None
    """The last permit that the task got, in any window."""
    warn: Callable[[], None]


class WaitingList:
    """The tasks that wait for the permits of one window.

    Whoever calls its methods holds the lock of the queue.
    """

    def __init__(self, window: Window | WindowLink, clock: Clock, lock: threading.RLock) -> None:
        self.waiters: dict[QueueEntry, Waiter] = {}
        self.timers: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle | None] = {}
        """The event loops that use the window; each has a timer of its own."""
        self._window = window
        self._clock = clock
        self._lock = lock
        self._admitting = False
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
        here = asyncio.get_running_loop()
        self.timers.setdefault(here)
        if len(self.timers) > 1:
            self._forget_closed_loops()
        future = here.create_future()
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

    def fail(self, error: Exception) -> None:
        """Let all that wait fail, each with an error of its own."""
        for waiter in tuple(self.waiters.values()):
            _call_in(waiter.future.get_loop(), _settle, waiter.future, own_copy(error))

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back what the calls of an event loop hold, and let others have it."""
        self._forget(loop)
        self._look_elsewhere()

    def _admit(self) -> None:
        """Let those in who may go now, and come back when time alone may let others in."""
        if self._admitting:
            # The garbage collector gave something back in the middle of this very method, which
            # asks below when the next one may go: that is now.
            return
        here = asyncio.get_running_loop()
        now, self._admitting = self._clock.monotonic(), True
        for entry in self._window.admit(now):
            future = self.waiters.pop(entry).future
            loop = future.get_loop()
            if loop is not here:
                _call_in(loop, _settle, future)  # one that has closed is forgotten with its permits
            elif not future.done():
                future.set_result(None)
        self._admitting = False

        moment = self._window.next_at(now)
        # Time alone helps unless the window is full; but a request that was refused twice while
        # nobody else sends anything is refused because of the stream around it.
        if not self.waiters:
            self._stubborn = False
        elif moment is None or self._stubborn:
            self._warn_of_nesting()
        if self.waiters and len(self.timers) > 1:
            # A loop that is closed by hand tells nobody that its permits are free.
            moment = min(math.inf if moment is None else moment, now + _CHECK)
        timer = self.timers.get(here)
        if timer is not None:
            timer.cancel()
        self.timers[here] = None
        if moment is not None:
            wait = max(0.0, moment - self._clock.monotonic())
            self.timers[here] = here.call_later(wait, self.look)

    def look(self) -> None:
        """Let those in who may go now; on one of the loops that use the window."""
        with self._lock:
            self._forget_closed_loops()
            self._admit()

    def _look_elsewhere(self) -> None:
        """Look who may go now, on the loop of somebody who waits."""
        any(_call_in(one.future.get_loop(), self.look) for one in tuple(self.waiters.values()))

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
        # Only if nobody else holds any: otherwise it waits as everybody does.
        if 0 < held == self._window.in_flight:
            waiter.warn()

    def _forget_closed_loops(self) -> None:
        for loop in tuple(self.timers):
            if loop.is_closed():
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


def _settle(future: asyncio.Future[None], error: Exception | None = None) -> None:
    # A cancelled waiter gives its permit back itself.
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
