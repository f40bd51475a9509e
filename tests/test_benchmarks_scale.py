"""The page about scale says what follows from the published figures, and nothing else."""

import json

import pytest

from benchmarks import publish, scale
from benchmarks.scenarios import SCENARIOS

ONE = {"median": 10.0, "us/event": 10.0, "to open, us": 1000.0, "delay, ms": 0.2, "lost": 0.0}
KEYS = [
    *(
        f"{name}{suffix}"
        for name in ("step", "memory")
        for suffix in ("", "_uvloop", "_tls", "_tls_uvloop")
    ),
    "ten_thousand",
    "memory_stalled",
    "unary100",
    "paced100",
    "paced1000",
    "paced5000",
]


@pytest.fixture
def results():
    machine = {"processor": "an abacus", "system": "none", "python": "3.11"}
    return {"machine": machine, "rounds": 5, **{key: {"ours": dict(ONE)} for key in KEYS}}


def test_a_core_relays_what_opening_streams_leaves(results):
    given = scale.Assumptions(pace=50, seconds=20, load=0.5)
    core = scale.limits(scale.ways(results)[0], given)
    assert core.streams == pytest.approx(0.5e6 / (50 * 10 + 1000 / 20))
    assert core.events == 50 * core.streams
    assert core.memory == core.streams * 10 / 1024


def test_an_event_that_is_dearer_in_a_crowd_is_dearer_everywhere(results):
    results["ten_thousand"]["ours"]["us/event"] = 15.0
    results["step_tls"]["ours"]["median"] = 20.0
    assert [way.event for way in scale.ways(results)] == [15.0, 15.0, 30.0, 15.0]
    results["ten_thousand"]["ours"]["us/event"] = 5.0
    assert scale.ways(results)[0].event == 10.0


def test_hosts_add_up(results):
    rows = scale.of_many(results, scale.Assumptions(cores=4, hosts=10)).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["1,100", "4,400", "44,000"]


@pytest.mark.parametrize(
    ("number", "text"), [(0.0123, "0.012"), (9.44, "9.4"), (16.4, "16"), (1234.0, "1,200")]
)
def test_no_digit_pretends_to_be_known(number, text):
    assert scale.rounded(number) == text


def test_assumptions_can_be_chosen(results, tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    scale.main(["--results", str(path), "--pace", "20", "--load", "0.3"])
    printed = capsys.readouterr().out
    assert "Assumed: 20 events a second" in printed
    assert "may be 30% busy" in printed


def test_the_page_is_rewritten_between_its_marks(results, tmp_path, monkeypatch):
    path, page = tmp_path / "results.json", tmp_path / "scale.md"
    path.write_text(json.dumps(results))
    page.write_text("before\n<!-- computed -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(scale, "PAGE", page)
    scale.main(["--results", str(path), "--write"])
    text = page.read_text()
    assert text.startswith("before\n<!-- computed -->\n\nAssumed: ")
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in text


def test_only_a_whole_run_is_published(tmp_path, monkeypatch):
    path, published = tmp_path / "results.json", tmp_path / "published.json"
    monkeypatch.setattr(publish, "PUBLISHED", published)
    row = {"median": 1.23456, "spread": 0.0}
    results = {"rounds": 5, **{key: {"ours": row, "other": row} for key in SCENARIOS}}
    path.write_text(json.dumps(results | {"step": {}}))
    with pytest.raises(SystemExit, match="it lacks step"):
        publish.main(["--results", str(path)])
    path.write_text(json.dumps(results))
    publish.main(["--results", str(path)])
    read = json.loads(published.read_text())
    assert read.keys() == results.keys()
    assert read["step"]["other"] == {"median": 1.235, "spread": 0.0}


def test_the_page_says_what_the_published_figures_say():
    results = json.loads(scale.PUBLISHED.read_text(encoding="utf-8"))
    page = scale.PAGE.read_text(encoding="utf-8")
    assert page == scale.written(page, scale.block(results, scale.Assumptions()))
