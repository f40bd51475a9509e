"""What an answer waits for before its first word: a slot of the limiter, or the model."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from zai_async.client import AsyncZai

__all__ = ["WaitingLine", "WaitingPlace"]


class WaitingPlace:
    """The place of one answer in the line."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.told: dict[str, Any] = {}
        """What the page knows already."""


class WaitingLine:
    """The answers that have not begun, in the order in which they were asked for."""

    def __init__(self, zai: AsyncZai) -> None:
        self._zai = zai
        self._places: list[WaitingPlace] = []

    @contextmanager
    def joined(self, model: str) -> Generator[WaitingPlace]:
        """Stand in line for a model, until the answer has begun or is over."""
        place = WaitingPlace(model)
        self._places.append(place)
        try:
            yield place
        finally:
            self.leave(place)

    def leave(self, place: WaitingPlace) -> None:
        """Make room: the answer has begun."""
        if place in self._places:
            self._places.remove(place)

    def news_of(self, place: WaitingPlace) -> dict[str, Any] | None:
        """Return what an answer waits for, None if the page knows it."""
        if place not in self._places:
            return None
        snapshot = self._zai.limits.snapshot().get(place.model)
        line = [each for each in self._places if each.model == place.model]
        # Slots are given in order, so those that wait for one are the last of the line.
        before = line.index(place) - len(line) + (snapshot.waiting if snapshot else 0)
        news = {"state": "queued", "before": before} if before >= 0 else {"state": "asked"}
        if news == place.told:
            return None
        place.told = news
        return news
