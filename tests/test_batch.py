"""The engine of batches, from rows to the lines of the output."""

import json

import pytest

from zai_async import AsyncZai
from zai_async.batch import Failed, JournalError, Ok


@pytest.fixture
async def zai(zai_emulator):
    async with AsyncZai(base_url=zai_emulator.url, api_key="test") as client:
        yield client


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_every_row_has_its_answer_and_its_line(zai, zai_emulator, tmp_path):
    out = tmp_path / "answers.jsonl"
    rows = [{"custom_id": f"row-{number}", "prompt": f"Say {number}."} for number in range(20)]
    results = [each async for each in zai.batch.run(rows, out=out, model="glm-5.3")]
    assert {each.key for each in results} == {row["custom_id"] for row in rows}
    assert all(isinstance(each, Ok) and each.text for each in results)
    assert all(next(iter(line)) == "custom_id" and line["error"] is None for line in lines_of(out))
    assert len(zai_emulator.requests) == 20


async def test_the_same_call_goes_on(zai, zai_emulator, tmp_path):
    out = tmp_path / "answers.jsonl"
    rows = [{"custom_id": f"row-{number}", "prompt": "Hello."} for number in range(9)]
    assert (await zai.batch.run(rows[:5], out=out, model="glm-5.3")).done == 5
    seen = [each.key async for each in zai.batch.run(rows, out=out, model="glm-5.3")]
    assert sorted(seen) == [f"row-{number}" for number in range(5, 9)]
    assert len(zai_emulator.requests) == 9


async def test_a_bad_row_is_one_failure(zai, tmp_path):
    rows = [{"custom_id": "a", "prompt": "Hello."}, {"custom_id": "b"}, {"custom_id": "a"}]
    out = tmp_path / "answers.jsonl"
    results = {each.key: each async for each in zai.batch.run(rows, out=out, model="glm-5.3")}
    assert [type(results[key]) for key in sorted(results)] == [Ok, Failed, Failed]
    report = await zai.batch.status(out)
    assert (report.done, dict(report.failed), report.exit_code) == (1, {"input": 2}, 5)


async def test_other_settings_are_refused(zai, tmp_path):
    out = tmp_path / "answers.jsonl"
    await zai.batch.run(["Hello."], out=out, model="glm-5.3")
    before = out.read_bytes()
    with pytest.raises(JournalError, match="other settings") as caught:
        await zai.batch.run(["Hello."], out=out, model="glm-5.2")
    assert caught.value.reason == "changed"
    assert out.read_bytes() == before
