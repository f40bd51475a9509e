"""The benchmarks start, measure and report; what they measure is nobody's business here."""

import json
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks read /proc", allow_module_level=True)
pytest.importorskip("uvloop", reason="the server of the benchmarks runs on uvloop")

from benchmarks import __main__ as benchmarks
from benchmarks import certificates
from benchmarks.contestants import NAMES, missing
from benchmarks.report import summary, table
from benchmarks.scenarios import SCENARIOS
from tests.effort import sample

TLS_NEEDS = pytest.mark.skipif(not certificates.available(), reason="trustme makes certificates")
TRIED = [
    "burst",
    "step",
    "paced1",
    "blocked",
    "unary1",
    "memory",
    "memory_stalled",
    "upload",
    "parse",
    "parse_large",
]
TRIED_TOO = pytest.param("step_tls_uvloop", marks=TLS_NEEDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_contestant_takes_part_in_something(name):
    if module := missing(name):
        pytest.skip(f"there is no module {module}")
    assert any(benchmarks.takes_part(key, name) for key in SCENARIOS)


@pytest.mark.parametrize("scenario", sample([*TRIED, TRIED_TOO], 4))
def test_the_smallest_round_is_measured(scenario, tmp_path, capsys):
    results = tmp_path / "results.json"
    chosen = ["--size", "0.001", "--rounds", "1", "--contestants", "ours", "--only", scenario]
    benchmarks.main([*chosen, "--results", str(results)])
    figures = json.loads(results.read_text())
    assert figures[scenario]["ours"].keys() >= {"median", "spread", "server", "lost"}
    assert f"| {SCENARIOS[scenario].title}" in capsys.readouterr().out


def test_what_fails_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmarks.Bench, "measure", lambda *_: {"skipped": "it rains"})
    chosen = ["--size", "0.001", "--contestants", "ours", "--only", "first"]
    benchmarks.main([*chosen, "--results", str(tmp_path / "results.json")])
    assert "first: ours is left out, it rains" in capsys.readouterr().out


def test_missing_packages_are_named(monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "missing", {"ours": "", "litellm": "litellm"}.get)
    assert benchmarks.present(["ours", "litellm"]) == ["ours"]
    assert capsys.readouterr().out == "litellm is left out, there is no module litellm\n"


def run(value, **others):
    return {"value": value, "server": 0.1, "lost": 0.0, **others}


def test_a_table_has_medians_spreads_ratios_and_further_figures():
    runs = {
        "ours": [run(value, ms=value) for value in (1.0, 2.0, 4.0)],
        "other": [run(8.0, ms=3.0)],
    }
    assert summary(runs["ours"]) == {
        "median": 2.0,
        "spread": 75.0,
        "server": 0.1,
        "lost": 0.0,
        "ms": 2.0,
    }
    rows = {name: summary(own) for name, own in runs.items()}
    lines = table(SCENARIOS["burst"], rows).splitlines()
    assert lines[0].endswith("us/event | median | spread | to ours | ms | server busy |")
    assert lines[2:] == [
        "| ours | 2.00 | ±75 % | 1.00 | 2.00 | 10% |",
        "| other | 8.00 | ±0 % | 4.00 | 3.00 | 10% |",
    ]


def test_a_table_tells_when_the_core_was_shared():
    rows = {"ours": summary([run(1.0) | {"lost": 0.31}])}
    assert table(SCENARIOS["burst"], rows).endswith("had the client's core for 31% of the time.")
