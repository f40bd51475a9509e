"""Faults that are put in on purpose are faults, and repeat."""

import ast
import os
import queue

import pytest

from tests import mutants
from tests.effort import MODES
from tests.mutants import ROOMS, ROOT, drawn, failure_in, fate_of, kills, mutants_of, suite_of

WHOLE = "not value < LIMIT or min(value, 7) / 6 == 2"
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
    return (WHOLE)
'''.replace("(WHOLE)", WHOLE)


def test_what_is_executed_is_changed_in_one_place(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "sample.py"
    path.write_text(SOURCE, encoding="utf-8")
    found = list(mutants_of("sample", path))
    assert {str(each).partition(": ")[2] for each in found} == {
        "value += 1 -> left out",
        'print("é", value) -> left out',
        f"return {WHOLE} -> return None",
        f"{WHOLE} -> ({WHOLE.replace(' or ', ' and ')})",
        "not value < LIMIT -> (value < LIMIT)",
        "value < LIMIT -> (value <= LIMIT)",
        "min(value, 7) / 6 == 2 -> (min(value, 7) / 6 != 2)",
        "min(value, 7) / 6 -> (min(value, 7) * 6)",
        "min(value, 7) -> (max(value, 7))",
        "self.value = value -> left out",
        "break -> continue",
        "1 -> (2)",
        "7 -> (8)",
        "6 -> (7)",
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
    assert found == drawn(room, 6, seed=1)[:5] != drawn(room, 5, seed=2)
    assert all(each.path.is_relative_to(ROOT / "zai_async") for each in found)
    assert all(list(ROOT.glob(f"tests/test_{pattern}.py")) for pattern in ROOMS[room])
    assert len(suite_of(room)) >= 3


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("FAILED tests/test_a.py::test_b[a-b] - assert 1 == 2", "tests/test_a.py::test_b[a-b]"),
        ("ERROR tests/test_a.py::test_b - x\nFAILED tests/test_c.py::d", "tests/test_a.py::test_b"),
        ("ERROR    asyncio:events.py:1\nERROR tests/test_a.py - ValueError", "tests/test_a.py"),
        ("+++++++ Timeout +++++++\nFAILED", "a hang"),
        ("Fatal Python error: Segmentation fault", "an end without a word"),
    ],
)
def test_what_found_a_fault_is_named(told, found):
    assert failure_in(told) == found


def test_a_copy_is_changed_back_although_the_project_has_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path, project = tmp_path / "sample.py", tmp_path / "copy"
    project.mkdir()
    copied = project / "sample.py"
    copied.write_text(SOURCE, encoding="utf-8")
    os.utime(copied, (1, 2))
    path.write_text(SOURCE, encoding="utf-8")
    mutant = next(mutants_of("sample", path))
    path.write_text("# worked on", encoding="utf-8")
    copies = queue.Queue()
    copies.put(project)

    def kills(project, room, mode):
        assert copied.read_text(encoding="utf-8") == mutant.source
        return f"{room} {mode}" if mode else ""

    monkeypatch.setattr(mutants, "kills", kills)
    assert fate_of(mutant, copies, MODES) == "killed in all cases only by sample thorough"
    assert fate_of(mutant, copies, MODES[:1]) == "survived"
    assert copied.read_text(encoding="utf-8") == SOURCE
    assert copied.stat().st_mtime == 2
    assert copies.get_nowait() == project


def test_a_copy_is_tested_and_not_the_project(tmp_path, monkeypatch):
    sample = """
import os, subprocess, sys, time
def test_one(): time.sleep(float(os.environ["PAUSE"]))
def test_two(): assert os.environ["ZAI_TESTS"] == "thorough"
def test_three(): assert not subprocess.call([sys.executable, "-c", "import only_here"], cwd="/")
"""
    (tmp_path / "only_here.py").touch()
    (tmp_path / "test_sample.py").write_text(sample)
    monkeypatch.setattr(mutants, "suite_of", lambda room: ["test_sample.py"])
    monkeypatch.setenv("PAUSE", "0")
    assert not kills(tmp_path, "limiter", "thorough")
    monkeypatch.setattr(mutants, "STUCK", 0.5)
    monkeypatch.setenv("PAUSE", "60")
    assert kills(tmp_path, "limiter", "thorough") == "a hang"
