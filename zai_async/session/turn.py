"""The place of one call in the queue of its model."""

from collections.abc import Callable

from zai_async._clock import Clock
from zai_async.errors import RateLimitError, ZaiError
from zai_async.limiter import Refusal, Snapshot, Ticket
from zai_async.session.coordination import window_name
from zai_async.session.gate import Gate, Gates
from zai_async.session.settings import Settings

__all__ = ["Turn", "turn_of"]


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
