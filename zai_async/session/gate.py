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
from typing import Final

import msgspec

from zai_async._clock import Clock
from zai_async.errors import RateLimitError, ZaiError
from zai_async.limiter import Limits, QueueEntry, Refusal, Snapshot, Window, WindowKey
from zai_async.session.coordination import Coordinator, window_name
from zai_async.session.settings import Settings
from zai_async.session.waiting import WaitingList

__all__ = ["LimiterQueue", "LimiterQueues", "LimitsView", "Permit"]

_log = logging.getLogger("zai_async")

_MEMORY: Final = 8
"""Calls after which most of what was known about their size is forgotten."""
_MOST_WINDOWS: Final = 1000
"""Models whose windows are remembered; a service may pass names of its users' choice on."""
_NESTED: Final = (
    "The call waits for a permit while only streams of its own task hold permits:"
    " close the open stream before calling, or allow more requests in flight (limits=...)."
)
_SUSPECT: Final = "Other requests to this model succeed; the cause may be specific to this request."
# What a refusal claims to be about: https://docs.z.ai/api-reference/api-code says it of the codes.
_CODES: Final[Mapping[str | None, Refusal]] = {"1302": "concurrency", "1303": "rate"}
_KINDS: Final[Mapping[str, Refusal]] = {"overload": "overload", "local": "local"}

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

    def __init__(self, window: Window, clock: Clock) -> None:
        self.window = window
        self.used_at = 0.0
        self._clock = clock
        self._usual_tokens = 0.0
        self._counted = 0
        self._start_clean()

    def _start_clean(self) -> None:
        """Begin without requests: after a fork they are the parent's, and so is the lock."""
        # A client may be used by several threads; nothing is awaited while it is held. The garbage
        # collector may run inside, and gives back what was forgotten.
        self.lock = threading.RLock()
        self._process = os.getpid()
        self._waiting = WaitingList(self.window, self._clock, self.lock)
        self.window.forget_requests()

    def try_enter(self) -> QueueEntry | None:
        """Take a permit if one is free and nobody waits for it."""
        if self._process != os.getpid():
            self._start_clean()
        loop = asyncio.get_running_loop()
        with self.lock:
            if loop not in self._waiting.timers:
                self._waiting.register(loop)
            self.used_at = self._clock.monotonic()
            entry = self.window.try_admit(self.used_at, self._usual_tokens, loop)
        if entry is not None:
            nest(entry)
        return entry

    async def enter(self, warn: Callable[[], None]) -> QueueEntry:
        """Wait for a permit; ``warn`` is called if nobody else can give one back."""
        with self.lock:
            loop = asyncio.get_running_loop()
            entry = self.window.request(tokens=self._usual_tokens, owner=loop)
            waiter = self._waiting.add(entry, _innermost.get(), warn)
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
            now, jitter = self._clock.monotonic(), self._clock.random()
            self.window.rejected(entry, now, kind, jitter=jitter, rest=rest)
            waiter = self._waiting.add(entry, _innermost.get(), warn)
        await self._until_admitted(entry, waiter)

    def refused(self, entry: QueueEntry, kind: Refusal) -> None:
        """Report a refusal after which nothing is tried again, and take the permit back."""
        with self.lock:
            now, jitter = self._clock.monotonic(), self._clock.random()
            self.window.rejected(entry, now, kind, jitter=jitter)
        self.leave(entry)

    async def _until_admitted(self, entry: QueueEntry, waiter: asyncio.Future[None]) -> None:
        try:
            await waiter
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
            if self._waiting.waiters:
                self._waiting.discard(entry)

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back what the calls of an event loop hold that is about to close."""
        if self._process == os.getpid():
            with self.lock:
                self._waiting.forget(loop)

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        with self.lock:
            return self.window.snapshot()


class LimiterQueues:
    """The queues of a client: one for each gateway, account and model."""

    def __init__(self, limits: Limits, coordinator: Coordinator | None = None) -> None:
        self.coordinator = coordinator
        """Who else hands out slots; each window has ``slots`` of them."""
        self.slots = limits.start
        self.queues = limits.mode != "off"
        """Whether a refused request waits for a permit; else it waits as the retry policy says."""
        self._limits = limits
        self._by_model: dict[tuple[str, int, str], LimiterQueue] = {}
        self._warned = False

    def permit(self, settings: Settings, model: str) -> "Permit":
        """Return the permit of a call, which it does not hold yet."""
        account = 0 if settings.key is None else settings.key.identity
        place = settings.provider.base_url, account, model
        queue = self._by_model.get(place)
        if queue is None:
            if len(self._by_model) >= _MOST_WINDOWS:
                self._forget_idle()
            queue = LimiterQueue(Window(self._limits), settings.clock)
            queue = self._by_model.setdefault(place, queue)
        window = ""
        if self.coordinator is not None:
            # Unlike a hash of Python's, this is the same in every process.
            key = settings.key.reveal() if settings.key else ""
            window = window_name(settings.provider.base_url, key, model)
        return Permit(self, queue, window)

    def _forget_idle(self) -> None:
        """Forget the models that were used least recently, a tenth of them at once."""
        places = sorted(self._by_model, key=lambda place: self._by_model[place].used_at)
        for place in places[: _MOST_WINDOWS // 10]:
            figures = self._by_model[place].snapshot()
            if not (figures.in_flight or figures.waiting):
                self._by_model.pop(place, None)

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back the permits of an event loop that is about to close."""
        for queue in tuple(self._by_model.values()):
            queue.abandon(loop)

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
        """Return for each model how many requests may be, are, and wait to be in flight."""
        return {key.model: figures for key, figures in self._queues.snapshot().items()}


