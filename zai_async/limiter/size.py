"""How large a window is: the search for a limit that nobody tells."""

__all__ = ["Size"]

_PRICE = 50
"""Requests that pass for each one refused, before the next probe."""
_LONGEST_DEBT = 10 * _PRICE
"""A search may have cost more, but a limit that rises should be noticed before long."""
_BELIEVED = 2
"""Refusals in a row that are taken for a sign of the limit."""
_SHRINK = 0.7
"""What the next ones leave of the window; CUBIC's factor."""


class Size:
    """The size of a window, found as the head of the package describes.

    Args:
        start: The size before anything is known.
        least: It does not become smaller.
        most: It does not become larger.
    """

    def __init__(self, start: float, least: float, most: float) -> None:
        self.limit = start
        self._least = least
        self._most = most
        # Growth up to the ceiling needs no probe; there is none until something is refused.
        self._ceiling = self._most
        self._proven: float = 0
        self._proven_before: float = 0
        self._passed = 0
        self._step = start
        self._debt = 0

    def accepted(self, load: int) -> None:
        """Learn that a request passed which made ``load`` of them in flight."""
        self._debt = max(0, self._debt - 1)
        self._passed += load > self._proven
        if self._proven < self.limit <= self._proven + self._passed:
            self._prove()

    def _prove(self) -> None:
        self._proven = self.limit
        if self.limit > self._ceiling:
            self._ceiling = self._most

    def refused(self, fine: int, *, in_a_row: int) -> None:
        """Learn that a request was refused while ``fine`` others were in flight.

        ``in_a_row`` counts how often that has happened since a request passed.
        """
        self._owe()
        if in_a_row > _BELIEVED:
            reduced = int(min(fine, self.limit * _SHRINK))
            self._shrink_to(reduced, ceiling=max(self.limit, self._proven_before))
            return
        if in_a_row == 1:
            self._proven_before = self._proven
        self._settle(fine)

    def settle(self, fine: int) -> None:
        """Learn that one more was refused of those sent to a larger window."""
        self._owe()
        self._settle(fine)

    def _owe(self) -> None:
        self._debt = min(self._debt + _PRICE, _LONGEST_DEBT)

    def _settle(self, fine: int) -> None:
        if fine < self.limit:
            self._shrink_to(fine, ceiling=fine)
            self._proven = self.limit

    def collapse(self) -> None:
        """Learn that the last request in flight was refused; what was proven is soon regained."""
        self._shrink_to(0, ceiling=self._proven_before or self._most)

    def look_again(self) -> None:
        """Learn that a refusal had another reason, so that a probe is due."""
        self._debt = 0

    def _shrink_to(self, limit: float, *, ceiling: float) -> None:
        self.limit = max(self._least, limit)
        self._ceiling = max(self.limit, ceiling)
        self._proven = self.limit - 1
        self._passed = 0
        self._step = 1

    def grow(self) -> bool:
        """Make room if that is due, and tell so: below the ceiling at once, else for a probe."""
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
