"""`zai batch`: rows that are answered, how far that is, and what becomes of the outputs."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import UTC, datetime

import pytest

from tests import arrow
from tests.command_line import pipe_in, sent, surround, watch
from zai_async.batch import BatchProgress, Report, engine
from zai_async.batch.sources import GivenRows
from zai_async.cli import batch_files, batch_progress, main
from zai_async.cli.batch_progress import how_to_go_on, progress_line, showing
from zai_async.cli.terminal import Terminal

COMMAND = ["zai", "batch", "run", "a b.jsonl", "out.jsonl"]
FUTURE = datetime(2040, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, zai_emulator, tmp_path):
    surround(monkeypatch, zai_emulator, tmp_path / "home")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rows(tmp_path):
    """Write rows to in.jsonl; those that are text stand there as they are."""

    def write(*rows):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / "in.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")

    return write


def run(*options):
    return main(["batch", "run", "in.jsonl", "out.jsonl", "--model", "glm-4.6", *options])


def output(name="out.jsonl"):
    with open(name, encoding="utf-8") as file:
        return {line["custom_id"]: line for line in map(json.loads, file)}


# run


def test_every_row_gets_a_line(capsys, rows, zai_emulator):
    rows({"custom_id": "a", "prompt": "One"}, {"custom_id": "b", "prompt": "Two"})
    assert run("--system", "Be brief.", "--param", "temperature=0", "--concurrency", "1") == 0
    assert {key: line["error"] for key, line in output().items()} == {"a": None, "b": None}
    assert sent(zai_emulator)["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent(zai_emulator)["temperature"] == 0
    assert capsys.readouterr() == ("", "zai: 2 done\n")


def test_a_template_has_columns(rows, zai_emulator):
    rows({"title": "Salt"})
    assert run("--template", "Translate: {title}") == 0
    assert sent(zai_emulator)["messages"] == [{"role": "user", "content": "Translate: Salt"}]


def test_rows_may_be_piped_in(monkeypatch, zai_emulator):
    pipe_in(monkeypatch, b'{"prompt": "One"}\n')
    assert main(["batch", "run", "-", "out.jsonl", "--model", "glm-4.6", "--quiet"]) == 0
    assert len(zai_emulator.requests) == 1


def test_the_report_is_data(capsys, rows):
    rows({"prompt": "One"})
    assert run("--json", "--quiet") == 0
    report, said = capsys.readouterr()
    assert json.loads(report)["done"] == 1
    assert said == ""


def test_the_emulator_needs_no_key(capsys, monkeypatch, rows, zai_emulator):
    monkeypatch.delenv("ZAI_API_KEY")
    rows({"prompt": "One"})
    assert run("--emulate", "--pace", "0") == 0
    assert not zai_emulator.requests


def test_failed_rows_are_told_and_tried_again(capsys, rows, zai_emulator):
    rows({"custom_id": "a", "prompt": "One"}, {"custom_id": "b", "prompt": 2})
    assert run() == 5
    again = "zai batch run in.jsonl out.jsonl --model glm-4.6"
    said = f"zai: 1 done, 1 failed (1 input)\nzai: when these rows are put right: {again}\n"
    assert capsys.readouterr().err == said
    rows({"custom_id": "a", "prompt": "One"}, {"custom_id": "b", "prompt": "Two"})
    assert run() == 0
    assert len(zai_emulator.requests) == 2


@pytest.mark.parametrize(
    ("fault", "status", "hint"),
    [
        ({"code": "1000"}, 3, "when that is put right, go on with: zai batch run"),
        ({"code": "1113"}, 3, "when that is put right, go on with: zai batch run"),
        ({"code": "1308"}, 4, "go on after 20"),
    ],
)
def test_what_would_hit_every_row_pauses(capsys, rows, zai_emulator, *, fault, status, hint):
    rows({"prompt": "One"})
    zai_emulator.fault(**fault)
    assert run() == status
    said = capsys.readouterr().err
    assert said.startswith("zai: 0 done; paused: ")
    assert hint in said


def test_only_the_failed_ones_are_tried_again(rows, zai_emulator):
    rows({"custom_id": "a", "prompt": 1})
    assert run("--quiet") == 5
    rows({"custom_id": "a", "prompt": "One"}, {"custom_id": "b", "prompt": "Two"})
    retry = ["batch", "retry", "in.jsonl", "out.jsonl", "--model", "glm-4.6", "--quiet"]
    assert main([*retry, "--only-failed"]) == 0
    assert sorted(output()) == ["a"]
    assert main(retry) == 0
    assert sorted(output()) == ["a", "b"]


def test_lines_are_printed_in_the_order_of_the_rows(capsys, rows, zai_emulator):
    given = [{"custom_id": f"{n}", "prompt": f"Question {n}"} for n in range(20)]
    rows(*given[5:])
    assert run("--quiet") == 0
    capsys.readouterr()
    rows(*given, {"custom_id": "bad", "prompt": 1})
    assert run("--quiet", "--ordered") == 5
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["custom_id"] for line in printed] == [*(row["custom_id"] for row in given), "bad"]
    assert printed[0]["response"]["body"]["choices"]
    assert printed[-1]["error"]["kind"] == "input"
    assert len(zai_emulator.requests) == 20


def test_a_budget_is_one_of_tokens_or_of_money(capsys, rows):
    rows({"prompt": "One"}, {"prompt": "Two"}, {"prompt": "Three"})
    one = ("--concurrency", "1")
    assert run(*one, "--budget", "1") == 3
    assert "the budget is used up" in capsys.readouterr().err
    assert run(*one, "--budget-cost", "0.0001", "--price", "glm-4.6=1000/1000") == 3
    assert len(output()) == 2


def test_money_needs_a_price(capsys):
    with pytest.raises(SystemExit, match="2"):
        run("--budget-cost", "1")
    assert "--budget-cost needs --price too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--price=glm-4.6", "is not MODEL=IN/OUT"),
        ("--price=glm-4.6=1/x", "is not a number"),
        ("--concurrency=0", "more than 0"),
    ],
)
def test_options_that_cannot_be_meant(capsys, option, said):
    with pytest.raises(SystemExit, match="2"):
        run(option)
    assert said in capsys.readouterr().err


def test_an_output_of_other_settings_is_refused(capsys, rows):
    rows({"prompt": "One"})
    assert run() == 0
    assert run("--system", "Other") == 2
    assert "--force-resume goes on all the same" in capsys.readouterr().err
    assert run("--system", "Other", "--force-resume") == 0


def test_a_file_that_is_no_output_is_refused(capsys, rows, tmp_path):
    rows({"prompt": "One"})
    (tmp_path / "out.jsonl").write_text("Dear diary\n", encoding="utf-8")
    assert run() == 2
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "Dear diary\n"


# Stopped


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_the_second_signal_ends_it_at_once(capsys, monkeypatch, rows, zai_emulator):
    rows({"prompt": "One"})
    zai_emulator.fault(hang=True)

    logged, seen = [], threading.Event()

    def info(text, *facts):
        logged.append(text % facts)
        seen.set()

    def interrupt():
        zai_emulator.wait_requests(1).result()
        os.kill(os.getpid(), signal.SIGINT)
        seen.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(engine._log, "info", info)
    thread = threading.Thread(target=interrupt)
    thread.start()
    assert run() == 130
    thread.join()
    assert logged == ["SIGINT: waiting for 1 rows in flight; again to stop at once"]
    said = capsys.readouterr().err
    assert said.startswith("zai: 0 done; stopped\nzai: to go on: zai batch run in.jsonl out.jsonl")


def test_a_deadline_ends_it_in_order(capsys, rows, zai_emulator):
    rows({"prompt": "One"}, {"prompt": "Two"})
    zai_emulator.fault(delay=0.3, times=None)
    assert run("--concurrency", "1", "--deadline", "0.1") == 124
    assert capsys.readouterr().err.startswith("zai: 1 done; stopped\nzai: to go on: zai batch run")


# How far it is


def progress(**changes):
    now = {
        "total": 10_000,
        "done": 1_204,
        "failed": {},
        "skipped": 0,
        "in_flight": 12,
        "limit": 40,
        "rows_per_second": 38.24,
        "tokens_per_second": 9_812.4,
        "tokens": 400_000,
        "cost": 1.234,
        "elapsed": 31.0,
        "eta": 230.0,
    }
    return BatchProgress(**{**now, **changes})


FAILED = {"throttle": 8, "input": 30}
SOME = "1,204 of 10,000 done, 38.2 rows/s, 3 min 50 s left"
MORE = "1,204 of 10,000 done, 38 failed, 38.2 rows/s, 3 min 50 s left, 12 in flight of 40 allowed"
ALL = (
    "1,204 of 10,000 done, 38 failed (30 input, 8 throttle), 38.2 rows/s, 3 min 50 s left,"
    " 12 in flight of 40 allowed, 9,812 tokens/s, cost 1.23"
)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (10, "1,204 of 10,000 done"),
        (40, "1,204 of 10,000 done, 38.2 rows/s"),
        (60, SOME),
        (100, MORE),
        (200, ALL),
    ],
)
def test_the_line_fits(columns, line):
    assert progress_line(progress(failed=FAILED), columns) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"total": None, "eta": None}, "1,204 done, 38.2 rows/s, 12 in flight of 40 allowed"),
        ({"limit": None, "eta": 5}, "1,204 of 10,000 done, 38.2 rows/s, 5 s left, 12 in flight"),
        (
            {"in_flight": 41, "eta": 3 * 3600 + 125},
            "1,204 of 10,000 done, 38.2 rows/s, 3 h 2 min left, all 40 in flight that are allowed",
        ),
    ],
)
def test_what_nobody_knows_is_left_out(changes, line):
    assert progress_line(progress(tokens=0, cost=0.0, **changes), 1000) == line


@pytest.mark.parametrize("watched", [True, False])
async def test_progress_is_a_line_on_a_terminal_and_lines_in_a_log(capsys, monkeypatch, watched):
    screen = watch(monkeypatch) if watched else sys.stderr
    for name in ("_REDRAWN", "_LOGGED"):
        monkeypatch.setattr(batch_progress, name, 0.0)
    answers = iter([None, progress(), progress()])
    asked = []

    def ask():
        asked.append(1)
        return next(answers, progress())

    async with showing(ask, Terminal(), quiet=False):
        while len(asked) < 4:
            import asyncio

            await asyncio.sleep(0)
    said = screen.getvalue() if watched else capsys.readouterr().err
    assert "1,204 of 10,000 done" in said
    assert said.endswith("\r\x1b[K" if watched else "\n")


@pytest.mark.parametrize(
    ("report", "hint"),
    [
        ({"state": "finished"}, None),
        ({"state": "finished", "failed": {"input": 1}}, "when these rows are put right: "),
        ({"state": "finished", "failed": {"input": 1, "x": 1}}, "to try the failed rows again: "),
        ({"state": "paused", "reason": "billing"}, "when that is put right, go on with: "),
        ({"state": "paused", "reason": "quota"}, "go on later with: "),
        ({"state": "stopped"}, "to go on: "),
    ],
)
def test_the_hint_is_a_command(report, hint):
    said = how_to_go_on(Report(out="out.jsonl", **report), COMMAND)
    command = "zai batch run 'a b.jsonl' out.jsonl"
    assert said == (None if hint is None else f"{hint}{command}")


# status


def test_status_says_what_became_of_the_rows(capsys, rows, zai_emulator):
    rows({"prompt": "One"}, {"prompt": 2})
    run("--quiet")
    assert main(["batch", "status", "out.jsonl"]) == 0
    shown = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert (shown["state"], shown["done"], shown["failed"]) == ("finished", "1", "1 (1 input)")
    zai_emulator.account.quota(until=FUTURE)
    run("--quiet", "--force-resume", "--system", "x")
    assert main(["batch", "status", "out.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 1


def test_a_run_that_was_killed_says_so(capsys, tmp_path):
    (tmp_path / "out.jsonl").write_bytes(b"")
    (tmp_path / "out.jsonl.run.json").write_text('{"state": "running"}', encoding="utf-8")
    assert main(["batch", "status", "out.jsonl"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "state  killed"
    # What was merged has no run that could go on.
    (tmp_path / "out.jsonl.run.json").unlink()
    assert main(["batch", "status", "out.jsonl"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "state  finished"


# validate


def test_validate_says_line_by_line_what_is_wrong(capsys, rows, zai_emulator):
    rows(
        {"custom_id": "a", "body": {"model": "glm-5.3", "messages": [{"role": "user"}]}},
        "",
        '{"prompt": ',
        {"custom_id": "a", "prompt": "Again"},
        {"body": {"model": "glm-5.3", "messages": [{"role": "wizard", "content": "Hi"}]}},
        {"prompt": "Fine", "max_tokens": 50},
    )
    command = ["batch", "validate", "in.jsonl", "--model", "glm-4.6"]
    assert main([*command, "--price", "glm-4.6=0/1000000"]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["line 3", "line 4", "line 5"]
    assert "custom_id 'a' is used more than once" in lines[1]
    shown = dict(line.split(None, 1) for line in lines[3:])
    assert (shown["rows"], shown["wrong"]) == ("2", "3")
    assert shown["answers"].startswith("at most 50 tokens")
    assert shown["unbounded"] == "1 rows without max_tokens"
    assert shown["cost"].startswith("about 50.00")
    assert not zai_emulator.requests


def test_validate_as_data(capsys, rows):
    rows({"prompt": "Fine"}, "[]")
    assert main(["batch", "validate", "in.jsonl", "--model", "glm-4.6", "--json"]) == 5
    fault, estimate = map(json.loads, capsys.readouterr().out.splitlines())
    assert fault["line"] == 2
    assert (estimate["rows"], estimate["wrong"], estimate["unpriced"]) == (1, 1, 1)


def test_validate_counts_the_rows_of_a_table(capsys, monkeypatch):
    given = GivenRows([{"prompt": "Fine"}, {"prompt": 1}])
    monkeypatch.setattr(batch_files, "open_rows", lambda _path: given)
    assert main(["batch", "validate", "in.parquet", "--model", "glm-4.6"]) == 5
    assert capsys.readouterr().out.startswith("row 2: prompt must be a text")


def test_validate_finds_nothing(capsys, rows):
    rows({"prompt": "Fine", "model": "glm-4.6", "max_tokens": 5})
    assert main(["batch", "validate", "in.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "cost" not in said
    assert "unbounded" not in said


# merge, to-parquet


def test_outputs_are_merged(capsys, rows, zai_emulator):
    rows({"custom_id": "a", "prompt": "One"}, {"custom_id": "b", "prompt": 2})
    run("--quiet")
    os.rename("out.jsonl", "first.jsonl")
    os.unlink("out.jsonl.run.json")
    rows({"custom_id": "b", "prompt": "Two"}, {"custom_id": "c", "prompt": 3})
    run("--quiet")
    assert main(["batch", "merge", "first.jsonl", "out.jsonl", "--into", "all.jsonl"]) == 0
    assert capsys.readouterr().err == "zai: 2 done, 1 failed\n"
    merged = output("all.jsonl")
    assert {key: line["error"] is None for key, line in merged.items()} == {
        "a": True,
        "b": True,
        "c": False,
    }
    assert main(["batch", "merge", "first.jsonl", "--into", "all.jsonl"]) == 2
    assert output("all.jsonl") == merged


def test_a_table_is_written(capsys, monkeypatch, rows):
    written = arrow.install(monkeypatch)
    rows({"custom_id": "a", "prompt": "One"})
    run("--quiet")
    assert main(["batch", "to-parquet", "out.jsonl", "--into", "out.parquet"]) == 0
    assert capsys.readouterr().err == "zai: 1 rows\n"
    ((row,),) = written.values()
    assert row["custom_id"] == "a"


def test_a_table_needs_its_extra(capsys, monkeypatch, rows):
    rows({"prompt": "One"})
    run("--quiet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["batch", "to-parquet", "out.jsonl", "--into", "out.parquet"]) == 2
    assert "pip install 'zai-async[parquet]'" in capsys.readouterr().err


def test_a_table_has_a_row_for_each_key(capsys, rows):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows({"custom_id": "a", "prompt": "One"}, {"custom_id": "b", "prompt": 2})
    run("--quiet")
    assert main(["batch", "to-parquet", "out.jsonl", "--into", "out.parquet"]) == 0
    assert capsys.readouterr().err == "zai: 2 rows\n"
    table = {row["custom_id"]: row for row in parquet.read_table("out.parquet").to_pylist()}
    assert table["a"]["text"]
    assert table["a"]["error_kind"] is None
    assert table["b"]["error_kind"] == "input"
