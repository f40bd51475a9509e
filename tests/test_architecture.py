"""The house rules: imports point down, aiohttp stays in its rooms, nothing grows too long."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = Path(__file__).parents[1] / "zai_async"

# A module or package directly under zai_async is a room. It imports from its own floor and below.
FLOORS = (
    {"_clock", "_codes", "_json", "_kinds", "_secrets", "_threads", "_version", "limiter"},
    {"errors"},
    {"_files", "options", "providers", "retry"},
    {"models"},
    {"_outcomes", "ledger", "structured", "uploads"},
    {"_protocol", "_wire"},
    {"_operations", "_transport"},
    {"downloads", "recordings", "streams", "testing"},
    {"session", "tasks"},
    {"resources"},
    {"client"},
    {"__init__", "batch", "conversation", "tools", "web"},
    {"__main__", "cli", "integrations", "sync"},
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
AIOHTTP_ROOMS = {"_transport", "integrations", "testing", "web"}
DRAWER = re.compile(r"_?(base|common|helper|misc|util)s?")
FILES = sorted(PACKAGE.rglob("*.py"))

MAX_FILE = 400
MAX_FUNCTION = 60
# The one function that tells the whole of a call.
MAX_LONG = {"execute": 80}


def parts_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def name_of(path: Path) -> str:
    return "/".join(parts_of(path))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement below, without what only type checkers see."""
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children = iter(node.orelse)
    for child in children:
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield child
            yield from statements(child)


def imported(tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the dotted names that a module of `package` imports, relative ones made absolute."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def rooms_in(names: Iterable[str], rooms: set[str]) -> set[str]:
    """Return the rooms that the names lie in; a name of the package itself lies in `__init__`."""
    inner = [name.split(".")[1:2] for name in names if name.split(".")[0] == "zai_async"]
    return {room[0] if room and room[0] in rooms else "__init__" for room in inner}


@functools.cache
def imports_of(path: Path) -> list[str]:
    return list(imported(ast.parse(path.read_text()), ("zai_async", *parts_of(path)[:-1])))


def arrows(files: list[Path]) -> dict[str, set[str]]:
    """Return, for every room, the other rooms that it imports from."""
    graph: dict[str, set[str]] = {parts_of(path)[0]: set() for path in files}
    for path in files:
        room = parts_of(path)[0]
        graph[room] |= rooms_in(imports_of(path), set(graph)) - {room}
    return graph


def upward(graph: dict[str, set[str]]) -> list[str]:
    return [
        f"{room} -> {other}"
        for room, others in graph.items()
        for other in others
        if LEVEL[other] > LEVEL[room]
    ]


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_every_room_has_a_floor() -> None:
    assert {parts_of(path)[0] for path in FILES} <= set(LEVEL)


def test_map_for_contributors_shows_the_rooms() -> None:
    """FLOORS may name rooms that are still to be built."""
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([`\w ]+) \|", page, re.MULTILINE)
    shown = {int(level): set(re.findall(r"\w+", rooms)) for level, rooms in rows}
    built = {parts_of(path)[0] for path in FILES} - {"__init__", "__main__"}
    assert shown == {level: rooms & built for level, rooms in enumerate(FLOORS) if rooms & built}


def test_no_arrow_points_up() -> None:
    assert upward(arrows(FILES)) == []


def test_only_two_doors_lead_up() -> None:
    """An import by name is no statement, and would pass unseen."""
    named = re.compile(r'import_module\(\s*"zai_async\.(\w+)')
    found = [
        f"{name_of(path)} -> {room}"
        for path in FILES
        for room in named.findall(path.read_text())
        if LEVEL[room] > LEVEL[parts_of(path)[0]]
    ]
    assert found == ["resources/deferred -> batch", "resources/deferred -> tools"]


def test_rooms_form_no_cycle() -> None:
    assert cycle_in(arrows(FILES)) == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_keeps_the_house_rules(path: Path) -> None:
    lines = path.read_text().splitlines()
    functions = [
        node
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert not any(map(DRAWER.fullmatch, parts_of(path)))
    assert len(lines) <= MAX_FILE
    longest = {node.name: MAX_LONG.get(node.name, MAX_FUNCTION) for node in functions}
    assert [node.name for node in functions if body_length(node) > longest[node.name]] == []


def test_aiohttp_stays_in_its_rooms() -> None:
    users = {path for path in FILES for name in imports_of(path) if name.startswith("aiohttp")}
    assert {parts_of(path)[0] for path in users} <= AIOHTTP_ROOMS


def test_importing_the_package_is_light() -> None:
    """Nothing that is heavy, or that only a request needs, is loaded by `import zai_async`."""
    loaded = "import sys; old = set(sys.modules); import zai_async; print(*set(sys.modules) - old)"
    output = subprocess.check_output([sys.executable, "-c", loaded], cwd=PACKAGE.parent, text=True)
    packages = {name.split(".")[0] for name in output.split()}
    assert "zai_async" in packages
    assert packages.isdisjoint({"aiohttp", "httpx", "pydantic"})


@pytest.mark.parametrize(
    ("source", "package", "names"),
    [
        ("import a.b, c", (), ["a.b", "c"]),
        ("from a.b import c as d", (), ["a.b.c"]),
        ("from . import c", ("z", "y"), ["z.y.c"]),
        ("from ..x import c", ("z", "y"), ["z.x.c"]),
        ("def f():\n  try:\n    import a\n  except E:\n    import b", (), ["a", "b"]),
        ("if TYPE_CHECKING:\n  import a", (), []),
        ("if typing.TYPE_CHECKING:\n  import a\nelse:\n  import b\nimport c", (), ["b", "c"]),
    ],
)
def test_imports_are_found(source: str, package: tuple[str, ...], names: list[str]) -> None:
    assert list(imported(ast.parse(source), package)) == names


def test_names_are_assigned_to_rooms() -> None:
    names = iter(["json", "zai_async", "zai_async.AsyncZai", "zai_async.models.chat.Delta"])
    assert rooms_in(names, {"__init__", "models"}) == {"__init__", "models"}


def test_upward_arrow_and_cycle_are_noticed() -> None:
    graph = {"_wire": {"session"}, "session": {"_wire", "errors"}, "errors": set()}
    assert upward(graph) == ["_wire -> session"]
    assert sorted(set(cycle_in(graph))) == ["_wire", "session"]
