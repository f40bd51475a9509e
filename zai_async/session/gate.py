"""Waiting for a slot: the limiter decides who may go, this room lets them wait."""

import asyncio
import threading
from collections.abc import Mapping

from zai_async._clock import Clock
from zai_async._secrets import Secret
from zai_async.limiter import Limiter, Limits, Refusal, Snapshot, Ticket, Window, WindowKey
from zai_async.session.coordination import Coordinator

__all__ = ["Gate", "Gates", "LimitsView"]

_MEMORY = 8
"""Calls after which most of what was known about their size is forgotten."""


class Gate:
    """The way into one window, for the tasks of any number of event loops."""

    def __init__(self, window: Window) -> None:
        self._window = window
        # A client may be used by several threads; nothing is awaited while it is held. The garbage
        # collector may run inside, and gives back what was forgotten.
        self._lock = threading.RLock()
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}
        self._usual_tokens = 0.0
        self._counted = 0
        self._timer: asyncio.TimerHandle | None = None

    def try_enter(self, clock: Clock) -> Ticket | None:
        """Take a slot if one is free and nobody waits for it."""
        with self._lock:
            if self._waiters:
                return None
            ticket = self._window.request(tokens=self._usual_tokens)
            if self._window.admit(clock.monotonic()):
                return ticket
            self._window.released(ticket)
            return None

    async def enter(self, clock: Clock) -> Ticket:
        """Wait for a slot and take it."""
        with self._lock:
            ticket = self._window.request(tokens=self._usual_tokens)
            admitted = self._window.admit(clock.monotonic())
            waiter = self._wait_for(ticket, admitted, clock)
        await self._waited(ticket, waiter, clock)
        return ticket

    async def return_to(self, ticket: Ticket, kind: Refusal, clock: Clock) -> None:
        """Give the slot of a refused request back, and wait at the head of the queue."""
        with self._lock:
            now = clock.monotonic()
            self._window.rejected(ticket, now, kind, chance=clock.random())
            waiter = self._wait_for(ticket, self._window.admit(now), clock)
        await self._waited(ticket, waiter, clock)

    def accepted(self, ticket: Ticket) -> None:
        """Report that a request was not refused."""
        with self._lock:
            self._window.accepted(ticket)

    def leave(self, ticket: Ticket, clock: Clock, *, tokens: int | None = None) -> None:
        """Give a slot back, or the place in the queue; again is harmless.

        ``tokens`` tells how many were used, if that is known; the next are expected to use as
        many as those before them.
        """
        with self._lock:
            self._waiters.pop(ticket, None)
            self._window.released(ticket, tokens=tokens)
            if tokens is not None:
                self._learn(tokens)
            waiter = next(iter(self._waiters.values()), None)
        if waiter is None:
            return
        if _running_loop() is not None:
            self._look(clock)
        elif not waiter.get_loop().is_closed():
            # Nobody's task: the garbage collector gives back what was forgotten.
            waiter.get_loop().call_soon_threadsafe(self._look, clock)

    def _learn(self, tokens: int) -> None:
        self._counted = min(self._counted + 1, _MEMORY)
        self._usual_tokens += (tokens - self._usual_tokens) / self._counted

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        with self._lock:
            return self._window.snapshot()

    def _wait_for(
        self, ticket: Ticket, admitted: list[Ticket], clock: Clock
    ) -> asyncio.Future[None]:
        waiter = self._waiters[ticket] = asyncio.get_running_loop().create_future()
        self._let_in(admitted, clock)
        return waiter

    async def _waited(self, ticket: Ticket, waiter: asyncio.Future[None], clock: Clock) -> None:
        try:
            await waiter
        except BaseException:
            self.leave(ticket, clock)
            raise

    def _let_in(self, admitted: list[Ticket], clock: Clock) -> None:
        while dead := [one for one in admitted if not _wake(self._waiters.pop(one))]:
            for ticket in dead:
                self._window.released(ticket)
            admitted = self._window.admit(clock.monotonic())
        self._look_again(clock)

    def _look_again(self, clock: Clock) -> None:
        """Come back when time alone may let somebody in."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = clock.monotonic()
        moment = self._window.next_at(now)
        if moment is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, moment - now), self._look, clock)

    def _look(self, clock: Clock) -> None:
        with self._lock:
            self._let_in(self._window.admit(clock.monotonic()), clock)


def _wake(waiter: asyncio.Future[None]) -> bool:
    """Let the task go on; False if its event loop is closed."""
    loop = waiter.get_loop()
    if loop is _running_loop():
        _resolve(waiter)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(_resolve, waiter)
    return not loop.is_closed()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _resolve(waiter: asyncio.Future[None]) -> None:
    # A cancelled waiter gives its slot back itself.
    if not waiter.done():
        waiter.set_result(None)


class Gates:
    """The gates of a client, one for each window of its limiter."""

    def __init__(self, limits: Limits, coordinator: Coordinator | None = None) -> None:
        self.coordinator = coordinator
        """Who else hands out slots; each window has ``slots`` of them."""
        self.slots = limits.start
        self.queues = limits.mode != "off"
        """Whether a refused request waits for a slot; else it waits as the retry policy says."""
        self._limiter = Limiter(limits)
        self._gates: dict[WindowKey, Gate] = {}
        self._places: dict[tuple[str, Secret | None, str], Gate] = {}

    def gate_of(self, url: str, key: Secret | None, model: str) -> Gate:
        """Return the gate of a model: those of accounts are counted apart, and of gateways."""
        place = url, key, model
        gate = self._places.get(place)
        if gate is None:
            window = WindowKey(url, f"{hash(key):x}", model)
            gate = self._places[place] = self.gate(window)
        return gate

    def gate(self, key: WindowKey) -> Gate:
        """Return the gate of a model."""
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates.setdefault(key, Gate(self._limiter.window(key)))
        return gate

    def snapshot(self) -> Mapping[WindowKey, Snapshot]:
        """Return the figures of every window."""
        return {key: gate.snapshot() for key, gate in self._gates.items()}


class LimitsView:
    """``zai.limits``: what the limiter has found out."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates

    def snapshot(self) -> Mapping[str, Snapshot]:
        """Return for each model how many requests may be, are, and wait to be in flight."""
        return {key.model: figures for key, figures in self._gates.snapshot().items()}
