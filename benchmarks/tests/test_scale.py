"""The page about scale says what follows from the published figures, and nothing else."""

import json

import pytest

from benchmarks import batch_pages, goals, pages, publish, relay, scale
from benchmarks.scenarios import SCENARIOS

ONE = {"median": 10.0, "us/event": 10.0, "to open, us": 1000.0, "delay, ms": 0.2, "lost": 0.0}
MACHINE = {"processor": "an abacus", "cores": 2, "system": "none", "python": "3.11"}
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
    return {"machine": MACHINE, "rounds": 5, **{key: {"ours": dict(ONE)} for key in KEYS}}


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


def test_readers_and_rows_share_what_a_core_has():
    costs = dict.fromkeys(scale.RELAYS, 100.0)
    given = scale.Assumptions(pace=50, load=0.5)
    table = scale.of_relays({"tokens": {"httptools, uvloop": costs}}, given)
    assert "| LiteLLM proxy | 100.0 | 100 |" in table
    ours = {"us": 200.0, "rows": 1_000, "rows/s": 900.0}
    dear = dict.fromkeys(("map_chat", "ray.data.llm"), ours | {"us": 1_800.0})
    batch = {"rates": dict.fromkeys(scale.ROWS, ours), "ray": {"zai.batch": ours, **dear}}
    text = scale.users(batch, {"tokens": {"httptools, uvloop": costs}}, given)
    assert "| zai.batch | 200 | 9,000,000 |" in text
    assert "| map_chat on Ray, all of its processes | 1,800 | 1,000,000 |" in text
    assert "1,000 rows in one run: 200 us of CPU for a row without it and 1,800 with it" in text


def test_the_page_is_rewritten_between_its_marks(results, tmp_path, monkeypatch):
    path, page = tmp_path / "results.json", tmp_path / "scale.md"
    path.write_text(json.dumps(results))
    page.write_text("before\n<!-- computed -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    scale.main(["--results", str(path), "--write"])
    text = page.read_text()
    assert text.startswith("before\n<!-- computed -->\n\nAssumed: ")
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in text


def test_only_a_whole_run_is_published(tmp_path, monkeypatch):
    path, published = tmp_path / "results.json", tmp_path / "published.json"
    page = tmp_path / "performance.md"
    page.write_text("<!-- goals -->\n<!-- end -->\n<!-- tables -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(publish, "PUBLISHED", published)
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    row = {"median": 1.23456, "spread": 0.0, "server": 0.1, "lost": 0.0}
    also = {"delay, ms": 1.0, "64 KiB, MB/s": 1000.0, "KiB, 50 events later": 1.0}
    also |= {"p99, ms": 2.0, "slowest, ms": 3.0}
    names = "ours", "openai_default", "bare_aiohttp", "epoll_python", "raw_protocol", "event_loop"
    rows = dict.fromkeys(names, row | also)
    results = {"rounds": 5, "machine": MACHINE, **dict.fromkeys(SCENARIOS, rows)}
    path.write_text(json.dumps(results | {"step": {}}))
    with pytest.raises(SystemExit, match="it lacks step"):
        publish.main(["--results", str(path)])
    path.write_text(json.dumps(results))
    publish.main(["--results", str(path)])
    read = json.loads(published.read_text())
    assert read.keys() == results.keys()
    assert read["step"]["ours"]["median"] == 1.235
    text = page.read_text()
    assert "5 rounds on 2 cores of an abacus, none, python 3.11." in text
    assert "| openai_default | 1.24 | ±0 % | 1.00 |" in text
    assert "| Parser, 64 KiB a read | >= 1,200 MB/s | 1,000 MB/s | missed |" in text
    assert "| The slowest of these streams, to the median's | <= 2 | 3 | missed |" in text
    assert "| Many events a read, to Node | <= 0.9 | not measured |  |" in text
    assert "old" not in text


def test_the_pages_say_what_the_published_figures_say():
    results = json.loads(scale.PUBLISHED.read_text(encoding="utf-8"))
    others = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (batch_pages.PUBLISHED, relay.PUBLISHED)
    )
    computed = {"computed": scale.block(results, scale.Assumptions())}
    computed["users"] = scale.users(*others, scale.Assumptions())
    for name, parts in {"scale.md": computed, "performance.md": publish.parts(results)}.items():
        page = (pages.DOCS / name).read_text(encoding="utf-8")
        for mark, part in parts.items():
            assert f"<!-- {mark} -->\n\n{part}\n\n<!-- end -->" in page


@pytest.mark.parametrize(
    ("goal", "line"),
    [
        (goals.Goal("a", lambda _: 1 / 58.2, 1 / 40, "share"), "| a | <= 1/40 | 1/58.2 |  |"),
        (goals.Goal("b", lambda _: 1.2, 1.12), "| b | <= 1.12 | 1.2 | missed |"),
        (
            goals.Goal("c", lambda _: 9.0, 10.0, "us", at_least=True),
            "| c | >= 10 us | 9 us | missed |",
        ),
        (goals.Goal("d", lambda _: 1183.2, 1200, "us"), "| d | <= 1,200 us | 1,183 us |  |"),
    ],
)
def test_a_goal_is_met_or_missed(goal, line):
    assert goals.row(goal, {}) == line


def test_goals_compare_the_columns_of_a_run(capsys):
    run = {"step": {"ours": {"median": 3.0, "ms": 8.0}, "other": {"median": 2.0, "ms": 5.0}}}
    assert goals.to("other", "step")(run) == 1.5
    assert goals.above("other", "step", "ms")(run) == 3.0
    goals.main()
    assert capsys.readouterr().out.count("\n") == len(goals.GOALS) + 2
