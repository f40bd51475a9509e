"""Waiting for a slot: the limiter decides who may go, this room lets them wait."""

import asyncio
import threading
from collections.abc import Callable, Mapping

from zai_async._clock import Clock
from zai_async._secrets import Secret
from zai_async._threads import running_loop
from zai_async.errors import RateLimitError, ZaiError
from zai_async.limiter import Limiter, Limits, Refusal, Snapshot, Ticket, Window, WindowKey
from zai_async.session.coordination import Coordinator, window_name
from zai_async.session.settings import Settings

__all__ = ["Gate", "Gates", "LimitsView", "Turn", "turn_of"]

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
        if running_loop() is not None:
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
    if loop is running_loop():
        _resolve(waiter)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(_resolve, waiter)
    return not loop.is_closed()


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


class Turn:
    """Holds a slot from before the request until the answer is read, or the stream closed."""

    def __init__(self, gates: Gates, gate: Gate, clock: Clock, *, window: str) -> None:
        self._gates = gates
        self._gate = gate
        self._window = window
        self._clock = clock
        self._ticket: Ticket | None = None
        self._release: Callable[[], None] | None = None
        self._suspect = False

    def try_take(self) -> bool:
        """Take a slot if one is free, or if this call has one already."""
        if self._ticket is None:
            self._ticket = self._gate.try_enter(self._clock)
        return self._ticket is not None and not self._lacks_share()

    @property
    def admitted(self) -> bool:
        """Whether the limiter of this process lets the call go."""
        return self._ticket is not None

    async def take(self) -> None:
        """Wait for a slot."""
        if self._ticket is None:
            self._ticket = await self._gate.enter(self._clock)
        await self._take_share()

    def accepted(self) -> None:
        """Report that the request was not refused."""
        if self._ticket is not None:
            self._gate.accepted(self._ticket)

    def counts(self, error: ZaiError) -> bool:
        """Tell whether an error says something about the number of requests in flight."""
        return self._gates.queues and isinstance(error, RateLimitError) and self._ticket is not None

    async def again(self, error: ZaiError) -> None:
        """Give the slot of a refused request back, and wait at the head of the queue."""
        self._give_share_back()
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            kind: Refusal = "overload" if error.kind == "overload" else "throttle"
            await self._gate.return_to(ticket, kind, self._clock)
            self._ticket = ticket
            self._suspect = ticket.suspect is not None
            await self._take_share()

    @property
    def suspect(self) -> bool:
        """Whether this request is refused again and again while others pass."""
        return self._suspect

    @property
    def figures(self) -> Snapshot:
        """The window of the model, as it is now."""
        return self._gate.snapshot()

    @property
    def situation(self) -> str:
        """Say for people what a call waits for."""
        figures = self.figures
        if figures.limit is None:
            return "as much as one minute allows has been sent"
        who = "the account allows" if figures.rejected else "the limit is"
        return f"{who} {figures.limit} at a time"

    def leave(self, *, tokens: int | None = None) -> None:
        """Give the slot back, and say how many tokens were used; again is harmless."""
        self._give_share_back()
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._gate.leave(ticket, self._clock, tokens=tokens)

    def _lacks_share(self) -> bool:
        return self._gates.coordinator is not None and self._release is None

    async def _take_share(self) -> None:
        """Wait for a slot of those that several processes have together."""
        coordinator = self._gates.coordinator
        if coordinator is not None and self._release is None:
            self._release = await coordinator.acquire(self._window, self._gates.slots)

    def _give_share_back(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


def turn_of(settings: Settings, gates: Gates, model: str) -> Turn:
    """Return the turn of a call in the window of its model."""
    url, key = settings.provider.base_url, settings.key
    window = ""
    if gates.coordinator is not None:
        # Unlike a hash of Python's, this is the same in every process.
        window = window_name(url, key.reveal() if key else "", model)
    return Turn(gates, gates.gate_of(url, key, model), settings.clock, window=window)
