"""What became of each request of a batch."""

import json

import msgspec
import pytest

from tests.test_every_operation import ROWS
from zai_async import AsyncZai
from zai_async.models.batches import read_results


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


def test_a_line_that_is_no_json_is_an_error():
    with pytest.raises(msgspec.DecodeError):
        read_results(b"oops")
