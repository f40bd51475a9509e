"""A thousand readers of a relay, while its platform fails: part of `benchmarks.relay`.

As a program it is that platform: every fifth request fails, in one of five ways.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.scenarios.work import need_descriptors
from benchmarks.wire import END, HEAD, event, framed
from tests.nginx import nginx_before

EVENTS: Final = 40
PACE: Final = 0.02
ROUNDS: Final = 6
_TOO_MANY: Final = b'{"error":{"code":"1302","message":"too many"}}'
BUSY: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_MANY), _TOO_MANY)
)
BROKEN: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
ERROR: Final = framed(b'data: {"error":{"code":"1305","message":"busy"}}\n\n') + b"0\r\n\r\n"


class Platform(asyncio.Protocol):
    """One connection to the platform."""

    requests = faults = 0
    connections: Final[set["Platform"]] = set()

    def __init__(self) -> None:
        self.told: asyncio.Task[None] | None = None
        """The answer that is under way."""
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.connections.discard(self)
        if self.told is not None:
            self.told.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET"):
            under_way = sum(each.told is not None for each in self.connections)
            said = [self.requests, self.faults, under_way]
            self.connections.discard(self)
            self._transport.write(json.dumps(said).encode())
            self._transport.close()
        elif len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0]):
            self._data = b""
            Platform.requests += 1
            self.told = asyncio.create_task(self._answer(Platform.requests))

    async def _answer(self, number: int) -> None:
        fault = number // 5 % 5 if number % 5 == 0 else None
        Platform.faults += fault is not None
        write = self._transport.write
        if fault in {0, 1}:
            write(BUSY if fault else BROKEN)
        else:
            write(HEAD)
            for place in range(EVENTS if fault is None else EVENTS // 2):
                write(framed(event(place)))
                await asyncio.sleep(PACE)
            if fault is None:
                write(END)
            elif fault == 2:
                write(ERROR)
            elif fault == 3:
                self._transport.abort()
            else:
                write(b"0\r\n\r\n")  # as if it were whole
        self.told = None


@contextmanager
def platform() -> Iterator[tuple[int, str]]:
    """Run the platform; yield its port, and where it tells what it has seen."""
    command = [sys.executable, "-m", "benchmarks.relay_storm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(cast("Any", process.stdout).readline())
            yield port, f"127.0.0.1:{port}"
        finally:
            process.terminate()


async def fetched(port: int) -> Any:
    """Return JSON that a server tells, without keeping a connection to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return json.loads(answer.rpartition(b"\r\n\r\n")[2] or answer)


async def read(port: int, leaves_after: int | None) -> None:
    """Read an answer, or only the beginning of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"id":"chat"}'
    head = b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    size = 0
    try:
        while piece := await reader.read(2**16):
            size += len(piece)
            if leaves_after is not None and size >= leaves_after:
                break
    finally:
        writer.transport.abort()


async def settled(site: int, told: int) -> tuple[dict[str, Any], list[int]]:
    """Wait until nothing is under way any more, for ten seconds; return what both sides say."""
    for _ in range(100):
        state, seen = await fetched(site), await fetched(told)
        if not state["permits"] and not seen[2]:
            break
        await asyncio.sleep(0.1)
    return state, seen


async def run(site: int, told: str, readers: int) -> dict[str, Any]:
    """Let so many readers come at once, again and again."""
    need_descriptors(2 * readers)
    chance, left, memory = random.Random(7), 0, list[float]()
    platform_port = int(told.rpartition(":")[2])
    with tempfile.TemporaryDirectory() as folder:
        upstream = f"http://127.0.0.1:{site}"
        async with nginx_before(upstream, Path(folder), connections=8_192) as url:
            port = int(url.rpartition(":")[2])
            for _ in range(ROUNDS):
                async with asyncio.TaskGroup() as group:
                    for number in range(readers):
                        leaves = chance.randrange(1, 2_000) if number % 3 == 0 else None
                        left += leaves is not None
                        group.create_task(read(port, leaves))
                state, seen = await settled(site, platform_port)
                memory.append(state["memory"])
                print(f"{readers} readers: {state}, {seen}", file=sys.stderr, flush=True)
    return {
        "readers": readers,
        "rounds": ROUNDS,
        "left": left,
        "requests": seen[0],
        "faults": seen[1],
        "open": seen[2],
        "permits": state["permits"],
        "memory": memory,
    }


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Platform, "127.0.0.1", 0, backlog=4_096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    need_descriptors(0)
    asyncio.run(serve())
