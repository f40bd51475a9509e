"""What an answer of the emulator costs it: `python -m benchmarks.emulator`.

The client writes bytes and counts answers, so that nearly all of the work is the emulator's, which
is a process of its own. With a core for each of the two it answers as many rows a second as its
CPU per row allows.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

PROMPT = "Question %d: how much is that times seven? Answer briefly."
ZAI = Path(sys.executable).with_name("zai")


def request(number: int) -> bytes:
    message = {"role": "user", "content": PROMPT % number}
    body = json.dumps({"model": "glm-5.3", "messages": [message]}).encode()
    return (
        b"POST /api/paas/v4/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Authorization: Bearer emulated\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


class Asker(asyncio.Protocol):
    """Asks on one connection, one question after the other, until there are none left."""

    def __init__(self, questions: Iterator[bytes], statuses: Counter[str]) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._questions = questions
        self._statuses = statuses
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        question = next(self._questions, None)
        if question is None:
            self._transport.close()
        else:
            self._transport.write(question)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length:")[2].split()[0]):
            return
        self._statuses[head.split()[1].decode()] += 1
        self._answer = b""
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.done.set_result(None)


async def ask(port: int, rows: int, at_once: int) -> Counter[str]:
    """Ask so many questions and return how often each status came."""
    questions, statuses = map(request, range(rows)), Counter[str]()
    loop = asyncio.get_running_loop()
    askers = [
        (await loop.create_connection(lambda: Asker(questions, statuses), "127.0.0.1", port))[1]
        for _ in range(at_once)
    ]
    await asyncio.gather(*[asker.done for asker in askers])
    return statuses


@contextmanager
def emulator(*options: str) -> Iterator[tuple[int, int]]:
    """Serve an emulator at full speed; yield its process and its port."""
    command = [str(ZAI), "emulator", "--pace", "0", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline().split(":")[2].split("/")[0])
        finally:
            process.terminate()


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python lacks


def resident(pid: int) -> float:
    """Return the MiB of memory that a process has now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def measure(rows: int, at_once: int, keep: int) -> dict[str, Any]:
    """Ask as many rows twice: what still grows the second time has no bound."""
    with emulator("--keep", str(keep)) as (pid, port):
        memory = list[float]()
        statuses = Counter[str]()
        used, begun = 0.0, 0.0
        for _ in range(2):
            used, begun = cpu(pid), time.perf_counter()
            statuses += asyncio.run(ask(port, rows, at_once))
            used, begun = cpu(pid) - used, time.perf_counter() - begun
            memory.append(resident(pid))
    return {
        "statuses": dict(statuses),
        "us_of_cpu_per_row": round(used / rows * 1e6),
        "rows_per_second_of_its_cpu": round(rows / used),
        "rows_per_second": round(rows / begun),
        "memory_mib": [round(mib, 1) for mib in memory],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--keep", type=int, default=1_000)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
