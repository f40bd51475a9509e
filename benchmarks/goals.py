"""Hold the published run against the goals: `python -m benchmarks.goals`.

Most goals are ratios of one run, which last; those in units belong to the machine.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

PUBLISHED: Final = Path(__file__).with_name("published.json")

Results = Mapping[str, Any]
Figure = Callable[[Results], float]


class Goal(NamedTuple):
    """What is asked for, and where a run says how it is."""

    what: str
    figure: Figure
    limit: float
    unit: str = "times"
    at_least: bool = False

    def met(self, results: Results) -> bool:
        """Tell whether a run meets it."""
        value = self.figure(results)
        return value >= self.limit if self.at_least else value <= self.limit


def ours(key: str, column: str = "median") -> Figure:
    """Return the figure of ours."""
    return lambda results: float(results[key]["ours"][column])


def to(other: str, key: str, column: str = "median") -> Figure:
    """Return ours as a multiple of another's."""
    return lambda results: ours(key, column)(results) / results[key][other][column]


def above(other: str, key: str, column: str = "median") -> Figure:
    """Return by how much ours is more than another's."""
    return lambda results: ours(key, column)(results) - results[key][other][column]


def _beside_aiohttp(results: Results) -> float:
    return float(ours("client")(results) / results["import"]["bare_aiohttp"]["median"])


def _unfair(results: Results) -> float:
    slowest = ours("paced5000_fast", "slowest, ms")(results)
    return slowest / ours("paced5000_fast", "delay, ms")(results)


def _of_openai(what: str, key: str, part: int) -> Goal:
    return Goal(f"{what}, to openai", to("openai_default", key), 1 / part, "share")


def _of_bare(what: str, key: str, limit: float) -> Goal:
    return Goal(f"{what}, to aiohttp and msgspec by hand", to("bare_aiohttp", key), limit)


_MANY, _ONE = "Many events a read", "One event a read"
GOALS: Final = (
    _of_openai(_MANY, "burst", 40),
    _of_bare(_MANY, "burst", 1.25),
    _of_openai(_ONE, "step", 12),
    _of_bare(_ONE, "step", 1.12),
    Goal(f"{_ONE}, to epoll and nothing else", to("epoll_python", "step"), 2.5),
    Goal(f"{_MANY}, to a protocol and nothing else", to("raw_protocol", "burst"), 1.5),
    Goal(f"{_ONE}, to a protocol and nothing else", to("raw_protocol", "step"), 1.2),
    Goal("A call among 100, to a protocol and nothing else", to("raw_protocol", "unary100"), 3),
    Goal(f"{_MANY}, to Node", to("node_eventsource_parser", "burst"), 0.9),
    Goal(f"{_ONE}, to Node", to("node_eventsource_parser", "step"), 0.9),
    _of_openai(f"{_ONE}, uvloop", "step_uvloop", 13),
    _of_openai(f"{_ONE}, TLS", "step_tls", 10),
    _of_openai(f"{_ONE}, TLS, uvloop", "step_tls_uvloop", 13),
    _of_openai("A call alone", "unary1", 7),
    _of_openai("A call among 100", "unary100", 13),
    _of_openai("A call among 1,000", "unary1000", 30),
    Goal("First token, above a raw socket", above("raw_protocol", "first"), 150, "us"),
    Goal("Open stream", ours("memory"), 24, "KiB"),
    Goal("Open stream, 50 events later", ours("memory", "KiB, 50 events later"), 16, "KiB"),
    Goal("Open stream, TLS", ours("memory_tls"), 60, "KiB"),
    Goal("Open stream among 10,000", ours("ten_thousand"), 24, "KiB"),
    Goal("Stream whose caller has stopped", ours("memory_stalled"), 130, "KiB"),
    Goal("An event when there are 10 times as many", ours("length"), 1.1),
    Goal(
        "Delay at 100 streams x 50/s, above the event loop's",
        above("event_loop", "paced100", "delay, ms"),
        0.3,
        "ms",
    ),
    Goal("Delay at 1,000 streams x 50/s", ours("paced1000", "delay, ms"), 1, "ms"),
    Goal("The same, of 99 % of the tokens", ours("paced1000", "p99, ms"), 20, "ms"),
    Goal("Delay at 5,000 streams x 50/s", ours("paced5000_fast", "delay, ms"), 100, "ms"),
    Goal("The slowest of these streams, to the median's", _unfair, 2),
    Goal("Longest turn of the loop", ours("blocked"), 20, "ms"),
    Goal("Parser, one event a read", ours("parse"), 0.30, "us"),
    Goal("Parser, 64 KiB a read", ours("parse", "64 KiB, MB/s"), 1200, "MB/s", at_least=True),
    Goal("Parser, an event of 4 MB", ours("parse_large"), 4, "ms/MB"),
    Goal("Import", ours("import"), 60, "ms"),
    Goal("Import and a client", ours("client"), 150, "ms"),
    Goal("Import and a client, to importing aiohttp and msgspec", _beside_aiohttp, 1.6),
)


def shown(value: float, unit: str) -> str:
    """Return a figure with three digits, or a share as one of so many parts."""
    if unit == "share":
        return f"1/{1 / value:.3g}"
    text = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return text if unit == "times" else f"{text} {unit}"


def row(goal: Goal, results: Results) -> str:
    """Return the line of one goal."""
    limit = f"{'>=' if goal.at_least else '<='} {shown(goal.limit, goal.unit)}"
    try:
        value = shown(goal.figure(results), goal.unit)
    except KeyError:  # who is compared was not installed
        return f"| {goal.what} | {limit} | not measured |  |"
    return f"| {goal.what} | {limit} | {value} | {'' if goal.met(results) else 'missed'} |"


def table(results: Results) -> str:
    """Return all goals as a table in Markdown."""
    heads = ["| Goal | asked | this run | |", "| --- | --: | --: | --- |"]
    return "\n".join([*heads, *(row(goal, results) for goal in GOALS)])


def main() -> None:
    print(table(json.loads(PUBLISHED.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
