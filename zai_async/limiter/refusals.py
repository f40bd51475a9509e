"""Which requests of a window were refused."""

from bisect import bisect_left, insort
from typing import Final, Protocol

__all__ = ["Refusals"]

_MOST_REFUSALS: Final = 4096


class Numbered(Protocol):
    """A request, as far as it is counted."""

    number: int
    refused_before: int


class Refusals:
    """Which requests were refused, to tell how many were in flight and fine at some moment."""

    def __init__(self) -> None:
        self.total = 0
        self._numbers: list[int] = []
        self._forgotten = 0

    def add(self, entry: Numbered) -> int:
        """Note that a request was refused; return how many were that had been sent before it."""
        earlier = self.since(entry) if self._numbers else 0
        self.total += 1
        insort(self._numbers, entry.number)
        if len(self._numbers) > _MOST_REFUSALS:
            del self._numbers[: _MOST_REFUSALS // 2]
            self._forgotten += _MOST_REFUSALS // 2
        return earlier

    def since(self, entry: Numbered) -> int:
        """Count those refused since this one was sent that had been sent before it."""
        before = self._forgotten + bisect_left(self._numbers, entry.number)
        return before - entry.refused_before
