"""What is under way: the calls, the permits that they hold, and the timers that end them."""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Final, Protocol
from weakref import WeakSet

import anyio
import msgspec

from zai_async._clock import RescheduleTimeout
from zai_async._threads import SharedByCopies, call_in
from zai_async.errors import (
    ClientDrainingError,
    ConfigurationError,
    RateLimitError,
    ZaiError,
)
from zai_async.limiter import Limits, QueueEntry, Refusal, Snapshot, Window, WindowKey
from zai_async.session.coordination import Coordinator, window_name
from zai_async.session.queueing import LimiterQueue, nest
from zai_async.session.settings import Settings
from zai_async.session.sharing import SharedQueue

__all__ = [
    "InFlightCall",
    "InFlightCalls",
    "LimiterQueues",
    "LimitsView",
    "Permit",
    "Watchdog",
    "Watched",
]

_log = logging.getLogger("zai_async")

_MOST_WINDOWS: Final = 1000
"""Models whose windows are remembered; a service may pass names of its users' choice on."""
_NESTED: Final = (
    "The call waits for a permit while only calls of its own task hold permits: let the open"
    " stream or upload end before the next call, or allow more requests in flight (limits=...)."
)
"""What a call is told that waits for its own task."""
_SUSPECT: Final = "Other requests to this model succeed; the cause may be specific to this request."
# What a refusal claims to be about: https://docs.z.ai/api-reference/api-code says it of the codes.
_CODES: Final[Mapping[str | None, Refusal]] = {"1302": "concurrency", "1303": "rate"}
_KINDS: Final[Mapping[str, Refusal]] = {"overload": "overload", "local": "local"}
_SHARE: Final = 8  # looks per timeout: a stall is noticed at most an eighth late
_SHORTEST: Final = 0.01
_LONGEST: Final = 1.0


class InFlightCalls:
    """The calls under way on all loops of a client, and a door that is shut to drain it."""

    def __init__(self) -> None:
        self.ending = False
        self.inside: set[InFlightCall] = set()
        self.waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.process = os.getpid()

    def start_clean(self) -> None:
        """Forget the calls of the parent of a fork: they go on there, and here nobody ends them."""
        self.process = os.getpid()
        self.inside, self.waiters = set(), set()

    async def end(self, grace: float) -> None:
        """Let nobody in, and wait until all have ended; after ``grace`` seconds cancel the rest."""
        self.ending = True
        if self.process != os.getpid():
            self.start_clean()
        left = asyncio.Event()
        waiter = asyncio.get_running_loop(), left
        self.waiters.add(waiter)
        try:
            with anyio.move_on_after(grace):
                # A loop that was closed by hand has left its calls behind; nobody ends those.
                while any(not call.loop.is_closed() for call in tuple(self.inside)):
                    left.clear()
                    await left.wait()
        finally:
            self.waiters.discard(waiter)
        for call in tuple(self.inside):
            # In its own loop: timers and tasks of another thread must not be touched from here.
            call_in(call.loop, call.drain)


class InFlightCall(RescheduleTimeout):
    """One call, from before its first request until its permit is free.

    What it waits for in between, it waits for inside this timeout: a drain ends that as well.
    """

    def __init__(self, calls: InFlightCalls) -> None:
        self._calls = calls
        self.drained = False
        """Whether the client has been drained before the call had ended."""

    def register(self) -> None:
        """Begin, or go on.

        Raises:
            ClientDrainingError: The client takes no new calls, or waits no longer for this one.
            ConfigurationError: Another framework runs than asyncio.
        """
        if self.drained:
            raise ClientDrainingError("the client was drained before the call had ended")
        calls = self._calls
        if self in calls.inside:
            return
        if calls.ending:
            raise ClientDrainingError("the client is being drained and takes no new calls")
        if calls.process != os.getpid():
            calls.start_clean()
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            text = "zai_async runs on asyncio, and no event loop of asyncio is running here"
            raise ConfigurationError(text) from None
        calls.inside.add(self)

    def drain(self) -> None:
        """End the call, unless it is a stream that is open: that has a watchdog."""
        self.drained = True
        self.interrupt()

    def leave(self) -> None:
        """Be over, from any thread; again is harmless."""
        if self in self._calls.inside:
            self._calls.inside.discard(self)
            # Copied, because other loops come and go in other threads.
            for loop, event in tuple(self._calls.waiters):
                call_in(loop, event.set)


