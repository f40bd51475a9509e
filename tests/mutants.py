"""Faults put in on purpose, and what finds them: ``python -m tests.mutants``.

Each mutant is a copy of the project with one change at a place drawn by chance: a comparison turned
round, an operator exchanged, a number off by one, an answer not returned, a statement left out. The
tests of its room are run with the usual sample of cases; what survives them is run with all cases,
too, unless ``--usual`` says that the sample decides. A mutant that only the thorough run kills is a
fault that ``make test`` would let through, and the command fails.

Each line names the test that found the fault, and a hang is told apart: a test that has nothing to
do with the change, or a machine that stood still, is no proof.

Equal seeds draw equal places as long as the room stays as it is, and more of them begin with the
same. Survivors are to be read: some mean the same as the code, some show a test that is missing.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import functools
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.effort import MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
NEEDED: Final = ("zai_async", "tests", "benchmarks", "fuzz", "examples", "docs", "*.md", "*.toml")
SECONDS: Final = 1800
"""After so long a mutant hangs, which is as good as a failure."""
STUCK: Final = 120
"""So long may one test take, of which all but a few take less than a second."""
KILLED: Final = {"": "killed", "thorough": "killed in all cases only"}
HANGS: Final = "a hang"
TOLD: Final = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)

# What is quick and near comes first, since the first failure ends the run.
ROOMS: Final = {
    "_protocol": [
        *("sse", "salvage", "surrogates", "repetition", "judge", "accumulator", "decoder*"),
        *("chat_*", "stream*", "other_streams", "models_counting"),
    ],
    "_transport": ["transport*", "tls", "network*", "fake_transport", "sessions"],
    "_wire": ["wire*", "time_hints", "codes", "jwt", "errors", "operations", "gateways"],
    "batch": ["batch*"],
    "downloads": ["download*", "drain", "shortage", "kinds"],
    "limiter": ["limit*", "gate", "priority", "coordination", "quota"],
    "session": [
        *("call*", "retr*", "sessions", "hooks", "record", "watchdog", "gate", "drain", "quota"),
        *("ledger", "resources_audio", "client"),
        *("limits", "priority", "coordination", "several_keys", "patience", "stepping"),
        *("stream_clocks", "stream_lifetime", "stream_permits", "threads"),
        *("shortage", "outside_asyncio"),
    ],
    "streams": ["accumulator", "chat_*", "stream*", "other_streams", "combinators", "salvage"],
    "tasks": ["tasks*", "models_tasks", "threads", "outside_asyncio"],
    "uploads": ["upload*", "call_uploads", "recordings", "files", "resources"],
}

OPPOSITE: Final = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
EXTREMES: Final = {"min": "max", "max": "min"}


@dataclass(frozen=True)
class Mutant:
    room: str
    path: Path
    line: int
    column: int
    before: str
    after: str
    source: str
    """The whole file, changed."""

    def __str__(self) -> str:
        where = self.path.relative_to(ROOT)
        return f"{where}:{self.line}:{self.column}: {self.before} -> {self.after or 'left out'}"


def changed(node: ast.AST) -> Iterator[ast.AST | None]:
    """Yield what to put in the place of a node, None to leave out a statement."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in OPPOSITE:
            other = copy.deepcopy(node)
            other.ops = [OPPOSITE[type(op)]()]
            yield other
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in OPPOSITE:
            other = copy.deepcopy(node)
            other.op = OPPOSITE[type(op)]()
            yield other
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Call(func=ast.Name(id=name)) if name in EXTREMES:
            yield ast.Call(ast.Name(EXTREMES[name]), node.args, node.keywords)
        case ast.Constant(value=bool() | int() | float() as value):
            yield ast.Constant(not value if isinstance(value, bool) else value + 1)
        case ast.Break() | ast.Continue():
            yield OPPOSITE[type(node)]()
        case ast.Return(value=ast.Constant(value=None | False)):
            return  # whoever asks takes one for the other
        case ast.Return(value=ast.expr()):
            yield ast.Return(ast.Constant(None))
        case (
            ast.Expr(value=ast.Call() | ast.Await())
            | ast.Assign(targets=[ast.Attribute()])
            | ast.AugAssign()
            | ast.Delete()
        ):
            yield None


