"""Faults put in on purpose, and what finds them: ``python -m tests.mutants``.

Each mutant is a copy of the project with one change at a place drawn by chance: a comparison turned
round, an operator exchanged, a number off by one, an answer not returned, a statement left out. The
tests of its room are run with the usual sample of cases; what survives them is run with all cases,
too. A mutant that only the thorough run kills is a fault that ``make test`` would let through, and
the command fails.

Equal seeds draw equal places as long as the room stays as it is. Survivors are to be read: some
mean the same as the code, some show a test that is missing.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
NEEDED: Final = ("zai_async", "tests", "benchmarks", "fuzz", "examples", "docs", "*.md", "*.toml")
SECONDS: Final = 1800
"""After so long a mutant hangs, which is as good as a failure."""

# What is quick and near comes first, since the first failure ends the run.
ROOMS: Final = {
    "_protocol": [
        *("sse", "salvage", "surrogates", "repetition", "judge", "accumulator", "decoders"),
        *("chat_*", "stream*", "other_streams"),
    ],
    "_transport": ["transport*", "tls", "network*", "fake_transport", "sessions"],
    "_wire": ["wire*", "time_hints", "codes", "jwt", "errors", "operations", "gateways"],
    "batch": ["batch*"],
    "downloads": ["download*", "drain"],
    "limiter": ["limit*", "gate", "priority", "coordination", "quota"],
    "session": [
        *("call*", "retr*", "sessions", "hooks", "record", "watchdog", "gate", "drain", "quota"),
        *("ledger", "resources_audio"),
        *("limits", "priority", "coordination", "several_keys", "patience", "stepping"),
        *("stream_clocks", "stream_lifetime", "stream_permits"),
    ],
    "streams": ["accumulator", "chat_*", "stream*", "other_streams", "combinators", "salvage"],
    "tasks": ["tasks*", "models_tasks"],
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
}


@dataclass(frozen=True)
class Mutant:
    room: str
    path: Path
    line: int
    before: str
    after: str
    source: str
    """The whole file, changed."""

    def __str__(self) -> str:
        where = self.path.relative_to(ROOT)
        return f"{where}:{self.line}: {self.before} -> {self.after or 'left out'}"


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
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
        case ast.Break() | ast.Continue():
            yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
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
            yield Mutant(room, path, node.lineno, before, after if other else "", source.decode())


@functools.cache
def all_of(room: str) -> list[Mutant]:
    place = ROOT / "zai_async" / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return [mutant for path in files for mutant in mutants_of(room, path)]


def drawn(room: str, count: int, seed: int) -> list[Mutant]:
    every = all_of(room)
    return random.Random(f"{room} {seed}").sample(every, min(count, len(every)))


def suite_of(room: str) -> list[str]:
    found = [
        str(path.relative_to(ROOT))
        for pattern in ROOMS[room]
        for path in sorted(ROOT.glob(f"tests/test_{pattern}.py"))
    ]
    return list(dict.fromkeys(found))


def kills(project: Path, room: str, mode: str) -> bool:
    """Run the tests of a room; tell whether they fail or hang."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p"]
    try:
        done = subprocess.run(
            [*command, "no:randomly", *suite_of(room)],
            cwd=project,
            env={**os.environ, "ZAI_TESTS": mode, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def fate_of(mutant: Mutant) -> str:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        for pattern in NEEDED:
            for path in ROOT.glob(pattern):
                if path.is_dir():
                    ignored = shutil.ignore_patterns("__pycache__", "node_modules")
                    shutil.copytree(path, project / path.name, ignore=ignored)
                else:
                    shutil.copy(path, project)
        (project / mutant.path.relative_to(ROOT)).write_text(mutant.source, encoding="utf-8")
        if kills(project, mutant.room, ""):
            return "killed"
        return "killed by all cases only" if kills(project, mutant.room, "thorough") else "survived"


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    options.add_argument("--rooms", nargs="+", choices=sorted(ROOMS), default=sorted(ROOMS))
    options.add_argument("--count", type=int, default=6, help="mutants of each room")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    options.add_argument(
        "--green", action="store_true", help="the tests have just passed without any change"
    )
    given = options.parse_args()
    for room in () if given.green else given.rooms:
        if any(kills(ROOT, room, mode) for mode in ("", "thorough")):
            print(f"{room}: the tests fail without any change", file=sys.stderr)
            return 2
    mutants = [each for room in given.rooms for each in drawn(room, given.count, given.seed)]
    fates = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for mutant, fate in zip(mutants, pool.map(fate_of, mutants), strict=True):
            print(f"{fate}: {mutant}", flush=True)
            fates.append(fate)
    usual = fates.count("killed")
    thorough = usual + fates.count("killed by all cases only")
    print(f"{len(fates)} mutants: the sample kills {usual}, all cases kill {thorough}")
    return int(usual < thorough)


if __name__ == "__main__":
    sys.exit(main())
