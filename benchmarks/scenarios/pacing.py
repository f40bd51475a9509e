"""Streams at the pace of a model: what an event costs, and how much later it is seen than sent."""

import asyncio
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from benchmarks.scenarios.rounds import open_streams, stop
from benchmarks.scenarios.work import Run, Work, need_descriptors

WATCHED = 100
"""How many streams the delay is taken from; of these the server knows which is which."""
SECONDS = 1.0


def paced(streams: int, rate: int) -> Run:
    async def run(work: Work) -> float:
        """Streams that get so many events a second each, out of step with each other."""
        need_descriptors(streams + 100)
        readers = [_Reader() for _ in range(min(streams, work.count(4 * streams)))]
        async with work.client("step") as client:
            tasks = await _open(work, client, readers)
            await _play(work, rate, readers)
            await stop(tasks)
        return work.cpu / sum(reader.events for reader in readers) * 1e6

    return run


async def _open(work: Work, client: Any, readers: list["_Reader"]) -> list[asyncio.Task[None]]:
    """Open the watched streams one after the other, so that their order is known."""
    seen = [reader.seen for reader in readers]
    tasks = await open_streams(work.server, client, seen[:WATCHED], batch=1)
    return tasks + await open_streams(work.server, client, seen[WATCHED:])


async def _play(work: Work, rate: int, readers: list["_Reader"]) -> None:
    warm, seconds = min(0.3, work.size), max(0.2, SECONDS * min(1.0, 4 * work.size))
    work.server.order(b"p%d %f" % (rate, warm + seconds))
    await asyncio.sleep(warm)
    for reader in readers:
        reader.begin()
    with work.measured():
        await asyncio.sleep(seconds)
    for reader in readers:
        reader.end()
    work.also["delay, ms"] = median(_delays(work.server.ask(b"s"), readers)) * 1e3


def _delays(sent: list[float], readers: list["_Reader"]) -> Iterator[float]:
    """Yield how long events were on their way; the server sends to one reader after the other."""
    for number, reader in enumerate(readers[:WATCHED]):
        own = sent[number :: len(readers)]
        yield from (seen - own[place] for place, seen in reader.measured())


class _Reader:
    """Notes when events are seen."""

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._window = 0, 0
        clock, note = time.monotonic, self._moments.append
        self.seen: Callable[[], None] = lambda: note(clock())

    def begin(self) -> None:
        self._window = len(self._moments), 0

    def end(self) -> None:
        self._window = self._window[0], len(self._moments)

    @property
    def events(self) -> int:
        return self._window[1] - self._window[0]

    def measured(self) -> Iterator[tuple[int, float]]:
        begin, end = self._window
        return zip(range(begin, end), self._moments[begin:end], strict=True)
