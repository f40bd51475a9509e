"""The queue of one model, and the way of a call through it."""

import math
from bisect import bisect_right, insort
from collections import OrderedDict
from typing import Literal

import msgspec

from zai_async.limiter.settings import Limits
from zai_async.limiter.size import Size

__all__ = ["Bucket", "Refusal", "Snapshot", "Ticket", "Window"]

Refusal = Literal["throttle", "overload"]
"""The kinds of errors that say something about the number of requests in flight."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_FIRST_REST, _LONGEST_REST = 1.0, 30.0
_FIRST_PATIENCE, _LONGEST_PATIENCE = 1.0, 10.0
_SUSPICIOUS = 2
_MINUTE = 60.0


class Ticket(msgspec.Struct, eq=False, gc=False):
    """One call on its way through a window, however often it is sent."""

    tokens: float = 0.0
    """Tokens it is expected to use."""
    refusals: int = 0
    """How often it was refused."""
    suspect: Literal["request-specific"] | None = None
    """Set when it is refused again and again while others pass."""
    rests_until: float = -math.inf
    """Until when others go first."""
    exceptions: int = 0
    """Refusals that say nothing about the window, since others passed."""
    sent_at: float = 0.0
    load: int = 0
    """Requests in flight when it was last sent, itself included."""
    round: int = 0
    """How often the window had shrunk by then."""
    rejected_before: int = 0
    """Refusals of the whole window by then."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A window as it is now."""

    limit: int | None
    """Requests that may be in flight; None when it is off."""
    in_flight: int
    waiting: int
    rejected: int
    """Refusals so far."""
    paused_until: float | None
    """When the next request goes out, on the caller's clock; None when nothing is paused."""


