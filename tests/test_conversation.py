"""Conversations: what is kept, what is sent, and what survives a database."""

import io
import json

import pytest

from tests.calls import client, scripted
from tests.chat_wire import GOOD
from zai_async import (
    ConfigurationError,
    Conversation,
    Message,
    RateLimitError,
    image,
    to_dict,
    tool,
)
from zai_async.conversation import _estimate
from zai_async.testing import FakeReply

PIXEL = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


@tool
async def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@tool(approve=True)
async def delete(path: str) -> str:
    """Delete a file."""
    return f"deleted {path}"


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url) as zai:
        yield zai


def talk(zai, **changes):
    return Conversation(zai, **{"model": "glm-5.3"} | changes)


def roles(messages):
    return [message["role"] for message in to_dict(list(messages))]


def sent(zai_emulator):
    return zai_emulator.requests[-1].json["messages"]


async def test_turns_follow_each_other_with_their_thinking(zai, zai_emulator):
    chat = talk(zai, system="Be kind.", temperature=0.3)
    zai_emulator.chat.reply("Hello.", thinking=" a\tgreeting ")
    answer = await chat.send("Hi")
    assert answer.text == "Hello."
    await chat.send("And again?", temperature=0.7)
    request = zai_emulator.requests[-1].json
    assert request["thinking"] == {"type": "enabled", "clear_thinking": False}
    assert request["temperature"] == 0.7
    assert "tools" not in request
    system, hi, hello, again = request["messages"]
    assert system == {"role": "system", "content": "Be kind."}
    assert hello["reasoning_content"] == " a\tgreeting "
    assert (hi["content"], again["content"]) == ("Hi", "And again?")
    assert roles(chat.history) == ["user", "assistant"] * 2
    assert chat.usage.total_tokens > answer.usage.total_tokens > 0
    assert zai_emulator.requests[0].json["temperature"] == 0.3


async def test_tools_run_within_a_turn(zai, zai_emulator):
    chat = talk(zai, tools=[add])
    answer = await chat.send("add 2 and 3, please")
    assert "5.0" in answer.text
    assert roles(chat.history) == ["user", "assistant", "tool", "assistant"]
    async with chat.run("Thanks", tool_choice="none", max_rounds=1) as run:
        assert "".join([text async for text in run.text])
    assert roles(chat.history[4:]) == ["user", "assistant"]


async def test_stream_is_a_turn_when_it_has_been_read(zai, zai_emulator):
    chat = talk(zai, tools=[add])
    async with chat.stream("Hi") as stream:
        text = "".join([piece async for piece in stream.text])
    assert to_dict(chat.history)[-1]["content"] == text
    async with chat.stream("Forget this") as stream:
        await anext(aiter(stream.text))
    assert roles(chat.history) == ["user", "assistant"]
    assert "tools" not in zai_emulator.requests[-1].json


async def test_failed_turn_leaves_the_history_alone(zai, zai_emulator):
    chat = talk(zai)
    zai_emulator.fault(status=429, code="1302", times=2)
    with pytest.raises(RateLimitError):
        await chat.send("Hi")
    with pytest.raises(RateLimitError):
        async with chat.stream("Hi"):
            pass
    assert chat.history == []
    await chat.send("Hi")
    assert len(sent(zai_emulator)) == 1


async def test_one_turn_at_a_time(zai):
    chat = talk(zai)
    async with chat.run("Hi") as run:
        with pytest.raises(ConfigurationError, match="another turn"):
            await chat.send("Me first")
        with pytest.raises(ConfigurationError, match="another turn"):
            async with chat.stream("Me first"):
                pass
        await run.completion()
    assert len(chat.history) == 2
    with pytest.raises(ConfigurationError, match="no turn waits"):
        async with chat.resume({}):
            pass


@pytest.mark.parametrize("stored", [False, True])
async def test_turn_may_wait_for_a_decision(zai, zai_emulator, stored):
    chat = talk(zai, tools=[delete])
    await chat.send('delete "a.txt"')
    assert chat.history == []
    with pytest.raises(ConfigurationError, match="waits for a decision"):
        await chat.send("Well?")
    if stored:
        data = json.loads(json.dumps(chat.to_dict()))
        chat = Conversation.from_dict(zai, data, tools=[delete])
    (call,) = chat.pending.pending
    async with chat.resume({}) as run:
        await run.completion()
    assert chat.pending is not None
    async with chat.resume({call.id: True}, max_rounds=4) as run:
        answer = await run.completion()
    assert "deleted a.txt" in answer.text
    assert chat.pending is None
    assert roles(chat.history) == ["user", "assistant", "tool", "assistant"]
    await chat.send("Thanks", tool_choice="none")


async def test_turn_that_waits_is_resumed_once_at_a_time(zai, zai_emulator):
    chat = talk(zai, tools=[delete])
    await chat.send('delete "a.txt"')
    (call,) = chat.pending.pending
    async with chat.resume({call.id: True}) as run:
        with pytest.raises(ConfigurationError, match="another turn"):
            async with chat.resume({call.id: True}):
                pass
        await run.completion()
    assert roles(chat.history) == ["user", "assistant", "tool", "assistant"]


async def test_turn_that_waits_may_be_left_waiting(zai, zai_emulator):
    chat = talk(zai, tools=[delete])
    await chat.send('delete "a.txt"')
    async with chat.resume({}):
        pass
    assert chat.pending is not None


# Trimming


def filled(zai, turns, **changes):
    chat = talk(zai, system="Be kind.", **changes)
    for number in range(turns):
        call = {"id": f"c{number}", "function": {"name": "add", "arguments": "{}"}}
        chat.history += [
            {"role": "user", "content": f"{number} " + "word " * 40},
            Message.from_dict({"role": "assistant", "tool_calls": [call]}),
            {"role": "tool", "tool_call_id": f"c{number}", "content": "x" * 100},
            Message(content="done"),
        ]
    return chat


