"""One measurement: who is measured, against which server, and how much is done."""

import gc
import os
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class SkippedError(Exception):
    """This machine does not allow the measurement."""


class Server:
    """The way to the server: addresses for clients, and the line on which it takes orders."""

    def __init__(self, port: int, tls_port: int | None = None) -> None:
        self._place = f"http://127.0.0.1:{port}"
        if tls_port is not None:
            self._place = f"https://127.0.0.1:{tls_port}"
        self._line = socket.create_connection(("127.0.0.1", port))
        self._answers = self._line.makefile("rb")
        self.order(b"GET /control HTTP/1.1\r\n\r\n")

    def url(self, room: str) -> str:
        return f"{self._place}/{room}/api/paas/v4"

    def order(self, order: bytes) -> None:
        self._line.sendall(order)

    def tick(self) -> None:
        """Have one event sent down every open stream."""
        self._line.sendall(b"t")

    def cpu(self) -> float:
        """Return the seconds of CPU that the server has used."""
        return self.ask(b"c")[0]

    def streams(self) -> float:
        """Return how many streams are open."""
        return self.ask(b"n")[0]

    def ask(self, order: bytes) -> list[float]:
        self._line.sendall(order)
        return [float(figure) for figure in self._answers.readline().split()]

    def close(self) -> None:
        self._answers.close()
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
        self.lost = 0.0
        """The share of the time in which who is measured waited for the core, others having it."""
        self.also: dict[str, float] = {}
        """Further figures, by the headings of their columns."""
        self._client: Any = None

    def count(self, full: int, least: int = 1) -> int:
        return max(least, int(full * self.size))

    def client(self, room: str) -> Any:
        self._client = self.contestant(self.server.url(room))
        return self._client

    def times(self) -> range:
        """Return how often to do what is measured; the last time counts."""
        return range(1 + getattr(self.contestant, "practice", 0))

    @contextmanager
    def measured(self) -> Iterator[None]:
        gc.collect()
        pid = getattr(self._client, "pid", os.getpid())
        server, lost = self.server.cpu(), _lost(pid)
        wall, cpu = time.perf_counter(), _cpu(pid)
        yield
        self.cpu, wall = _cpu(pid) - cpu, time.perf_counter() - wall
        lost, server = _lost(pid) - lost, self.server.cpu() - server
        self.busy, self.lost = server / wall, max(0.0, lost / wall)


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used, in all its threads."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python lacks


def _lost(pid: int) -> float:
    """Return the seconds in which the first thread of a process could have run and strangers did.

    What its other threads and this process have run is not counted, whenever that was.
    """
    run, waited, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    return (run + waited) / 1e9 - sum(map(_cpu, {pid, os.getpid()}))


Run = Callable[[Work], Awaitable[float]]
"""Does the work and returns the figure."""


def resident() -> int:
    """Return the memory of this process in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def need_descriptors(count: int) -> None:
    """Allow this process so many sockets, or give up."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < count:
        raise SkippedError(f"{count} open files are needed and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
