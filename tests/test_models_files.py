"""Files, pages of a list, batches, parsed files, handwriting."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reading import read
from zai_async.models import (
    Batch,
    BatchRequestCounts,
    File,
    FileDeletion,
    FileParserTask,
    Handwriting,
    Page,
    ParsedFile,
)
from zai_async.models.reply import moment

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECONDS = int(NOON.timestamp())


# --- moments --------------------------------------------------------------------------------


@pytest.mark.parametrize("stamp", [SECONDS, SECONDS * 1000])
def test_seconds_and_milliseconds_are_the_same_moment(stamp):
    assert moment(stamp) == NOON


@pytest.mark.parametrize("stamp", [None, 0, 10**30, -(10**30), 10**400])
def test_no_moment_and_an_absurd_one_are_none(stamp):
    assert moment(stamp) is None


@given(st.integers(1, 10**10))
def test_every_second_is_found_again(stamp):
    assert moment(stamp).timestamp() == stamp
    assert moment(stamp).tzinfo is UTC


# --- files and pages ------------------------------------------------------------------------

FILE = {
    "id": "1791565720_2004",
    "object": "file",
    "bytes": 12,
    "filename": "a.jsonl",
    "purpose": "batch",
    "created_at": SECONDS,
}


def test_a_file_is_read():
    file = read(File, FILE)
    assert (file.id, file.bytes, file.filename, file.purpose) == (
        "1791565720_2004",
        12,
        "a.jsonl",
        "batch",
    )
    assert file.created == NOON


def test_a_deletion_is_read():
    gone = read(FileDeletion, {"id": "f", "object": "file", "deleted": True})
    assert (gone.id, gone.deleted) == ("f", True)


def test_a_page_knows_what_comes_after_it():
    page = read(Page[File], {"object": "list", "data": [FILE, {"id": "z"}], "has_more": True})
    assert [file.id for file in page.data] == ["1791565720_2004", "z"]
    assert page.next_after == "z"


@pytest.mark.parametrize(
    ("document", "after"),
    [
        ({"data": [FILE], "has_more": True, "last_id": "named"}, "named"),
        ({"data": [FILE], "has_more": False}, None),
        ({"data": [{}], "has_more": True}, None),
        ({"data": [], "has_more": True}, None),
        ({}, None),
    ],
    ids=range(5),
)
def test_the_last_page_has_none_after_it(document, after):
    assert read(Page[File], document).next_after == after


# --- batches --------------------------------------------------------------------------------

BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v4/chat/completions",
    "input_file_id": "f-1",
    "completion_window": None,
    "status": "validating",
    "output_file_id": None,
    "error_file_id": "",
    "created_at": SECONDS * 1000,
    "completed_at": None,
    "request_counts": {"total": 2, "completed": None, "failed": None},
    "metadata": {"job": "x"},
}


def test_a_new_batch_is_read():
    batch = read(Batch, BATCH)
    assert (batch.id, batch.state, batch.metadata) == ("batch_1", "processing", {"job": "x"})
    assert (batch.output_file_id, batch.error_file_id, batch.completion_window) == ("", "", "")
    assert batch.request_counts == BatchRequestCounts(total=2)
    assert (batch.created, batch.ended) == (NOON, None)


@pytest.mark.parametrize("name", ["completed_at", "failed_at", "expired_at", "cancelled_at"])
def test_a_batch_ends_in_one_of_four_ways(name):
    assert read(Batch, {**BATCH, name: SECONDS}).ended == NOON


def test_the_documented_shape_of_the_counts_does_no_harm():
    assert read(Batch, {**BATCH, "request_counts": 2}).request_counts == BatchRequestCounts()


def test_reasons_of_a_refused_batch_are_read():
    errors = {"object": "list", "data": [{"code": "1210", "message": "custom_id", "line": 3}]}
    batch = read(Batch, {**BATCH, "status": "failed", "errors": errors})
    (error,) = batch.errors.data
    assert (batch.state, error.code, error.line) == ("failed", "1210", 3)


# --- parsed files ---------------------------------------------------------------------------


def test_a_file_that_is_being_parsed():
    task = read(FileParserTask, {"success": True, "message": "ok", "task_id": "t"})
    waiting = read(ParsedFile, {"task_id": "t", "status": "processing", "message": "..."})
    assert (task.success, task.task_id) == (True, "t")
    assert (waiting.state, waiting.text) == ("processing", "")


def test_a_parsed_file():
    text = read(ParsedFile, {"status": "succeeded", "content": "# A"})
    link = read(ParsedFile, {"status": "succeeded", "parsing_result_url": "https://cdn.example/z"})
    assert (text.state, text.text) == ("succeeded", "# A")
    assert (link.parsing_result_url, link.text) == ("https://cdn.example/z", "")


def test_handwriting_is_read():
    found = read(
        Handwriting,
        {
            "task_id": "t",
            "status": "succeeded",
            "words_result_num": 2,
            "words_result": [
                {
                    "words": "Dear",
                    "location": {"left": 1, "top": 2, "width": 3, "height": 4},
                    "probability": {"average": 0.9, "variance": 0.1, "min": 0.5},
                },
                {"words": "Ada"},
            ],
        },
    )
    first, second = found.lines
    assert (found.text, found.words_result_num) == ("Dear\nAda", 2)
    assert (first.location.top, first.probability.average) == (2, 0.9)
    assert (second.location.top, second.probability) == (0, None)
