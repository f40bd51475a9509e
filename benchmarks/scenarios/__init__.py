"""What is measured, each in a process of its own; ``size`` scales the amount of work."""

from typing import NamedTuple

from benchmarks.scenarios.alone import parse, parse_large, started
from benchmarks.scenarios.calls import unary, upload
from benchmarks.scenarios.memory import memory, stalled
from benchmarks.scenarios.pacing import paced
from benchmarks.scenarios.streaming import blocked, burst, first, length, step
from benchmarks.scenarios.work import Run

FEW = ("ours", "bare_aiohttp", "event_loop", "openai_default")
"""Who takes part where all of them would take minutes."""
FAST = ("ours", "bare_aiohttp", "raw_protocol")
"""Who takes part where the others would, too."""


class Scenario(NamedTuple):
    """One line of the report's headings, and what a contestant needs to take part."""

    title: str
    unit: str
    run: Run
    needs: tuple[str, ...] = ("stream",)
    at_once: int = 1
    loop: str = "asyncio"
    tls: bool = False
    among: tuple[str, ...] = ()
    """Who takes part; all others too if empty."""


_STEP = Scenario("Stream, one event a read, 100 streams", "us/event", step, at_once=100)
_MEMORY = Scenario("Memory of an open stream", "KiB/stream", memory(400), at_once=400)


_ROWS = ("uvloop", "uvloop", False), ("TLS", "asyncio", True), ("TLS, uvloop", "uvloop", True)


def _variants(
    name: str, scenario: Scenario, rows: tuple[tuple[str, str, bool], ...] = _ROWS
) -> dict[str, Scenario]:
    """Return a scenario on uvloop, over TLS, and both."""
    return {
        f"{name}_{title.replace(', ', '_').lower()}": scenario._replace(
            title=f"{scenario.title}, {title}", loop=loop, tls=tls, among=FEW
        )
        for title, loop, tls in rows
    }


def _paced(streams: int, rate: int, among: tuple[str, ...] = FEW) -> Scenario:
    title = f"Paced, {streams} x {rate}/s"
    # The loop in which a single stream is watched must not be blocked by it: two at once.
    at_once = max(2, streams)
    return Scenario(title, "us/event", paced(streams, rate), at_once=at_once, among=among)


def _call(in_flight: int, calls: int) -> Scenario:
    run = unary(in_flight, calls)
    return Scenario(f"Call, {in_flight} in flight", "us/call", run, ("ask",), in_flight)


SCENARIOS = {
    "burst": Scenario("Stream, many events a read", "us/event", burst),
    "step": _STEP,
    **_variants("step", _STEP),
    "paced1": _paced(1, 50, (*FEW, "openai_aiohttp")),
    "paced100": _paced(100, 50, (*FEW, "openai_aiohttp")),
    "paced1000": _paced(1000, 50),
    "paced5000": _paced(5000, 5, ("ours", "event_loop")),
    "paced5000_fast": _paced(5000, 50, ("ours", "event_loop")),
    "length": Scenario("An event when there are 10 times as many", "times", length, among=FAST),
    "blocked": Scenario(
        "Longest turn of the loop in 200,000 events", "ms", blocked, among=(*FAST, "httpx_naive")
    ),
    "first": Scenario("First token, elapsed", "us", first),
    "unary1": _call(1, 400),
    "unary100": _call(100, 500),
    "unary1000": _call(1000, 1000),
    "memory": _MEMORY,
    **_variants("memory", _MEMORY, _ROWS[1:]),
    "memory_stalled": Scenario(
        "Memory of a stream whose caller has stopped",
        "KiB/stream",
        stalled,
        ("stall",),
        at_once=100,
    ),
    "ten_thousand": _MEMORY._replace(
        title="Memory of an open stream among 10,000",
        run=memory(10_000),
        at_once=10_000,
        among=(*FAST, "event_loop"),
    ),
    "upload": Scenario("Lag of the loop, 20 uploads of 20 MB", "ms", upload, ("upload",), 20),
    "parse": Scenario("Parser, one event a read", "us/event", parse, ("parse",)),
    "parse_large": Scenario("Parser, one huge event", "ms/MB", parse_large, ("parse",)),
    "import": Scenario("Import", "ms", started("imports"), ("imports",)),
    "client": Scenario(
        "Import and a client", "ms", started("imports", "opens"), ("imports", "opens")
    ),
}
