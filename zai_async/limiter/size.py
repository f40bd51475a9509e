"""How large a window is: the search for a limit that nobody tells."""

from typing import Protocol

from zai_async.limiter.settings import Limits

__all__ = ["AdaptiveSize", "FixedSize", "Size"]

_PRICE = 50
"""Requests accepted for each one refused, before a probe: it keeps refusals below 2 %."""
_LONGEST_DEBT = 10 * _PRICE
_SHRINK = 0.7
_BELIEVED = 2


class Size(Protocol):
    """Decide how large a window is."""

    limit: float

    def accepted(self, load: int) -> None:
        """Learn that a request passed which made ``load`` of them in flight."""

    def refused(self, fine: int, *, in_a_row: int) -> None:
        """Learn that a request was refused while ``fine`` others were in flight.

        ``in_a_row`` counts how often the window was told so since a request passed.
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

    def refused(self, fine: int, *, in_a_row: int) -> None:
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
        self._step = limits.start
        self._debt = 0

    def accepted(self, load: int) -> None:
        """Count towards the next probe, and towards the proof of the present window."""
        self._debt = max(0, self._debt - 1)
        self._passed += load > self._proven
        if self._proven < self.limit <= self._proven + self._passed:
            self._prove()

    def _prove(self) -> None:
        self._proven = self.limit
        if self.limit > self._ceiling:
            self._ceiling = self._most

    def refused(self, fine: int, *, in_a_row: int) -> None:
        """Shrink to what was fine, or by a factor if that did not help."""
        self._owe()
        if in_a_row > _BELIEVED:
            reduced = min(fine, int(self.limit * _SHRINK))
            self._shrink_to(reduced, ceiling=max(self.limit, self._proven_before))
            return
        if in_a_row == 1:
            self._proven_before = self._proven
        self._settle(fine)

    def settle(self, fine: int) -> None:
        """Shrink to what was fine."""
        self._owe()
        self._settle(fine)

    def _owe(self) -> None:
        self._debt = min(self._debt + _PRICE, _LONGEST_DEBT)

    def _settle(self, fine: int) -> None:
        if fine < self.limit:
            self._shrink_to(fine, ceiling=fine)
            self._proven = self.limit

    def collapse(self) -> None:
        """Begin anew, quickly up to what had been proven."""
        self._shrink_to(0, ceiling=self._proven_before or self._most)

    def look_again(self) -> None:
        """Probe at once."""
        self._debt = 0

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
        if room <= 0:
            if self._debt > 0:
                return False
            room = self._step = 1
        self.limit += min(self._step, self.limit, room)
        self._step *= 2
        self._passed = 0
        return True
