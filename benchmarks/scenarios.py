"""What is measured, each in a process of its own; ``size`` scales the amount of work."""

import asyncio
import gc
import itertools
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.wire import event

PARSED_EVENTS = 20_000


class Server:
    """The way to the server: addresses for clients, and the line on which it takes orders."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._line = socket.create_connection(self._address)
        self._line.sendall(b"GET /control HTTP/1.1\r\n\r\n")

    def url(self, room: str) -> str:
        return f"http://127.0.0.1:{self._address[1]}/{room}/api/paas/v4"

    def tick(self) -> None:
        """Have one event sent down every open stream."""
        self._line.sendall(b"t")

    def cpu(self) -> float:
        """Return the seconds of CPU that the server has used."""
        return self._ask(b"c")

    def streams(self) -> float:
        """Return how many streams are open."""
        return self._ask(b"n")

    def _ask(self, order: bytes) -> float:
        self._line.sendall(order)
        return float(self._line.recv(64))

    def close(self) -> None:
        self._line.close()


class Work:
    """One measurement: the contestant, the server, and the CPU of both between two moments."""

    def __init__(self, contestant: Any, server: Server, size: float) -> None:
        self.contestant = contestant
        self.server = server
        self.size = size
        self.cpu = 0.0
        self.busy = 0.0
        """The server's share of one core meanwhile."""

    def count(self, full: int, least: int = 1) -> int:
        return max(least, int(full * self.size))

    def client(self, room: str) -> Any:
        return self.contestant(self.server.url(room))

    @contextmanager
    def measured(self) -> Iterator[None]:
        gc.collect()
        server, wall, cpu = self.server.cpu(), time.perf_counter(), time.process_time()
        yield
        self.cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self.busy = (self.server.cpu() - server) / wall


async def burst(work: Work) -> float:
    """One stream, as fast as it is read."""
    async with work.client("warm") as client:
        await client.stream(int)
    counter = itertools.count()
    async with work.client("burst") as client:
        with work.measured():
            await client.stream(counter.__next__)
    return work.cpu / next(counter) * 1e6


async def step(work: Work) -> float:
    """100 streams; the next event is sent when each of them has read the one before."""
    rounds = _Rounds(work.server, streams=min(100, work.count(1000, 2)))
    async with work.client("step") as client:
        readers = [asyncio.create_task(client.stream(rounds.seen)) for _ in range(rounds.streams)]
        await rounds.play(5)
        played = work.count(200, 2)
        with work.measured():
            await rounds.play(played)
        await _cancel(readers)
    return work.cpu / (played * rounds.streams) * 1e6


class _Rounds:
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
        while self._server.streams() < self.streams:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the server cannot set an event
        self._server.tick()
        await self._over.wait()


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


def unary(in_flight: int, calls: int) -> Callable[[Work], Awaitable[float]]:
    async def run(work: Work) -> float:
        """Calls that are answered at once, a number of them in flight."""
        todo = iter(range(work.count(calls, in_flight)))
        async with work.client("answer") as client:
            await asyncio.gather(*(client.ask() for _ in range(in_flight)))
            with work.measured():
                await asyncio.gather(*(_asker(client, todo) for _ in range(in_flight)))
        return work.cpu / work.count(calls, in_flight) * 1e6

    return run


async def _asker(client: Any, todo: Iterator[int]) -> None:
    for _ in todo:
        await client.ask()


async def memory(work: Work) -> float:
    """Open streams that wait for their next event."""
    streams = min(400, work.count(4000, 10))
    rounds = _Rounds(work.server, streams)
    async with work.client("step") as client:
        warm = [asyncio.create_task(client.stream(rounds.seen))]
        await asyncio.sleep(0.2)
        before = _resident()
        tasks = [asyncio.create_task(client.stream(rounds.seen)) for _ in range(streams - 1)]
        await rounds.play(1)
        grown = _resident() - before
        await _cancel(warm + tasks)
    return grown / (streams - 1) / 1024


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


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
            await _cancel([watch])
    return median(late) * 1e3


async def _lag(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.002)
        late.append(time.perf_counter() - began - 0.002)


def parse(read: int) -> Callable[[Work], Awaitable[float]]:
    async def run(work: Work) -> float:
        """The parser alone, fed with reads of one size; 0 is one event a read."""
        events = [event(number) for number in range(work.count(PARSED_EVENTS, 10))]
        data = b"".join(events)
        reads = [data[at : at + read] for at in range(0, len(data), read)] if read else events
        with work.measured():
            assert work.contestant.parse(reads) == len(events)
        return work.cpu / len(events) * 1e6

    return run


def started(*attributes: str) -> Callable[[Work], Awaitable[float]]:
    async def run(work: Work) -> float:
        """The CPU of an interpreter that does this, less that of one that does nothing."""
        lines = [getattr(work.contestant, name) for name in attributes]
        return (_cost("\n".join(lines)) - _cost("pass")) * 1e3

    return run


def _cost(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Scenario(NamedTuple):
    """One line of the report's headings, and what a contestant needs to take part."""

    title: str
    unit: str
    run: Callable[[Work], Awaitable[float]]
    needs: tuple[str, ...]
    at_once: int = 1


SCENARIOS = {
    "burst": Scenario("Stream, many events a read", "us/event", burst, ("stream",)),
    "step": Scenario("Stream, one event a read, 100 streams", "us/event", step, ("stream",), 100),
    "first": Scenario("First token, elapsed", "us", first, ("stream",)),
    "unary1": Scenario("Call, 1 in flight", "us/call", unary(1, 400), ("ask",)),
    "unary100": Scenario("Call, 100 in flight", "us/call", unary(100, 1000), ("ask",), 100),
    "unary1000": Scenario("Call, 1000 in flight", "us/call", unary(1000, 3000), ("ask",), 1000),
    "memory": Scenario("Open stream", "KiB/stream", memory, ("stream",), 400),
    "upload": Scenario("Lag of the loop, 20 uploads of 20 MB", "ms", upload, ("upload",), 20),
    "parse1": Scenario("Parser, 1 byte a read", "us/event", parse(1), ("parse",)),
    "parse0": Scenario("Parser, one event a read", "us/event", parse(0), ("parse",)),
    "parse1k": Scenario("Parser, 1 KiB a read", "us/event", parse(2**10), ("parse",)),
    "parse64k": Scenario("Parser, 64 KiB a read", "us/event", parse(2**16), ("parse",)),
    "import": Scenario("Import", "ms", started("imports"), ("imports",)),
    "client": Scenario(
        "Import and a client", "ms", started("imports", "opens"), ("imports", "opens")
    ),
}
