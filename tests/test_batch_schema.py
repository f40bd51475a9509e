"""Rows whose answers are values of a type: asked for, repaired once, and read again on resume."""

import json

import msgspec
import pytest

from tests.batches import client, collect, completion, echo, lines_of, refusal, rows
from tests.calls import FakeClock
from zai_async import AsyncZai, ConfigurationError, RetryPolicy
from zai_async.batch import Failed, JournalError, Ok
from zai_async.batch.lines import parse_line
from zai_async.batch.rows import RowFaultError, RowParser
from zai_async.models import Price
from zai_async.testing import FakeReply

MODEL = {"model": "glm-5.3"}
OSLO = '{"name": "Oslo", "people": 700000}'
LOOSE = '{"name": "Oslo", "people": "many"}'
PLAIN = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}


class City(msgspec.Struct):
    name: str
    people: int


@pytest.fixture
def out(tmp_path):
    return tmp_path / "answers.jsonl"


def says(*texts, **fields):
    """Return a script in which each row is told these texts, one after the other."""
    told = {}

    def script(request):
        turns = json.loads(request.body)["messages"]
        first = next(turn["content"] for turn in turns if turn["role"] == "user")
        number = told[first] = told.get(first, -1) + 1
        answer = completion(texts[min(number, len(texts) - 1)])
        answer["choices"][0].update(fields)
        return FakeReply.json(answer)

    return script


async def test_answers_are_values_of_the_type(out):
    zai, transport = client(says(OSLO))
    results = await collect(zai.batch.run(rows(3), out=out, schema=City, **MODEL))
    assert {key: each.parsed for key, each in results.items()} == {
        f"row-{n}": City("Oslo", 700_000) for n in range(3)
    }
    body = transport.bodies[0]
    assert body["response_format"] == {"type": "json_object"}
    assert '"people"' in body["messages"][0]["content"]
    # Without a schema nothing is read.
    (other,) = (await collect(zai.batch.run(rows(1, 7), out=out.with_name("b"), **MODEL))).values()
    assert other.parsed is None


async def test_the_model_is_shown_once_what_does_not_fit(out):
    prices = {"glm-5.3": Price(prompt=1.0, completion=1.0)}
    zai, transport = client(says(LOOSE, OSLO), prices=prices)
    run = zai.batch.run(rows(1), out=out, schema=City, **MODEL)
    (row,) = [each async for each in run]
    assert (row.parsed, row.attempts) == (City("Oslo", 700_000), 2)
    # Both answers are paid.
    assert (row.usage.total_tokens, row.answer.usage.total_tokens) == (14, 7)
    assert (run.progress.tokens, run.progress.cost) == (14, pytest.approx(14e-6))
    first, second = (body["messages"] for body in transport.bodies)
    assert second[: len(first)] == first
    assert second[len(first)] == {"role": "assistant", "content": LOOSE}
    assert "Expected `int`, got `str`" in second[-1]["content"]
    # The output has the answer that fits.
    (line,) = lines_of(out)
    assert line["response"]["body"]["choices"][0]["message"]["content"] == OSLO
    assert line["attempts"] == 2


async def test_what_never_fits_is_a_failure_with_its_text(out):
    zai, transport = client(says(LOOSE))
    run = zai.batch.run(rows(1), out=out, schema=City, **MODEL)
    (row,) = [each async for each in run]
    assert isinstance(row, Failed)
    assert (row.kind, row.text, row.attempts) == ("schema", LOOSE, 2)
    assert "does not fit City: Expected `int`, got `str` - at `$.people`" in row.error.message
    assert (row.usage.total_tokens, run.progress.tokens) == (14, 14)
    assert (await run.report()).failed == {"schema": 1}
    # Read from the output it is the same, and the next run tries it again.
    (line,) = out.read_bytes().splitlines()
    assert (parse_line(line).kind, parse_line(line).text) == ("schema", LOOSE)
    assert len(transport.requests) == 2
    assert (await zai.batch.run(rows(1), out=out, schema=City, **MODEL)).failures == 1
    assert len(transport.requests) == 4