@pytest.mark.parametrize("tokenizer", ["estimate", "platform"])
async def test_oldest_turns_are_left_out_whole(zai, zai_emulator, tokenizer):
    chat = filled(zai, 20, max_history_tokens=600, tokenizer=tokenizer)
    await chat.send("Hi")
    messages = sent(zai_emulator)
    assert roles(messages[:2]) == ["system", "user"]
    assert 5 < len(messages) < 40
    assert len(chat.history) == 82
    called = {call["id"] for each in messages for call in each.get("tool_calls", ())}
    assert called == {each["tool_call_id"] for each in messages if each["role"] == "tool"}
    # What is left out stays left out, so that the beginning stays the same for the cache.
    await chat.send("Hi again")
    assert sent(zai_emulator)[1] == messages[1]


async def test_a_count_in_words_of_the_gateways_own_trims_too():
    counted = FakeReply.json({"id": "1", "token_count": 5000})
    zai, transport = scripted(counted, FakeReply.stream(GOOD))
    async with zai:
        await filled(zai, 20, max_history_tokens=600, tokenizer="platform").send("Hi")
    assert len(json.loads(transport.requests[-1].body)["messages"]) < 20


async def test_short_history_is_sent_whole(zai, zai_emulator):
    chat = filled(zai, 2, max_history_tokens=10_000)
    await chat.send("Hi")
    assert len(sent(zai_emulator)) == 10


async def test_question_itself_is_always_sent(zai, zai_emulator):
    chat = filled(zai, 2, max_history_tokens=1)
    await chat.send("What is this? " * 50)
    assert roles(sent(zai_emulator)) == ["system", "user"]


def swapped(history):
    history[:] = [{"role": "user", "content": str(number)} for number in range(len(history))]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    "edit", [list.clear, lambda history: history.__delitem__(slice(-4)), swapped]
)
async def test_history_that_was_changed_is_sent_from_its_beginning(zai, zai_emulator, edit, stored):
    chat = filled(zai, 20, max_history_tokens=600)
    await chat.send("Hi")
    edit(chat.history)
    if stored:
        chat = Conversation.from_dict(zai, json.loads(json.dumps(chat.to_dict())))
    chat._settings["max_history_tokens"] = 600_000
    for question in "My name is Ann.", "What is my name?":
        known = to_dict(chat.history)
        await chat.send(question)
        assert sent(zai_emulator)[1:-1] == known


async def test_what_is_left_out_stays_so_when_the_end_is_changed(zai, zai_emulator):
    chat = filled(zai, 20, max_history_tokens=600)
    await chat.send("Hi")
    beginning = sent(zai_emulator)[:2]
    del chat.history[-2:]
    for _ in range(2):
        await chat.send("Hello")
        assert sent(zai_emulator)[:2] == beginning
        chat = Conversation.from_dict(zai, json.loads(json.dumps(chat.to_dict()))).fork()


async def test_question_that_nothing_fits_beside_may_fail(zai, zai_emulator):
    chat = filled(zai, 2, max_history_tokens=20)
    zai_emulator.fault(status=429, code="1302")
    with pytest.raises(RateLimitError):
        await chat.send("What is this? " * 50)
    assert chat.to_dict()["first"] == 0
    await chat.send("What is this? " * 50)
    assert roles(sent(zai_emulator)) == ["system", "user"]
    assert chat.to_dict()["first"] == 8


def test_tokens_are_estimated():
    assert _estimate([{"role": "user", "content": "word " * 8}]) == 4 + 10
    assert _estimate([{"role": "user", "content": "你好"}]) == 4 + 2
    assert _estimate([Message(content=None, reasoning_content="hm..")]) == 4 + 1
    parts = [{"type": "text", "text": "1234"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert _estimate([{"role": "user", "content": parts, "n": 1}]) == 4 + 1 + 1 + 1000


def test_allowance_must_be_positive(zai):
    with pytest.raises(ConfigurationError, match="max_history_tokens"):
        talk(zai, max_history_tokens=0)


# Copies


async def test_fork_goes_its_own_way(zai, zai_emulator):
    chat = talk(zai, tools=[add])
    await chat.send("Hi", tool_choice="none")
    other = chat.fork()
    await other.send("Left", tool_choice="none")
    await chat.send("Right", tool_choice="none")
    assert [to_dict(each.history)[2]["content"] for each in (other, chat)] == ["Left", "Right"]
    assert other.usage.total_tokens > 0


async def test_conversation_with_a_file_that_is_read_once_is_not_stored(zai):
    chat = talk(zai)
    await chat.send([image(io.BytesIO(PIXEL)), {"type": "text", "text": "What is it?"}])
    with pytest.raises(TypeError, match="give its path or its bytes instead"):
        chat.to_dict()


async def test_conversation_survives_json(zai, zai_emulator):
    chat = talk(zai, model="glm-5.3", system="Be kind.", max_history_tokens=50_000)
    zai_emulator.chat.reply("A dot.", thinking="hm", quirks=["unknown_fields"])
    await chat.send([image(PIXEL), {"type": "text", "text": "What is it?"}])
    data = json.loads(json.dumps(chat.to_dict()))
    again = Conversation.from_dict(zai, data)
    assert again.to_dict() == chat.to_dict()
    assert isinstance(again.history[1], Message)
    assert again.usage == chat.usage
    await chat.send("And now?")
    first = sent(zai_emulator)
    await again.send("And now?")
    assert sent(zai_emulator) == first
