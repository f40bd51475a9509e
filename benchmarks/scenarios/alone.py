"""What needs no server: parsers, and starting."""

import os
import resource
import subprocess
import sys

from benchmarks.scenarios.work import Run, Work
from benchmarks.wire import event

BYTES = 2_000_000
LONGEST = 2**24


def parse(read: int) -> Run:
    async def run(work: Work) -> float:
        """The parser alone, fed with reads of one size; 0 is one event a read."""
        size = work.count(BYTES // 10 if read == 1 else BYTES, 2000)
        events = [event(number) for number in range(size // len(event(0)))]
        data = b"".join(events)
        with work.measured():
            assert work.contestant.parse(_cut(data, read) if read else events) == len(events)
        work.also["MB/s"] = len(data) / 1e6 / work.cpu
        return work.cpu / len(events) * 1e6

    return run


def _cut(data: bytes, read: int) -> list[bytes]:
    return [data[at : at + read] for at in range(0, len(data), read)]


async def parse_large(work: Work) -> float:
    """One event of 16 MB in reads of 1 KiB, or as long as its parser can be asked to take it."""
    size = min(work.count(LONGEST, 2**12), getattr(work.contestant, "longest", LONGEST))
    reads = _cut(b"data: " + b"x" * size + b"\n\n", 2**10)
    with work.measured():
        assert work.contestant.parse(reads) == 1
    work.also["MB"] = size / 2**20
    return work.cpu / (size / 2**20) * 1e3


def started(*attributes: str) -> Run:
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
