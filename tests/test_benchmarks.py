"""The benchmarks start, measure and report; what they measure is nobody's business here."""

import json
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks read /proc", allow_module_level=True)
pytest.importorskip("uvloop", reason="the server of the benchmarks runs on uvloop")

from benchmarks import __main__ as benchmarks
from benchmarks.contestants import NAMES
from benchmarks.report import summary, table
from benchmarks.scenarios import SCENARIOS


@pytest.mark.parametrize("name", NAMES)
def test_a_contestant_takes_part_in_something(name):
    pytest.importorskip({"zai_sdk": "zai", "openai_default": "openai"}.get(name, "zai_async"))
    assert any(benchmarks.takes_part(scenario, name) for scenario in SCENARIOS.values())


@pytest.mark.parametrize("scenario", ["burst", "step", "unary1", "memory", "upload"])
def test_the_smallest_round_is_measured(scenario, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "RESULTS", tmp_path / "results.json")
    chosen = ["--size", "0.001", "--rounds", "1", "--contestants", "ours", "--only", scenario]
    benchmarks.main(chosen)
    figures = json.loads((tmp_path / "results.json").read_text())
    assert figures[scenario]["ours"].keys() == {"median", "spread", "server"}
    assert f"| {SCENARIOS[scenario].title}" in capsys.readouterr().out


def test_a_table_has_medians_spreads_and_ratios():
    runs = {
        "ours": [{"value": value, "server": 0.1} for value in (1.0, 2.0, 4.0)],
        "other": [{"value": 8.0, "server": 0.1}],
    }
    assert summary(runs["ours"]) == {"median": 2.0, "spread": 75.0, "server": 0.1}
    lines = table(SCENARIOS["burst"], runs).splitlines()
    assert lines[2:] == [
        "| ours | 2.00 | ±75 % | 1.00 | 10% |",
        "| other | 8.00 | ±0 % | 4.00 | 10% |",
    ]