class Window:
    """The requests of one model: who waits, who is in flight, and who may go.

    Args:
        limits: What the user has said about it.
        size: Another way to size the window, for comparison.
    """

    def __init__(self, limits: Limits, size: Size | None = None) -> None:
        self._size = size or _size_of(limits)
        self._pausing = limits.mode != "off"
        self._requests = Bucket(limits.requests_per_minute or math.inf)
        self._tokens = Bucket(limits.tokens_per_minute or math.inf)
        self._metered = bool(limits.requests_per_minute or limits.tokens_per_minute)
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()
        self._resting: list[Ticket] = []  # by the end of their rest
        self._running: set[Ticket] = set()
        self._unsure: OrderedDict[Ticket, None] = OrderedDict()
        self._round = 0
        self._in_a_row = 0
        # What one request says twice in a row is said once.
        self._last_witness: Ticket | None = None
        self._rejected = 0
        self._pauses = 0
        self._paused_until = -math.inf
        self._patience = _FIRST_PATIENCE

    def request(self, *, tokens: float = 0.0) -> Ticket:
        """Join the queue with a request that is expected to use so many tokens."""
        ticket = Ticket(tokens)
        self._waiting[ticket] = None
        return ticket

    def admit(self, now: float) -> list[Ticket]:
        """Return the requests to be sent now, in their order; they are in flight from here on."""
        self._believe(now)
        self._awaken(now)
        going: list[Ticket] = []
        while (ticket := self._first(now)) is not None:
            self._send(ticket, now)
            going.append(ticket)
        return going

    def next_at(self, now: float) -> float | None:
        """Return when ``admit()`` has news although nothing was reported; None for never.

        To be asked after ``admit()``.
        """
        if not (self._waiting or self._resting):
            return None
        if not self._is_full():
            return max(now, self._paused_until, self._next_turn())
        oldest = next(iter(self._unsure), None)
        return None if oldest is None else max(now, oldest.sent_at + self._patience)

    def accepted(self, ticket: Ticket) -> None:
        """Report that a request was not refused: a status came, or any other proof of work."""
        if ticket not in self._unsure:
            return
        del self._unsure[ticket]
        if ticket.round == self._round:
            self._in_a_row = 0
            self._pauses = 0
            self._size.accepted(ticket.load)

    def rejected(self, ticket: Ticket, now: float, kind: Refusal, *, chance: float) -> None:
        """Report a refusal; after a rest the request returns to the head of the queue.

        ``chance`` in [0, 1) spreads the pauses of several processes. A request that has been
        released stays so.
        """
        if ticket not in self._running:
            return
        fine = self._fine(ticket)
        self._leave(ticket)
        self._tokens.correct(-ticket.tokens)
        self._rejected += 1
        ticket.refusals += 1
        self._patience = min(max(self._patience, 2 * (now - ticket.sent_at)), _LONGEST_PATIENCE)
        if ticket.refusals > 1 and not self._in_a_row:
            self._except(ticket, kind)
        elif ticket is not self._last_witness:
            self._shrink(ticket, fine)
        if self._pausing and self._in_a_row and not self._running:
            self._pause(now, chance)
        ticket.rests_until = now + _wait(ticket.refusals, _FIRST_REST, _LONGEST_REST, chance)
        insort(self._resting, ticket, key=_end_of_rest)

    def released(self, ticket: Ticket, *, tokens: float | None = None) -> None:
        """Report that a call is over, in whichever way; again is harmless.

        ``tokens`` tells how many it used, if that is known.
        """
        known = ticket in self._running
        self._leave(ticket)
        self._waiting.pop(ticket, None)
        if ticket in self._resting:
            self._resting.remove(ticket)
        if known and tokens is not None:
            self._tokens.correct(tokens - ticket.tokens)

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        limit = self._size.limit
        return Snapshot(
            limit=None if limit == math.inf else int(limit),
            in_flight=len(self._running),
            waiting=len(self._waiting) + len(self._resting),
            rejected=self._rejected,
            paused_until=self._paused_until if self._pauses else None,
        )

    def _believe(self, now: float) -> None:
        """Take what has not been refused for a while as accepted: refusals come at once."""
        while self._unsure:
            oldest = next(iter(self._unsure))
            if now < oldest.sent_at + self._patience:
                return
            self.accepted(oldest)

    def _awaken(self, now: float) -> None:
        """Put those who have rested to the head of the queue."""
        ended = bisect_right(self._resting, now, key=_end_of_rest)
        for ticket in reversed(self._resting[:ended]):
            self._waiting[ticket] = None
            self._waiting.move_to_end(ticket, last=False)
        del self._resting[:ended]

    def _first(self, now: float) -> Ticket | None:
        """Return the first that may go now, None if nobody may."""
        if not self._waiting or now < self._paused_until:
            return None
        ticket = next(iter(self._waiting))
        if self._metered and self._funded_at(ticket) > now:
            return None
        return ticket if not self._is_full() or self._grow() else None

    def _next_turn(self) -> float:
        if self._waiting:
            return self._funded_at(next(iter(self._waiting)))
        return self._resting[0].rests_until

    def _funded_at(self, ticket: Ticket) -> float:
        return max(self._requests.ready_at(1), self._tokens.ready_at(ticket.tokens))

    def _is_full(self) -> bool:
        return len(self._running) >= (1 if self._pauses else self._size.limit)

    def _grow(self) -> bool:
        return not self._pauses and self._size.grow()

    def _send(self, ticket: Ticket, now: float) -> None:
        del self._waiting[ticket]
        self._running.add(ticket)
        self._unsure[ticket] = None
        if self._metered:
            self._requests.take(1, now)
            self._tokens.take(ticket.tokens, now)
        ticket.sent_at = now
        ticket.load = len(self._running)
        ticket.round = self._round
        ticket.rejected_before = self._rejected

    def _leave(self, ticket: Ticket) -> None:
        self._running.discard(ticket)
        self._unsure.pop(ticket, None)

    def _fine(self, ticket: Ticket) -> int:
        """Count the requests that were in flight with a refused one, and passed.

        Those that ended since are missing now, those that took their place were not there then:
        the larger figure is right.
        """
        refused_since = self._rejected - ticket.rejected_before
        return max(len(self._running) - 1, ticket.load - 1 - refused_since)

    def _shrink(self, ticket: Ticket, fine: int) -> None:
        if ticket.round == self._round and ticket.load <= self._size.limit:
            self._round += 1
            self._in_a_row += 1
            self._last_witness = ticket
            self._size.refused(fine, in_a_row=self._in_a_row)
        else:
            self._size.settle(fine)

    def _pause(self, now: float, chance: float) -> None:
        """Let one request ask after a while, as nothing in flight will tell when to go on."""
        self._size.collapse()
        self._pauses += 1
        self._paused_until = now + _wait(self._pauses, _FIRST_PAUSE, _LONGEST_PAUSE, chance)

    def _except(self, ticket: Ticket, kind: Refusal) -> None:
        """Hold a refusal against the request and not against the window: others have passed."""
        ticket.exceptions += 1
        if ticket.exceptions == _SUSPICIOUS:
            self._size.look_again()
        if kind == "overload" and ticket.exceptions >= _SUSPICIOUS:
            ticket.suspect = "request-specific"


def _size_of(limits: Limits) -> Size:
    if limits.mode == "adaptive":
        return Size(limits.start, limits.least, limits.ceiling)
    fixed = limits.start if limits.mode == "fixed" else math.inf
    return Size(start=fixed, least=fixed, most=fixed)


def _end_of_rest(ticket: Ticket) -> float:
    return ticket.rests_until


def _wait(repetition: int, first: float, longest: float, chance: float) -> float:
    """Return seconds that double with each repetition; the later half of them is chance."""
    return min(first * 2.0 ** min(repetition - 1, 32), longest) * (1 + chance) / 2


class Bucket:
    """Units that flow in at a steady rate, up to a minute's worth, and are taken out.

    One number suffices: the moment at which the bucket will be full again.
    """

    def __init__(self, per_minute: float) -> None:
        self._spacing = _MINUTE / per_minute
        self._full_at = -math.inf

    def ready_at(self, amount: float) -> float:
        """Return when so much can be taken; more than a full bucket holds waits for a full one."""
        return self._full_at + min(amount * self._spacing, _MINUTE) - _MINUTE

    def take(self, amount: float, now: float) -> None:
        """Take units out; the bucket may be overdrawn."""
        self._full_at = max(self._full_at, now) + amount * self._spacing

    def correct(self, difference: float) -> None:
        """Take more out, or put some back, after an estimate has turned out wrong."""
        self._full_at += difference * self._spacing
