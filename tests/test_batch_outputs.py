"""Outputs that are put together: one line per key, a table, and folders of several processes."""

import json
import os
import sys

import pytest

from tests import arrow
from zai_async.batch import JournalError
from zai_async.batch.folder import RunFolder
from zai_async.batch.outputs import final_lines, last_result, merge_outputs, write_parquet
from zai_async.errors import ConfigurationError

BODY = {
    "model": "glm-5.3",
    "choices": [
        {"finish_reason": "stop", "message": {"content": "Hi", "reasoning_content": "Hm."}}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4},
}
ERROR = {"kind": "throttle", "message": "Too many", "code": "1302"}


def ok(key, body=BODY):
    response = {"status_code": 200, "request_id": None, "body": body}
    return {"custom_id": key, "error": None, "response": response, "attempts": 1}


def failed(key, partial=None):
    response = partial and {"status_code": 200, "request_id": None, "body": partial}
    return {"custom_id": key, "error": ERROR, "response": response, "attempts": 3}


@pytest.fixture
def output(tmp_path):
    """Write an output and return its path."""

    def write(name, *lines, torn=b""):
        path = tmp_path / name
        data = "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines)
        path.write_bytes(data.encode() + torn)
        return path

    return write


def keys(lines):
    return [(line["custom_id"], line["error"] is None) for line in map(json.loads, lines)]


def test_each_key_has_one_line_and_an_answer_counts_more(output):
    first = output("first", ok("a"), failed("b"), failed("c"), torn=b'{"custom_id":"x","err')
    second = output("second", failed("a"), ok("b"), failed("c"))
    assert keys(final_lines([first, second])) == [("a", True), ("b", True), ("c", False)]
    assert [line.count(b"\n") for line in final_lines([first])] == [1, 1, 1]


def test_a_line_that_lacks_its_end_gets_one(output):
    whole = json.dumps(ok("b"), separators=(",", ":")).encode()
    assert list(final_lines([output("first", ok("a"), torn=whole)]))[1] == whole + b"\n"


def test_outputs_are_merged_into_a_new_file(output, tmp_path):
    first = output("first", ok("a"), failed("b"))
    target = tmp_path / "all.jsonl"
    assert merge_outputs([first], target) == {"done": 1, "failed": 1}
    assert keys(target.read_bytes().splitlines()) == [("a", True), ("b", False)]
    with pytest.raises(JournalError, match="is there already"):
        merge_outputs([first], first)
    assert sorted(os.listdir(tmp_path)) == ["all.jsonl", "first"]


def test_what_is_no_output_is_refused_and_nothing_is_left(output, tmp_path):
    prose = tmp_path / "prose"
    prose.write_text("Dear diary\n")
    for outs, said in (([prose], "no result"), ([tmp_path / "none"], "cannot be read")):
        with pytest.raises(JournalError, match=said):
            merge_outputs(outs, tmp_path / "all.jsonl")
    with pytest.raises(JournalError, match="cannot be written"):
        merge_outputs([output("first", ok("a"))], tmp_path / "nowhere" / "all.jsonl")
    assert sorted(os.listdir(tmp_path)) == ["first", "prose"]


def test_a_table_has_a_row_for_each_key(monkeypatch, output, tmp_path):
    written = arrow.install(monkeypatch)
    out = output("out", ok("a"), failed("b", BODY), failed("c"))
    assert write_parquet([out], tmp_path / "out.parquet") == 3
    ((_, rows),) = written.items()
    table = {row["custom_id"]: row for row in rows}
    assert (table["a"]["text"], table["a"]["thinking"]) == ("Hi", "Hm.")
    assert (table["a"]["prompt_tokens"], table["a"]["completion_tokens"]) == (3, 4)
    assert json.loads(table["b"]["response"]) == BODY
    assert (table["c"]["error_kind"], table["c"]["error_code"]) == ("throttle", "1302")
    assert table["c"]["response"] is None
    assert (tmp_path / "out.parquet").exists()


def test_a_table_of_pyarrow_is_read_again(output, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet([output("out", ok("a"), failed("b"))], tmp_path / "out.parquet")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["custom_id"], row["text"], row["error_kind"]) for row in rows] == [
        ("a", "Hi", None),
        ("b", None, "throttle"),
    ]


def test_a_table_needs_its_extra(monkeypatch, output, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"zai-async\[parquet\]"):
        write_parquet([output("out", ok("a"))], tmp_path / "out.parquet")


def test_the_last_result_of_a_key(output):
    out = output("out", failed("a"), ok("a"), ok("b"))
    assert last_result(out, "a").text == "Hi"
    with pytest.raises(LookupError):
        last_result(out, "x")


# Lines of others, and such as cannot be read


def test_outputs_of_others_are_merged(monkeypatch, output, tmp_path):
    expired = {"code": "batch_expired", "message": "Late."}
    refused = {"status_code": 400, "body": {"error": {"message": "Bad."}}}
    theirs = output(
        "theirs",
        {"id": "1", "custom_id": "a", "response": {"status_code": 200, "body": BODY}},
        {"id": "2", "custom_id": "b", "response": None, "error": expired},
        {"id": "3", "custom_id": "c", "response": refused, "error": None},
    )
    assert merge_outputs([theirs], tmp_path / "all.jsonl") == {"done": 1, "failed": 2}
    arrow.install(monkeypatch)
    assert write_parquet([theirs], tmp_path / "out.parquet") == 3


def test_a_line_that_holds_no_result(monkeypatch, output, tmp_path):
    """It has the form of one, but for a number that no computer takes."""
    out = output("out.jsonl", ok("a", {"created": 0}))
    out.write_bytes(out.read_bytes().replace(b":0}", b":%b}" % (b"9" * 5000)))
    arrow.install(monkeypatch)
    for read in (
        lambda: merge_outputs([out], tmp_path / "all"),
        lambda: write_parquet([out], tmp_path / "all"),
        lambda: last_result(out, "a"),
        RunFolder(tmp_path, {}).find("a"),
    ):
        with pytest.raises(JournalError, match="holds no result"):
            read()


# Folders


def test_a_folder_knows_all_answers(output, tmp_path):
    output("1.jsonl", ok("a"), failed("b"), torn=b"{")
    output("2.jsonl", failed("a"), ok("b"), failed("c"))
    folder = RunFolder(tmp_path, {"model": "glm-5.3"})
    assert folder.find("a")().text == folder.find("b")().text == "Hi"
    assert folder.find("c") is folder.find("d") is None


def test_a_folder_is_made(tmp_path):
    assert RunFolder(tmp_path / "new" / "one", {}).find("a") is None
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="cannot be used"):
        RunFolder(tmp_path / "file", {})


def test_a_folder_of_other_settings_is_refused(output, tmp_path):
    output("1.jsonl", ok("a"))
    manifest = tmp_path / "1.jsonl.run.json"
    manifest.write_text('{"config": ""}')
    assert RunFolder(tmp_path, {"model": "glm-5.3"}).find("a")
    manifest.write_text('{"config": "of another model"}')
    with pytest.raises(JournalError, match="other settings") as refused:
        RunFolder(tmp_path, {"model": "glm-5.3"})
    assert refused.value.reason == "changed"
    manifest.write_text("{")
    with pytest.raises(JournalError, match=r"run\.json' cannot be read"):
        RunFolder(tmp_path, {"model": "glm-5.3"})
