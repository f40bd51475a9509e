"""Bounded memory: a mapping that forgets its oldest entries.

An emulator may serve a development machine for weeks. Whatever a request makes it remember (the
request itself, tasks, files, conversations) lives in one of these, so no client can make it grow
without end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_V = TypeVar("_V")

# More than any test makes, and little enough for a machine of a developer.
MAX_ITEMS = 10_000
MAX_BYTES = 512 * 2**20


class RecentItems(Generic[_V]):
    """Items by id, in order of arrival; the oldest are dropped beyond either limit.

    ``size`` weighs an item in bytes. The newest item is kept whatever it weighs.
    """

    def __init__(
        self,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
        size: Callable[[_V], int] = lambda _: 0,
    ) -> None:
        self._items: OrderedDict[str, _V] = OrderedDict()
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size = size
        self._bytes = 0

    def __getitem__(self, id: str) -> _V:
        return self._items[id]

    def __setitem__(self, id: str, item: _V) -> None:
        # What is written again counts as new: a conversation that goes on stays.
        self.discard(id)
        self._items[id] = item
        self._bytes += self._size(item)
        while len(self._items) > 1 and (
            len(self._items) > self._max_items or self._bytes > self._max_bytes
        ):
            self.discard(next(iter(self._items)))

    def __contains__(self, id: object) -> bool:
        return id in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def get(self, id: str) -> _V | None:
        """Return an item, ``None`` when it is unknown or was dropped."""
        return self._items.get(id)

    def values(self) -> list[_V]:
        """List the items, oldest first."""
        return list(self._items.values())

    def discard(self, id: str) -> None:
        """Drop an item, if it is still there."""
        if id in self._items:
            self._bytes -= self._size(self._items.pop(id))
