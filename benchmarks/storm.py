"""A hundred thousand calls of which every fifth request fails: `python -m benchmarks.storm`.

In virtual time: an answer takes a second or so, a deadline is met or missed to the millisecond,
and the same seed gives the same storm.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from typing import Any

from tests.virtual_loop import run as run_virtually
from zai_async import AsyncZai, CallOptions, ConnectionLostError, RetryPolicy, Timeout, ZaiError
from zai_async.testing import FakeReply, FakeTransport

DEADLINE = 120.0
ANSWER = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}]}


def refusal(code: str, status: int) -> FakeReply:
    return FakeReply.json({"error": {"code": code, "message": "no"}}, status=status)


FAULTS = (
    refusal("1302", 429),
    refusal("1305", 429),
    refusal("500", 500),
    FakeReply(status=502, headers={"Content-Type": "text/html"}, steps=(b"<html>",)),
    FakeReply(failure=ConnectionLostError("reset")),
    FakeReply(steps=(b'{"choices": [', ConnectionLostError("cut"))),
    FakeReply(delay=1000.0),
)


class Weather(FakeTransport):
    """Fails one request in five, in one of many ways, and counts."""

    def __init__(self, seed: int, share: float) -> None:
        super().__init__(self._next)
        self.chance = random.Random(seed)
        self.share = share
        self.count = 0

    def _next(self, _: object) -> FakeReply:
        self.count += 1
        # What it keeps for tests would fill the memory.
        self.requests.clear()
        self.responses.clear()
        self._sent.clear()
        if self.chance.random() < self.share:
            return self.chance.choice(FAULTS)
        return FakeReply(
            headers={"Content-Type": "application/json"},
            steps=FakeReply.json(ANSWER).steps,
            delay=self.chance.uniform(0.5, 1.5),
        )


class Clock:
    """The time of the loop, and repeatable chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed).random

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_790_000_000.0 + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def storm(calls: int, workers: int, share: float = 0.2, seed: int = 1) -> dict[str, Any]:
    weather, ends, times = Weather(seed, share), Counter[str](), list[float]()
    numbers = iter(range(calls))

    async def work(zai: AsyncZai) -> None:
        for _ in numbers:
            begun = asyncio.get_running_loop().time()
            try:
                await zai.chat.completions.create(
                    model="m", messages="Hi", options=CallOptions(deadline=DEADLINE)
                )
                ends["success"] += 1
            except ZaiError as error:
                ends[type(error).__name__] += 1
            times.append(asyncio.get_running_loop().time() - begun)

    begun = time.perf_counter()
    async with AsyncZai(
        api_key="key",
        transport=weather,
        clock=Clock(seed),
        limits=workers,
        retry=RetryPolicy(),
        timeout=Timeout(first_byte=10.0),
    ) as zai:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work(zai))
        in_flight = sum(window.in_flight for window in zai.limits.snapshot().values())
    return {
        "calls": calls,
        "success": ends.pop("success", 0) / calls,
        "errors": dict(ends),
        "requests_per_call": round(weather.count / calls, 3),
        "beyond_deadline": sum(seconds > DEADLINE + 0.01 for seconds in times),
        "longest_seconds": round(max(times), 1),
        "slots_left": in_flight,
        "real_seconds": round(time.perf_counter() - begun, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.2)
    arguments = parser.parse_args()
    figures = run_virtually(storm(arguments.calls, arguments.workers, arguments.share))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
