"""The place of one call in the queue of its model."""

from collections.abc import Mapping
from typing import Any, Final

from zai_async._clock import Clock
from zai_async.errors import RateLimitError, ZaiError
from zai_async.limiter import Refusal, Ticket, WindowKey
from zai_async.session.gate import Gate, Gates
from zai_async.session.settings import Settings

__all__ = ["Turn", "turn_of"]

_NAMES: Final = ("model", "agent_id")


class Turn:
    """Holds a slot from before the request until the answer is read, or the stream closed."""

    def __init__(self, gate: Gate, clock: Clock, *, queues: bool) -> None:
        self._gate = gate
        self._queues = queues
        self._clock = clock
        self._ticket: Ticket | None = None
        self._suspect = False

    def try_take(self) -> bool:
        """Take a slot if one is free, or if this call has one already."""
        if self._ticket is None:
            self._ticket = self._gate.try_enter(self._clock)
        return self._ticket is not None

    async def take(self) -> None:
        """Wait for a slot."""
        self._ticket = await self._gate.enter(self._clock)

    def accepted(self) -> None:
        """Report that the request was not refused."""
        if self._ticket is not None:
            self._gate.accepted(self._ticket)

    def counts(self, error: ZaiError) -> bool:
        """Tell whether an error says something about the number of requests in flight."""
        return self._queues and isinstance(error, RateLimitError) and self._ticket is not None

    async def again(self, error: ZaiError) -> None:
        """Give the slot of a refused request back, and wait at the head of the queue."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            kind: Refusal = "overload" if error.kind == "overload" else "throttle"
            await self._gate.return_to(ticket, kind, self._clock)
            self._ticket = ticket
            self._suspect = ticket.suspect is not None

    @property
    def suspect(self) -> bool:
        """Whether this request is refused again and again while others pass."""
        return self._suspect

    def leave(self) -> None:
        """Give the slot back; again is harmless."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._gate.leave(ticket, self._clock)


def turn_of(settings: Settings, gates: Gates, operation: str, params: Mapping[str, Any]) -> Turn:
    """Return the turn of a call: models are counted apart, and accounts, and gateways."""
    model = next((str(params[name]) for name in _NAMES if params.get(name)), operation)
    account = f"{hash(settings.key):x}"
    gate = gates.gate(WindowKey(settings.provider.base_url, account, model))
    return Turn(gate, settings.clock, queues=gates.queues)
