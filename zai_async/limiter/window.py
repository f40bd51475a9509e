"""The queue of one model, and the way of a call through it."""

import math
from bisect import bisect_right, insort
from collections import OrderedDict, deque
from operator import attrgetter
from typing import Final, Literal

import msgspec

from zai_async.limiter.evidence import Refusals
from zai_async.limiter.pace import SEEN
from zai_async.limiter.settings import Limits
from zai_async.limiter.size import Size
from zai_async.limiter.trials import Refusal

__all__ = ["QueueEntry", "Snapshot", "Window"]

_end_of_rest: Final = attrgetter("rests_until")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
_FIRST_REST, _LONGEST_REST, _LONGEST_SUSPECT_REST = 0.25, 5.0, 30.0
_AFTER_OTHERS: Final = 0.05
_RARE: Final = math.log(0.02)
_SUSPICIOUS: Final = 2
_UNLIKELY: Final = 0.001
_MOST_OVERTAKING: Final = 20
"""So many calls may go before one in the background that came earlier."""


class QueueEntry(msgspec.Struct, eq=False):
    """One call on its way through a window, however often it is sent."""

    tokens: float = 0.0
    """Tokens it is expected to use."""
    owner: object = None
    """The event loop that it lives on, and ends with."""
    outer: "QueueEntry | None" = None
    """What the same task sent before, and still holds a permit for."""
    in_flight: bool = False
    refusals: int = 0
    """How often it was refused."""
    suspect: Literal["request-specific"] | None = None
    """Set when it is refused again and again while others pass."""
    rests_until: float = -math.inf
    """Until when others go first."""
    sent_at: float = 0.0
    number: int = 0
    """Its place among all that were ever sent."""
    level: int = 0
    """Requests in flight when it was last sent, itself included."""
    round: int = 0
    """How often the window had been cut by then."""
    refused_before: int = 0
    """Refusals of the whole window by then."""
    background: bool = False
    """Whether it lets others go first, where a window elsewhere has to be told."""


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

    def __add__(self, other: "Snapshot") -> "Snapshot":
        """Return the figures of two windows together, which are paused while both are."""
        limits, pauses = (self.limit, other.limit), (self.paused_until, other.paused_until)
        return Snapshot(
            limit=None if None in limits else sum(filter(None, limits)),
            in_flight=self.in_flight + other.in_flight,
            waiting=self.waiting + other.waiting,
            rejected=self.rejected + other.rejected,
            paused_until=None if None in pauses else min(p for p in pauses if p is not None),
        )