class Permit(msgspec.Struct, eq=False):
    """Allows a call to be in flight, from before a request until its answer is complete."""

    queues: LimiterQueues
    queue: LimiterQueue
    window: str
    """What the coordinator calls the window."""
    entry: QueueEntry | None = None
    settling: QueueEntry | None = None
    """A request that needs no permit any more, but has not told what it used."""
    suspect: bool = False
    """Whether this request is refused again and again while others pass."""
    nested: bool = False
    """Whether it has waited for permits that its own task holds."""
    release: Callable[[], None] | None = None
    """Gives a slot back that several processes share."""
    process: int = 0
    """Where that slot was taken."""

    def try_take(self) -> bool:
        """Take a permit if one is free, or if this call has one already."""
        if self.entry is None:
            self.entry = self.queue.try_enter()
        if self.entry is None:
            return False
        return self.queues.coordinator is None or self.release is not None

    @property
    def admitted(self) -> bool:
        """Whether the limiter of this process lets the call go."""
        return self.entry is not None

    async def take(self) -> None:
        """Wait for a permit."""
        if self.entry is None:
            self.entry = await self.queue.enter(self._warn)
        await self._take_share()

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
        if self.release is not None:
            self._give_share_back()
        entry, self.entry = self.entry, None
        if entry is None:
            return
        rest = error.retry_after or 0.0
        await self.queue.return_to(entry, _meaning_of(error), self._warn, rest)
        self.entry = entry
        self.suspect = entry.suspect is not None
        if self.queues.coordinator is not None:
            await self._take_share()

    def refused(self, error: ZaiError) -> None:
        """Give the permit of a request back that was refused and is not sent again.

        Whoever retries on their own shares a limit as well, which is found by refusals only.
        """
        self._give_share_back()
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
            self._give_share_back()

    def leave(self, *, tokens: int | None = None) -> None:
        """Give the permit back, and say how many tokens were used; again is harmless."""
        if self.release is not None:
            self._give_share_back()
        entry, self.entry = self.entry or self.settling, None
        if entry is not None:
            self.settling = None
            self.queue.leave(entry, tokens=tokens)

    def _warn(self) -> None:
        self.nested = True
        self.queues.warn_of_nesting(self.figures)

    async def _take_share(self) -> None:
        """Wait for a slot of those that several processes have together."""
        coordinator = self.queues.coordinator
        if coordinator is not None and self.release is None:
            self.release = await coordinator.acquire(self.window, self.queues.slots)
            self.process = os.getpid()

    def _give_share_back(self) -> None:
        release, self.release = self.release, None
        # The child of a fork must not free what its parent still uses.
        if release is not None and self.process == os.getpid():
            release()


def _meaning_of(error: ZaiError) -> Refusal:
    """Return what a refusal says about the number of requests in flight."""
    return _CODES.get(error.code) or _KINDS.get(error.kind, "unknown")
