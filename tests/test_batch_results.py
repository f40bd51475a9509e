"""What became of each request of a batch."""

import json

import pytest

from tests.test_every_operation import ROWS
from zai_async import AsyncZai
from zai_async._wire import judged_results
from zai_async.models.tasks import read_results
from zai_async.testing import FakeReply, FakeTransport


async def test_the_results_of_a_batch_on_the_emulator(zai_emulator):
    zai_emulator.tasks.polls = 1
    async with AsyncZai(api_key="test", base_url=zai_emulator.url) as zai:
        file = await zai.files.create(file=("rows.jsonl", ROWS), purpose="batch")
        made = await zai.batches.create(input_file_id=file.id, endpoint="/v4/chat/completions")
        assert await zai.batches.results(made) == []
        batch = made
        while batch.state == "processing":
            batch = await zai.batches.retrieve(made.id)
        (result,) = await zai.batches.results(batch)
        assert result.custom_id == "row-001"
        assert result.completion.text
        assert await zai.batches.results(made.id) == [result]


LINES = [
    {"custom_id": "a", "response": {"status_code": 200, "body": {"id": "x", "choices": []}}},
    {"custom_id": "b", "response": {"status_code": 400, "body": {"id": "y"}}},
    {"custom_id": "c", "error": {"code": 1301, "message": "no"}},
]


def test_lines_are_read_one_by_one():
    fine, refused, failed = read_results(b"\n\n".join(json.dumps(x).encode() for x in LINES))
    assert fine.completion.id == "x"
    assert refused.completion is None
    assert (failed.completion, failed.error.code) == (None, "1301")


def test_a_line_that_cannot_be_read_loses_no_other():
    fine = json.dumps(LINES[0]).encode()
    odd = [b'{"custom_id": "tor', b"\0\0", b"null", b'{"custom_id": "\xff"}', b"[" * 5000]
    results = read_results(b"\n\n".join([fine, *odd, fine]))
    assert [result.custom_id for result in results] == ["a", "", "", "", "", "", "a"]
    assert [result.completion.id for result in results if result.completion] == ["x", "x"]
    errors = [result.error for result in results if result.error]
    assert {error.code for error in errors} == {"unreadable"}
    assert [error.line for error in errors] == [3, 5, 7, 9, 11]
    assert errors[1].message == "line 5 of the file cannot be read: it is no whole JSON object"


SAID = {"finish_reason": "stop", "message": {"content": "hi"}}
CUT = {"finish_reason": None, "message": {"content": "hal"}}
LOST = {"finish_reason": "network_error", "message": {"content": "hal"}}
BODIES = [
    ({"id": "x", "choices": [SAID]}, None, ""),
    ({"id": "x", "choices": []}, "empty", "the answer holds nothing"),
    ({"id": "x"}, "empty", "the answer holds nothing"),
    ({"id": "x", "choices": [CUT]}, "truncated", "the answer stops without a finish reason"),
    ({"id": "x", "choices": [LOST]}, "network_error", "the platform lost the generation half-way"),
    ({"error": {"code": "1301", "message": "no"}}, "1301", "no"),
    ({"code": 500, "msg": "boom", "success": False}, "500", "boom"),
    ({"error": "gone"}, "", "gone"),
    (None, "empty", "the response has no body"),
    ({"code": 200, "msg": "ok", "data": {"id": "x", "choices": [SAID]}}, None, ""),
    ({"success": True, "result": {"id": "x", "choices": [SAID]}}, None, ""),
    ({"code": 200, "data": {"id": "x", "choices": [CUT]}}, "truncated", "the answer stops without"),
    ({"code": 200, "data": {"choices": []}}, "empty", "the answer holds nothing"),
    ({"code": 200, "data": {"error": {"code": "1301", "message": "no"}}}, "1301", "no"),
    ({"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}, None, ""),
    ({"code": 200, "data": {"data": [{"index": 0, "embedding": [0.5]}]}}, None, ""),
    ({"object": "list", "data": [{"index": 0}]}, "empty", "the answer holds nothing"),
    ({"created": 1, "data": [{"url": "https://files.example/a.png"}]}, None, ""),
]


async def test_a_line_is_judged_like_the_answer_to_a_call():
    lines = [
        {"custom_id": str(place), "response": {"status_code": 200, "body": body}}
        for place, (body, _, _) in enumerate(BODIES)
    ]
    batch = FakeReply.json({"id": "b", "status": "completed", "output_file_id": "o"})
    file = FakeReply(steps=(b"\n".join(json.dumps(line).encode() for line in [*lines, *LINES]),))
    async with AsyncZai(api_key="test", transport=FakeTransport(batch, file)) as zai:
        results = await zai.batches.results("b")
    for result, (body, code, message) in zip(results, BODIES, strict=False):
        assert (result.completion is not None) == (code is None)
        assert code is None or result.error.code == code
        assert code is None or result.error.message.startswith(message)
        assert (result.response.body is None) == (body is None)
    assert [result.error.code for result in results[-3:]] == ["empty", "400", "1301"]


async def test_a_torn_file_of_results_is_read_as_far_as_possible():
    batch = FakeReply.json({"id": "b", "status": "completed", "output_file_id": "o"})
    line = {"custom_id": "a", "response": {"status_code": 200, "body": BODIES[0][0]}}
    good = json.dumps(line).encode() + b"\n"
    file = FakeReply(steps=(good * 3 + good[:20],))
    async with AsyncZai(api_key="test", transport=FakeTransport(batch, file)) as zai:
        *fine, torn = await zai.batches.results("b")
    assert [result.completion.id for result in fine] == ["x", "x", "x"]
    assert (torn.completion, torn.error.line) == (None, 4)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ({"response": {"status_code": 400, "body": {"error": {"code": "1210"}}}}, "1210", ""),
        ({"response": {"status_code": 502}}, "502", "HTTP 502 without a body"),
        ({"response": {"status_code": 500, "body": {"message": "boom"}}}, "500", "boom"),
        ({}, "empty", "the line has neither"),
    ],
)
def test_a_line_without_an_answer_says_why(line, code, message):
    (result,) = judged_results(json.dumps(line).encode())
    assert result.error.code == code
    assert result.error.message.startswith(message)
    assert result.completion is None


def test_an_error_that_says_nothing_is_none():
    good = {"error": {}, "response": {"status_code": 200, "body": {"choices": [SAID]}}}
    (result,) = judged_results(json.dumps(good).encode())
    assert (result.error, result.completion.text) == (None, "hi")


def test_an_answer_in_an_envelope_is_taken_out_of_it():
    body = {"code": 200, "data": {"id": "x", "choices": [SAID]}}
    line = {"response": {"status_code": 200, "body": body}}
    (result,) = judged_results(json.dumps(line).encode())
    assert (result.completion.id, result.completion.text) == ("x", "hi")
