"""What an event of a stream costs, by the way in which events arrive."""

import asyncio
import itertools
import time
from statistics import median
from typing import Any

from benchmarks.scenarios.rounds import Rounds, open_streams, stop
from benchmarks.scenarios.work import Work


async def burst(work: Work) -> float:
    """One stream, as fast as it is read."""
    await _warm(work)
    return await _whole(work, "burst")


async def length(work: Work) -> float:
    """What an event costs in a stream of ten times the length, as a multiple."""
    await _warm(work)
    short = await _whole(work, "burst")
    return await _whole(work, "long") / short


async def _warm(work: Work) -> None:
    async with work.client("warm") as client:
        await client.stream(int)


async def _whole(work: Work, room: str) -> float:
    async with work.client(room) as client:
        for _ in work.times():
            counter = itertools.count()
            with work.measured():
                await client.stream(counter.__next__)
    return work.cpu / next(counter) * 1e6


async def blocked(work: Work) -> float:
    """The longest time between two turns of the loop while events wait to be read.

    In CPU of this process, so that others on the machine are not taken for it.
    """
    await _warm(work)
    turns: list[float] = []
    async with work.client("long") as client:
        watch = asyncio.create_task(_turns(turns))
        with work.measured():
            await client.stream(int)
        await stop([watch])
    return max(after - before for before, after in itertools.pairwise(turns)) * 1e3


async def _turns(turns: list[float]) -> None:
    while True:
        turns.append(time.process_time())
        await asyncio.sleep(0)


async def step(work: Work) -> float:
    """100 streams; the next event is sent when each of them has read the one before."""
    rounds = Rounds(work.server, streams=min(100, work.count(1000, 2)))
    async with work.client("step") as client:
        readers = await open_streams(work.server, client, [rounds.seen] * rounds.streams)
        await rounds.play(5)
        played = work.count(200, 2)
        for _ in work.times():
            with work.measured():
                await rounds.play(played)
        await stop(readers)
    return work.cpu / (played * rounds.streams) * 1e6


async def first(work: Work) -> float:
    """From the call to the first event, one stream after the other: the median."""
    async with work.client("first") as client:
        times = [await _first(client) for _ in range(work.count(300, 2))]
    return median(times[len(times) // 10 :]) * 1e6


async def _first(client: Any) -> float:
    moments: list[float] = []
    began = time.perf_counter()
    await client.stream(lambda: moments.append(time.perf_counter()))
    return moments[0] - began
