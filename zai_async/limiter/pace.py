"""Rates: units that flow in steadily, by a number that is known or by one that has to be found."""

import math
from collections import deque
from typing import Final

__all__ = ["SEEN", "Bucket", "Pacer", "Rates"]

_MINUTE: Final = 60.0
SEEN: Final = 32
"""Requests that passed lately, by which a rate is measured."""
_LEAST_LEFT, _MOST_LEFT = 0.5, 0.93
"""What a refusal leaves of the pace: as much as passed, within these bounds."""
_SLOWEST: Final = 1 / 60
_ENOUGH: Final = 50.0
_FASTEST: Final = 1000.0
"""Requests per second; what is faster needs no pace."""
_MEASURED_LEFT: Final = 0.7
"""What it leaves at least of what has passed lately."""
_FIRST_GAIN, _LARGEST_GAIN = 0.02, 0.7
"""The pace grows by this share per second: faster and faster while nothing is refused."""
_GAIN_DOUBLES: Final = 5.0
_STEPS: Final = 0.1
"""Seconds per request at which the pace grows as fast as that; at slower ones it grows slower."""
_LATE: Final = 0.1
"""Of the time between two requests: what a late timer has lost may be made up for."""


class Bucket:
    """Units that flow in at a steady rate, up to a few seconds' worth, and are taken out.

    One number suffices: the moment at which the bucket will be full again.
    """

    def __init__(self, per_minute: float, seconds: float = _MINUTE) -> None:
        self._spacing = _MINUTE / per_minute
        # It must hold one unit, or nothing could ever be taken out.
        self._depth = max(seconds, self._spacing)
        self._full_at = -math.inf

    def ready_at(self, amount: float) -> float:
        """Return when so much can be taken; more than a full bucket holds waits for a full one."""
        return self._full_at + min(amount * self._spacing, self._depth) - self._depth

    def take(self, amount: float, now: float) -> None:
        """Take units out; the bucket may be overdrawn."""
        self._full_at = max(self._full_at, now) + amount * self._spacing

    def correct(self, difference: float) -> None:
        """Take more out, or put some back, after an estimate has turned out wrong."""
        self._full_at += difference * self._spacing


class Pacer:
    """Finds out how many requests per second an account may send, from what passes.

    A refusal sets the pace to a little less than what has passed lately; then it grows again, at
    first slowly, so that the limit is met now and then only. Requests go evenly: how many may go at
    once is not known.

    Args:
        recent: When those were sent that passed lately, the last ``SEEN``.
    """

    def __init__(self, recent: deque[float]) -> None:
        self.rate = math.inf
        """Requests per second; infinite until one is refused for its rate."""
        self.recent = recent
        """When those were sent that passed lately."""
        self._last = -math.inf
        self._changed_at = -math.inf
        self._grown_at: float
        self._searches: bool

    def refused(self, sent_at: float, now: float) -> None:
        """Learn that a request was refused for its rate."""
        if sent_at <= self._changed_at:
            return  # sent at a pace that has been corrected since
        before = self._rate_at(now)
        # A burst passes at any rate: what passed within a moment says little.
        span = max(now - self.recent[0], 1.0) if self.recent else 1.0
        measured = max(len(self.recent), 1) / span
        if before == math.inf:
            self.rate = measured
        else:
            passed = sum(moment > self._changed_at for moment in self.recent)
            share = max(_LEAST_LEFT, min(passed / (passed + 1), _MOST_LEFT))
            # An allowance that is counted in long stretches refuses everything until one ends.
            least = min(_MEASURED_LEFT * measured, _MOST_LEFT * before)
            self.rate = max(_SLOWEST, share * before, least)
        self._searches = before == math.inf
        self._changed_at = self._grown_at = now

    def ready_at(self, now: float) -> float:
        """Return when the next request may go."""
        rate = self._rate_at(now)
        if rate >= _FASTEST:
            self.rate = math.inf
            return -math.inf
        self.rate, self._grown_at = rate, now
        return self._last + 1 / rate

    def take(self, now: float) -> None:
        """Note that a request goes."""
        # A timer that fires late must not make the pace slower.
        if self.rate < math.inf:
            self._last = max(self._last + 1 / self.rate, now - _LATE / self.rate)

    def _rate_at(self, now: float) -> float:
        """Return the pace, grown since it was last looked at."""
        if self.rate == math.inf:
            return math.inf
        # At a slow pace, a second is too short to learn anything.
        slow = min(1.0, math.sqrt(self.rate * _STEPS))
        calm = (now - self._changed_at) * slow
        gain = min(_FIRST_GAIN * slow * 2.0 ** min(calm / _GAIN_DOUBLES, 64), _LARGEST_GAIN)
        if self._searches:
            gain = _LARGEST_GAIN  # nothing is known yet but that there is a limit
        # After an hour of silence the exponent would be beyond what a float can hold.
        return self.rate * math.exp(min(gain * (now - self._grown_at), _ENOUGH))


class Rates:
    """What bounds the requests of a window in time: what is known, and what is found out.

    Args:
        requests: Those that may be sent.
        tokens: Those that they may use.
        recent: When requests were sent that passed lately.
    """

    def __init__(self, requests: Bucket, tokens: Bucket, recent: deque[float]) -> None:
        self.requests = requests
        self.tokens = tokens
        self.pacer = Pacer(recent)

    def ready_at(self, tokens: float, now: float) -> float:
        """Return when a request may go that is expected to use so many tokens."""
        known = max(self.requests.ready_at(1), self.tokens.ready_at(tokens))
        return max(known, self.pacer.ready_at(now))

    def take(self, tokens: float, now: float) -> None:
        """Note that such a request goes."""
        self.requests.take(1, now)
        self.tokens.take(tokens, now)
        self.pacer.take(now)
