"""What the tests of tasks share: answers about a task, and a script on a clock that jumps."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tests.calls import KEY
from tests.virtual_loop import run
from zai_async import AsyncZai, ConnectionLostError
from zai_async.testing import FakeReply, FakeTransport

URL = "https://cdn.example/film.mp4"
HEAD = {"id": "t-1", "request_id": "r-1"}
RECEIPT = FakeReply.json({**HEAD, "model": "cogvideox-3", "task_status": "PROCESSING"})
RUNNING = FakeReply.json({**HEAD, "task_status": "PROCESSING"})
DONE = FakeReply.json({**HEAD, "task_status": "SUCCESS", "video_result": [{"url": URL}]})
FAILED = FakeReply.json({**HEAD, "task_status": "FAIL"})
BUSY = FakeReply.json({"error": {"code": "1302", "message": "slow down"}}, status=429)
BROKEN = FakeReply.json({"error": {"code": "500"}}, status=500)
UNKNOWN = FakeReply.json({"error": {"code": "1233", "message": "no such task"}}, status=400)
MISSING = FakeReply.json({"error": {"code": "1233"}}, status=404)
LOST = FakeReply(failure=ConnectionLostError("gone"))
VIDEO = {"model": "cogvideox-3", "prompt": "A lighthouse in a storm"}


class LoopClock:
    """Goes with the loop, and chance is what the test says."""

    BEGUN: Final = 1000.0
    """Not 0, from which on a moment could pass for the time since then."""

    def __init__(self, chance: float = 0.0) -> None:
        self.chance = chance

    def monotonic(self) -> float:
        return self.BEGUN + asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_790_000_000.0

    def random(self) -> float:
        return self.chance

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Wire(FakeTransport):
    """Answers from a script, and writes down when it was asked."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.times: list[float] = []

    async def send(self, request: Any) -> Any:
        self.times.append(asyncio.get_running_loop().time())
        return await super().send(request)

    @property
    def submissions(self) -> int:
        return sum(request.operation.endswith("submit") for request in self.requests)


def played(work, *script, chance=0.0, **changes):
    """Run ``work(zai)`` against a script, and return what it returns and the wire."""
    wire = Wire(*script)

    async def play():
        clock = LoopClock(chance)
        async with AsyncZai(api_key=KEY, transport=wire, clock=clock, **changes) as zai:
            return await work(zai)

    return run(play()), wire


async def generated(zai, **params):
    return await zai.videos.generate(**VIDEO, **params)