class Window:
    """The requests of one model: who waits, who is in flight, and who may go.

    Args:
        limits: What the user has said about it.
        size: Another way to size the window, for comparison.
    """

    def __init__(self, limits: Limits, size: Size | None = None) -> None:
        if size is None and limits.mode == "adaptive":
            most = math.inf if limits.most is None else limits.most
            size = Size(limits.start, limits.least, most)
        elif size is None:
            fixed = limits.start if limits.mode == "fixed" else math.inf
            size = Size(start=fixed, least=fixed, most=fixed)
        self._size = size
        self._pausing = limits.mode != "off"
        self._limits = limits
        self._recent: deque[float] = deque(maxlen=SEEN)
        self._metered = bool(limits.requests_per_minute or limits.tokens_per_minute)
        # Most windows never learn of any.
        self._rates = limits.rates(self._recent) if self._metered else None
        self._waiting: OrderedDict[QueueEntry, None] = OrderedDict()
        self._background: dict[QueueEntry, int] = {}
        """Those in the queue that let others go first, and how often they have done so."""
        self._resting: list[QueueEntry] = []  # by the end of their rest
        self._running: dict[QueueEntry, None] = {}
        # Refusals come at once: who has not been refused for a while, has passed.
        self._unsure: OrderedDict[QueueEntry, None] = OrderedDict()
        self._refusals = Refusals()
        self._last_witness: QueueEntry | None = None
        self._refused_in_a_row = 0
        self._pauses = 0.0
        self._paused_until = -math.inf
        self._sent = 0
        self._hold_back()

    @property
    def in_flight(self) -> int:
        """Requests that hold a permit."""
        return len(self._running)

    @property
    def first(self) -> QueueEntry | None:
        """The request that goes next, also if it rests."""
        return next(iter(self._waiting), self._resting[0] if self._resting else None)

    def sends(self, entry: QueueEntry) -> bool:
        """Tell whether a request holds a permit of this window."""
        return entry in self._running

    def owned_by(self, owner: object) -> list[QueueEntry]:
        """Return the requests of an event loop, whether they wait or are in flight."""
        everyone = (*self._waiting, *self._resting, *self._running)
        return [entry for entry in everyone if entry.owner is owner]

    def forget_requests(self) -> None:
        """Forget all requests, and keep what was learnt: they are another process's."""
        for entry in self._running:
            entry.in_flight = False
        for group in (
            *(self._waiting, self._background),
            *(self._resting, self._running, self._unsure),
        ):
            group.clear()

    def try_admit(self, now: float, tokens: float = 0.0, owner: object = None) -> QueueEntry | None:
        """Let a request go at once; None if it has to queue, or if others come first."""
        # Each call passes here: the usual case needs no more than this comparison.
        if self._waiting or (self._resting and self._resting[0].rests_until <= now):
            return None
        entry = QueueEntry(tokens, owner)
        if not self._held_back and len(self._running) < self._size.limit:
            self._send(entry, now)
            return entry
        self._waiting[entry] = None
        if self.admit(now):
            return entry
        del self._waiting[entry]
        return None

    def request(
        self, *, tokens: float = 0.0, owner: object = None, background: bool = False
    ) -> QueueEntry:
        """Join the queue with a request that is expected to use so many tokens.

        One in the background lets others go first, but no more than a number of them.
        """
        entry = QueueEntry(tokens, owner)
        self._waiting[entry] = None
        if background:
            self._background[entry] = 0
            return entry
        # Each that comes passes all in the background, until those have waited for their number:
        # under a steady load they would else never go.
        for other, overtaken in tuple(self._background.items()):
            if overtaken < _MOST_OVERTAKING:
                self._background[other] = overtaken + 1
                self._waiting.move_to_end(other)
            else:
                del self._background[other]
        return entry

    def expect(self, tokens: float) -> None:
        """Learn how many tokens each of those that wait will use."""
        for entry in (*self._waiting, *self._resting):
            entry.tokens = tokens

    def adopt(self, now: float) -> QueueEntry:
        """Count a request that is in flight already, whatever the window allows."""
        entry = QueueEntry()
        self._send(entry, now)
        return entry

    def admit(self, now: float) -> list[QueueEntry]:
        """Return the requests to be sent now, in their order; they are in flight from here on."""
        # Refusals come at once: what has not been refused for a while counts as accepted.
        while self._unsure:
            oldest = next(iter(self._unsure))
            if now < oldest.sent_at + self._refusals.patience:
                break
            self.accepted(oldest)
        # From the last to the first, so that who has rested longest stands at the head.
        rested = bisect_right(self._resting, now, key=_end_of_rest)
        for entry in reversed(self._resting[:rested]):
            self._waiting[entry] = None
            self._waiting.move_to_end(entry, last=False)
        del self._resting[:rested]
        if self._size.alert:
            self._refusals.note_over(self._sent - len(self._running), now)
        going: list[QueueEntry] = []
        while self._waiting and now >= self._paused_until:
            entry = next(iter(self._waiting))
            if self._is_metered and self._funded_at(entry, now) > now:
                break
            if self._is_full():
                ended = self._sent - len(self._running) - self._refusals.total
                if self._is_over() or not self._size.grow(now, self._queued, ended):
                    break
            del self._waiting[entry]
            self._background.pop(entry, None)
            self._send(entry, now)
            going.append(entry)
        return going

    def next_at(self, now: float) -> float | None:
        """Return when to ask ``admit()`` again although nothing was reported; None for never."""
        if not (self._waiting or self._resting):
            return None
        if not self._is_full():
            entry = next(iter(self._waiting), None)
            turn = self._resting[0].rests_until if entry is None else now
            if entry is not None and self._is_metered:
                turn = self._funded_at(entry, now)
            return max(now, self._paused_until, turn)
        moment = math.inf if self._is_over() else self._size.probe_at(self._queued)
        if self._unsure:
            moment = min(moment, next(iter(self._unsure)).sent_at + self._refusals.patience)
        if not self._waiting:
            moment = max(moment, self._resting[0].rests_until)  # more room is of no use before
        return None if moment == math.inf else max(now, moment)

    @property
    def earliest(self) -> float:
        """When another request may go at best: the rate is known, and only time brings it back."""
        return -math.inf if self._rates is None else self._rates.requests.ready_at(1)

    def accepted(self, entry: QueueEntry) -> None:
        """Report that a request was not refused: a status came, or any other proof of work."""
        # It has been counted: by a report before this one, or as not refused for a while.
        if self._unsure.pop(entry, entry) is entry:
            return
        size = self._size
        size.passed += 1
        self._recent.append(entry.sent_at)
        if entry.level > size.proven or self._refused_in_a_row or size.alert:
            level = entry.level
            if entry.refused_before < self._refusals.total:
                level -= self._refusals.since(entry)
            over = self._sent - len(self._running)
            arrived = level - self._refusals.ended_with(entry, over)
            if entry.sent_at >= self._paused_until:
                self._pauses, self._refused_in_a_row = 0.0, 0
                self._hold_back()
            size.accepted(level, arrived, entry.round)

    def rejected(
        self, entry: QueueEntry, now: float, kind: Refusal, *, jitter: float, rest: float = 0.0
    ) -> None:
        """Report a refusal; after ``rest`` seconds or more it returns to the head of the queue.

        ``jitter`` in [0, 1) spreads the pauses of several processes. A request that has been
        released stays so.
        """
        if entry not in self._running:
            return
        spread = self._refusals.came_after(now - entry.sent_at)
        self._size.patience = self._refusals.patience
        # Refusals come in order: who was sent before this one, and is not refused, has passed.
        while self._unsure:
            oldest = next(iter(self._unsure))
            if oldest.number >= entry.number or oldest.sent_at > entry.sent_at - spread:
                break
            self.accepted(oldest)
        entry.in_flight = False
        ended = self._refusals.ended_with(entry, self._sent - len(self._running), now - spread)
        del self._running[entry]
        self._unsure.pop(entry, None)
        if self._metered:
            self.correct_tokens(-entry.tokens)
        entry.refusals += 1
        # Of those in flight with it, some have been refused since: they were not fine.
        fine = entry.level - 1 - self._refusals.add(entry)
        again, self._refused_in_a_row = not self._refused_in_a_row, self._refused_in_a_row + 1
        if kind == "rate":
            # It says nothing about the number in flight: a smaller window would only be slower.
            self._rates = self._rates or self._limits.rates(self._recent)
            self._rates.pacer.refused(entry.sent_at, now)
        elif entry.refusals > 1 and again and not self._size.is_probe(entry.level, kind):
            self.mark_request_specific(entry, kind, alone=fine < 1)
        else:
            # What one request says twice in a row is said once.
            if entry is not self._last_witness:
                self._size.refused(fine, fine - ended, kind, now, entry.round)
            self._last_witness = entry
            if self._pausing and not self._running:
                self._size.collapse()
                # Where many are refused anyway, a few in a row are no reason to wait for long.
                self._pauses += math.log(self._size.of(kind).expected) / _RARE
                pause = _backoff(self._pauses, _FIRST_PAUSE, _LONGEST_PAUSE, jitter)
                self._paused_until = now + pause
        self._hold_back()
        longest = _LONGEST_SUSPECT_REST if entry.suspect else _LONGEST_REST
        own = now + max(rest, _backoff(entry.refusals, _FIRST_REST, longest, jitter))
        # After a pause somebody else goes first: this request may be refused for what it says.
        entry.rests_until = max(own, self._paused_until + _AFTER_OTHERS)
        insort(self._resting, entry, key=_end_of_rest)

    def released(self, entry: QueueEntry, *, tokens: float | None = None) -> None:
        """Report that a call is over, in whichever way; again is harmless.

        ``tokens`` tells how many it used, if that is known.
        """
        entry.in_flight = False
        if entry in self._running:
            # Not by a method of its own: each call passes here.
            del self._running[entry]
            self._unsure.pop(entry, None)
        elif entry in self._resting:
            self._resting.remove(entry)
        else:
            self._waiting.pop(entry, None)
            self._background.pop(entry, None)
        if tokens is not None and self._metered and entry.number:
            # It may have been released before it was known what it used.
            self.correct_tokens(tokens - entry.tokens)
            entry.tokens = tokens

    def correct_tokens(self, more: float) -> None:
        """Learn that so many more tokens were used than had been expected, or fewer."""
        if self._metered and self._rates is not None:
            self._rates.tokens.correct(more)

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        limit = self._size.limit
        return Snapshot(
            limit=None if limit == math.inf else int(limit),
            in_flight=len(self._running),
            waiting=len(self._waiting) + len(self._resting),
            rejected=self._refusals.total,
            paused_until=self._paused_until if self._pauses else None,
        )

    def mark_request_specific(self, entry: QueueEntry, kind: Refusal, *, alone: bool) -> None:
        """Hold a refusal against the request and not against the window: others have passed."""
        self._size.is_weather(kind, alone=alone)
        unlikely = self._size.of(kind).expected ** entry.refusals < _UNLIKELY
        if kind != "concurrency" and entry.refusals > _SUSPICIOUS and unlikely:
            entry.suspect = "request-specific"

    def _funded_at(self, entry: QueueEntry, now: float) -> float:
        """Return when the rates, those that are known and that which was found, let it go."""
        return -math.inf if self._rates is None else self._rates.ready_at(entry.tokens, now)

    @property
    def _queued(self) -> int:
        return len(self._waiting) + len(self._resting)

    def _is_over(self) -> bool:
        # What is in flight since before a cut leaves no room for a probe.
        return self._pauses > 0 or len(self._running) > self._size.limit

    def _is_full(self) -> bool:
        return len(self._running) >= (1 if self._pauses else self._size.limit)

    def _hold_back(self) -> None:
        # Two flags in place of four questions, which each call would have to ask.
        rates = self._rates
        self._is_metered = rates is not None and (self._metered or rates.pacer.rate < math.inf)
        self._held_back = self._is_metered or self._pauses > 0

    def _send(self, entry: QueueEntry, now: float) -> None:
        if self._is_metered and self._rates is not None:
            self._rates.take(entry.tokens, now)
        self._running[entry] = self._unsure[entry] = None
        entry.in_flight = True
        entry.sent_at = now
        entry.level = len(self._running)
        entry.round = self._size.round
        entry.number = self._sent = self._sent + 1
        entry.refused_before = self._refusals.total


def _backoff(tries: float, first: float, longest: float, jitter: float) -> float:
    """Return seconds that double with each try; the later half of them is jitter."""
    doublings = min(max(tries - 1.0, 0.0), 32.0)
    return min(first * math.pow(2.0, doublings), longest) * (1 + jitter) / 2