async def test_what_was_cut_is_not_asked_for_again(out):
    zai, transport = client(says('{"name": "Os', finish_reason="length"))
    (row,) = [each async for each in zai.batch.run(rows(1), out=out, schema=City, **MODEL)]
    assert (row.kind, row.error.code, len(transport.requests)) == ("schema", "length", 1)


async def test_a_repair_may_fail_as_every_call(out):
    replies = iter([FakeReply.json(completion(LOOSE)), refusal("1301")])
    zai, _ = client(lambda _: next(replies))
    (row,) = [each async for each in zai.batch.run(rows(1), out=out, schema=City, **MODEL)]
    assert row.kind == "content"


async def test_a_repair_may_be_answered_by_another_model(out):
    busy = refusal("1305", 429)
    replies = iter([FakeReply.json(completion(LOOSE)), busy, FakeReply.json(completion(OSLO))])
    zai, transport = client(lambda _: next(replies), limits="off")
    options = {"retry": RetryPolicy(retries=0), "fallbacks": ["glm-5.2"], "schema": City}
    (row,) = [each async for each in zai.batch.run(rows(1), out=out, **options, **MODEL)]
    assert row.parsed == City("Oslo", 700_000)
    assert [body["model"] for body in transport.bodies] == ["glm-5.3", "glm-5.3", "glm-5.2"]
    assert transport.bodies[1]["messages"] == transport.bodies[2]["messages"]


async def test_answers_of_earlier_runs_are_read_again(out):
    zai, transport = client(says(OSLO))
    await zai.batch.run(rows(2), out=out, schema=City, **MODEL)
    again = {"schema": City, "replay": True, **MODEL}
    results = await collect(zai.batch.run(rows(3), out=out, **again))
    assert {key: (each.source, each.parsed.name) for key, each in results.items()} == {
        "row-0": ("output", "Oslo"),
        "row-1": ("output", "Oslo"),
        "row-2": ("call", "Oslo"),
    }
    # Another type is another question, and whoever insists is told what does not fit.
    with pytest.raises(JournalError, match="other settings"):
        await zai.batch.run(rows(3), out=out, schema=list[int], **MODEL)
    forced = {**again, "schema": list[int], "force_resume": True}
    results = await collect(zai.batch.run(rows(3), out=out, **forced))
    assert {(each.kind, each.text) for each in results.values()} == {("schema", OSLO)}
    assert len(transport.requests) == 3
    # So is a row that has failed before; it is asked again.
    zai, _ = client(echo)
    await zai.batch.run(rows(4), out=out, schema=City, force_resume=True, **MODEL)
    failures = [each for each in lines_of(out) if each["error"]]
    assert [each["custom_id"] for each in failures] == ["row-3"]


async def test_equal_rows_and_the_cache_share_values(out, tmp_path):
    zai, transport = client(says(OSLO))
    shared = {"schema": City, "dedupe": True, "cache": tmp_path / "cache", **MODEL}
    results = await collect(zai.batch.run(["Hi."] * 3, out=out, **shared))
    assert [each.parsed for each in results.values()] == [City("Oslo", 700_000)] * 3
    # From the output, and from the cache.
    results = await collect(zai.batch.run(["Hi."] * 4, out=out, **shared))
    assert [(each.source, each.parsed.name) for each in results.values()] == [("duplicate", "Oslo")]
    results = await collect(zai.batch.run(["Hi."], out=tmp_path / "b", **shared))
    assert [(each.source, each.parsed.name) for each in results.values()] == [("cache", "Oslo")]
    assert len(transport.requests) == 1
    # What is kept there and does not fit any more is bought again.
    for file in (tmp_path / "cache").glob("*/*.json"):
        file.write_bytes(file.read_bytes().replace(b"700000", b"null"))
    results = await collect(zai.batch.run(["Hi."], out=tmp_path / "c", **shared))
    assert [each.source for each in results.values()] == ["call"]


