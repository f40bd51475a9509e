"""Permits of calls: an async queue in front of each window of the limiter.

A permit belongs to a process, an event loop and a call, and ends with whichever ends first: the
child of a fork starts with none, and a loop that closes gives back what its calls still held.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple

from zai_async._clock import Clock
from zai_async._secrets import Secret
from zai_async._threads import running_loop
from zai_async.errors import RateLimitError, ZaiError
from zai_async.limiter import Limits, QueueEntry, Refusal, Snapshot, Window, WindowKey
from zai_async.session.coordination import Coordinator, window_name
from zai_async.session.settings import Settings

__all__ = ["LimiterQueue", "LimiterQueues", "LimitsView", "Permit", "permit_of"]

_log = logging.getLogger("zai_async")

_MEMORY: Final = 8
"""Calls after which most of what was known about their size is forgotten."""
_MOST_WINDOWS: Final = 1000
"""Models whose windows are remembered; a service may pass names of its users' choice on."""
_CLOSED_LOOP_CHECK: Final = 1.0
"""Seconds between two looks for loops that were closed by hand, while several are in use."""
_NESTED: Final = (
    "The call waits for a permit while only streams of its own task hold permits:"
    " close the open stream before calling, or allow more requests in flight (limits=...)."
)
_SUSPECT: Final = (
    "Other requests to this model succeed; the cause may be specific to this request."
)
_MEANINGS: Final[Mapping[str | None, Refusal]] = {"1302": "concurrency", "1303": "rate"}

# The last request that this task, or one that it stems from, got a permit for.
_innermost: ContextVar[QueueEntry | None] = ContextVar("zai_async.innermost_permit", default=None)


def _nest(entry: QueueEntry) -> None:
    """Remember a permit as the innermost of this task, and forget those that were given back."""
    outer = _innermost.get()
    while outer is not None and not outer.in_flight:
        outer = outer.outer
    entry.outer = outer
    # Streams that overlap would otherwise grow a chain that never ends.
    while outer is not None:
        while outer.outer is not None and not outer.outer.in_flight:
            outer.outer = outer.outer.outer
        outer = outer.outer
    _innermost.set(entry)


class _Waiter(NamedTuple):
    future: asyncio.Future[None]
    innermost: QueueEntry | None
    """The last permit of the task that waits, of any window."""
    warn: Callable[[], None]


