"""Every mutant of some rooms, each in a fork of its own: ``python -m tests.every_mutant``.

What `tests.mutants` draws by chance and tries in copies of the project is tried here without a
copy. One child runs the tests of the rooms and notes which of them come by which line; then each
mutant gets a child in which its function is exchanged, and which runs only the tests that come by
it, the quick ones first. That takes a third of a second for most, and a whole room minutes.

The score is a lower bound: neither what runs in other processes nor what ran at the import meets
the fault, and after ``--seconds`` of tests a mutant is given up. `tests.mutants` has the last word.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import pickle
import re
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final, NamedTuple

import coverage
import pytest
from _pytest.runner import runtestprotocol

from tests.mutants import HANGS, ROOMS, drawn, suite_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.mutants import Mutant

STUCK: Final = 60
"""Seconds without a word of a child, after which it hangs."""
SLOW: Final = 6
"""Seconds of a test that is left out, since it is about something else."""
UNTRIED: Final = "not tried, as it closes over less"
_PLACE: Final = re.compile(r":\d+:\d+:")


class Experience(NamedTuple):
    """What the tests did when nothing was changed."""

    seconds: dict[str, float]
    """How long each test took that passed."""
    visits: dict[str, dict[int, list[str]]]
    """By path and line, the tests that come by."""

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that may notice a fault: of its line, then of its function."""
        lines = self.visits.get(str(mutant.path), {})
        # The tracer misses lines that follow an await here and there, and no first lines.
        begin = beginning_of(mutant)
        of_line = dict.fromkeys(lines.get(mutant.line, ()))
        of_function = dict.fromkeys(
            name for line in range(begin, mutant.line) for name in lines.get(line, ())
        )
        quick = self.seconds.get
        first, then = (
            sorted((name for name in names if name in self.seconds), key=quick)
            for names in (of_line, of_function)
        )
        return list(dict.fromkeys([*first, *then]))


def beginning_of(mutant: Mutant) -> int:
    """Return the first line of the function that a mutant stands in."""
    source = mutant.path.read_text(encoding="utf-8")
    codes = codes_in(compile(source, str(mutant.path), "exec", dont_inherit=True))
    begins = [
        code.co_firstlineno
        for code in codes
        if not code.co_name.startswith("<")  # no comprehension, nor anything else without a name
        and code.co_firstlineno <= mutant.line <= max(line or 0 for *_, line in code.co_lines())
    ]
    return max(begins, default=mutant.line)


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yield the functions, classes and comprehensions of a module, each before what is in it."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from codes_in(each)


def exchange(mutant: Mutant, functions: Iterable[FunctionType]) -> bool:
    """Put the fault into the functions that are there already; tell whether it could be done."""
    changed: dict[str, list[CodeType]] = defaultdict(list)
    for code in codes_in(compile(mutant.source, str(mutant.path), "exec", dont_inherit=True)):
        changed[code.co_qualname].append(code)
    source = mutant.path.read_text(encoding="utf-8")
    successors = {}
    for code in codes_in(compile(source, str(mutant.path), "exec", dont_inherit=True)):
        if changed[code.co_qualname]:
            place = code.co_qualname, code.co_firstlineno
            successors[place] = changed[code.co_qualname].pop(0)
    exchanged = 0
    for function in functions:
        code = function.__code__
        place = code.co_qualname, code.co_firstlineno
        if code.co_filename != str(mutant.path) or place not in successors:
            continue
        try:
            function.__code__ = successors[place]
        except ValueError:  # what it closes over is part of the fault
            last = max((line for *_, line in code.co_lines() if line), default=0)
            if code.co_firstlineno <= mutant.line <= last:
                return False
        exchanged += 1
    return exchanged > 0


@dataclass
class Trial:
    """A child that runs tests on a mutant."""

    mutant: Mutant
    tests: list[str]
    known: int
    """How many tests come by; there may be no time for all."""
    pid: int
    pipe: int
    heard_at: float = field(default_factory=time.monotonic)
    last: str = ""

    def fate(self) -> str | None:
        """Return how it ended, None as long as it has not."""
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        with contextlib.suppress(BlockingIOError):
            while told := os.read(self.pipe, 2**16):
                self.heard_at = time.monotonic()
                self.last = told.decode(errors="replace").split("\n")[-2]
        hangs = not ended and time.monotonic() - self.heard_at > STUCK
        if not ended and not hangs:
            return None
        with contextlib.suppress(ProcessLookupError):  # whom the tests have left behind, too
            os.killpg(self.pid, signal.SIGKILL)
        if hangs:
            os.waitpid(self.pid, 0)
        os.close(self.pipe)
        if hangs:
            return f"killed by {HANGS} of {self.last}"
        if not status:
            return f"survived, by {len(self.tests)} of {self.known}"
        if not self.last:
            raise RuntimeError(f"no test was begun for {self.mutant}")
        return f"killed by {self.last}" if self.last != UNTRIED else UNTRIED


