"""When to ask about a task, and which failures to ask are no more than a missed question.

A pure decision like that of the retries: times come in, times go out.
"""

import msgspec

from zai_async.errors import APIError, NotFoundError, TransportError, ZaiError

__all__ = ["Pace", "Schedule"]

_GROWTH = 1.5
_JITTER = 0.2
_LONGEST_MISS = 60.0
_TOLERATED_ABSENCES = 3
_TEMPORARY = frozenset({"short", "throttle", "overload"})


class Schedule(msgspec.Struct, frozen=True):
    """Seconds between two questions: from ``start``, growing by half each time, to ``cap``."""

    start: float
    cap: float


class Pace:
    """Say when a task may be asked about next; all times in seconds on one clock.

    All who wait for a task share its pace, so that each interval sees one question at most. A
    chance in [0, 1) makes intervals up to a fifth longer: what was submitted at once is not asked
    about at once.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._interval = schedule.start
        self._due = 0.0
        self._missing_since: float | None = None
        self._misses = 0
        self._absences = _TOLERATED_ABSENCES

    def submitted(self, now: float, chance: float) -> None:
        """Note that the task is new: not every part of the platform knows it yet."""
        self._absences = 0
        self.ask(now, chance)

    def wait(self, now: float) -> float:
        """Return the seconds until the next question, 0 or less if it is due."""
        return self._due - now

    def ask(self, now: float, chance: float) -> None:
        """Note that a question is sent, which puts the next one off."""
        self._due = now + _spread(self._interval, chance)
        self._interval = min(self._interval * _GROWTH, self._schedule.cap)

    def answered(self) -> None:
        """Note that the platform knew the task."""
        self._absences = _TOLERATED_ABSENCES
        self._forgive()

    def forgives(self, error: ZaiError, now: float, chance: float, patience: float) -> bool:
        """Tell whether a question that failed is asked again, and put that off.

        ``patience`` is the time that nothing but failures may take.
        """
        if not self._is_miss(error):
            return False
        if self._missing_since is None:
            self._missing_since = now
        self._misses += 1
        backoff = min(self._schedule.start * 2.0 ** min(self._misses, 32), _LONGEST_MISS)
        wait = max(backoff, error.retry_after or 0.0)
        self._due = max(self._due, now + _spread(wait, chance))
        if self._due - self._missing_since <= patience:
            return True
        self._forgive()
        return False

    def _is_miss(self, error: ZaiError) -> bool:
        if isinstance(error, NotFoundError) and self._absences < _TOLERATED_ABSENCES:
            self._absences += 1
            return True
        passes = isinstance(error, APIError | TransportError) and error.kind != "human"
        return passes and error.repeat in _TEMPORARY

    def _forgive(self) -> None:
        self._missing_since = None
        self._misses = 0


def _spread(seconds: float, chance: float) -> float:
    return seconds * (1.0 + _JITTER * chance)
