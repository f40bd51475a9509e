"""The floor of ``async for``: the raw protocol, whose reader waits for what comes.

The raw protocol decodes where the bytes arrive and hands nothing to a task. Whoever reads chunks in
a loop of their own pays for waking it up too, once a read.
"""

import asyncio

from benchmarks.contestants.raw_protocol import Contestant as Raw
from benchmarks.contestants.raw_protocol import chunk_of, frames_in


class _Chunks(asyncio.Protocol):
    def __init__(self, seen):
        self._seen = seen
        self._rest = self._read = b""
        self._ready = iter(())
        self._over = False
        self._waiter = None
        self._loop = asyncio.get_running_loop()

    @property
    def done(self):
        return self._count()

    async def _count(self):
        async for _ in self:
            self._seen()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            for frame in self._ready:
                return chunk_of(frame)
            if self._over:
                raise StopAsyncIteration
            if not self._read:
                self._waiter = self._loop.create_future()
                await self._waiter
            data, self._read = self._rest + self._read, b""
            end = data.rfind(b"\n\n") + 2
            self._rest = data[end:] if end > 1 else data
            self._ready = iter(frames_in(data, 0, end))
            self._over = data.endswith(b"0\r\n\r\n")

    def data_received(self, data):
        self._read += data
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def connection_lost(self, exc):
        del exc
        if self._waiter is not None:
            self._waiter.cancel()


class Contestant(Raw):
    reader = _Chunks
    only = ("burst", "step")
