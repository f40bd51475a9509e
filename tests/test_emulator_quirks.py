"""Quirks of other servers: what goes over the wire, and what the client makes of it."""

import json

import pytest

from tests.emulator_wire import events_of, wire
from zai_async import AsyncZai, BillingError
from zai_async.testing import Emulator
from zai_async.testing.emulator.completion import QUIRKS
from zai_async.testing.emulator.error_shapes import SHAPES

CHAT = "/paas/v4/chat/completions"
HELLO = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hi"}], "tool_stream": True}
ASK = {"model": "glm-5.2", "messages": "Hi"}
CALLS = [
    {"name": "now", "arguments": {"zone": "UTC"}, "id": "call_1"},
    {"name": "later", "arguments": {"hours": 2}, "id": "call_2"},
]


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def zai(emulator):
    async with AsyncZai(base_url=emulator.url, api_key="test") as zai:
        yield zai


async def message_of(emulator, **fields):
    async with wire(emulator) as client:
        answer = (await client.post(CHAT, json=HELLO | fields)).json()
    return answer, answer["choices"][0]["message"]


async def chunks_of(emulator):
    async with wire(emulator) as client:
        return events_of(await client.post(CHAT, json=HELLO | {"stream": True}))


def fragments_of(chunks):
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    return [part for delta in deltas for part in delta.get("tool_calls", ())]


def test_an_unknown_quirk_is_refused():
    with pytest.raises(ValueError, match="unknown quirks: no_such; known are arguments_first"):
        Emulator().chat.reply("x", quirks=["no_such"])


async def test_quirks_of_every_answer_last_until_the_reset(emulator):
    emulator.chat.quirks = ["reasoning"]
    _, message = await message_of(emulator)
    assert message["reasoning"]
    assert "reasoning_content" not in message
    emulator.reset()
    _, message = await message_of(emulator)
    assert message["reasoning_content"]


async def test_reasoning(emulator):
    emulator.chat.reply("b", thinking="a", quirks=["reasoning"], times=2)
    _, message = await message_of(emulator)
    assert message == {"content": "b", "role": "assistant", "reasoning": "a"}
    first = (await chunks_of(emulator))[0]["choices"][0]["delta"]
    assert first == {"role": "assistant", "reasoning": "a"}


async def test_reasoning_details(emulator):
    emulator.chat.reply("b", thinking="a", quirks=["reasoning_details"])
    _, message = await message_of(emulator)
    assert (message["reasoning"], message["reasoning_details"][0]["text"]) == ("a", "a")


async def test_unknown_fields(emulator):
    emulator.chat.reply("b", tool_calls=CALLS, quirks=["unknown_fields"], times=2)
    answer, message = await message_of(emulator)
    assert answer["x_new"] == message["x_new"] == message["tool_calls"][0]["x_new"]
    chunk = (await chunks_of(emulator))[0]
    assert chunk["x_new"] == chunk["choices"][0]["delta"]["x_new"]


async def test_mcp_type(emulator):
    emulator.chat.reply(tool_calls=CALLS, quirks=["mcp_type"])
    _, message = await message_of(emulator)
    assert [call["type"] for call in message["tool_calls"]] == ["mcp", "mcp"]


async def test_message_for_delta(emulator):
    emulator.chat.reply("b", quirks=["message_for_delta"])
    assert [[*chunk["choices"][0]] for chunk in await chunks_of(emulator)] == [
        ["index", "message"],
        ["index", "message", "finish_reason"],
    ]


async def test_id_changes(emulator):
    emulator.chat.reply("a b c", quirks=["id_changes"])
    chunks = await chunks_of(emulator)
    assert len({chunk["id"] for chunk in chunks}) == 2
    assert chunks[-1]["created"] == chunks[0]["created"] + 60


async def test_one_index(emulator):
    emulator.chat.reply(tool_calls=CALLS, quirks=["one_index"])
    fragments = fragments_of(await chunks_of(emulator))
    assert {part["index"] for part in fragments} == {0}
    assert [part["id"] for part in fragments if "id" in part] == ["call_1", "call_2"]


async def test_descending_indices(emulator):
    emulator.chat.reply(tool_calls=CALLS, quirks=["descending_indices"])
    fragments = fragments_of(await chunks_of(emulator))
    assert [part["index"] for part in fragments if "id" in part] == [1, 0]


async def test_repeated_ids(emulator):
    emulator.chat.reply(tool_calls=CALLS[:1], quirks=["repeated_ids"])
    fragments = fragments_of(await chunks_of(emulator))
    assert len(fragments) > 2
    assert {part["id"] for part in fragments} == {"call_1"}


async def test_arguments_first(emulator):
    emulator.chat.reply(tool_calls=CALLS[:1], quirks=["arguments_first"])
    *arguments, last = fragments_of(await chunks_of(emulator))
    assert all("id" not in part for part in arguments)
    assert (last["id"], last["function"]) == ("call_1", {"name": "now"})


async def test_split_names(emulator):
    emulator.chat.reply(tool_calls=CALLS[:1], quirks=["split_names"])
    names = [part["function"].get("name", "") for part in fragments_of(await chunks_of(emulator))]
    assert names[:3] == ["n", "ow", ""]


