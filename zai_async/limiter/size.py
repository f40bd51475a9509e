"""How large a window is: the search for a limit that nobody tells."""

from typing import Protocol

from zai_async.limiter.settings import Limits

__all__ = ["AdaptiveSize", "FixedSize", "Size"]

_FIRST_INTERVAL, _LONGEST_INTERVAL = 10, 80
"""Requests accepted between two probes; with one failed probe in 80, 1.2 % are refused."""
_SHRINK = 0.7


class Size(Protocol):
    """Decide how large a window is."""

    limit: float

    def accepted(self, load: int) -> None:
        """Learn that a request passed which made ``load`` of them in flight."""

    def refused(self, fine: int, *, again: bool) -> None:
        """Learn that a request was refused while ``fine`` others were in flight.

        ``again`` tells that nothing has passed since the last time.
        """

    def settle(self, fine: int) -> None:
        """Learn that one more was refused of those sent before the window last shrank."""

    def collapse(self) -> None:
        """Learn that nothing is left in flight, and the last request was refused."""

    def look_again(self) -> None:
        """Learn that a refusal had another reason than the number in flight."""

    def grow(self) -> bool:
        """Make room for one more request at least, if that is due."""
        ...


class FixedSize:
    """Keep a window as it is."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def accepted(self, load: int) -> None:
        """Ignore it."""

    def refused(self, fine: int, *, again: bool) -> None:
        """Ignore it."""

    def settle(self, fine: int) -> None:
        """Ignore it."""

    def collapse(self) -> None:
        """Ignore it."""

    def look_again(self) -> None:
        """Ignore it."""

    def grow(self) -> bool:
        """Refuse."""
        return False


class AdaptiveSize:
    """Find the limit of the account, as the head of this module describes."""

    def __init__(self, limits: Limits) -> None:
        self.limit: float = limits.start
        self._least = limits.least
        self._most = limits.ceiling
        # Growth up to the ceiling needs no probe; there is none until something is refused.
        self._ceiling = self._most
        self._proven: float = 0
        self._proven_before: float = 0
        self._passed = 0
        self._step: float = limits.start
        self._interval = _FIRST_INTERVAL
        self._until_probe = 0

    def accepted(self, load: int) -> None:
        """Count towards the next probe, and towards the proof of the present window."""
        self._until_probe -= 1
        self._passed += load > self._proven
        if self._proven < self.limit <= self._proven + self._passed:
            self._prove()

    def _prove(self) -> None:
        self._proven = self.limit
        if self.limit > self._ceiling:
            self._ceiling = self._most
            self._interval = _FIRST_INTERVAL

    def refused(self, fine: int, *, again: bool) -> None:
        """Shrink to what was fine, or by a factor if that did not help."""
        if again:
            self._shrink_to(min(fine, int(self.limit * _SHRINK)), ceiling=self._proven_before)
            return
        self._proven_before = self._proven
        self._interval = min(2 * self._interval, _LONGEST_INTERVAL)
        self._until_probe = self._interval
        self.settle(fine)

    def settle(self, fine: int) -> None:
        """Shrink to what was fine."""
        if fine < self.limit:
            self._shrink_to(fine, ceiling=fine)
            self._proven = self.limit

    def collapse(self) -> None:
        """Begin anew, quickly up to what had been proven."""
        self._shrink_to(0, ceiling=self._proven_before or self._most)

    def look_again(self) -> None:
        """Probe at once."""
        self._until_probe = 0

    def _shrink_to(self, limit: int, *, ceiling: float) -> None:
        self.limit = max(self._least, limit)
        self._ceiling = max(self.limit, ceiling)
        self._proven = self.limit - 1
        self._passed = 0
        self._step = 1

    def grow(self) -> bool:
        """Grow if the present window is proven, below the ceiling at once, else when due."""
        if self._proven < self.limit or self.limit >= self._most:
            return False
        room = self._ceiling - self.limit
        if room <= 0 and self._until_probe > 0:
            return False
        self.limit += min(self._step, self.limit, room) if room > 0 else 1
        self._step *= 2
        self._passed = 0
        return True