class LimiterQueues(SharedByCopies):
    """The queues of a client: one for each gateway, account and model."""

    def __init__(self, limits: Limits, coordinator: Coordinator | None = None) -> None:
        self.queues = limits.mode != "off"
        """Whether a refused request waits for a permit; else it waits as the retry policy says."""
        self._limits = limits
        self._coordinator = coordinator
        self._expected: dict[str, Limits] = {}
        self._by_model: dict[tuple[str, int, str], LimiterQueue] = {}
        self._warned = False

    def queue_of(self, settings: Settings, model: str) -> LimiterQueue:
        """Return where the calls of a model queue."""
        account = 0 if settings.key is None else settings.key.identity
        place = settings.provider.base_url, account, model
        queue = self._by_model.get(place)
        if queue is None:
            if len(self._by_model) >= _MOST_WINDOWS:
                # A tenth at once, of those used least recently: else each new name would sort all.
                places = sorted(self._by_model, key=lambda place: self._by_model[place].used_at)
                for old in places[: _MOST_WINDOWS // 10]:
                    figures = self._by_model[old].snapshot()
                    if not (figures.in_flight or figures.waiting):
                        self._by_model.pop(old, None)
            if self._coordinator is None:
                queue = LimiterQueue(
                    Window(self._expected.get(model, self._limits)), settings.clock
                )
            else:
                # Unlike a hash of Python's, this is the same in every process.
                key = settings.key.reveal() if settings.key else ""
                name = window_name(settings.provider.base_url, key, model)
                queue = SharedQueue(self._limits, settings.clock, self._coordinator, name)
            # Another thread may have been faster, and its queue has calls in it already.
            queue = self._by_model.setdefault(place, queue)
        return queue

    def expect(self, model: str, size: int) -> None:
        """Let windows of a model that come later begin with so many requests in flight."""
        limits = self._limits
        if limits.mode == "adaptive":
            start = max(limits.start, min(size, limits.most or size))
            self._expected[model] = msgspec.structs.replace(limits, start=start)

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back the permits of an event loop that is about to close."""
        for queue in tuple(self._by_model.values()):
            queue.abandon(loop)

    async def aclose(self) -> None:
        """Tell the coordinator what has been given back."""
        for queue in tuple(self._by_model.values()):
            if isinstance(queue, SharedQueue):
                await queue.aclose()

    def warn_of_nesting(self, window: Snapshot) -> None:
        """Write to the log, once for a client, that a call waits for its own task."""
        if not self._warned:
            self._warned = True
            _log.warning("%s Now %d of them are in flight.", _NESTED, window.in_flight)

    def snapshot(self) -> Mapping[WindowKey, Snapshot]:
        """Return the figures of every window."""
        return {
            WindowKey(url, f"{account:x}", model): queue.snapshot()
            for (url, account, model), queue in tuple(self._by_model.items())
        }


class LimitsView:
    """``zai.limits``: what the limiter has found out."""

    def __init__(self, queues: LimiterQueues) -> None:
        self._queues = queues

    def snapshot(self) -> Mapping[str, Snapshot]:
        """Return for each model how many requests may be, are, and wait to be in flight.

        The windows of several keys count together.
        """
        views: dict[str, Snapshot] = {}
        for key, figures in self._queues.snapshot().items():
            views[key.model] = figures + views[key.model] if key.model in views else figures
        return views


class Permit(msgspec.Struct, eq=False):
    """Allows a call to be in flight, from before a request until its answer is complete."""

    queues: LimiterQueues
    queue: LimiterQueue
    entry: QueueEntry | None = None
    settling: QueueEntry | None = None
    """A request that needs no permit any more, but has not told what it used."""
    suspect: bool = False
    """Whether this request is refused again and again while others pass."""
    nested: bool = False
    """Whether it has waited for permits that its own task holds."""

    def try_take(self) -> bool:
        """Take a permit if one is free, or if this call has one already."""
        if self.entry is None:
            self.entry = self.queue.try_enter()
        return self.entry is not None

    async def take(self, deadline_at: float | None = None, *, background: bool = False) -> None:
        """Wait for a permit, unless there is one already."""
        if self.entry is None:
            wait = self.queue.enter(self._warn, deadline_at, background=background)
            self.entry = await wait

    def accepted(self) -> None:
        """Report that the request was not refused."""
        if self.entry is not None:
            with self.queue.lock:
                self.queue.window.accepted(self.entry)

    def adopt(self) -> None:
        """Note that it is the running task that holds the permit now."""
        if self.entry is not None:
            nest(self.entry)

    def counts(self, error: ZaiError) -> bool:
        """Tell whether an error says something about the number of requests in flight."""
        about_load = isinstance(error, RateLimitError) or error.kind == "local"
        return about_load and self.queues.queues and self.entry is not None

    async def again(self, error: ZaiError) -> None:
        """Give the permit of a refused request back, and wait at the head of the queue.

        What the server asks to wait (``Retry-After``) is waited without a permit.
        """
        entry, self.entry = self.entry, None
        if entry is None:
            return
        rest = error.retry_after or 0.0
        await self.queue.return_to(entry, _meaning_of(error), self._warn, rest)
        self.entry = entry
        self.suspect = entry.suspect is not None

    def refused(self, error: ZaiError) -> None:
        """Give the permit of a request back that was refused and is not sent again.

        Whoever retries on their own shares a limit as well, which is found by refusals only.
        """
        entry, self.entry = self.entry, None
        if entry is not None:
            self.queue.refused(entry, _meaning_of(error))

    @property
    def hint(self) -> str | None:
        """Why a call may have waited in vain, where the limiter knows."""
        if self.nested:
            return _NESTED
        return _SUSPECT if self.suspect else None

    @property
    def figures(self) -> Snapshot:
        """The window of the model, as it is now."""
        return self.queue.snapshot()

    @property
    def situation(self) -> str:
        """What a call waits for, in words for people."""
        figures = self.figures
        if figures.limit is None:
            return "as much as one minute allows has been sent"
        who = "the account allows" if figures.rejected else "the limit is"
        return f"{who} {figures.limit} at a time"

    def received(self) -> None:
        """Give the permit back as the answer is complete; what it used is told later."""
        if self.entry is not None:
            self.settling, self.entry = self.entry, None
            self.queue.leave(self.settling)

    def leave(self, *, tokens: int | None = None) -> None:
        """Give the permit back, and say how many tokens were used; again is harmless."""
        entry, self.entry = self.entry or self.settling, None
        if entry is not None:
            self.settling = None
            self.queue.leave(entry, tokens=tokens)

    def _warn(self) -> None:
        self.nested = True
        self.queues.warn_of_nesting(self.figures)


def _meaning_of(error: ZaiError) -> Refusal:
    """Return what a refusal says about the number of requests in flight."""
    return _CODES.get(error.code) or _KINDS.get(error.kind, "unknown")


class Watched(Protocol):
    """What has a limit on its waiting."""

    @property
    def shortest_timeout(self) -> float:
        """Seconds of the shortest limit, infinite without one."""
        ...

    def look(self, now: float, passed: float) -> None:
        """Check the limits ``passed`` seconds after the look before."""
        ...

    def interrupt(self, *, forked: bool = False) -> None:
        """End, because the client is drained, or because this is a child's copy."""
        ...


class Watchdog:
    """One timer for all open streams of a loop: who has waited for how long?

    A timer armed at each read costs more than reading and decoding a token. This one looks at a
    counter of each stream a few times per timeout, and costs nothing while tokens flow.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # A stream that was forgotten has to go at once, and says so when it does.
        self._watched: WeakSet[Watched] = WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._last = 0.0

    def add(self, watched: Watched) -> None:
        """Begin to look after something."""
        self._watched.add(watched)
        due = self._loop.time() + _pace(watched.shortest_timeout)
        # Asking all the others for their timeouts would make each new stream dearer.
        if self._timer is None or due < self._due:
            self._last = self._loop.time()
            self._arm(due)

    def remove(self, watched: Watched) -> None:
        """Stop looking after something; the timer stays for what may come before it is due."""
        self._watched.discard(watched)

    def interrupt(self, *, forked: bool = False) -> None:
        """End everything that is looked after."""
        for watched in tuple(self._watched):
            watched.interrupt(forked=forked)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = due, self._loop.call_at(due, self._look)

    def _look(self) -> None:
        now, self._timer = self._loop.time(), None
        # A loop that was held up looks late: what counts is the time that really has passed.
        passed, self._last = now - self._last, now
        # Copied, because a stream that is ended leaves at once.
        for watched in tuple(self._watched):
            watched.look(now, passed)
        if self._watched:
            timeout = min((watched.shortest_timeout for watched in self._watched), default=_LONGEST)
            self._arm(now + _pace(timeout))


def _pace(timeout: float) -> float:
    """Return the time between two looks at what has such a timeout."""
    return min(_LONGEST, max(_SHORTEST, timeout / _SHARE))
