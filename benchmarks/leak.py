"""Mixed calls for a long time, and what grows meanwhile: `python -m benchmarks.leak`.

Good calls and failing ones, streams that are read, left and cancelled, all on real connections to
an emulator in this process. After each round everything is counted: descriptors, tasks, memory,
and the objects of this package.
"""

import argparse
import asyncio
import gc
import json
import random
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

from zai_async import AsyncZai, CallOptions, RetryPolicy, ZaiError
from zai_async.testing import Emulator

PAGE = resource.getpagesize()
FAULTS: list[dict[str, Any]] = [
    {"code": "1302"},
    {"status": 502},
    {"drop": True},
    {"cut_after": 150},
    {"eof_after": 400},
    {"error_in_stream": "1305", "after": 2},
    {"restart_at": (3, 40)},
    {"no_done": True},
    {"body": b"<html>no</html>"},
    {"hang": True},
]
ASK: dict[str, Any] = {"model": "glm-4.6", "messages": "Hi"}
OPTIONS = CallOptions(deadline=0.2)


async def create(zai: AsyncZai) -> None:
    await zai.chat.completions.create(**ASK, options=OPTIONS)


async def read(zai: AsyncZai) -> None:
    async with zai.chat.completions.stream(**ASK, options=OPTIONS) as stream:
        await stream.completion()


async def leave(zai: AsyncZai) -> None:
    async with zai.chat.completions.stream(**ASK, options=OPTIONS) as stream:
        async for _ in stream.text:
            break


async def give_up(zai: AsyncZai) -> None:
    task = asyncio.create_task(read(zai))
    await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.wait([task])


CALLS = (create, read, leave, give_up)


async def one_round(zai: AsyncZai, emulator: Emulator, calls: int, chance: random.Random) -> int:
    """Make calls, some of which fail, and return how many did."""
    failed = 0

    async def work() -> None:
        nonlocal failed
        try:
            await chance.choice(CALLS)(zai)
        except ZaiError:
            failed += 1

    for start in range(0, calls, 20):
        emulator.reset()
        for fault in chance.sample(FAULTS, 3):
            emulator.fault(**fault)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(20, calls - start)):
                group.create_task(work())
    emulator.reset()
    await emulator.wait_until(lambda: emulator.in_flight == 0)
    return failed


async def census() -> dict[str, float]:
    """Count what is there when everything is quiet."""
    await asyncio.sleep(0.3)
    gc.collect()
    return {"tasks": len(asyncio.all_tasks()), **of_process()}


def of_process() -> dict[str, float]:
    kinds = Counter(str(type(value).__module__) for value in gc.get_objects())
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE,
        "objects": sum(kinds.values()),
        "own_objects": sum(n for kind, n in kinds.items() if kind.startswith("zai_async")),
    }


async def run(seconds: float, calls: int, seed: int = 1) -> dict[str, Any]:
    """Play rounds until the time is over, two at least after a first one to warm up."""
    chance, begun = random.Random(seed), time.perf_counter()
    counts, failed = list[dict[str, float]](), 0
    async with (
        Emulator() as emulator,
        AsyncZai(
            api_key="key", base_url=emulator.url, retry=RetryPolicy(retries=1), trust_env=False
        ) as zai,
    ):
        await one_round(zai, emulator, calls, chance)
        while len(counts) < 3 or time.perf_counter() - begun < seconds:
            failed += await one_round(zai, emulator, calls, chance)
            counts.append(await census())
        slots = sum(window.in_flight for window in zai.limits.snapshot().values())
    made = calls * len(counts)
    growth = {
        f"{name}_per_1000_calls": round(slope([count[name] for count in counts]) * 1000 / calls, 3)
        for name in counts[0]
    }
    return {"calls": made, "failed": failed, "slots_left": slots, **growth, "last": counts[-1]}


def slope(values: list[float]) -> float:
    """Return the growth per round, by least squares."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((x - middle) ** 2 for x in range(len(values)))
    return sum((x - middle) * (y - mean) for x, y in enumerate(values)) / spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--round", type=int, default=1000, help="calls in a round")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(run(arguments.seconds, arguments.round)), indent=2))


if __name__ == "__main__":
    main()
