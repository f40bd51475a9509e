"""Compare ways to live with a hidden limit, in virtual time: `python -m benchmarks.limiter`.

A simulated platform lets some requests of a model be in flight and refuses the rest after a round
trip, without a hint. A figure such as "98 % (2 %)" says: 98 % of the oracle's throughput, 2 % of
the requests refused; "lost 12 %" says how many rows were given up. The oracle has a semaphore of
the right size at every moment; more than 100 % is possible because the semaphore counts a request
until the news of its end has travelled back.
"""

import math
import random
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from benchmarks.limiter_policies import Oracle, Policy, Semaphore, Windowed
from benchmarks.limiter_variants import AIMD, Cubic, Gradient, Halving
from benchmarks.limiter_world import Platform, Row, World

OUTAGE = (60.0, 90.0)
Maker = Callable[[World, Platform, int], Policy]


class Service(NamedTuple):
    """How long an answer takes."""

    name: str
    mean: float
    spread: float
    """Of the logarithm; 0 is constant."""
    streams: bool
    per_slot: int
    """Rows for each request that may be in flight."""

    def times(self, seed: int) -> Iterator[float]:
        chance = random.Random(seed)
        while True:
            yield self.mean * math.exp(chance.gauss(-(self.spread**2) / 2, self.spread))


CONSTANT = Service("0.2 s, constant", 0.2, 0.0, streams=False, per_slot=120)
SHORT = Service("1 s, log-normal", 1.0, 0.5, streams=False, per_slot=80)
STREAMED = Service("10 s streams, log-normal", 10.0, 0.8, streams=True, per_slot=30)
LONG = Service("30 s streams, log-normal", 30.0, 0.8, streams=True, per_slot=20)
SILENT = Service("30 s without early headers, log-normal", 30.0, 0.8, streams=False, per_slot=20)


@dataclass
class Scenario:
    """What is asked, and what the platform allows."""

    name: str
    service: Service
    limit: Callable[[str, float], int]
    expected: int
    """The limit that a well-informed user would write into a semaphore."""
    rows: int
    models: str = "a"
    begins: Callable[[int], float] = lambda _: 0.0
    poisoned: Callable[[int], bool] = lambda _: False
    changes: tuple[float, ...] = ()
    mood: float = 0.0
    lag: float = 0.0
    jitter: float = 0.0

    def make_rows(self) -> Iterator[Row]:
        for number, seconds in zip(range(self.rows), self.service.times(7), strict=False):
            model = self.models[number % len(self.models)]
            yield Row(seconds, self.begins(number), model, self.poisoned(number))


@dataclass
class Result:
    """What came of it."""

    rows: list[Row]
    sent: list[float]
    refused: list[float]

    @property
    def throughput(self) -> float:
        return sum(row.done for row in self.rows) / max(row.ended for row in self.rows)

    @property
    def share_refused(self) -> float:
        return len(self.refused) / len(self.sent)


def play(scenario: Scenario, make: Maker) -> Result:
    """Let a policy do all rows; each model has a policy of its own."""
    world = World(seed=1)
    streams = scenario.service.streams
    platform = Platform(
        world,
        scenario.limit,
        lag=scenario.lag,
        jitter=scenario.jitter,
        streams=streams,
        mood=scenario.mood,
    )
    policies = {model: make(world, platform, scenario.expected) for model in scenario.models}
    rows = list(scenario.make_rows())
    for row in rows:
        world.at(row.begins, partial(policies[row.model].submit, row))
    for policy in policies.values():
        if isinstance(policy, Oracle):
            schedule(world, policy, scenario.changes)
    world.run()
    return Result(rows, platform.sent, platform.refused)


def schedule(world: World, oracle: Oracle, changes: Iterable[float]) -> None:
    for moment in changes:
        world.at(moment, oracle.pump)


def oracle(world: World, platform: Platform, _: int) -> Policy:
    return Oracle(world, platform)


