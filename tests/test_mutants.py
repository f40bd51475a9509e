"""Faults that are put in on purpose are faults, and repeat."""

import ast
import os
import queue
import subprocess
import sys

import pytest

from tests import mutants
from tests.effort import MODES
from tests.every_mutant import Trial, survivors_of
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


ONE_AND_ALL = """
def double(value):
    return value * 2

def label(its):
    return (lambda: [its])()

def odd(value):
    return value or 0

class Kept(dict):
    def update(self, other):
        super().update(other)
"""

TRIED = """
import sys
from pathlib import Path
import pytest
from tests import every_mutant, mutants

mutants.ROOT = Path.cwd()
found = list(mutants.mutants_of("sample", Path.cwd() / "sample.py"))
told = []
plugin = every_mutant.EveryMutant(found, told.append, jobs=2, seconds=60)
pytest.main(["-qq", "-p", "no:cacheprovider", "test_sample.py"], plugins=[plugin])
print(*sorted(told), sep="\\n")
"""


@pytest.mark.usefixtures("children_unmeasured")
def test_every_mutant_meets_the_tests_that_come_by_its_line(tmp_path, monkeypatch):
    (tmp_path / "sample.py").write_text(ONE_AND_ALL)
    (tmp_path / "test_sample.py").write_text("""
from sample import Kept, double, label, odd
def test_double(): assert double(2) == 4
def test_it(): assert label(3) == [3]
def test_odd(): assert odd(1)
def test_kept(): Kept().update({1: 2})
def test_broken(): assert False
""")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path)]))
    done = subprocess.run(
        [sys.executable, "-c", TRIED], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-9:] == [
        "1 of 5 tests left out: slow, skipped, or failing in a fork",
        "sample.py:13:9: super().update(other) -> left out: not tried, as it closes over less",
        "sample.py:3:12: value * 2 -> (value / 2): killed by test_sample.py::test_double",
        "sample.py:3:20: 2 -> (3): killed by test_sample.py::test_double",
        "sample.py:3:5: return value * 2 -> return None: killed by test_sample.py::test_double",
        "sample.py:6:5: return (lambda: [its])() -> return None: killed by test_sample.py::test_it",
        "sample.py:9:12: value or 0 -> (value and 0): killed by test_sample.py::test_odd",
        "sample.py:9:21: 0 -> (1): survived, by 1 of 1",
        "sample.py:9:5: return value or 0 -> return None: killed by test_sample.py::test_odd",
    ]


def test_survivors_are_known_again_wherever_their_lines_are_by_now():
    output = """
        a.py:3:20: 2 -> (3): survived, by 1 of 2
        a.py:4:5: return x -> return None: killed by test_a.py::test_x
        b.py:13:9: go() -> left out: not tried, as it closes over less
        2 mutants: 1 killed, 1 survived; 1 not tried
    """
    assert {each.strip() for each in survivors_of(output)} == {"a.py: 2 -> (3)"}


def test_a_child_that_says_nothing_hangs():
    pipe, writing = os.pipe()
    os.set_blocking(pipe, False)
    os.write(writing, b"test_a\ntest_b\n")
    child = os.posix_spawn("/bin/sleep", ["sleep", "600"], {}, setsid=True)
    trial = Trial(drawn("limiter", 1, 1)[0], [], 0, child, pipe)
    assert trial.fate() is None
    trial.heard_at = float("-inf")
    assert trial.fate() == "killed by a hang of test_b"
    os.close(writing)