class LimiterQueue:
    """The way to the permits of one window, for the tasks of any number of event loops."""

    def __init__(self, window: Window) -> None:
        self.window = window
        # A client may be used by several threads; nothing is awaited while it is held. The garbage
        # collector may run inside, and gives back what was forgotten.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._waiters: dict[QueueEntry, _Waiter] = {}
        self._timers: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle | None] = {}
        self._usual_tokens = 0.0
        self._counted = 0
        self.used_at = 0.0

    def try_enter(self, clock: Clock) -> QueueEntry | None:
        """Take a permit if one is free and nobody waits for it."""
        if self._process != os.getpid():
            self._start_clean()
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._timers:
                self._timers[loop] = None
            self.used_at = clock.monotonic()
            entry = self.window.try_admit(self.used_at, self._usual_tokens, loop)
        if entry is not None:
            _nest(entry)
        return entry

    async def enter(self, clock: Clock, warn: Callable[[], None]) -> QueueEntry:
        """Wait for a permit; ``warn`` is called if nobody else can give one back."""
        with self._lock:
            loop = asyncio.get_running_loop()
            self._free_closed_loops()
            entry = self.window.request(tokens=self._usual_tokens, owner=loop)
            waiter = self._wait_for(entry, warn)
            self._admit(clock)
        await self._until_admitted(entry, waiter, clock)
        _nest(entry)
        return entry

    async def return_to(
        self, entry: QueueEntry, kind: Refusal, clock: Clock, warn: Callable[[], None], rest: float
    ) -> None:
        """Give the permit of a refused request back, and wait at the head of the queue.

        ``rest`` is how many seconds the server asks to wait; others may go in the meantime.
        """
        with self._lock:
            now = clock.monotonic()
            self._free_closed_loops()
            self.window.rejected(entry, now, kind, jitter=clock.random(), rest=rest)
            waiter = self._wait_for(entry, warn)
            self._admit(clock)
        await self._until_admitted(entry, waiter, clock)

    def accepted(self, entry: QueueEntry) -> None:
        """Report that a request was not refused."""
        with self._lock:
            self.window.accepted(entry)

    def leave(self, entry: QueueEntry, clock: Clock, *, tokens: int | None = None) -> None:
        """Give a permit back, or the place in the queue; again is harmless.

        ``tokens`` tells how many were used, if that is known; the next are expected to use as
        many as those before them.
        """
        if self._process != os.getpid():
            return  # it was the parent's
        with self._lock:
            self._waiters.pop(entry, None)
            self.window.released(entry, tokens=tokens)
            if tokens is not None:
                self._counted = min(self._counted + 1, _MEMORY)
                self._usual_tokens += (tokens - self._usual_tokens) / self._counted
            if self._waiters:
                self._look_somewhere(clock)

    def abandon(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        """Give back what the calls of an event loop hold that is about to close."""
        with self._lock:
            self._forget(loop)
            if self._waiters:
                self._look_somewhere(clock)

    @property
    def idle(self) -> bool:
        """Whether nobody holds a permit or waits for one."""
        figures = self.snapshot()
        return not (figures.in_flight or figures.waiting)

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        with self._lock:
            return self.window.snapshot()

    def _wait_for(self, entry: QueueEntry, warn: Callable[[], None]) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._waiters[entry] = _Waiter(future, _innermost.get(), warn)
        return future

    async def _until_admitted(
        self, entry: QueueEntry, waiter: asyncio.Future[None], clock: Clock
    ) -> None:
        try:
            await waiter
        except BaseException:
            self.leave(entry, clock)
            raise

    def _admit(self, clock: Clock) -> None:
        """Let those in who may go now, and come back when time alone may let others in."""
        now = clock.monotonic()
        while admitted := self.window.admit(now):
            for entry in admitted:
                waiter = self._waiters.pop(entry)
                if not _call_in(waiter.future.get_loop(), _resolve, waiter.future):
                    self.window.released(entry)
        moment = self.window.next_at(now)
        self._warn_of_nesting(moment)
        if len(self._timers) > 1 and self._waiters:
            # A loop that is closed by hand tells nobody that its permits are free.
            moment = min(now + _CLOSED_LOOP_CHECK, now + 3600 if moment is None else moment)
        here = asyncio.get_running_loop()
        self._arm(here, moment, clock)
        for loop in tuple(self._timers) if moment is not None else ():
            # Each loop has a timer of its own, as any other one may end before its timer fires.
            timer = self._timers[loop]
            if loop is not here and (timer is None or timer.when() > moment):
                _call_in(loop, self._arm, loop, moment, clock)

    def _arm(self, loop: asyncio.AbstractEventLoop, moment: float | None, clock: Clock) -> None:
        with self._lock:
            timer = self._timers.get(loop)
            if timer is not None:
                timer.cancel()
            later = None if moment is None else loop.call_at(moment, self._look, clock)
            self._timers[loop] = later

    def _look(self, clock: Clock) -> None:
        with self._lock:
            self._free_closed_loops()
            self._admit(clock)

    def _look_somewhere(self, clock: Clock) -> None:
        """Look who may go now: here, or on the loop of somebody who waits."""
        if running_loop() is not None:
            self._admit(clock)
            return
        # Nobody's task: the garbage collector gives back what was forgotten.
        any(_call_in(one.future.get_loop(), self._look, clock) for one in self._waiters.values())

    def _warn_of_nesting(self, moment: float | None) -> None:
        """Warn those that wait for permits which they hold themselves."""
        entry = self.window.first
        waiter = None if entry is None else self._waiters.get(entry)
        if entry is None or waiter is None or waiter.innermost is None:
            return
        # Time alone helps unless the window is full; but a request that was refused twice while
        # nobody else sends anything is refused because of the stream around it.
        if moment is not None and entry.refusals < 2:
            return
        held, holder = 0, waiter.innermost
        while holder is not None:
            held += self.window.sends(holder)
            holder = holder.outer
        if 0 < held == self.window.in_flight:
            waiter.warn()

    def _free_closed_loops(self) -> None:
        for loop in [loop for loop in self._timers if loop.is_closed()]:
            self._forget(loop)

    def _forget(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timers.pop(loop, None)
        for entry in self.window.owned_by(loop):
            self._waiters.pop(entry, None)
            self.window.released(entry)

    def _start_clean(self) -> None:
        """Leave to the parent of a fork what is the parent's, and keep what it has learnt."""
        # Another thread of the parent may have held the lock; here, nobody would release it.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._waiters.clear()
        self._timers.clear()
        self.window.forget_requests()


def _call_in(
    loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object
) -> bool:
    """Call a function in its event loop, now or soon; False if the loop is closed."""
    if loop is running_loop():
        function(*arguments)
        return True
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # closed, perhaps at this very moment
        return False
    return True


def _resolve(future: asyncio.Future[None]) -> None:
    # A cancelled waiter gives its permit back itself.
    if not future.done():
        future.set_result(None)


class LimiterQueues:
    """The queues of a client: one for each gateway, account and model."""

    def __init__(self, limits: Limits, coordinator: Coordinator | None = None) -> None:
        self.coordinator = coordinator
        """Who else hands out slots; each window has ``slots`` of them."""
        self.slots = limits.start
        self.queues = limits.mode != "off"
        """Whether a refused request waits for a permit; else it waits as the retry policy says."""
        self._limits = limits
        self._by_model: dict[tuple[str, Secret | None, str], LimiterQueue] = {}
        self._warned = False

    def permit(self, settings: Settings, model: str) -> "Permit":
        """Return the permit of a call, which it does not hold yet."""
        place = settings.provider.base_url, settings.key, model
        queue = self._by_model.get(place)
        if queue is None:
            if len(self._by_model) >= _MOST_WINDOWS:
                self._forget_idle()
            queue = self._by_model.setdefault(place, LimiterQueue(Window(self._limits)))
        window = ""
        if self.coordinator is not None:
            # Unlike a hash of Python's, this is the same in every process.
            key = settings.key.reveal() if settings.key else ""
            window = window_name(settings.provider.base_url, key, model)
        return Permit(self, queue, settings.clock, window=window)

    def _forget_idle(self) -> None:
        """Forget the models that were used least recently, a tenth of them at once."""
        places = sorted(self._by_model, key=lambda place: self._by_model[place].used_at)
        for place in places[: _MOST_WINDOWS // 10]:
            if self._by_model[place].idle:
                self._by_model.pop(place, None)

    def abandon(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        """Give back the permits of an event loop that is about to close."""
        for queue in tuple(self._by_model.values()):
            queue.abandon(loop, clock)

    def warn_of_nesting(self, window: Snapshot) -> None:
        """Write to the log, once for a client, that a call waits for its own task."""
        if not self._warned:
            self._warned = True
            _log.warning("%s Now %d of them are in flight.", _NESTED, window.in_flight)

    def snapshot(self) -> Mapping[WindowKey, Snapshot]:
        """Return the figures of every window."""
        return {
            WindowKey(url, f"{hash(key):x}", model): queue.snapshot()
            for (url, key, model), queue in tuple(self._by_model.items())
        }


class LimitsView:
    """``zai.limits``: what the limiter has found out."""

    def __init__(self, queues: LimiterQueues) -> None:
        self._queues = queues

    def snapshot(self) -> Mapping[str, Snapshot]:
        """Return for each model how many requests may be, are, and wait to be in flight."""
        return {key.model: figures for key, figures in self._queues.snapshot().items()}


class Permit:
    """Allows a call to be in flight, from before a request until its answer is complete."""

    def __init__(
        self, queues: LimiterQueues, queue: LimiterQueue, clock: Clock, *, window: str
    ) -> None:
        self._queues = queues
        self._queue = queue
        self._window = window
        self._clock = clock
        self._entry: QueueEntry | None = None
        self._process = 0
        self._release: Callable[[], None] | None = None
        self._suspect = self._nested = False

    def try_take(self) -> bool:
        """Take a permit if one is free, or if this call has one already."""
        if self._entry is None:
            self._entry = self._queue.try_enter(self._clock)
        if self._entry is None:
            return False
        return self._queues.coordinator is None or self._release is not None

    @property
    def admitted(self) -> bool:
        """Whether the limiter of this process lets the call go."""
        return self._entry is not None

    async def take(self) -> None:
        """Wait for a permit."""
        if self._entry is None:
            self._entry = await self._queue.enter(self._clock, self._warn)
        await self._take_share()

    def accepted(self) -> None:
        """Report that the request was not refused."""
        if self._entry is not None:
            self._queue.accepted(self._entry)

    def counts(self, error: ZaiError) -> bool:
        """Tell whether an error says something about the number of requests in flight."""
        about_load = isinstance(error, RateLimitError) or error.kind == "local"
        return about_load and self._queues.queues and self._entry is not None

    async def again(self, error: ZaiError) -> None:
        """Give the permit of a refused request back, and wait at the head of the queue.

        What the server asks to wait (``Retry-After``) is waited without a permit.
        """
        self._give_share_back()
        entry, self._entry = self._entry, None
        if entry is not None:
            kind = _meaning(error)
            rest = error.retry_after or 0.0
            await self._queue.return_to(entry, kind, self._clock, self._warn, rest)
            self._entry = entry
            self._suspect = entry.suspect is not None
            await self._take_share()

    @property
    def suspect(self) -> bool:
        """Whether this request is refused again and again while others pass."""
        return self._suspect

    @property
    def hint(self) -> str | None:
        """Why a call may have waited in vain, where the limiter knows."""
        if self._nested:
            return _NESTED
        return _SUSPECT if self._suspect else None

    @property
    def figures(self) -> Snapshot:
        """The window of the model, as it is now."""
        return self._queue.snapshot()

    @property
    def situation(self) -> str:
        """What a call waits for, in words for people."""
        figures = self.figures
        if figures.limit is None:
            return "as much as one minute allows has been sent"
        who = "the account allows" if figures.rejected else "the limit is"
        return f"{who} {figures.limit} at a time"

    def leave(self, *, tokens: int | None = None) -> None:
        """Give the permit back, and say how many tokens were used; again is harmless."""
        if self._release is not None:
            self._give_share_back()
        entry, self._entry = self._entry, None
        if entry is not None:
            self._queue.leave(entry, self._clock, tokens=tokens)

    def _warn(self) -> None:
        self._nested = True
        self._queues.warn_of_nesting(self.figures)

    async def _take_share(self) -> None:
        """Wait for a slot of those that several processes have together."""
        coordinator = self._queues.coordinator
        if coordinator is not None and self._release is None:
            self._release = await coordinator.acquire(self._window, self._queues.slots)
            self._process = os.getpid()

    def _give_share_back(self) -> None:
        release, self._release = self._release, None
        # The child of a fork must not free what its parent still uses.
        if release is not None and self._process == os.getpid():
            release()


def _meaning(error: ZaiError) -> Refusal:
    """Return what a refusal says about the number of requests in flight."""
    if error.kind in {"local", "overload"}:
        return "local" if error.kind == "local" else "overload"
    return _MEANINGS.get(error.code, "unknown")
