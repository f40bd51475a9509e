"""The contract with type checkers names every method of every group."""

import inspect
from pathlib import Path

import pytest

from zai_async import AsyncZai
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


@pytest.mark.parametrize("call", sorted(methods(CLIENT, "zai")))
def test_the_contract_names(call):
    assert call in CONTRACT.replace("client.", "zai.").replace("\n", "").replace(" ", "")
