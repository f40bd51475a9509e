"""What is measured, each in a process of its own; ``size`` scales the amount of work."""

from typing import NamedTuple

from benchmarks.scenarios.alone import parse, parse_large, started
from benchmarks.scenarios.calls import unary, upload
from benchmarks.scenarios.memory import memory, stalled
from benchmarks.scenarios.pacing import paced
from benchmarks.scenarios.streaming import blocked, burst, first, length, step
from benchmarks.scenarios.work import Run

QUICK = ("ours", "bare_aiohttp", "raw_protocol", "event_loop", "httpx_naive")
"""Who takes part where the others would take minutes."""


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
_MEMORY = Scenario("Open stream", "KiB/stream", memory(400), at_once=400)
_CALL = Scenario("Call, 1 in flight", "us/call", unary(1, 400), ("ask",))
# The zai_sdk would block the loop in which streams are watched, hence no scenario of one stream.
_PACED = Scenario("Paced, 1 stream, 50/s", "us/event", paced(1, 50), at_once=2)
_PARSE = Scenario("Parser, one event a read", "us/event", parse(0), ("parse",))


def _variants(name: str, scenario: Scenario) -> dict[str, Scenario]:
    """Return a scenario over TLS, on uvloop, and both."""
    uvloop = scenario._replace(title=f"{scenario.title}, uvloop", loop="uvloop")
    tls = scenario._replace(title=f"{scenario.title}, TLS", tls=True)
    both = uvloop._replace(title=f"{scenario.title}, TLS, uvloop", tls=True)
    variants = {"": scenario, "_uvloop": uvloop, "_tls": tls, "_tls_uvloop": both}
    return {name + suffix: variant for suffix, variant in variants.items()}


SCENARIOS = {
    "burst": Scenario("Stream, many events a read", "us/event", burst),
    **_variants("step", _STEP),
    "paced1": _PACED,
    "paced100": _PACED._replace(title="Paced, 100 streams, 50/s", run=paced(100, 50), at_once=100),
    "paced1000": _PACED._replace(
        title="Paced, 1000 streams, 50/s", run=paced(1000, 50), at_once=1000
    ),
    "paced5000": _PACED._replace(
        title="Paced, 5000 streams, 5/s", run=paced(5000, 5), at_once=5000, among=QUICK
    ),
    "length": Scenario(
        "An event when the stream is 10 times as long", "times", length, among=QUICK
    ),
    "blocked": Scenario("Longest turn of the loop in 300,000 events", "ms", blocked, among=QUICK),
    "first": Scenario("First token, elapsed", "us", first),
    "unary1": _CALL,
    "unary100": _CALL._replace(title="Call, 100 in flight", run=unary(100, 1000), at_once=100),
    "unary1000": _CALL._replace(title="Call, 1000 in flight", run=unary(1000, 3000), at_once=1000),
    **_variants("memory", _MEMORY),
    "memory_stalled": Scenario(
        "Stream whose caller has stopped", "KiB/stream", stalled, ("stall",), at_once=100
    ),
    "ten_thousand": _MEMORY._replace(
        title="Open stream among 10,000", run=memory(10_000), at_once=10_000, among=("ours",)
    ),
    "upload": Scenario("Lag of the loop, 20 uploads of 20 MB", "ms", upload, ("upload",), 20),
    "parse1": _PARSE._replace(title="Parser, 1 byte a read", run=parse(1)),
    "parse0": _PARSE,
    "parse1k": _PARSE._replace(title="Parser, 1 KiB a read", run=parse(2**10)),
    "parse64k": _PARSE._replace(title="Parser, 64 KiB a read", run=parse(2**16)),
    "parse_large": _PARSE._replace(
        title="Parser, one large event, 1 KiB a read", unit="ms/MiB", run=parse_large
    ),
    "import": Scenario("Import", "ms", started("imports"), ("imports",)),
    "client": Scenario(
        "Import and a client", "ms", started("imports", "opens"), ("imports", "opens")
    ),
}
