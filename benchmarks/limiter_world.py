"""A platform with a hidden limit, in virtual time."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

ROUND_TRIP = 0.38
"""Seconds until a refusal, or the headers of a stream, are back."""

News = Literal["refused", "headers", "done"]


class World:
    """A clock, and what is going to happen."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    def after(self, delay: float, action: Callable[[], None]) -> None:
        self.at(self.now + delay, action)

    def run(self) -> None:
        while self._agenda:
            self.now, _, action = heapq.heappop(self._agenda)
            action()


@dataclass(eq=False)
class Row:
    """A request that somebody wants answered."""

    seconds: float
    begins: float = 0.0
    model: str = "a"
    poisoned: bool = False
    attempts: int = 0
    ended: float = 0.0
    done: bool = False


@dataclass
class Platform:
    """Lets some requests of a model be in flight, and refuses the rest."""

    world: World
    limit: Callable[[str, float], int]
    lag: float = 0.0
    """Seconds for which a request that has ended is still counted."""
    jitter: float = 0.0
    """Seconds by which each way through the network may take longer."""
    streams: bool = False
    """Whether headers come at once, or with the answer."""
    mood: float = 0.0
    """The share of requests that is refused whatever is in flight."""
    in_flight: Counter[str] = field(default_factory=Counter)
    sent: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def send(self, row: Row, tell: Callable[[News], None]) -> None:
        """Tell "refused", or else "headers" if it streams, and then "done"."""
        row.attempts += 1
        self.sent.append(self.world.now)
        self._travel(lambda: self._arrive(row, tell))

    def _arrive(self, row: Row, tell: Callable[[News], None]) -> None:
        if self._refuses(row):
            self.refused.append(self.world.now)
            self._travel(lambda: tell("refused"))
            return
        self.in_flight[row.model] += 1
        if self.streams:
            self._travel(lambda: tell("headers"))
        self.world.after(row.seconds, lambda: self._end(row, tell))

    def _travel(self, arrive: Callable[[], None]) -> None:
        self.world.after(ROUND_TRIP / 2 + self.jitter * self.world.random.random(), arrive)

    def _refuses(self, row: Row) -> bool:
        full = self.in_flight[row.model] >= self.limit(row.model, self.world.now)
        return full or row.poisoned or self.world.random.random() < self.mood

    def _end(self, row: Row, tell: Callable[[News], None]) -> None:
        self.world.after(self.lag, lambda: self.in_flight.subtract([row.model]))
        self._travel(lambda: tell("done"))
