"""Thousands of streams at one frame a second in one process: `python -m benchmarks.many_streams`.

The server is another process, so that the memory and the delays are those of the client. The lag
of the event loop is how late a timer of 10 ms comes.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zai_async import AsyncZai, ChatStream

PAGE = resource.getpagesize()


def resident() -> int:
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@contextmanager
def server() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.server", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Reader:
    """Reads one stream and counts."""

    def __init__(self, stream: ChatStream) -> None:
        self.stream = stream
        self.frames = 0

    async def run(self) -> None:
        async with self.stream:
            async for _ in self.stream:
                self.frames += 1


async def measure_lag(lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        lags.append(loop.time() - due)


async def open_all(zai: AsyncZai, count: int) -> list[Reader]:
    readers: list[Reader] = []
    for start in range(0, count, 100):
        streams = [
            zai.chat.completions.stream(model="m", messages="Hi")
            for _ in range(min(100, count - start))
        ]
        await asyncio.gather(*[stream.open() for stream in streams])
        readers += map(Reader, streams)
    return readers


async def run(port: int, count: int, seconds: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/step/api/paas/v4"
    async with AsyncZai(api_key="key", base_url=url, trust_env=False, limits="off") as zai:
        before, begun = resident(), time.perf_counter()
        readers = await open_all(zai, count)
        opened = time.perf_counter() - begun
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        lags: list[float] = []
        lag = asyncio.create_task(measure_lag(lags))
        control = (await asyncio.open_connection("127.0.0.1", port))[1]
        control.write(b"GET /control HTTP/1.1\r\n\r\n")
        for _ in range(seconds):
            await asyncio.sleep(1.0)
            control.write(b"t")
        await asyncio.sleep(1.0)
        lag.cancel()
        memory, begun = resident() - before, time.perf_counter()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        cancelled = time.perf_counter() - begun
        control.close()
    return {
        "streams": count,
        "frames": sum(reader.frames for reader in readers),
        "lost": count * seconds - sum(reader.frames for reader in readers),
        "open_seconds": round(opened, 2),
        "bytes_per_stream": memory // count,
        "lag_p50_ms": round(quantile(lags, 0.5) * 1000, 1),
        "lag_p99_ms": round(quantile(lags, 0.99) * 1000, 1),
        "cancel_seconds": round(cancelled, 3),
    }


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with server() as port:
        figures = asyncio.run(run(port, arguments.streams, arguments.seconds))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
