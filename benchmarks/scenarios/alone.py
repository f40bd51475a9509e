"""What needs no server: parsers, and starting."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.scenarios.work import Run, Work
from benchmarks.wire import event

BYTES = 2_000_000
_LEAST = 0.2
"""Seconds: what takes a few milliseconds is measured by chance."""
LONGEST = 16_000_000
_COMPILED = str(Path(tempfile.gettempdir(), "zai-async-bench-bytecode"))
_READS = {"1 byte": 1, "1 KiB": 2**10, "64 KiB": 2**16}


async def parse(work: Work) -> float:
    """The parser alone: one event a read, and reads of other sizes that begin anywhere."""
    data = b"".join(_events(work, BYTES))
    for title, read in _READS.items():
        few = _events(work, BYTES // 10 if read == 1 else BYTES)
        work.also[title] = _parsed(work, _cut(b"".join(few), read), len(few))
    events = _events(work, BYTES)
    work.also["64 KiB, MB/s"] = len(data) / len(events) / work.also["64 KiB"]
    return _parsed(work, events, len(events))


def _events(work: Work, size: int) -> list[bytes]:
    return [event(number) for number in range(work.count(size, 2000) // len(event(0)))]


def _parsed(work: Work, reads: list[bytes], events: int) -> float:
    """Return the microseconds for one event; what is quick is done again and again."""
    passes = 0
    until = time.process_time() + _LEAST * work.size
    with work.measured():
        while not passes or time.process_time() < until:
            assert work.contestant.parse(reads) == events
            passes += 1
    return work.cpu / passes / events * 1e6


def _cut(data: bytes, read: int) -> list[bytes]:
    return [data[at : at + read] for at in range(0, len(data), read)]


async def parse_large(work: Work) -> float:
    """One event of 16 MB in reads of 1 KiB, or as long as its parser can be asked to take it."""
    size = min(work.count(LONGEST, 4000), getattr(work.contestant, "longest", LONGEST))
    reads = _cut(b"data: " + b"x" * size + b"\n\n", 2**10)
    work.also["MB"] = size / 1e6
    return _parsed(work, reads, 1) / 1e3 / (size / 1e6)


def started(*attributes: str) -> Run:
    async def run(work: Work) -> float:
        """The CPU of an interpreter that does this, less that of one that does nothing.

        Everything is compiled already, as what pip installs is.
        """
        program = "\n".join(getattr(work.contestant, name) for name in attributes)
        _cost(program)
        return (_cost(program) - _cost("pass")) * 1e3

    return run


def _cost(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": _COMPILED}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
