"""How much work some code does, counted and not timed: bytes touched, calls, turns of loops.

``counted("zai_async._protocol.sse")`` is a second copy of the module, in which every expression
that may touch text or bytes says how much of them it touched. Of code that is linear, eight times
the input makes eight times the count, on any machine and under any load.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import FrameType, ModuleType
from typing import Any, Final

TEXTS: Final = (bytes, bytearray, str)
NAMED: Final = "__count_{}__"
UNTOUCHING: Final = frozenset({"append", "clear", "endswith", "removeprefix", "startswith"})
SEARCHES: Final = frozenset({"find", "index", "rfind", "rindex"})


class Counter:
    """What the copies of modules report to."""

    def __init__(self) -> None:
        self.work = 0

    def turn(self) -> None:
        self.work += 1

    def made(self, value: Any) -> Any:
        """Count a slice or a concatenation by what came out of it."""
        self.work += 1 + length_of(value)
        return value

    def grown(self, whole: Any, piece: Any) -> Any:
        """Count what is added; of what it is added to only a bytearray is not copied for it."""
        copied = 0 if isinstance(whole, bytearray) else length_of(whole)
        self.work += 1 + copied + length_of(piece)
        return piece

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.work += 1
        owner = getattr(function, "__self__", None)
        result = function(*args, **kwargs)
        if isinstance(owner, TEXTS):
            self.work += touched(owner, function.__name__, args, result)
        elif isinstance(owner, re.Pattern):
            self.work += scanned(function.__name__, args, result)
        elif function in TEXTS:
            self.work += max(map(length_of, args), default=0)
        return result


def length_of(value: Any) -> int:
    return len(value) if isinstance(value, TEXTS) else 0


def touched(owner: Any, name: str, args: tuple[Any, ...], result: Any) -> int:
    """Return how much of its texts a method looked at or copied."""
    if name in UNTOUCHING:
        return 0 if result is None or isinstance(result, bool) else length_of(result)
    if name in SEARCHES and len(args) > 1 and not name.startswith("r"):
        start = args[1]
        return max((result if result >= 0 else len(owner)) - start, 0)
    if name in SEARCHES and name.startswith("r"):
        _, start, end = (*args, *(0, len(owner))[len(args) - 1 :])
        return min(end, len(owner)) - max(result, start)
    return max(len(owner), length_of(result))


def scanned(name: str, args: tuple[Any, ...], result: Any) -> int:
    """Return how far a pattern was looked for; one that may not wander stops where it fails."""
    start = args[1] if name in {"match", "fullmatch", "search"} and len(args) > 1 else 0
    if isinstance(result, re.Match):
        return result.end() - start
    return 1 if name in {"match", "fullmatch"} else max(map(length_of, args)) - start


def calls(work: Callable[[], Any]) -> int:
    """Return how many functions are called meanwhile, those of C included."""
    called = 0

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal called
        called += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


class _Reporting(ast.NodeTransformer):
    """Wraps what may touch texts; the meaning of the code stays."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return node
        return _reported("call", node.func, *node.args, keywords=node.keywords)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _reported("made", node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        read = isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Slice)
        return _reported("made", node) if read else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        whole = ast.parse(ast.unparse(node.target), mode="eval").body
        node.value = _reported("grown", whole, node.value)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._turning(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._turning(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [
            self.visit(each) if isinstance(each, ast.FunctionDef) else each for each in node.body
        ]
        return node

    def _turning(self, node: ast.For | ast.While) -> ast.AST:
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(_reported("turn")))
        return node


def _reported(kind: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
    reporter = ast.Name(NAMED.format(kind), ast.Load())
    return ast.Call(reporter, list(args), keywords or [])


def counted(name: str) -> tuple[ModuleType, Counter]:
    """Return a copy of a module that counts, and its counter."""
    origin = find_spec(name).origin
    with open(origin, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    functions = [
        _Reporting().visit(each) if isinstance(each, ast.FunctionDef | ast.ClassDef) else each
        for each in tree.body
    ]
    tree = ast.fix_missing_locations(ast.Module(functions, []))
    counter = Counter()
    module = ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    for kind in ("call", "grown", "made", "turn"):
        setattr(module, NAMED.format(kind), getattr(counter, kind))
    # Under a name of its own, so that coverage does not measure it.
    exec(compile(tree, f"<counted {name}>", "exec"), vars(module))
    return module, counter
