"""Answers of a type: the instruction, the way back, and the value while it is written."""

import json
from dataclasses import dataclass
from typing import TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import client, give_up_a_read
from tests.counting import counted
from zai_async import ConfigurationError, StreamTruncatedError, StructuredOutputError
from zai_async.structured import PartialJSON

WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=4)


class City(msgspec.Struct):
    name: str
    people: int


class Cat(msgspec.Struct, tag="cat"):
    lives: int = 9


class Dog(msgspec.Struct, tag="dog"):
    name: str


@dataclass
class Point:
    x: float
    y: float = 0.0


class Flags(TypedDict):
    on: bool


class Node(msgspec.Struct):
    below: "list[Node]" = []


FAIR = '{"name": "Oslo", "people": 700000}'


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url) as zai:
        yield zai


def parse(zai, kind, prompt="Which city?", **params):
    return zai.chat.completions.parse(kind, model="glm-5.3", messages=prompt, **params)


def is_beginning(part, whole):
    """Tell whether a value may be what has been written so far of another one."""
    if isinstance(part, str):
        return isinstance(whole, str) and whole.startswith(part)
    if isinstance(part, dict):
        return all(key in whole and is_beginning(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return len(part) <= len(whole) and all(map(is_beginning, part, whole))
    return part == whole and type(part) is type(whole)


# Whole answers


async def test_answer_is_a_value(zai, zai_emulator):
    answer = await parse(zai, City, "What about Bergen with 291000 people?", temperature=0.1)
    assert answer.parsed == City("Bergen", 291000)
    assert (answer.repairs, answer.usage) == (0, answer.completion.usage + type(answer.usage)())
    (request,) = zai_emulator.requests
    assert request.json["response_format"] == {"type": "json_object"}
    system, user = request.json["messages"]
    assert system["role"] == "system"
    assert json.loads(system["content"].partition("\n")[2])["required"] == ["name", "people"]
    assert user["content"] == "What about Bergen with 291000 people?"


async def test_instruction_joins_the_system_message(zai, zai_emulator):
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}]
    await parse(zai, City, history)
    system, user = zai_emulator.requests[0].json["messages"]
    assert system["content"].startswith("Be brief.\n\nAnswer with one JSON object")
    assert user["content"] == "Which?"
    assert history[0]["content"] == "Be brief."


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (City, FAIR, City("Oslo", 700000)),
        (City, f"```json\n{FAIR}\n```", City("Oslo", 700000)),
        (City, f"Here {{it}} is [1]: {FAIR} Have fun {{there}}!", City("Oslo", 700000)),
        (City, '{"name": "Oslo", "people": "700000", "more": 1}', City("Oslo", 700000)),
        (Point, '{"x": 1}', Point(1.0, 0.0)),
        (Flags, '{"on": true}', {"on": True}),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (list[Point], 'See [so]: [{"x": 1}, {"x": 2}] [1]', [Point(1), Point(2)]),
        (Cat | Dog, '{"value": {"type": "dog", "name": "Rex"}}', Dog("Rex")),
        (Cat | Dog, '{"type": "cat"}', Cat()),
        (int, '{"value": 3}', 3),
        (dict[str, int], '{"a": 1}', {"a": 1}),
    ],
    ids=str,
)
async def test_text_becomes_a_value(zai, zai_emulator, kind, text, value):
    zai_emulator.chat.reply(text)
    assert (await parse(zai, kind)).parsed == value
    assert len(zai_emulator.requests) == 1


async def test_text_becomes_a_model_of_pydantic(zai, zai_emulator):
    pydantic = pytest.importorskip("pydantic")

    class Place(pydantic.BaseModel):
        name: str
        people: int

    zai_emulator.chat.reply(f"```json\n{FAIR}\n```")
    assert (await parse(zai, Place)).parsed == Place(name="Oslo", people=700000)
    (request,) = zai_emulator.requests
    assert '"people"' in request.json["messages"][0]["content"]
    # Its own check is the reason that the model is shown.
    zai_emulator.chat.reply('{"name": "Oslo", "people": "many"}')
    zai_emulator.chat.reply(FAIR)
    assert (await parse(zai, Place)).repairs == 1
    assert "valid integer" in zai_emulator.requests[-1].json["messages"][-1]["content"]


