"""A window that is kept elsewhere, as one of the processes sees it that share it."""

import math
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from zai_async.limiter.exchange import HEARTBEAT, WindowEvent, WindowReply, WindowReport
from zai_async.limiter.settings import Limits
from zai_async.limiter.trials import Refusal
from zai_async.limiter.window import QueueEntry, Snapshot

__all__ = ["WindowLink"]

_AGAIN: Final = 1.0
"""Seconds after which a report is repeated that has failed."""


class WindowLink:
    """Takes the place of a ``Window``, and knows only what the shared one has told.

    What happens is collected for the next report. Nothing here sends it.

    Args:
        limits: What the user has said.
        notify: Called when there is something to report soon.
    """

    def __init__(self, limits: Limits, notify: Callable[[], None]) -> None:
        self._limits = limits
        self._notify = notify
        self._sent = 0
        self._figures = WindowReply(known=True, limit=limits.start)
        self._start_anew()

    def _start_anew(self) -> None:
        self._member = secrets.token_hex(8)
        self._entries: dict[int, QueueEntry] = {}  # that wait or are in flight
        self._granted: list[QueueEntry] = []
        self._events: list[WindowEvent] = []
        self._complete = True  # what is known elsewhere of this process is what the events tell
        self._report: WindowReport | None = None  # without a reply so far
        self._reports = 0
        self._told: int  # the last request that a report has named
        self._given_back = self._reported_back = 0  # permits, since the figures
        self._urgent = False
        self._ask_at = -math.inf

    @property
    def in_flight(self) -> int:
        """Requests that hold a permit, in all processes."""
        return max(0, self._figures.in_flight - self._given_back)

    @property
    def first(self) -> QueueEntry | None:
        """The request of this process that has waited longest."""
        return next((each for each in self._entries.values() if not each.in_flight), None)

    @property
    def is_full(self) -> bool:
        """Whether the next request is likely to wait, as far as is known."""
        limit = self._figures.limit
        return self._figures.waiting > 0 or (limit is not None and self.in_flight >= limit)

    def sends(self, entry: QueueEntry) -> bool:
        """Tell whether a request holds a permit."""
        return entry.in_flight

    def owned_by(self, owner: object) -> list[QueueEntry]:
        """Return the requests of an event loop, whether they wait or are in flight."""
        return [entry for entry in self._entries.values() if entry.owner is owner]

    def forget_requests(self) -> None:
        """Forget all requests: they are another process's."""
        for entry in self._entries.values():
            entry.in_flight = False
        self._figures = msgspec.structs.replace(self._figures, paused_for=None)
        self._start_anew()

    def try_admit(self, now: float, tokens: float = 0.0, owner: object = None) -> QueueEntry | None:
        """Return None: somebody else has to be asked."""
        del now, tokens, owner
        return None

    def request(
        self, *, tokens: float = 0.0, owner: object = None, background: bool = False
    ) -> QueueEntry:
        """Ask for a permit for a request that is expected to use so many tokens."""
        self._sent += 1
        entry = QueueEntry(tokens, owner, number=self._sent, background=background)
        self._entries[entry.number] = entry
        self._tell(self._asked(entry))
        return entry

    def expect(self, tokens: float) -> None:
        """Leave those that wait as they were told of."""

    def admit(self, now: float) -> list[QueueEntry]:
        """Return the requests that may go, as has been heard since."""
        del now
        granted, self._granted = self._granted, []
        going = [entry for entry in granted if entry.number in self._entries]
        for entry in going:
            entry.in_flight = True
        return going

    def next_at(self, now: float) -> float | None:
        """Return when to look again, as for a ``Window``; None if only a permit can help."""
        return None if self.is_full else now + HEARTBEAT

    @property
    def earliest(self) -> float:
        """When another request may go at best, which is known elsewhere."""
        return -math.inf

    def accepted(self, entry: QueueEntry) -> None:
        """Report that a request was not refused."""
        if entry.in_flight:
            self._events.append(WindowEvent(entry.number, "passed"))

    def rejected(
        self, entry: QueueEntry, now: float, kind: Refusal, *, jitter: float, rest: float = 0.0
    ) -> None:
        """Report a refusal; the request waits again, as long as the window thinks right."""
        del now
        if entry.in_flight:
            entry.in_flight = False
            entry.refusals += 1
            self._given_back += 1
            event = WindowEvent(entry.number, "refused", kind=kind, rest=rest, jitter=jitter)
            self._tell(event)

    def released(self, entry: QueueEntry, *, tokens: float | None = None) -> None:
        """Report that a call is over, in whichever way; again is harmless."""
        self._given_back += entry.in_flight
        entry.in_flight = False
        more = 0.0 if tokens is None else tokens - entry.tokens
        if self._entries.pop(entry.number, None) is not None or more:
            entry.tokens += more
            self._tell(WindowEvent(entry.number, "ended", more))

    def snapshot(self) -> Snapshot:
        """Return the figures of all processes, as they were last heard."""
        seen = self._figures
        paused = None if seen.paused_for is None else self._ask_at
        return Snapshot(
            limit=seen.limit,
            in_flight=self.in_flight,
            waiting=seen.waiting,
            rejected=seen.rejected,
            paused_until=paused,
        )

    def _asked(self, entry: QueueEntry) -> WindowEvent:
        return WindowEvent(entry.number, "asked", entry.tokens, background=entry.background)

    def _tell(self, event: WindowEvent) -> None:
        self._events.append(event)
        self._urgent = True
        self._notify()

    def report_at(self) -> float | None:
        """Return when the next report is due; None if nothing is to be said, nor to be heard."""
        if self._urgent:
            return -math.inf
        return self._ask_at if self._entries or self._report is not None else None

    def report(self) -> WindowReport:
        """Return what is to be reported: the same until a reply to it has come."""
        if self._report is None:
            self._reports += 1
            self._reported_back = self._given_back
            events, self._events, self._told = tuple(self._events), [], self._sent
            self._report = WindowReport(
                self._member, self._limits, self._reports, self._complete, events
            )
        return self._report

    def heard(self, reply: WindowReply, now: float) -> None:
        """Learn what the window replies to the last report."""
        self._report = None
        if not reply.known:
            # Begin anew: the window was lost, or this process was thought to have ended.
            self._granted, self._complete, self._urgent = [], True, True
            self._events = [
                WindowEvent(entry.number, "kept") if entry.in_flight else self._asked(entry)
                for entry in self._entries.values()
            ]
            return
        self._urgent = bool(self._events)
        self._complete = next(iter(self._entries), math.inf) > self._told
        self._figures = reply
        self._given_back -= self._reported_back
        self._ask_at = now + reply.ask_in
        for number in reply.granted:
            entry = self._entries.get(number)
            if entry is not None:  # it may be over meanwhile
                entry.suspect = "request-specific" if number in reply.suspects else None
                self._granted.append(entry)

    def failed(self, now: float) -> None:
        """Learn that no reply has come: the report has reached nobody, or perhaps it has."""
        self._urgent = False
        self._ask_at = now + _AGAIN