# What the client makes of them


@pytest.mark.parametrize("quirk", sorted(QUIRKS - {"id_changes"}))
async def test_the_client_reads_a_stream(emulator, zai, quirk):
    emulator.chat.reply("b c", thinking="a", tool_calls=CALLS, quirks=[quirk])
    async with zai.chat.completions.stream(**ASK, tool_stream=True) as stream:
        answer = await stream.completion()
    assert (answer.text, answer.thinking) == ("b c", "a")
    assert [(call.name, call.parse(), call.id) for call in answer.tool_calls] == [
        (call["name"], call["arguments"], call["id"]) for call in CALLS
    ]


@pytest.mark.parametrize("quirk", sorted(QUIRKS))
async def test_the_client_reads_an_answer(emulator, zai, quirk):
    emulator.chat.reply("b c", thinking="a", tool_calls=CALLS, quirks=[quirk])
    answer = await zai.chat.completions.create(**ASK)
    assert (answer.text, answer.thinking) == ("b c", "a")
    assert [call.parse() for call in answer.tool_calls] == [call["arguments"] for call in CALLS]


# Answers in another form


async def test_a_whole_answer_to_a_request_for_a_stream(emulator, zai):
    emulator.chat.reply("b c", thinking="a")
    emulator.fault(answer_as="json")
    async with zai.chat.completions.stream(**ASK) as stream:
        answer = await stream.completion()
    assert (answer.text, answer.thinking) == ("b c", "a")
    assert emulator.requests[0].json["stream"] is True


async def test_a_stream_to_a_request_for_a_whole_answer(emulator, zai):
    emulator.chat.reply("b c", thinking="a")
    emulator.fault(answer_as="stream")
    answer = await zai.chat.completions.create(**ASK)
    assert (answer.text, answer.thinking) == ("b c", "a")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/html", ""])
async def test_a_stream_under_another_type(emulator, zai, kind):
    emulator.chat.reply("b c")
    emulator.fault(content_type=kind)
    async with zai.chat.completions.stream(**ASK) as stream:
        answer = await stream.completion()
    assert answer.text == "b c"


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain", ""])
async def test_an_answer_under_another_type(emulator, zai, kind):
    emulator.chat.reply("b c")
    emulator.fault(content_type=kind)
    assert (await zai.chat.completions.create(**ASK)).text == "b c"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/agents", {"agent_id": "general_translation"}),
        ("/paas/v4/audio/speech", {"model": "glm-tts", "input": "x"}),
    ],
)
async def test_other_operations_answer_in_another_form_too(emulator, path, body):
    message = {"role": "user", "content": "hi"}
    emulator.fault(answer_as="stream")
    async with wire(emulator) as client:
        answer = await client.post(path, json={"messages": [message]} | body)
    assert events_of(answer)


async def test_an_operation_without_streams_has_one_form(emulator):
    emulator.fault(answer_as="stream")
    async with wire(emulator) as client:
        answer = await client.post(
            "/paas/v4/rerank", json={"model": "rerank", "query": "q", "documents": ["d"]}
        )
    assert json.loads(answer.text)["results"]


def test_a_form_is_json_or_stream():
    with pytest.raises(ValueError, match='answer_as must be "json" or "stream", not \'xml\''):
        Emulator().fault(answer_as="xml")


# Errors in the words of others


def test_an_unknown_shape_of_an_error_is_refused():
    with pytest.raises(ValueError, match="error_shape must be one of platform, flat"):
        Emulator().fault(error_shape="xml")


async def test_shapes_of_errors(emulator):
    async with wire(emulator) as client:
        emulator.fault(code="1302", error_shape="flat")
        answer = await client.post(CHAT, json=HELLO)
        assert answer.status_code == 429
        assert answer.json()["code"] == 1302
        emulator.fault(code="own", error_shape="flat", http_200=True)
        answer = await client.post(CHAT, json=HELLO)
        assert (answer.status_code, answer.json()["code"]) == (200, "own")


@pytest.mark.parametrize("shape", sorted(SHAPES))
async def test_the_client_finds_the_code(emulator, zai, shape):
    emulator.fault(code="1113", error_shape=shape, times=None)
    with pytest.raises(BillingError) as caught:
        await zai.chat.completions.create(**ASK)
    assert caught.value.code == "1113"
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("event_error", [True, False])
async def test_the_client_finds_the_code_in_a_stream(emulator, zai, shape, event_error):
    emulator.chat.reply("b c")
    emulator.fault(error_in_stream="1113", after=1, error_shape=shape, event_error=event_error)
    with pytest.raises(BillingError) as caught:
        async with zai.chat.completions.stream(**ASK) as stream:
            await stream.completion()
    assert (caught.value.code, caught.value.partial.text) == ("1113", "b")


async def test_broken_framing_ends_the_stream(emulator, zai):
    from zai_async import ZaiError

    emulator.chat.reply("b c d e f", chunk_size=1)
    emulator.fault(break_framing=(600, b"<html>"))
    with pytest.raises(ZaiError) as caught:
        async with zai.chat.completions.stream(**ASK) as stream:
            await stream.completion()
    assert caught.value.partial.text
    await emulator.wait_disconnected()
