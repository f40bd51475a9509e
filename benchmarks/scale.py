"""How many streams a core, a host and a fleet relay: `python -m benchmarks.scale`.

All of it follows from published figures and from assumptions that are printed beside it: streams
from those of one run, rows of batches and readers of relays from those of benchmarks.batch and
benchmarks.relay. ``--write`` puts the tables into docs/scale.md.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks import batch_pages, pages, relay
from benchmarks.wire import event, framed

PUBLISHED: Final = Path(__file__).with_name("published.json")
_EVENT_BYTES: Final = sum(len(framed(event(number))) for number in range(6)) / 6
DEFAULT_DESCRIPTORS: Final = 1024
"""How many files most systems let a process open unless it asks for more."""

Results = Mapping[str, Any]


class Assumptions(NamedTuple):
    """What no benchmark can tell."""

    pace: float = 50.0
    """Events a second of one stream; an event is a token or a few."""
    seconds: float = 20.0
    """How long a stream lasts; each has a connection of its own."""
    load: float = 0.6
    """How busy a core may be: what is above that waits in line when others are busy, too."""
    cores: int = 16
    hosts: int = 10
    slots: tuple[int, ...] = (10, 50, 200)
    """How many requests an account may have in flight."""


class Way(NamedTuple):
    """One way to run the client, and what it costs."""

    title: str
    event: float
    """CPU for one event in microseconds."""
    opening: float
    """CPU for opening a stream in microseconds."""
    memory: float
    """KiB for an open stream."""


class Limits(NamedTuple):
    """What one core can do in one way."""

    way: Way
    streams: float
    events: float
    memory: float
    """MiB for these streams, beside what the program itself takes."""
    network: float
    """Mbit/s in one direction."""


def ways(results: Results) -> list[Way]:
    """Return what streams cost: bare or over TLS, on either loop."""
    crowd = _crowd(results)
    rows = ("asyncio", ""), ("uvloop", "_uvloop"), ("asyncio, TLS", "_tls")
    return [
        _way(results, title, suffix, crowd)
        for title, suffix in (*rows, ("uvloop, TLS", "_tls_uvloop"))
    ]


def _crowd(results: Results) -> float:
    """Return by how much an event is dearer among 10,000 streams than among 100."""
    many, few = results["ten_thousand"]["ours"]["us/event"], results["step"]["ours"]["median"]
    return max(1.0, many / few)


def _way(results: Results, title: str, suffix: str, crowd: float) -> Way:
    step = results[f"step{suffix}"]["ours"]
    memory = results.get(f"memory{suffix}", results["memory"])["ours"]
    return Way(title, step["median"] * crowd, memory["to open, us"], memory["median"])


def limits(way: Way, given: Assumptions) -> Limits:
    """Return how many streams keep a core as busy as it may be, and what else they take."""
    a_second = given.pace * way.event + way.opening / given.seconds
    streams = given.load * 1e6 / a_second
    events = streams * given.pace
    return Limits(way, streams, events, streams * way.memory / 2**10, events * _EVENT_BYTES * 8e-6)


def rounded(number: float) -> str:
    """Return a number with two digits that count; more would pretend to be known."""
    return f"{float(f'{number:.2g}'):,.0f}" if number >= 9.5 else f"{number:.2g}"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = [*heads]
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of_a_core(results: Results, given: Assumptions) -> str:
    """Return the table of what one core relays."""
    heads = ("One core", "us/event", "streams", "events/s", "memory, MiB", "network, Mbit/s")
    rows = [limits(way, given) for way in ways(results)]
    cells = [(row.way.title, f"{row.way.event:.1f}", *map(rounded, row[1:])) for row in rows]
    return table(heads, cells)


def of_many(results: Results, given: Assumptions) -> str:
    """Return the table of what a host and a fleet relay over TLS on uvloop."""
    core = limits(ways(results)[-1], given)
    sizes = {"A core": 1, f"A host of {given.cores} cores": given.cores}
    sizes[f"A fleet of {given.hosts} such hosts"] = given.cores * given.hosts
    cells = [
        (name, *(rounded(number * each) for each in core[1:])) for name, number in sizes.items()
    ]
    return table(("uvloop, TLS", "streams", "events/s", "memory, MiB", "network, Mbit/s"), cells)


def of_accounts(results: Results, given: Assumptions) -> str:
    """Return how many accounts would keep one core busy."""
    core = limits(ways(results)[-1], given)
    cells = [
        (str(slots), rounded(slots * given.pace), f"{slots / core.streams:.1%}")
        for slots in given.slots
    ]
    return table(("Requests in flight that an account allows", "events/s", "of one core"), cells)


def of_saturation(results: Results, given: Assumptions) -> str:
    """Return where a process stops first, as numbers of streams."""
    *_, plain, way = ways(results)
    stalled = results["memory_stalled"]["ours"]["median"]
    cells = [
        ("File descriptors, as most systems set them", f"{DEFAULT_DESCRIPTORS - 24:,}"),
        (f"CPU of the core at {given.load:.0%}", rounded(limits(way, given).streams)),
        ("Memory of 1 GiB, every caller having stopped", rounded(2**20 / stalled)),
        ("Memory of 1 GiB, TLS of asyncio", rounded(2**20 / plain.memory)),
        ("Memory of 1 GiB, TLS of uvloop", rounded(2**20 / way.memory)),
        ("Opening streams, a second", rounded(given.load * 1e6 / way.opening)),
    ]
    return table(("What ends first", "streams"), cells)


def of_events(results: Results, given: Assumptions) -> str:
    """Return what else costs, counted in events."""
    del given
    bare, *_, way = ways(results)
    call = results["unary100"]["ours"]["median"]
    cells = [
        ("A whole answer by create(), asyncio", rounded(call / bare.event)),
        ("Opening a stream, asyncio", rounded(bare.opening / bare.event)),
        ("Opening a stream, uvloop, TLS", rounded(way.opening / way.event)),
    ]
    return table(("Costs as much as", "events"), cells)


def checked(results: Results) -> str:
    """Return what was not computed but seen: streams at their pace in one process."""
    cells = [
        (title, f"{ours['median']:.1f}", f"{ours['delay, ms']:.2g}", f"{ours['lost']:.0%}")
        for title, ours in (
            (f"{streams} streams, {rate} events/s each", results[f"paced{streams}"]["ours"])
            for streams, rate in ((100, 50), (1000, 50), (5000, 5))
        )
    ]
    heads = "Seen in one process, no TLS", "us/event", "delay, ms", "core was others'"
    return table(heads, cells)


def block(results: Results, given: Assumptions) -> str:
    """Return everything that the page takes from the figures."""
    where = results["machine"]
    assumed = (
        f"Assumed: {given.pace:g} events a second in each stream, {given.seconds:g} s for each"
        f" stream and a new connection for each, a core that may be {given.load:.0%} busy."
        f" Measured: {where['processor']}, {where['system']}, Python {where['python']},"
        f" {results['rounds']} rounds; an event is {_EVENT_BYTES:.0f} bytes, and among 10,000"
        f" streams it costs {_crowd(results):.2f} times what it costs among 100, which is"
        " allowed for everywhere."
    )
    parts = of_a_core, of_many, of_saturation, of_accounts, of_events
    return "\n\n".join([assumed, *(part(results, given) for part in parts), checked(results)])


RELAYS: Final = (
    "ours, UI message stream",
    "ours, UI message stream, coalesced",
    "ours, chunks of OpenAI",
    "openai + sse-starlette",
    "LiteLLM proxy",
)
ROWS: Final = ("zai.batch", "openai and a semaphore", "async-batch-llm, JSONL")


def of_relays(results: Results, given: Assumptions) -> str:
    """Return the table of the readers that one core relays to."""
    heads = ("A relay of one core, with httptools and uvloop", "us/token", "readers")
    costs = results["tokens"]["httptools, uvloop"]
    cells = [
        (name, f"{costs[name]:.1f}", rounded(given.load * 1e6 / given.pace / costs[name]))
        for name in RELAYS
    ]
    return table(heads, cells)


def of_rows(results: Results, given: Assumptions) -> str:
    """Return the table of the rows that one core answers in an hour."""
    costs = {name: results["rates"][name]["us"] for name in ROWS}
    ray = results["ray"]
    costs["map_chat on Ray, all of its processes"] = ray["map_chat"]["us"]
    costs["ray.data.llm, all of its processes"] = ray["ray.data.llm"]["us"]
    cells = [
        (name, f"{cost:,.0f}", rounded(given.load * 3600e6 / cost)) for name, cost in costs.items()
    ]
    return table(("A core for an hour", "us/row", "rows"), cells)


def users(batch: Results, relayed: Results, given: Assumptions) -> str:
    """Return what a core does for those who relay answers and for those who collect them."""
    ray = batch["ray"]
    own, other = ray["zai.batch"], ray["map_chat"]
    added = (
        f"What Ray adds, {own['rows']:,} rows in one run: {own['us']:,.0f} us of CPU for a row"
        f" without it and {other['us']:,.0f} with it, its start counted. Both shared two cores with"
        f" the server: {other['rows/s']:,.0f} rows a second with Ray, {own['rows/s']:,.0f} without."
    )
    return "\n\n".join([of_relays(relayed, given), of_rows(batch, given), added])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--results", type=Path, default=PUBLISHED, help="figures of one run")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    for name in ("pace", "seconds", "load", "cores", "hosts"):
        value = Assumptions._field_defaults[name]
        parser.add_argument(f"--{name}", type=type(value), default=value)
    chosen = vars(parser.parse_args(argv))
    results, write = (
        json.loads(chosen.pop("results").read_text(encoding="utf-8")),
        chosen.pop("write"),
    )
    parts = {"computed": block(results, Assumptions(**chosen))}
    batch, relayed = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (batch_pages.PUBLISHED, relay.PUBLISHED)
    )
    parts["users"] = users(batch, relayed, Assumptions(**chosen))
    if write:
        pages.put("scale.md", parts)
    else:
        print("\n\n".join(parts.values()))


if __name__ == "__main__":
    main()
