"""Every operation, cancelled at every point at which it waits: nothing stays, nothing is repeated.

A stepping coroutine is cancelled at its first await point, then at its second, and so on to its
last: 200 points and more of each operation, with failures and repetitions on the way; a sample of
them unless the run is thorough.
"""

import asyncio

import anyio
import anyio.lowlevel
import msgspec
import pytest

from tests.calls import ASK, COMPLETION, KEY, FakeClock
from tests.chat_wire import frame, last, texts, thoughts
from tests.effort import sample
from tests.stepping import Steps, run_steps
from tests.task_wire import BUSY, LOST, RECEIPT, RUNNING, VIDEO, LoopClock
from tests.task_wire import DONE as TASK_DONE
from tests.virtual_loop import VirtualLoop
from zai_async import AsyncZai, RetryPolicy
from zai_async.testing import FakeReply, FakeTransport

PATIENT = RetryPolicy(retries=5)
ANSWER = FakeReply.json(COMPLETION)
FILE = FakeReply.json({"id": "file-1", "bytes": 210, "filename": "a.txt", "purpose": "agent"})


def slowly(*pieces):
    """Return steps with a silence before each piece: that many points at which one waits."""
    return [step for piece in pieces for step in (0.01, piece)]


def crawling(reply):
    """Return the same reply, byte by byte."""
    pieces = [bytes([byte]) for byte in b"".join(reply.steps)]
    return msgspec.structs.replace(reply, steps=tuple(slowly(*pieces)))


class Lame(FakeTransport):
    """Takes its time with every request, and cleans up with awaits when it is cancelled."""

    async def send(self, request):
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        return await super().send(request)


async def create(zai):
    answer = await zai.chat.completions.create(**ASK)
    return answer.text


async def stream(zai):
    async with zai.chat.completions.stream(**ASK) as answer:
        return "".join([text async for text in answer.text])


async def stream_without_context(zai):
    answer = await zai.chat.completions.create(**ASK, stream=True)
    return (await answer.completion()).text


async def upload(zai):
    async def pieces():
        for _ in range(210):
            await anyio.sleep(0.01)
            yield b"x"

    return (await zai.files.create(file=("a.txt", pieces()), purpose="agent")).id


async def wait(zai):
    task = await zai.videos.submit(**VIDEO)
    return (await task.wait()).task_status


WORDS = [*thoughts("Hm."), *texts(*["word "] * 190), last()]
SILENT = FakeReply.stream(*slowly(*[frame(chunk) for chunk in texts("", "")]))  # then it ends
STREAM = FakeReply.stream(*slowly(*[frame(chunk) for chunk in WORDS], b"data: [DONE]\n\n"))
OPERATIONS = [
    pytest.param(
        create, [BUSY, LOST, crawling(BUSY), crawling(BUSY), crawling(ANSWER)], id="create"
    ),
    pytest.param(stream, [BUSY, SILENT, LOST, STREAM], id="stream"),
    pytest.param(stream_without_context, [SILENT, BUSY, SILENT, STREAM], id="bare-stream"),
    pytest.param(upload, [FILE], id="upload"),
    pytest.param(wait, [RECEIPT, *[RUNNING, BUSY, LOST] * 20, TASK_DONE], id="wait"),
]


class Run:
    """One operation in a world of its own, cancelled at one point or not at all."""

    def __init__(self, operation, script, cancel_at=None):
        self.transport = Lame(*script)
        self.zai = AsyncZai(
            api_key=KEY, transport=self.transport, retry=PATIENT, clock=LoopClock(), limits=2
        )
        self.steps = Steps(operation(self.zai), cancel_at, self.note)
        self.sent = None

    def note(self):
        self.sent = len(self.transport.requests)

    async def play(self):
        task = asyncio.get_running_loop().create_task(run_steps(self.steps))
        await asyncio.wait([task])
        return task

    async def leftovers(self):
        """Return what is still there, apart from the guardian of the session."""
        session = await self.zai._manager.sessions.current()
        return {
            "responses": self.transport.open_responses,
            "slots": sum(window.in_flight for window in self.zai.limits.snapshot().values()),
            "waiting": sum(window.waiting for window in self.zai.limits.snapshot().values()),
            "visits": len(self.zai._manager.sessions.calls.inside),
            "watched": len(session.watchdog._watched),
            "tasks": len(asyncio.all_tasks()) - 1,
        }


async def whole(operation, script):
    run = Run(operation, script)
    task = await run.play()
    assert await task
    assert not any((await run.leftovers()).values())
    await run.zai.aclose()
    return run.steps.taken


async def cut(operation, script, point):
    run = Run(operation, script, point)
    task = await run.play()
    await anyio.lowlevel.checkpoint()  # for callbacks that were under way
    assert task.cancelled(), f"swallowed at point {point}"
    assert len(run.transport.requests) == run.sent, f"repeated at point {point}"
    assert not any((left := await run.leftovers()).values()), f"point {point}: {left}"
    await run.zai.aclose()


@pytest.mark.parametrize(("operation", "script"), OPERATIONS)
def test_every_point_of_an_operation(operation, script):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        points = runner.run(whole(operation, script))
        assert points >= 150
        for point in sample(range(points), 25):
            runner.run(cut(operation, script, point))


# The same on real sockets, where the points are those of aiohttp as well.


async def send_file(zai):
    return (await zai.files.create(file=__file__, purpose="agent")).id


@pytest.mark.parametrize("operation", [create, stream, stream_without_context, send_file, wait])
async def test_every_point_on_a_real_connection(zai_emulator, operation):
    zai_emulator.fault(write_size=8, times=None)
    async with AsyncZai(
        api_key=KEY, base_url=zai_emulator.url, clock=FakeClock(), trust_env=False, limits=2
    ) as zai:
        steps = Steps(operation(zai))
        assert await run_steps(steps)
        ends = {"cancelled": 0, "whole": 0}
        for point in sample(range(min(steps.taken, 200)), 12):
            task = asyncio.create_task(run_steps(Steps(operation(zai), point)))
            await asyncio.wait([task])
            ends["cancelled" if task.cancelled() else "whole"] += 1
        assert ends["cancelled"], ends  # how often one waits depends on the kernel
        await zai_emulator.wait_until(lambda: zai_emulator.in_flight == 0)
        session = await zai._manager.sessions.current()
        assert not session.watchdog._watched
        assert not zai._manager.sessions.calls.inside
        assert {window.in_flight for window in zai.limits.snapshot().values()} == {0}
        assert await operation(zai)
