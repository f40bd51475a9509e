"""Faults that are put in on purpose are faults, and repeat."""

import ast

import pytest

from tests import mutants
from tests.mutants import ROOMS, ROOT, drawn, mutants_of, suite_of

SOURCE = '''
LIMIT: int = 5

def grows(value: int = 3) -> bool:
    """Five is 5."""
    value += 1
    print("é", value)
    for self in ():
        self.value = value
        break
    if value:
        return None
    return not value < LIMIT or value - 1 == 2
'''


def test_what_is_executed_is_changed_in_one_place(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "sample.py"
    path.write_text(SOURCE, encoding="utf-8")
    found = list(mutants_of("sample", path))
    assert {str(each).partition(": ")[2] for each in found} == {
        "value += 1 -> left out",
        'print("é", value) -> left out',
        "not value < LIMIT or value - 1 == 2 -> (not value < LIMIT and value - 1 == 2)",
        "not value < LIMIT -> (value < LIMIT)",
        "value < LIMIT -> (value <= LIMIT)",
        "value - 1 == 2 -> (value - 1 != 2)",
        "value - 1 -> (value + 1)",
        "self.value = value -> left out",
        "break -> continue",
        "return not value < LIMIT or value - 1 == 2 -> return None",
        "1 -> (2)",
        "2 -> (3)",
    }
    sources = {each.source for each in found}
    assert len(sources) == len(found)
    for source in sources:
        ast.parse(source)
        assert source != SOURCE


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_places_to_change_and_tests(room):
    found = drawn(room, 5, seed=1)
    assert len(found) == 5
    assert found == drawn(room, 5, seed=1) != drawn(room, 5, seed=2)
    assert all(each.path.is_relative_to(ROOT / "zai_async") for each in found)
    assert all(list(ROOT.glob(f"tests/test_{pattern}.py")) for pattern in ROOMS[room])
    assert len(suite_of(room)) >= 3
