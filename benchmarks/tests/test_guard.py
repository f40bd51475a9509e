"""What the guard makes of counts; counting itself takes half a minute and is `make bench-guard`."""

import json
import subprocess
import sys

import pytest

from benchmarks import guard, workloads

COUNTED = """==7== Cachegrind, a cache and branch-prediction profiler
==7== I   refs:      1,000
==9== brk segment overflow in thread #1: can't grow to 0x484d000
==9== I   refs:      1,002,000
==6== I   refs:      900
"""


@pytest.fixture(autouse=True)
def records(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "RECORDS", tmp_path / "guard.json")
    return guard.RECORDS


def totals(each, start=1_000_000):
    return {
        (name, size): start + each * size for name, sizes in guard.SIZES.items() for size in sizes
    }


def test_what_starting_costs_is_in_no_count():
    counts = guard.per_item(totals(5, start=1)) | guard.per_item(totals(5, start=10**9))
    assert counts == dict.fromkeys(guard.SIZES, 5.0)


def test_each_child_has_its_own_count():
    counts = guard.by_child("7 parser 10\n9 parser 20\n", COUNTED)
    assert counts == {("parser", 10): 1000, ("parser", 20): 1_002_000}


def test_growth_is_allowed_up_to_a_limit():
    recorded = {"parser": 100, "call": 100, "stream": 100}
    counts = {"parser": 104.9, "call": 105.1, "stream": 50.0, "new": 1.0}
    assert guard.grown(counts, recorded) == ["call"]


def counting(monkeypatch, each):
    monkeypatch.setattr(guard, "tool", lambda: ("abacus", lambda: totals(each)))


def test_a_record_is_written_kept_and_compared(monkeypatch, records, capsys):
    records.write_text(json.dumps({"other": {"3.11": {}}}))
    counting(monkeypatch, 1000)
    assert guard.main(["--record"]) == 0
    entry = json.loads(records.read_text())["abacus"][guard.interpreter()]
    assert entry["counts"] == dict.fromkeys(guard.SIZES, 1000)
    assert entry["with"]["msgspec"]
    assert "other" in json.loads(records.read_text())
    counting(monkeypatch, 1049)
    assert guard.main([]) == 0
    assert "| parser | 1,049 | 1,000 | +4.9% |" in capsys.readouterr().out
    counting(monkeypatch, 1060)
    assert guard.main([]) == 1
    assert "These take more than 5% more than recorded: parser, stream" in capsys.readouterr().out


def test_without_a_record_nothing_has_grown(monkeypatch, capsys):
    counting(monkeypatch, 1000)
    assert guard.main([]) == 0
    assert "--record writes one" in capsys.readouterr().out


def test_other_packages_are_named_as_a_possible_cause(monkeypatch, capsys):
    counting(monkeypatch, 1000)
    monkeypatch.setattr(guard, "made_with", lambda: {"msgspec": "0.1"})
    guard.main(["--record"])
    monkeypatch.setattr(guard, "made_with", lambda: {"msgspec": "0.2"})
    guard.main([])
    assert "The record is of {'msgspec': '0.1'}" in capsys.readouterr().out


def test_without_a_tool_it_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(guard.shutil, "which", lambda _: None)
    assert guard.main([]) == 0
    assert capsys.readouterr().out.startswith("bench-guard is skipped")


def test_a_processor_that_cannot_be_counted_is_not_used(monkeypatch):
    monkeypatch.setattr(guard.shutil, "which", lambda name: name == "perf" or None)
    said = subprocess.CompletedProcess([], 0, "", "<not supported>,,instructions:u,0,100.00,,\n")
    monkeypatch.setattr(guard, "_output", lambda _: said)
    assert guard.tool() is None
    said.stderr = "hello\n1234,,instructions:u,1,100.00,,\n"
    name, count = guard.tool()
    assert (name, set(count().values())) == ("perf", {1234})


def test_the_records_of_the_repository_are_complete():
    path = workloads.__file__.replace("workloads.py", "guard.json")
    with open(path, encoding="utf-8") as file:
        records = json.load(file)
    for entries in records.values():
        for entry in entries.values():
            assert entry["counts"].keys() == guard.SIZES.keys()


@pytest.mark.parametrize("name", guard.SIZES)
def test_a_workload_does_its_work(name):
    workloads.WORKLOADS[name](guard.SIZES[name][0])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_children_are_listed():
    command = [sys.executable, "-m", "benchmarks.workloads", "--fork", "parser", "1", "call", "1"]
    lines = subprocess.check_output(command, text=True).splitlines()
    assert [line.split()[1:] for line in lines] == [["parser", "1"], ["call", "1"]]