CLIENTS: dict[str, Maker] = {
    "100 at once, 2 retries": lambda w, p, _n: Semaphore(w, p, 100, 2),
    "100 at once, 10 retries": lambda w, p, _: Semaphore(w, p, 100, 10),
    "semaphore of the limit": lambda w, p, n: Semaphore(w, p, n, 2),
    "semaphore of twice the limit": lambda w, p, n: Semaphore(w, p, 2 * n, 2),
    "semaphore of half the limit": lambda w, p, n: Semaphore(w, p, max(n // 2, 1), 2),
}
WINDOWS: dict[str, Maker] = {
    "AIMD": lambda w, p, _: Windowed(w, p, AIMD()),
    "CUBIC": lambda w, p, _: Windowed(w, p, Cubic()),
    "gradient": lambda w, p, _: Windowed(w, p, Gradient()),
    "probing, but halving": lambda w, p, _: Windowed(w, p, Halving()),
    "zai_async": lambda w, p, _: Windowed(w, p),
}
POLICIES = CLIENTS | WINDOWS


def steady(service: Service, limit: int) -> Scenario:
    rows = max(limit * service.per_slot, 200)
    return Scenario(f"limit {limit}", service, lambda _m, _t: limit, limit, rows)


def moving() -> list[Scenario]:
    """Return what happens when the limit does not stay, or is not one."""
    down, _ = OUTAGE
    return [
        Scenario(
            "10, then 40", SHORT, lambda _, t: 10 if t < down else 40, 10, 4000, changes=(down,)
        ),
        Scenario("50, then 4", SHORT, lambda _, t: 50 if t < 20 else 4, 50, 2000),
        Scenario(
            "4 and 50", SHORT, lambda m, _: 4 if m == "a" else 50, 50, 2000, models="abbbbbbb"
        ),
        Scenario("bursts", SHORT, lambda _m, _t: 10, 10, 1500, begins=lambda n: n // 100 * 15.0),
        Scenario(
            "2 % poisoned", SHORT, lambda _m, _t: 10, 10, 1500, poisoned=lambda n: n % 50 == 9
        ),
        Scenario("slots end late", SHORT, lambda _m, _t: 10, 10, 1000, lag=0.1),
        Scenario("uneven network", SHORT, lambda _m, _t: 10, 10, 1000, jitter=0.5),
        Scenario("half refused", SHORT, lambda _m, _t: 10, 10, 500, mood=0.5),
    ]


def outage(service: Service, limit: int) -> Scenario:
    """Return 200 callers, each with several rows, and 30 s in which everything is refused."""
    down, up = OUTAGE
    return Scenario(
        f"limit {limit}",
        service,
        lambda _, t: 0 if down <= t < up else limit,
        limit,
        1000,
        changes=(up,),
    )


def percent(result: Result, best: Result) -> str:
    lost = sum(not row.done and not row.poisoned for row in result.rows) / len(result.rows)
    throughput = (
        f"lost {max(lost, 0.01):.0%}" if lost else f"{result.throughput / best.throughput:.0%}"
    )
    return f"{throughput} ({result.share_refused:.1%})"


def compare(title: str, scenarios: list[Scenario], cell: Callable[[Result, Result], str]) -> None:
    print(f"\n{title}\n{'':30}" + "".join(f"{scenario.name:>17}" for scenario in scenarios))
    best = [play(scenario, oracle) for scenario in scenarios]
    for name, make in POLICIES.items():
        cells = [
            cell(play(scenario, make), top) for scenario, top in zip(scenarios, best, strict=True)
        ]
        print(f"{name:30}" + "".join(f"{text:>17}" for text in cells), flush=True)


def between(moments: list[float], begin: float, end: float) -> int:
    return bisect_left(moments, end) - bisect_left(moments, begin)


def around_outage(result: Result, _: Result) -> str:
    down, up = OUTAGE
    during = between(result.sent, down, up)
    return f"{during} / {between(result.refused, up, up + 60)}"


def main() -> None:
    begun = time.perf_counter()
    for service in (CONSTANT, SHORT, STREAMED, LONG, SILENT):
        scenarios = [steady(service, limit) for limit in (1, 4, 10, 50, 200)]
        compare(f"Answers take {service.name}", scenarios, percent)
    compare("What does not stay", moving(), percent)
    hit = [outage(CONSTANT, 2), outage(SHORT, 10), outage(LONG, 50)]
    compare("An outage of 30 s, with answers of 0.2, 1 and 30 s", hit, percent)
    compare("Requests sent in the outage / refused in the minute after it", hit, around_outage)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
