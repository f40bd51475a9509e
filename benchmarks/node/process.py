"""A contestant that is a process of its own, on the worker's core, and is led by lines.

Its command is given the base URL and the question as JSON. It says ``ready``; then it is told
``stream 7`` or ``ask 8 400 100``, 400 calls with 100 in flight, each with a number of its own, says
``seen 7 270`` after 270 events more and at the end ``done 7``. What it does is measured by the
clock of its CPU; what it says about failures goes to stderr.
"""

import asyncio
import itertools
import json
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar, Self

from benchmarks.contestants import MODEL, QUESTION

FOLDER = Path(__file__).parent
Seen = Callable[[], object]


class ProcessContestant:
    """Starts the command, ends it in any case, and fails when it ends itself or is silent."""

    command: ClassVar[list[str]]
    patience = 60.0
    """Seconds of silence."""
    _child: Process

    def __init__(self, url: str) -> None:
        self._told = [url, json.dumps({"model": MODEL, "messages": QUESTION})]
        self._numbers = itertools.count()
        self._ready = asyncio.Event()
        self._seen: dict[int, Seen] = {}
        self._done: dict[int, asyncio.Event] = {}

    @property
    def pid(self) -> int:
        return self._child.pid

    async def __aenter__(self) -> Self:
        self._running = self._run()
        await self._running.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> bool | None:
        return await self._running.__aexit__(*failure)

    async def stream(self, seen: Seen) -> None:
        await self._do("stream {}", seen)

    async def ask(self) -> None:
        await self.ask_many(1, 1)

    async def ask_many(self, calls: int, in_flight: int) -> None:
        await self._do(f"ask {{}} {calls} {in_flight}")

    async def _do(self, command: str, seen: Seen = int) -> None:
        number, done = next(self._numbers), asyncio.Event()
        self._seen[number], self._done[number] = seen, done
        assert self._child.stdin is not None
        self._child.stdin.write(f"{command.format(number)}\n".encode())
        await done.wait()

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        """Listen to the child meanwhile; where that fails, whoever is inside is cancelled."""
        async with self._started(), asyncio.TaskGroup() as group:
            listener = group.create_task(self._listen())
            await self._ready.wait()
            yield
            listener.cancel()

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        command = [*self.command, *self._told]
        self._child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                self._child.kill()
            await self._child.communicate()

    async def _listen(self) -> None:
        while line := await self._line():
            self._hear(line.decode())
        raise ChildProcessError(f"{self.command} has ended; what it says about that is above")

    async def _line(self) -> bytes:
        assert self._child.stdout is not None
        try:
            async with asyncio.timeout(self.patience):
                return await self._child.stdout.readline()
        except TimeoutError:
            raise TimeoutError(f"{self.command} was silent for {self.patience} s") from None

    def _hear(self, line: str) -> None:
        match line.split():
            case ["ready"]:
                self._ready.set()
            case ["seen", number, events]:
                for _ in range(int(events)):
                    self._seen[int(number)]()
            case ["done", number]:
                self._done[int(number)].set()
            case _:
                raise ValueError(f"{self.command} says {line!r}")


class NodeContestant(ProcessContestant):
    """A program in this folder."""

    practice = 10  # V8 compiles what runs often; more practice gives the same figures
    only = "burst", "step", "unary1", "unary100", "unary1000"
    """What the others measure is in the worker: its clock, its memory and its parsers."""


def program(name: str, package: str) -> list[str]:
    """Return how to start a program of this folder, if node and the package are installed."""
    if not shutil.which("node"):
        raise ModuleNotFoundError("node is not installed", name="node")
    if not (FOLDER / "node_modules" / package).is_dir():
        raise ModuleNotFoundError(f"{package} is not installed", name=f"npm:{package}")
    return ["node", str(FOLDER / name)]