BROKEN = {
    FAIR + FAIR: "there are two JSON objects",
    '{"name": "Oslo", ': "Input data was truncated",
    '{"inner": {"name": "Oslo", "people": 1}, ': "Input data was truncated",
    '{"name": "Oslo", "people": 1,}': "trailing comma",
    '{"name": "Oslo", "people": "many"}': r"Expected `int`, got `str` - at `\$.people`",
    "I would rather not.": "malformed",
    "{" * 300: "malformed",
}


@pytest.mark.parametrize("text", BROKEN)
async def test_answer_that_does_not_fit_is_repaired_once(zai, zai_emulator, text):
    zai_emulator.chat.reply(text, thinking="so")
    answer = await parse(zai, City)
    assert answer.repairs == 1
    first, second = zai_emulator.requests
    *before, wrong, question = second.json["messages"]
    assert before == first.json["messages"]
    assert (wrong["content"], wrong["reasoning_content"]) == (text, "so")
    assert question["role"] == "user"
    assert answer.usage.total_tokens > answer.completion.usage.total_tokens


@pytest.mark.parametrize("text", BROKEN)
async def test_answer_that_never_fits_is_an_error(zai, zai_emulator, text):
    zai_emulator.chat.reply(text, times=2)
    with pytest.raises(StructuredOutputError, match=BROKEN[text]) as caught:
        await parse(zai, City)
    error = caught.value
    assert (error.raw, error.partial.text) == (text, text)
    assert error.request_id
    assert len(zai_emulator.requests) == 2


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        (list[int], '{"value": ["a"]}', r"at `\$.value\[0\]`"),
        (list[Point], '[{"x": 1}, {"x": ', "there are two JSON objects"),
    ],
)
async def test_value_inside_of_an_object_is_checked(zai, zai_emulator, kind, text, reason):
    zai_emulator.chat.reply(text)
    with pytest.raises(StructuredOutputError, match=reason):
        await parse(zai, kind, repairs=0)
    assert len(zai_emulator.requests) == 1


async def test_answer_that_was_cut_is_not_repaired(zai, zai_emulator):
    zai_emulator.chat.reply('{"name": "Os', finish_reason="length")
    with pytest.raises(StructuredOutputError, match="which was cut by its limit"):
        await parse(zai, City, repairs=3)
    assert len(zai_emulator.requests) == 1


@pytest.mark.parametrize("kind", [Node, object, Cat | City])
async def test_type_without_a_schema_is_refused(zai, zai_emulator, kind):
    with pytest.raises(ConfigurationError, match="has no schema"):
        await parse(zai, kind)
    with pytest.raises(ConfigurationError, match="has no schema"):
        zai.chat.completions.parse_stream(kind, model="glm-5.3", messages="Hi")
    assert not zai_emulator.requests


async def test_request_without_messages_is_refused_as_always(zai):
    with pytest.raises(TypeError, match="misses a keyword: messages"):
        await zai.chat.completions.parse(City, model="glm-5.3")


# Streams


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_partial_values_grow(zai, zai_emulator, size):
    text = '```json\n{"name": "S\\u00e3o \\ud83d\\ude00", "people": 12}\n```'
    zai_emulator.chat.reply(text, chunk_size=size)
    stream = zai.chat.completions.parse_stream(City, model="glm-5.3", messages="Hi")
    async with stream:
        assert stream.partial is None
        seen = [dict(partial) async for partial in stream]
        city = await stream.parsed()
    assert city == City("São 😀", 12)
    assert all(is_beginning(part, {"name": city.name, "people": 12}) for part in seen)
    assert [part["people"] for part in seen if "people" in part] == [12]
    assert stream.outcome == "completed"
    answer = await stream.completion()
    assert (answer.parsed, answer.repairs, answer.usage) == (city, 0, stream.usage)


async def test_a_read_that_is_given_up_does_not_end_partial_values(zai, zai_emulator):
    zai_emulator.chat.reply('{"value": [1, 2]}', chunk_size=2)
    stream = zai.chat.completions.parse_stream(list[int], model="glm-5.3", messages="Hi")
    values = aiter(stream)
    await give_up_a_read(values)  # while the request waits for its answer
    assert [[*value] async for value in values] == [[], [1], [1, 2]]