def code_of(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function that are executed: no annotations, defaults or decorators."""
    for statement in function.body:
        for node in ast.walk(statement):
            if not isinstance(node, ast.arg | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def mutants_of(room: str, path: Path) -> Iterator[Mutant]:
    text = path.read_text(encoding="utf-8")
    lines = text.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    seen = set()
    for node in (node for function in functions for node in code_of(function)):
        for other in changed(node):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            if (begin, end) in seen:
                continue
            seen.add((begin, end))
            after = "pass" if other is None else ast.unparse(other)
            if isinstance(other, ast.expr):
                after = f"({after})"
            source = text.encode()[:begin] + after.encode() + text.encode()[end:]
            before = " ".join(text.encode()[begin:end].decode().split())
            place = node.lineno, node.col_offset + 1
            yield Mutant(room, path, *place, before, after if other else "", source.decode())


@functools.cache
def all_of(room: str) -> list[Mutant]:
    place = ROOT / "zai_async" / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return [mutant for path in files for mutant in mutants_of(room, path)]


def drawn(room: str, count: int, seed: int) -> list[Mutant]:
    every = list(all_of(room))
    random.Random(f"{room} {seed}").shuffle(every)
    return every[:count]


def suite_of(room: str) -> list[str]:
    found = [
        str(path.relative_to(ROOT))
        for pattern in ROOMS[room]
        for path in sorted(ROOT.glob(f"tests/test_{pattern}.py"))
    ]
    return list(dict.fromkeys(found))


def failure_in(told: str) -> str:
    """Return the first failed test of what pytest has told, or that it hangs."""
    if "+ Timeout +" in told:
        return HANGS
    found = TOLD.search(told)
    return found[1] if found else "an end without a word"


def kills(project: Path, room: str, mode: str) -> str:
    """Run the tests of a room; return what fails or hangs, nothing if all is well."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p"]
    # An error in the thread of the test would be taken for a finding by hypothesis, which tries
    # again, without a limit: instead the process ends.
    limits = f"--timeout={STUCK}", "--timeout-method=thread"
    # Children import the copy as well, and each compiles only what has changed.
    paths = {"PYTHONPATH": str(project), "PYTHONPYCACHEPREFIX": "", "PYTHONDONTWRITEBYTECODE": ""}
    running = subprocess.Popen(
        [*command, "no:randomly", *limits, *suite_of(room)],
        cwd=project,
        env={**os.environ, **paths, "ZAI_TESTS": mode},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        told, _ = running.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return HANGS
    finally:
        with contextlib.suppress(ProcessLookupError):  # whom the tests have left behind, too
            os.killpg(running.pid, signal.SIGKILL)
    return failure_in(told) if running.returncode else ""


def copy_to(project: Path) -> Path:
    project.mkdir()
    for pattern in NEEDED:
        for path in ROOT.glob(pattern):
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(path, project / path.name, ignore=ignored)
            else:
                shutil.copy(path, project)
    return project


def fate_of(mutant: Mutant, copies: queue.Queue[Path], modes: tuple[str, ...]) -> str:
    """Change one of the copies, run the tests in it, and change it back."""
    project = copies.get()
    place = project / mutant.path.relative_to(ROOT)
    # From the copy itself, as the project may be worked on meanwhile.
    source, seen = place.read_bytes(), place.stat()
    try:
        place.write_text(mutant.source, encoding="utf-8")
        for mode in modes:
            if found := kills(project, mutant.room, mode):
                return f"{KILLED[mode]} by {found}"
        return "survived"
    finally:
        place.write_bytes(source)
        # With its time, or it would pass for the fault.
        os.utime(place, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        copies.put(project)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    options.add_argument("--rooms", nargs="+", choices=sorted(ROOMS), default=sorted(ROOMS))
    options.add_argument("--count", type=int, default=6, help="mutants of each room")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    options.add_argument(
        "--green", action="store_true", help="the tests have just passed without any change"
    )
    options.add_argument("--usual", action="store_true", help="the usual sample of cases decides")
    given = options.parse_args()
    modes = MODES[:1] if given.usual else MODES
    for room in () if given.green else given.rooms:
        if any(kills(ROOT, room, mode) for mode in modes):
            print(f"{room}: the tests fail without any change", file=sys.stderr)
            return 2
    mutants = [each for room in given.rooms for each in drawn(room, given.count, given.seed)]
    fates = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.jobs) as pool:
        copies: queue.Queue[Path] = queue.Queue()
        for number in range(given.jobs):
            copies.put(copy_to(Path(folder, str(number))))
        judged = functools.partial(fate_of, copies=copies, modes=modes)
        for mutant, fate in zip(mutants, pool.map(judged, mutants), strict=True):
            print(f"{mutant}: {fate}", flush=True)
            fates.append(fate)
    usual = sum(fate.startswith(f"{KILLED['']} by") for fate in fates)
    thorough = len(fates) - fates.count("survived")
    hang = sum(HANGS in fate for fate in fates)
    print(f"{len(fates)} mutants: the sample kills {usual}, all cases kill {thorough}; {hang} hang")
    return int(usual < thorough)


if __name__ == "__main__":
    sys.exit(main())
