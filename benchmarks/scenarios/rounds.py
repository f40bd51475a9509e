"""Many streams: opening them, and one event for each when all have read the one before."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.scenarios.work import Server, SkippedError

Seen = Callable[[], object]
BATCH = 100
"""How many streams are opened at once."""


class Rounds:
    """Counts the events of a round, and asks for the next when all have been read."""

    def __init__(self, server: Server, streams: int) -> None:
        self.streams = streams
        self._server = server
        self._unread = streams
        self._rounds = 0
        self._over = asyncio.Event()

    def seen(self) -> None:
        self._unread -= 1
        if not self._unread:
            self._unread = self.streams
            self._rounds -= 1
            if self._rounds:
                self._server.tick()
            else:
                self._over.set()

    async def play(self, rounds: int) -> None:
        self._rounds = rounds
        self._over.clear()
        self._server.tick()
        await self._over.wait()


async def open_streams(
    server: Server, client: Any, readers: Sequence[Seen], batch: int = BATCH
) -> list[asyncio.Task[None]]:
    """Open a stream for each reader, so many at once."""
    tasks: list[asyncio.Task[None]] = []
    for begin in range(0, len(readers), batch):
        before = server.streams()
        new = [asyncio.create_task(client.stream(seen)) for seen in readers[begin : begin + batch]]
        while server.streams() < before + len(new):
            await asyncio.sleep(0.002)  # the server cannot set an event
            if any(task.done() for task in new):
                raise SkippedError(f"only {server.streams()} streams could be opened")
        tasks += new
    return tasks


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)  # some say more than that they end
