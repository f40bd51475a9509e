"""The contract with type checkers: rows of the table of operations, or lines in tests/typing."""

import inspect
from pathlib import Path
from typing import Any, get_args

import pytest

from zai_async import AsyncZai, _operations
from zai_async._wire import Operation
from zai_async.resources.resource import Resource

CONTRACT = "".join(path.read_text() for path in (Path(__file__).parent / "typing").glob("*.py"))
CLIENT = AsyncZai(api_key="test")


def methods(owner, path):
    """Yield the calls that a client offers, as they are written."""
    for name, value in vars(owner).items():
        if not name.startswith("_") and isinstance(value, Resource | _groups()):
            yield from methods(value, f"{path}.{name}")
    for name, _ in inspect.getmembers(type(owner), inspect.isfunction):
        if not name.startswith("_"):
            yield f"{path}.{name}("


def _groups():
    return type(CLIENT.chat) | type(CLIENT.audio)


def from_table():
    """Yield the calls whose types are those of a row of the table of operations."""
    for row in vars(_operations).values():
        if not isinstance(row, Operation) or row.stream:
            continue
        method: Any = CLIENT
        for part in row.name.split("."):
            method = getattr(method, part, None)
        hints = getattr(method, "__annotations__", {})
        # Type checkers see these two, and nothing else, of such a method.
        if hints.get("return") is row.result and get_args(hints.get("params")) == (row.params,):
            yield f"zai.{row.name}("


TYPED_BY_TABLE = {*from_table()}


@pytest.mark.parametrize("call", sorted({*methods(CLIENT, "zai")} - TYPED_BY_TABLE))
def test_the_contract_names(call):
    assert call in CONTRACT.replace("client.", "zai.").replace("\n", "").replace(" ", "")


def test_most_operations_are_typed_by_their_rows():
    assert {"zai.embeddings.create(", "zai.tokenizer.count(", "zai.quota("} <= TYPED_BY_TABLE