async def test_wrapped_value_is_handed_out_alone(zai, zai_emulator):
    zai_emulator.chat.reply('{"value": [1, 2, 3]}', chunk_size=2)
    stream = zai.chat.completions.parse_stream(list[int], model="glm-5.3", messages="Hi")
    async with stream:
        seen = [[*partial] async for partial in stream]
        assert await stream.parsed() == [1, 2, 3]
    assert seen == [[], [1], [1, 2], [1, 2, 3]]


async def test_stream_that_does_not_fit_is_an_error(zai, zai_emulator):
    zai_emulator.chat.reply('{"name": 3}')
    stream = zai.chat.completions.parse_stream(City, model="glm-5.3", messages="Hi")
    async with stream:
        with pytest.raises(StructuredOutputError, match="Expected `str`, got `int`"):
            await stream.parsed()
    await stream.aclose()


async def test_stream_that_is_cut_is_an_error(zai, zai_emulator):
    zai_emulator.chat.reply('{"name": "Oslo"', chunk_size=1)
    zai_emulator.fault(eof_after=2500)
    stream = zai.chat.completions.parse_stream(City, model="glm-5.3", messages="Hi")
    async with stream:
        with pytest.raises(StreamTruncatedError):
            await stream.parsed()


# JSON that is being written


def fed(machine, pieces):
    """Feed pieces one by one, and return copies of the values after each."""
    copies = []
    for piece in pieces:
        before = json.dumps(machine.value)
        changed = machine.feed(piece)
        assert changed or json.dumps(machine.value) == before
        copies.append(json.loads(json.dumps(machine.value)))
    return copies


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]), st.data())
def test_every_cut_leaves_a_beginning(value, escaped, indent, data):
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    text = f"Well, {{so}}: ```json\n{text}\n``` {{and}} [more]"
    size = data.draw(st.integers(1, 9))
    machine = PartialJSON()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    for part in fed(machine, pieces):
        assert part is None or is_beginning(part, value)
    assert machine.value == value
    assert not machine.is_broken


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1', {}),
        ('{"a": 1,', {"a": 1}),
        ('{"a": tru', {}),
        ('{"a": -1.5e3 ', {"a": -1500.0}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\u00e', {"a": "x"}),
        ('{"a": "x\\ud83d', {"a": "x"}),
        ('{"a": "x\\ud83d\\ude0', {"a": "x"}),
        ('{"a": "x\\ud83d, and more", "b": 2}', {"a": "x\ufffd, and more", "b": 2}),
        ('{"a": "\\"\\\\\\n"', {"a": '"\\\n'}),
        ('{"a": [[], {}, "', {"a": [[], {}, ""]}),
        ('{"a', {}),
        ("{", None),
        ("no object", None),
        ("", None),
    ],
)
def test_moment_of_a_text(text, value):
    for size in (1, 2, len(text) or 1):
        machine = PartialJSON()
        fed(machine, [text[start : start + size] for start in range(0, len(text), size)])
        assert machine.value == value
        assert not machine.is_broken


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, b', {"a": 1}),
        ('{"a": 1 "b": 2}', {"a": 1}),
        ('{"a": 1, "b" 2}', {"a": 1}),
        ('{"a": 1, "b": nul}', {"a": 1}),
        ('{"a": [1 2]}', {"a": [1]}),
        ('{"a": "\\x and more text"}', {"a": ""}),
        ('{"a": [1,]}', {"a": [1]}),
    ],
)
def test_what_is_no_json_changes_nothing_more(text, value):
    machine = PartialJSON()
    fed(machine, [*text, ' {"z": 1}'])
    assert machine.value == value
    assert machine.is_broken


def test_braces_of_the_prose_are_passed_over():
    machine = PartialJSON()
    fed(machine, ["The set {1, 2", ' and {"x" y} but: ', '{"a": 1}'])
    assert machine.value == {"a": 1}


def work(text, size):
    module, counter = counted("zai_async.structured.partial")
    machine = module.PartialJSON()
    for start in range(0, len(text), size):
        machine.feed(text[start : start + size])
    return counter.work


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: json.dumps({"items": [{"id": k, "name": "x"} for k in range(n)]}),
        lambda n: "[" * n + '{"a": ' + "1" * n,
        lambda n: "{ " * n,
    ],
    ids=["items", "digits", "braces"],
)
def test_each_character_is_looked_at_once(make, size):
    assert work(make(400), size) < 5 * work(make(100), size)