class EveryMutant:
    """A plugin of pytest that runs the tests of a session once for each mutant."""

    def __init__(
        self, mutants: list[Mutant], tell: Callable[[str], None], *, jobs: int, seconds: float
    ) -> None:
        self.mutants = mutants
        self.tell = tell
        self.jobs = jobs
        self.seconds = seconds
        self.fates: list[str] = []
        self._functions: list[FunctionType] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Find the functions before they are frozen."""
        paths = {str(mutant.path) for mutant in self.mutants}
        self._functions = [
            each
            for each in gc.get_objects()
            if isinstance(each, FunctionType) and each.__code__.co_filename in paths
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try all mutants, some at a time."""
        items = {item.nodeid: item for item in session.items}
        experience = self._experience(list(items.values()))
        left_out = len(items) - len(experience.seconds)
        self.tell(f"{left_out} of {len(items)} tests left out: slow, skipped, or failing in a fork")
        waiting = sorted(self.mutants, key=lambda mutant: (mutant.path, mutant.line))
        trials: list[Trial] = []
        while waiting or trials:
            while waiting and len(trials) < self.jobs:
                trials.append(self._begin(waiting.pop(0), experience, items))
            time.sleep(0.01)
            for trial in tuple(trials):
                if (fate := trial.fate()) is not None:
                    trials.remove(trial)
                    self.fates.append(fate)
                    self.tell(f"{trial.mutant}: {fate}")
        return True

    def _experience(self, items: list[pytest.Item]) -> Experience:
        """Run the tests in a child as they are, and return what it has seen."""
        with tempfile.NamedTemporaryFile() as told:
            child = os.fork()
            if not child:
                with contextlib.suppress(BaseException):
                    Path(told.name).write_bytes(pickle.dumps(self._seen(items)))
                os._exit(0)
            os.waitpid(child, 0)
            seen: Experience = pickle.loads(Path(told.name).read_bytes())
            return seen

    def _seen(self, items: list[pytest.Item]) -> Experience:
        paths = sorted({str(mutant.path) for mutant in self.mutants})
        measured = coverage.Coverage(data_file=None, include=paths, config_file=False)
        measured.start()
        seconds = {}
        for item, following in pairwise([*items, None]):
            measured.switch_context(item.nodeid)
            begun = time.perf_counter()
            reports = runtestprotocol(item, log=False, nextitem=following)
            took = time.perf_counter() - begun
            if all(report.passed for report in reports) and took < SLOW:
                seconds[item.nodeid] = took
        measured.stop()
        data = measured.get_data()
        return Experience(seconds, {path: data.contexts_by_lineno(path) for path in paths})

    def _begin(
        self, mutant: Mutant, experience: Experience, items: dict[str, pytest.Item]
    ) -> Trial:
        tests, left = [], self.seconds
        known = experience.tests_of(mutant)
        for name in known:
            left -= experience.seconds[name]
            if left < 0:
                break
            tests.append(name)
        pipe, writing = os.pipe()
        child = os.fork()
        if not child:
            # Nothing is cleaned up here: that belongs to the parent.
            status = 1
            with contextlib.suppress(BaseException):
                os.setsid()
                status = self._try(mutant, [items[name] for name in tests], writing)
            os._exit(status)
        os.close(writing)
        os.set_blocking(pipe, False)
        return Trial(mutant, tests, len(known), child, pipe)

    def _try(self, mutant: Mutant, items: list[pytest.Item], pipe: int) -> int:
        """Run tests until one fails; say which one is on."""
        if not exchange(mutant, self._functions):
            os.write(pipe, f"{UNTRIED}\n".encode())
            return 1
        for item, following in pairwise([*items, None]):
            os.write(pipe, f"{item.nodeid}\n".encode())
            reports = runtestprotocol(item, log=False, nextitem=following)
            if any(report.failed for report in reports):
                return 1
        return 0


def survivors_of(output: str) -> set[str]:
    """Return what has survived, by an earlier output; lines and columns may be others by now."""
    told = (line.partition(": survived, by ") for line in output.splitlines())
    return {_PLACE.sub(":", mutant) for mutant, survived, _ in told if survived}


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.every_mutant", description=__doc__)
    options.add_argument("--rooms", nargs="+", choices=sorted(ROOMS), default=sorted(ROOMS))
    options.add_argument("--count", type=int, help="so many of each room, drawn by chance")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    options.add_argument("--seconds", type=float, default=12, help="of tests for each mutant")
    options.add_argument("--again", type=Path, help="only those that survived, by this output")
    given = options.parse_args()
    mutants = [each for room in given.rooms for each in drawn(room, given.count, given.seed)]
    if given.again is not None:
        survivors = survivors_of(given.again.read_text(encoding="utf-8"))
        mutants = [each for each in mutants if _PLACE.sub(":", str(each)) in survivors]
    out = os.fdopen(os.dup(1), "w", buffering=1)  # what pytest captures is its own
    plugin = EveryMutant(
        mutants,
        lambda text: print(text, file=out),
        jobs=given.jobs,
        seconds=given.seconds,
    )
    suite = dict.fromkeys(path for room in given.rooms for path in suite_of(room))
    quiet = "-qq", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"
    pytest.main([*quiet, *suite], plugins=[plugin])
    survived = sum(fate.startswith("survived") for fate in plugin.fates)
    untried = plugin.fates.count(UNTRIED)
    tried = len(plugin.fates) - untried
    print(
        f"{tried} mutants: {tried - survived} killed, {survived} survived; {untried} not tried",
        file=out,
    )
    out.close()
    return int(len(plugin.fates) < len(mutants))


if __name__ == "__main__":
    sys.exit(main())
