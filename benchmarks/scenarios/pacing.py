"""Streams at the pace of a model: what an event costs, and how much later it is seen than sent."""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import chain
from statistics import median, quantiles
from typing import Any

from benchmarks.scenarios.rounds import Seen, open_streams, stop
from benchmarks.scenarios.work import Run, Work, need_descriptors

WATCHED = 100
"""How many streams the delay is taken from; of these the server knows which is which."""
SECONDS = 1.3
FIRST = 0.3
"""The share of the events before the delay is taken."""


def paced(streams: int, rate: int) -> Run:
    async def run(work: Work) -> float:
        """Streams that get so many events a second each, out of step with each other."""
        need_descriptors(streams + 100)
        seen: list[list[float]] = [[] for _ in range(min(streams, work.count(4 * streams)))]
        async with work.client("step") as client:
            tasks = await _open(work, client, [_noting(moments) for moments in seen])
            await _play(work, rate, seen)
            await stop(tasks)
        delays = list(_delays(work.server.ask(b"s"), seen))
        work.also["delay, ms"] = median(map(median, delays)) * 1e3
        work.also["p99, ms"] = quantiles(chain(*delays), n=100)[-1] * 1e3
        work.also["slowest, ms"] = max(map(median, delays)) * 1e3
        return work.cpu / sum(map(len, seen)) * 1e6

    return run


def _noting(moments: list[float]) -> Callable[[], None]:
    clock, note = time.monotonic, moments.append
    return lambda: note(clock())


async def _open(work: Work, client: Any, readers: list[Seen]) -> list[asyncio.Task[None]]:
    """Open the watched streams one after the other, so that their order is known."""
    tasks = await open_streams(work.server, client, readers[:WATCHED], batch=1)
    return tasks + await open_streams(work.server, client, readers[WATCHED:])


async def _play(work: Work, rate: int, seen: list[list[float]]) -> None:
    """Have events sent for some time, and wait until all have been seen."""
    seconds = SECONDS * max(0.2, min(1.0, 4 * work.size))
    events = int(rate * len(seen) * seconds)
    with work.measured():
        work.server.order(b"p%d %d" % (rate, events))
        await asyncio.sleep(seconds)
        while sum(map(len, seen)) < events:  # noqa: ASYNC110 - an event would cost every reader
            await asyncio.sleep(0.01)


def _delays(sent: list[float], seen: list[list[float]]) -> Iterator[list[float]]:
    """Yield for each watched stream how long its events were on their way.

    The server sends to one reader after the other.
    """
    for number, moments in enumerate(seen[:WATCHED]):
        pairs = list(zip(sent[number :: len(seen)], moments, strict=True))
        yield [after - before for before, after in pairs[int(len(pairs) * FIRST) :]]
