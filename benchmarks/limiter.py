"""Compare ways to live with limits and with weather: `python -m benchmarks.limiter`.

All of it in virtual time. A simulated platform lets some requests of a model be in flight and
refuses the rest after a round trip, without a hint; or refuses some at random, as a model that is
busy for everybody does; or takes so many per second and no more. A figure such as "98 % (2 %)"
says: 98 % of what is compared with, 2 % of the requests refused; "lost 12 %" says how many rows
were given up.

Hidden limits are compared with an oracle, which has a semaphore of the right size at every moment;
more than 100 % is possible because the semaphore counts a request until the news of its end has
travelled back. Weather is compared with no limiter at all, and rates with the rate.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import mean
from typing import NamedTuple

from benchmarks.limiter_policies import Oracle, Policy, Semaphore, Windowed
from benchmarks.limiter_variants import AIMD, Cubic, Gradient, Rounds
from benchmarks.limiter_world import ROUND_TRIP, Platform, Rate, Row, World
from zai_async.limiter import Refusal

Maker = Callable[[World, Platform, float], Policy]
FOREVER = 1e7


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
QUICK = Service("0.2 s, log-normal", 0.2, 0.3, streams=False, per_slot=0)
MEDIUM = Service("2 s, log-normal", 2.0, 0.5, streams=False, per_slot=0)


@dataclass
class Scenario:
    """What is asked, and what the platform allows."""

    name: str
    service: Service
    limit: Callable[[str, float], float] = lambda _m, _t: math.inf
    expected: float = 100
    """The limit that a well-informed user would write into a semaphore."""
    rows: int = 0
    """A job of so many; or else users who ask again and again."""
    users: int = 100
    until: float = FOREVER
    models: str = "a"
    begins: Callable[[int], float] = lambda _: 0.0
    poisoned: Callable[[int], bool] = lambda _: False
    changes: tuple[float, ...] = ()
    restarts: tuple[float, ...] = ()
    """When the client is started again, and has forgotten everything."""
    weather: Callable[[float], float] = lambda _: 0.0
    weather_code: Refusal = "overload"
    limit_code: Refusal = "concurrency"
    rate: Rate | None = None
    lag: float = 0.0
    jitter: float = 0.0
    round_trip: float = ROUND_TRIP
    seed: int = 1


class Moment(NamedTuple):
    """What a picture shows of one moment."""

    time: float
    window: float
    in_flight: int
    refused: int
    done: int


@dataclass
class Result:
    """What came of it."""

    rows: list[Row]
    sent: list[float]
    refused: list[float]
    until: float
    moments: list[Moment] = field(default_factory=list)

    def done_between(self, begin: float, end: float) -> float:
        """Return the answers per second of a stretch of time."""
        return sum(begin <= row.ended < end for row in self.rows if row.done) / (end - begin)

    @property
    def throughput(self) -> float:
        ended = max(row.ended for row in self.rows) if self.until == FOREVER else self.until
        return sum(row.done for row in self.rows) / ended

    @property
    def share_refused(self) -> float:
        return len(self.refused) / len(self.sent)

    @property
    def lost(self) -> float:
        over = [row for row in self.rows if row.ended and not row.poisoned]
        return sum(not row.done for row in over) / max(len(over), 1)


def play(scenario: Scenario, make: Maker, *, every: float | None = None) -> Result:
    """Let a policy do all rows; each model has a policy of its own."""
    world = World(scenario.seed)
    platform = Platform(
        world,
        scenario.limit,
        lag=scenario.lag,
        jitter=scenario.jitter,
        streams=scenario.service.streams,
        weather=scenario.weather,
        weather_code=scenario.weather_code,
        limit_code=scenario.limit_code,
        rate=scenario.rate,
        round_trip=scenario.round_trip,
    )
    policies = {model: make(world, platform, scenario.expected) for model in scenario.models}
    times = scenario.service.times(7 * scenario.seed)
    rows: list[Row] = []

    def ask(number: int, begins: float) -> None:
        model = scenario.models[number % len(scenario.models)]
        row = Row(next(times), begins, model, scenario.poisoned(number))
        rows.append(row)
        if not scenario.rows:
            row.then = lambda: ask(number, world.now)
        world.at(begins, partial(policies[model].submit, row))

    for number in range(scenario.rows or scenario.users):
        ask(number, scenario.begins(number))
    for policy in policies.values():
        if isinstance(policy, Oracle):
            for moment in scenario.changes:
                world.at(moment, policy.pump)
        if isinstance(policy, Windowed | Oracle):
            for moment in scenario.restarts:
                world.at(moment, policy.restart)
    result = Result(rows, platform.sent, platform.refused, scenario.until)
    if every is not None:
        watch(world, policies["a"], result, every)
    world.run(scenario.until)
    return result


def watch(world: World, policy: Policy, result: Result, every: float) -> None:
    """Write down window, requests in flight and refusals until all rows have ended."""

    def look() -> None:
        seen = result.moments
        done = sum(row.done for row in result.rows)
        seen.append(Moment(world.now, policy.window, policy.running, len(result.refused), done))
        # Where users ask again and again, one row is always under way.
        if not all(row.ended for row in result.rows):
            world.after(every, look)

    look()


def oracle(world: World, platform: Platform, _: float) -> Policy:
    return Oracle(world, platform)


def off(world: World, platform: Platform, _: float) -> Policy:
    return Semaphore(world, platform, math.inf, math.inf)


def ours(world: World, platform: Platform, _: float) -> Policy:
    return Windowed(world, platform)


POLICIES: dict[str, Maker] = {
    "off, 2 retries": lambda w, p, _: Semaphore(w, p, math.inf, 2),
    "off": off,
    "fixed at the limit": lambda w, p, n: Semaphore(w, p, n, math.inf),
    "fixed at twice the limit": lambda w, p, n: Semaphore(w, p, 2 * n, math.inf),
    "AIMD": lambda w, p, _: Windowed(w, p, AIMD()),
    "CUBIC": lambda w, p, _: Windowed(w, p, Cubic()),
    "gradient": lambda w, p, _: Windowed(w, p, Gradient()),
    "inspect_ai's rule": lambda w, p, _: Windowed(w, p, Rounds()),
    "zai_async": ours,
}


def steady(service: Service, limit: int, code: Refusal = "concurrency") -> Scenario:
    rows = max(limit * service.per_slot, 200)
    return Scenario(f"limit {limit}", service, lambda _m, _t: limit, limit, rows, limit_code=code)


def small_job(service: Service, limit: int) -> Scenario:
    return Scenario(f"limit {limit}", service, lambda _m, _t: limit, limit, rows=20)


def in_weather(service: Service, share: float, code: Refusal = "overload") -> Scenario:
    return Scenario(
        f"{share:.0%}",
        service,
        weather=lambda _: share,
        weather_code=code,
        until=60.0,
        round_trip=0.02,
    )


def percent(result: Result, best: float) -> str:
    throughput = f"{result.throughput / best:.0%}"
    if result.lost:
        throughput = f"lost {max(result.lost, 0.01):.0%}"
    return f"{throughput} ({result.share_refused:.1%})"


def compare(
    title: str,
    scenarios: Sequence[Scenario],
    reference: Callable[[Scenario], float],
    names: Iterable[str] = POLICIES,
) -> None:
    print(f"\n{title}\n{'':26}" + "".join(f"{scenario.name:>18}" for scenario in scenarios))
    best = [reference(scenario) for scenario in scenarios]
    for name in names:
        cells = [
            percent(play(scenario, POLICIES[name]), top)
            for scenario, top in zip(scenarios, best, strict=True)
        ]
        print(f"{name:26}" + "".join(f"{text:>18}" for text in cells), flush=True)


def of_oracle(scenario: Scenario) -> float:
    return play(scenario, oracle).throughput


def of_off(scenario: Scenario) -> float:
    return play(scenario, off).throughput


def of_rate(scenario: Scenario) -> float:
    return scenario.rate.per_second if scenario.rate else math.nan


def moving() -> list[Scenario]:
    """Return what happens when the limit does not stay, or is not alone."""
    return [
        Scenario(
            "10, then 40", SHORT, lambda _, t: 10 if t < 60 else 40, 10, 4000, changes=(60.0,)
        ),
        Scenario("50, then 4", SHORT, lambda _, t: 50 if t < 20 else 4, 50, 2000),
        Scenario(
            "4 and 50", SHORT, lambda m, _: 4 if m == "a" else 50, 50, 2000, models="abbbbbbb"
        ),
        Scenario("bursts", SHORT, lambda _m, _t: 10, 10, 1500, begins=lambda n: n // 100 * 15.0),
        Scenario(
            "2 % poisoned", SHORT, lambda _m, _t: 10, 10, 1500, poisoned=lambda n: n % 50 == 9
        ),
        Scenario("late slots", SHORT, lambda _m, _t: 10, 10, 1000, lag=0.1),
        Scenario("uneven net", SHORT, lambda _m, _t: 10, 10, 1000, jitter=0.5),
        Scenario(
            "others use 0-12",
            SHORT,
            lambda _, t: 20 - 4 * (int(t / 120) % 4),
            20,
            6000,
            changes=tuple(120.0 * n for n in range(60)),
        ),
        Scenario("5 % weather", SHORT, lambda _m, _t: 10, 10, 2000, weather=lambda _: 0.05),
        Scenario(
            "5 % are 1302",
            SHORT,
            lambda _m, _t: 10,
            10,
            2000,
            weather=lambda _: 0.05,
            weather_code="concurrency",
        ),
        Scenario(
            "others, streams",
            STREAMED,
            lambda _, t: 20 - 4 * (int(t / 120) % 4),
            20,
            1200,
            changes=tuple(120.0 * n for n in range(60)),
        ),
        Scenario("restarts", STREAMED, lambda _m, _t: 10, 10, 600, restarts=(150.0, 300.0)),
    ]


def incident(service: Service, share: float) -> Scenario:
    """Return 100 users, and 30 s in which many requests are refused whatever is in flight."""
    return Scenario(
        f"{share:.0%}",
        service,
        weather=lambda t: share if 30 <= t < 60 else 0.0,
        until=120.0,
        round_trip=0.02,
    )


def around(result: Result) -> str:
    """Say how many answers per second there are before, during, soon after, and later."""
    phases = ((10, 30), (30, 60), (60, 70), (70, 120))
    return " / ".join(f"{result.done_between(*phase):.0f}" for phase in phases)


def compare_limits() -> None:
    """Print what hidden limits come to."""
    for service in (CONSTANT, SHORT, STREAMED, LONG, SILENT):
        limits = [steady(service, limit) for limit in (1, 4, 10, 50, 200)]
        compare(f"Hidden limits; answers take {service.name}", limits, of_oracle)
    for service in (CONSTANT, SHORT, STREAMED, SILENT):
        jobs = [small_job(service, limit) for limit in (1, 2, 3, 4)]
        compare(f"Jobs of 20 calls; answers take {service.name}", jobs, of_oracle)
    for code in ("overload", "unknown"):
        for service in (CONSTANT, SHORT, STREAMED, SILENT):
            limits = [steady(service, limit, code) for limit in (1, 4, 10, 50)]
            title = f"Hidden limits that say {code}; answers take {service.name}"
            compare(title, limits, of_oracle)


def compare_weather() -> None:
    """Print what refusals come to that say nothing about a limit."""
    for service in (QUICK, MEDIUM):
        for code in ("overload", "unknown", "concurrency"):
            weather = [in_weather(service, p, code) for p in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)]
            title = f"Refused at random ({code}), 100 users; answers take {service.name}"
            compare(title, weather, of_off)
    for per_second in (10, 2):
        rates = [
            Scenario(f"burst {burst}", QUICK, rate=Rate(per_second, burst), until=120.0)
            for burst in (1, 2, 5, 10, 20)
        ]
        compare(f"A rate of {per_second}/s, 100 users", rates, of_rate)
    print(
        "\n30 s in which many are refused: answers per second before / during / 10 s after / later"
    )
    for service in (QUICK, MEDIUM):
        for share in (0.1, 0.5, 1.0):
            for name in ("off", "AIMD", "inspect_ai's rule", "zai_async"):
                seen = around(play(incident(service, share), POLICIES[name]))
                print(f"{share:.0%}, answers take {service.name:18} {name:26} {seen}", flush=True)


def compare_luck() -> None:
    """Print the mean and the worst of several seeds where chance decides much."""
    weather = [in_weather(MEDIUM, share, "concurrency") for share in (0.05, 0.1, 0.2, 0.5)]
    wanted = [(of_off, scenario) for scenario in weather] + [
        (of_oracle, scenario) for scenario in moving() if scenario.name == "restarts"
    ]
    print("\nMean and worst of five seeds: refused at random (concurrency), 2 s; restarts")
    for reference, scenario in wanted:
        drawn = [replace(scenario, seed=seed) for seed in range(1, 6)]
        played = [play(each, ours) for each in drawn]
        shares = [
            result.throughput / reference(each) for result, each in zip(played, drawn, strict=True)
        ]
        refused = mean(result.share_refused for result in played)
        told = f"{mean(shares):.0%}, worst {min(shares):.0%}, refused {refused:.1%}"
        print(f"{scenario.name:26} {told}", flush=True)


def main() -> None:
    begun = time.perf_counter()
    compare_limits()
    compare("What does not stay, or is not alone", moving(), of_oracle)
    compare_weather()
    compare_luck()
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
