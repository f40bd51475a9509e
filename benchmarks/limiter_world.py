"""A platform with a hidden limit, with weather and with a rate, in virtual time."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from zai_async.limiter import Refusal

ROUND_TRIP = 0.38
"""Seconds until a refusal, or the headers of a stream, are back."""

News = Literal["headers", "done"] | Refusal
"""What a client hears: a refusal is told by what its code claims to be about."""


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

    def run(self, until: float) -> None:
        while self._agenda and self._agenda[0][0] <= until:
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
    then: Callable[[], None] | None = None
    """What the one who asked does next."""


class Rate(NamedTuple):
    """Requests per second that a platform takes, and how many of them at once."""

    per_second: float
    burst: int


class Event(NamedTuple):
    """Something that the platform did."""

    moment: float
    in_flight: int


@dataclass
class Platform:
    """Lets some requests of a model be in flight, and refuses the rest."""

    world: World
    limit: Callable[[str, float], float]
    lag: float = 0.0
    """Seconds for which a request that has ended is still counted."""
    jitter: float = 0.0
    """Seconds by which each way through the network may take longer."""
    streams: bool = False
    """Whether headers come at once, or with the answer."""
    weather: Callable[[float], float] = lambda _: 0.0
    """The share of requests that is refused whatever is in flight."""
    weather_code: Refusal = "overload"
    limit_code: Refusal = "concurrency"
    rate: Rate | None = None
    round_trip: float = ROUND_TRIP
    in_flight: Counter[str] = field(default_factory=Counter)
    sent: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _tokens: float = 0.0
    _filled_at: float = -1e9

    def send(self, row: Row, tell: Callable[[News], None]) -> None:
        """Tell a refusal, or else "headers" if it streams, and then "done"."""
        row.attempts += 1
        self.sent.append(self.world.now)
        self._travel(lambda: self._arrive(row, tell))

    def _arrive(self, row: Row, tell: Callable[[News], None]) -> None:
        refusal = self._refusal(row)
        if refusal is not None:
            self.refused.append(self.world.now)
            self._travel(lambda: tell(refusal))
            return
        self.in_flight[row.model] += 1
        if self.streams:
            self._travel(lambda: tell("headers"))
        self.world.after(row.seconds, lambda: self._end(row, tell))

    def _travel(self, arrive: Callable[[], None]) -> None:
        delay = self.round_trip / 2 + self.jitter * self.world.random.random()
        self.world.after(delay, arrive)

    def _refusal(self, row: Row) -> Refusal | None:
        now = self.world.now
        if self.world.random.random() < self.weather(now):
            return self.weather_code
        if row.poisoned:
            return "overload"
        if self.in_flight[row.model] >= self.limit(row.model, now):
            return self.limit_code
        if self.rate is not None:
            gained = (now - self._filled_at) * self.rate.per_second
            self._tokens = min(self.rate.burst, self._tokens + gained)
            self._filled_at = now
            if self._tokens < 1:
                return "rate"
            self._tokens -= 1
        return None

    def _end(self, row: Row, tell: Callable[[News], None]) -> None:
        self.world.after(self.lag, lambda: self.in_flight.subtract([row.model]))
        self._travel(lambda: tell("done"))
