"""Streams in step: the next event is sent when each of them has read the one before."""

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.scenarios.work import Server


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
        await opened(self._server, self.streams)
        self._server.tick()
        await self._over.wait()


async def opened(server: Server, streams: int, pause: float = 0.02) -> None:
    """Return when so many streams are open at the server."""
    while server.streams() < streams:  # noqa: ASYNC110
        await asyncio.sleep(pause)  # the server cannot set an event


def start(client: Any, seen: Callable[[], object], streams: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(client.stream(seen)) for _ in range(streams)]


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
