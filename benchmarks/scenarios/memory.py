"""What an open stream takes of memory."""

import asyncio

from benchmarks.scenarios.rounds import Rounds, open_streams, stop
from benchmarks.scenarios.work import Run, Work, need_descriptors, resident


def memory(streams: int) -> Run:
    async def run(work: Work) -> float:
        """Open streams that wait for their next event, each having read one."""
        need_descriptors(streams + 100)
        rounds = Rounds(work.server, min(streams, work.count(10 * streams, 10)))
        async with work.client("step") as client:
            seen = [rounds.seen] * rounds.streams
            tasks = await open_streams(work.server, client, seen[:1])
            before = resident()
            with work.measured():
                tasks += await open_streams(work.server, client, seen[1:])
                await rounds.play(1)
            grown, opening = resident() - before, work.cpu
            played = await _steps(work, rounds)
            title = f"KiB, {played} events later"
            work.also[title] = (resident() - before) / (rounds.streams - 1) / 1024
            await stop(tasks)
        work.also["to open, us"] = opening / (rounds.streams - 1) * 1e6
        return grown / (rounds.streams - 1) / 1024

    return run


async def _steps(work: Work, rounds: Rounds) -> int:
    """Tell also what an event costs among so many streams."""
    played = max(2, work.count(20_000 // rounds.streams))
    with work.measured():
        await rounds.play(played)
    work.also["us/event"] = work.cpu / (played * rounds.streams) * 1e6
    return played


async def stalled(work: Work) -> float:
    """Streams whose caller reads no further than the first event, while the server goes on."""
    streams = min(100, work.count(1000, 2))
    async with work.client("warm") as client:
        await client.stream(int)
    async with work.client("flood") as client:
        before, forever = resident(), asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(client.stall(asyncio.shield(forever))) for _ in range(streams)]
        grown = await _settled() - before
        await stop(tasks)
    return grown / streams / 1024


async def _settled() -> int:
    """Return the memory when it does not grow any more."""
    last = 0
    while (now := resident()) > last * 1.01:
        last = now
        await asyncio.sleep(0.5)
    return now