async def test_what_does_not_fit_is_shared_by_nobody(out, tmp_path):
    zai, transport = client(says(LOOSE))
    shared = {"schema": City, "dedupe": True, "cache": tmp_path / "cache", **MODEL}
    results = await collect(zai.batch.run(["Hi."] * 2, out=out, **shared))
    assert {each.kind for each in results.values()} == {"schema"}
    assert len(transport.requests) == 4
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("schema", [PLAIN, {"$ref": "#/$defs/City", "$defs": {"City": PLAIN}}])
async def test_a_json_schema_gives_plain_values(out, schema):
    zai, _ = client(says(LOOSE, OSLO))
    results = await collect(zai.batch.run(rows(1), out=out, schema=schema, **MODEL))
    assert results["row-0"].parsed == {"name": "Oslo", "people": 700_000}
    assert results["row-0"].attempts == 2


async def test_what_is_no_object_is_read_out_of_one(out):
    zai, _ = client(says('{"value": [1, 2]}'))
    results = await collect(zai.batch.run(rows(1), out=out, schema=list[int], **MODEL))
    assert results["row-0"].parsed == [1, 2]


async def test_batches_of_the_platform_have_no_repairs(out, zai_emulator):
    zai_emulator.chat.reply(OSLO)
    zai_emulator.chat.reply(LOOSE)
    async with AsyncZai(
        base_url=zai_emulator.url, api_key="test", provider="bigmodel", clock=FakeClock()
    ) as zai:
        run = zai.batch.run(rows(2), out=out, schema=City, backend="server", **MODEL)
        results = await collect(run)
    fits, fails = results["row-0"], results["row-1"]
    assert isinstance(fits, Ok)
    assert fits.parsed == City("Oslo", 700_000)
    assert (fails.kind, fails.text) == ("schema", LOOSE)


# What rows become


def test_requests_ask_for_an_object_that_fits():
    parser = RowParser(model="glm-5.3", system="Be brief.", schema=City)
    given = ({"prompt": "Hi."}, {"messages": "Hi."}, b'{"body":{"x":1.0,"messages":"Hi."}}')
    for row in given:
        body = msgspec.json.decode(parser.parse(row).body)
        system, question = body["messages"]
        assert "JSON Schema" in system["content"]
        assert question == {"role": "user", "content": "Hi."}
        assert body["response_format"] == {"type": "json_object"}
    # Numbers of the row's own body stay as they are.
    assert b'"x":1.0' in parser.parse(given[-1]).body
    assert parser.settings["schema"]["required"] == ["name", "people"]
    assert "schema" not in RowParser(model="glm-5.3").settings


@pytest.mark.parametrize(
    "row",
    [
        {"body": {"messages": 7}},
        {"url": "/v4/embeddings", "body": {"model": "embedding-3", "input": "Hi."}},
        {"body": {"temperature": 0}},
    ],
)
def test_rows_that_cannot_be_asked_for_a_type(row):
    with pytest.raises(RowFaultError, match=r"list of messages|answers of chats|is missing"):
        RowParser(model="glm-5.3", schema=City).parse(row)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema": object},
        {"schema": {"type": "strin"}},
        {"schema": {"type": "string", "pattern": "("}},
        {"schema": {"$ref": "#/$defs/City"}},
        {"schema": City, "url": "/v4/embeddings"},
    ],
)
async def test_schemas_that_are_none(out, wrong):
    zai, transport = client()
    with pytest.raises(ConfigurationError, match="schema"):
        zai.batch.run(rows(1), out=out, **wrong)
    assert not transport.requests
    assert not out.exists()


def test_texts_of_failures():
    line = b'{"custom_id":"a","error":{"kind":"x","message":"y"},"response":%b}'
    assert parse_line(line % b"null").text == ""
    assert parse_line(line % b'{"body":[1]}').text == ""
    body = json.dumps(completion("Half")).encode()
    assert parse_line(line % b'{"body":%b}' % body).text == "Half"
