"""What a call without a stream costs, and what large files do to the loop."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scenarios.rounds import stop
from benchmarks.scenarios.work import Run, Work


def unary(in_flight: int, calls: int) -> Run:
    async def run(work: Work) -> float:
        """Calls that are answered at once, a number of them in flight."""
        count = work.count(calls, in_flight)
        async with work.client("answer") as client:
            ask_many = getattr(client, "ask_many", partial(_ask_many, client))
            await ask_many(in_flight, in_flight)
            for _ in work.times():
                with work.measured():
                    await ask_many(count, in_flight)
        return work.cpu / count * 1e6

    return run


async def _ask_many(client: Any, calls: int, in_flight: int) -> None:
    todo = iter(range(calls))
    await asyncio.gather(*(_asker(client, todo) for _ in range(in_flight)))


async def _asker(client: Any, todo: Iterator[int]) -> None:
    for _ in todo:
        await client.ask()


async def upload(work: Work) -> float:
    """20 uploads of 20 MB at once: by how much the loop is late, at the median."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.truncate(work.count(20_000_000))
        async with work.client("upload") as client:
            late: list[float] = []
            watch = asyncio.create_task(_lag(late))
            with work.measured():
                path = Path(file.name)
                await asyncio.gather(*(client.upload(path) for _ in range(20)))
            await stop([watch])
    work.also["worst, ms"] = max(late) * 1e3
    return median(late) * 1e3


async def _lag(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.002)
        late.append(time.perf_counter() - began - 0.002)
