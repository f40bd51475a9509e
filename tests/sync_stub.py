"""Makes ``zai_async/sync/client.pyi`` out of the signatures of the asynchronous classes.

    python -m tests.sync_stub

A coroutine function becomes a function, an iterator one without ``async``; types that are returned
and used further become those of the same name in the stub.
"""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

from zai_async.client import AsyncZai
from zai_async.resources import Resources
from zai_async.streams.event_stream import EventStream
from zai_async.sync.client import GROUPS, HANDLES, STREAMS
from zai_async.sync.mirrors import RENAMED

STUB = Path(inspect.getfile(sys.modules["zai_async.sync.client"])).with_suffix(".pyi")
ORIGINALS = (EventStream, *STREAMS, *HANDLES, *GROUPS, Resources, AsyncZai)
SPECIAL = {"__aiter__": "__iter__", "__aenter__": "__enter__", "__aexit__": "__exit__"}
TYPES = {"AsyncZai": "Zai", "AsyncIterator": "Iterator", "Updates": "Iterator"}
# Of streams, a loop has the iterator; there is nothing to await in the stub.
LEFT_OUT = {"__anext__", "__await__", "__reduce__", "__copy__", "__deepcopy__", "__new__"}


class Renamed(ast.NodeTransformer):
    """Puts types of the stub in the place of others, in texts of annotations, too."""

    def visit_Name(self, node):
        return ast.Name(TYPES.get(node.id, node.id), node.ctx)


def signature(node):
    """Return a method as a stub has it, None if it has none."""
    name = node.name
    if name in LEFT_OUT or (name.startswith("_") and name not in {*SPECIAL, "__init__"}):
        return None
    new = {**SPECIAL, **RENAMED}.get(name, name)
    decorators = [each for each in node.decorator_list if ast.unparse(each) != "staticmethod"]
    body = [ast.Expr(ast.Constant(...))]
    made = ast.FunctionDef(new, node.args, body, decorators, node.returns, type_params=[])
    arguments = made.args
    for default in (*arguments.defaults, *arguments.kw_defaults):
        if default is not None and not isinstance(default, ast.Constant):
            place = arguments.defaults if default in arguments.defaults else arguments.kw_defaults
            place[place.index(default)] = ast.Constant(...)
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if isinstance(each.annotation, ast.Constant) and isinstance(each.annotation.value, str):
            each.annotation = ast.parse(each.annotation.value, mode="eval").body
    if isinstance(made.returns, ast.Constant) and isinstance(made.returns.value, str):
        made.returns = ast.parse(made.returns.value, mode="eval").body
    return Renamed().visit(made)


def stub_of(original):
    """Return the class of the stub for an asynchronous one, and the imports of its module."""
    module = ast.parse(inspect.getsource(sys.modules[original.__module__]))
    [found] = [
        node
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == original.__name__
    ]
    body = []
    for node in found.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # Handles and groups are made by calls, and by nobody else.
            if node.name == "__init__" and original is not AsyncZai:
                continue
            made = signature(node)
            # What stands behind overloads is no part of a stub.
            if made is not None and not (
                body
                and getattr(body[-1], "name", "") == made.name
                and not any(ast.unparse(each) == "overload" for each in made.decorator_list)
            ):
                body.append(made)
        elif isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_"):
            body.append(node)
    awaited_as = HANDLES.get(original)
    if awaited_as:
        [waits] = [each for each in found.body if getattr(each, "name", "") == "__await__"]
        result = waits.returns.slice.elts[2]
        body.append(ast.parse(f"def {awaited_as}(self) -> {ast.unparse(result)}: ...").body[0])
    bases = [Renamed().visit(base) for base in found.bases if ast.unparse(base) != "Resource"]
    name = TYPES.get(found.name, found.name)
    imports = [node for node in ast.walk(module) if isinstance(node, ast.ImportFrom | ast.Import)]
    variables = [
        node
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar(")
    ]
    made = ast.ClassDef(name, bases, [], body or [ast.Expr(ast.Constant(...))], [], type_params=[])
    return made, imports, variables


def defined_there(known):
    """Return where the names are from that modules of the classes define themselves."""
    return {
        name: (None, original.__module__)
        for original in ORIGINALS
        for name, value in vars(sys.modules[original.__module__]).items()
        if name not in known and getattr(value, "__module__", None) == original.__module__
    }


def import_of(name, node, alias):
    """Return the line that imports a name."""
    if node is None:
        return f"from {alias} import {name}"
    if isinstance(node, ast.ImportFrom):
        return f"from {node.module} import {ast.unparse(alias)}"
    return f"import {ast.unparse(alias)}"


def stub():
    """Return the text of the stub."""
    classes, imports, variables = [], {}, {}
    for original in ORIGINALS:
        made, imported, types = stub_of(original)
        classes.append(made)
        for node in imported:
            for alias in node.names:
                imports[alias.asname or alias.name] = (node, alias)
        variables |= {each.targets[0].id: each for each in types}
    own = {node.name for node in classes}
    imports |= defined_there(own | imports.keys())
    imports["Iterator"] = (None, "collections.abc")
    used = {
        node.id
        for each in (*classes, *variables.values())
        for node in ast.walk(each)
        if isinstance(node, ast.Name)
    }
    lines = ["# Made by `python -m tests.sync_stub`; every change here is lost."]
    lines += ["# pyright: reportInvalidTypeVarUse=false", ""]
    for name in sorted(used & imports.keys() - own - variables.keys()):
        lines.append(import_of(name, *imports[name]))
    lines += ["", *(ast.unparse(variables[name]) for name in sorted(used & variables.keys()))]
    for made in classes:
        lines += ["", ast.unparse(ast.fix_missing_locations(made))]
    text = "\n".join(lines) + "\n"
    for command in (
        ["check", "--fix-only", "--select", "I,F401", "--quiet", "--stdin-filename", STUB, "-"],
        ["format", "--quiet", "--stdin-filename", STUB, "-"],
    ):
        ruff = [sys.executable, "-m", "ruff", *map(str, command)]
        text = subprocess.run(ruff, input=text, check=True, capture_output=True, text=True).stdout
    return text


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
