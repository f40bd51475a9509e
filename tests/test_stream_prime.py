"""A stream that waits for its first content and reads none of it."""

import asyncio

import pytest

from tests import chat_wire
from tests.chat_wire import GOOD, GOOD_TEXT, body, chunk, last, texts, tool
from zai_async import (
    BillingError,
    EmptyAnswerError,
    RateLimitError,
    StreamConsumedError,
    StreamTruncatedError,
    ToolCallDelta,
    ToolCallStarted,
)
from zai_async.testing import FakeReply

CALL = body(
    [chunk({}), tool('{"city": ', id="c1", name="weather"), tool('"Lisbon"}'), last("tool_calls")]
)


def named(events):
    return [(event.text if isinstance(event, ToolCallDelta) else event.name) for event in events]


@pytest.mark.parametrize("view", ["text", "events", "chunks", "completion"])
async def test_nothing_is_lost_whatever_the_view(view):
    async with chat_wire.client(GOOD) as zai:
        primed = await chat_wire.stream(zai).prime()
        async with primed as stream:
            if view == "text":
                assert "".join([text async for text in stream.text]) == GOOD_TEXT
            elif view == "events":
                kinds = [type(event).__name__ async for event in stream.events]
                assert kinds == [*["ThinkingDelta"] * 2, *["TextDelta"] * 3, "Usage", "Finished"]
            elif view == "chunks":
                assert len([each async for each in stream]) == 6
            assert (await stream.completion()).text == GOOD_TEXT


@pytest.mark.parametrize("view", ["text", "events", "chunks", "completion"])
async def test_an_empty_answer_that_is_allowed_is_entered_like_any_other(view):
    async with chat_wire.client(body([chunk({}), last()])) as zai:
        primed = await chat_wire.stream(zai, allow={"empty"}).prime()
        async with primed as stream:
            if view == "text":
                assert [text async for text in stream.text] == []
            elif view == "events":
                assert [type(event).__name__ async for event in stream.events] == [
                    "Usage",
                    "Finished",
                ]
            elif view == "chunks":
                assert len([each async for each in stream]) == 2
            assert (await stream.completion()).text == ""


@pytest.mark.parametrize("primed", [True, False])
async def test_answer_that_begins_with_a_call_tells_all_of_it(primed):
    async with chat_wire.client(CALL) as zai, chat_wire.stream(zai) as stream:
        if primed:
            await stream.prime()
        events = [event async for event in stream.events]
    kinds = (ToolCallStarted, ToolCallDelta)
    told = [event for event in events if isinstance(event, kinds)]
    assert named(told) == ["weather", '{"city": ', '"Lisbon"}']


async def test_call_that_is_not_read_as_events_is_not_written_down_twice():
    async with chat_wire.client(CALL) as zai, chat_wire.stream(zai) as stream:
        assert (await stream.completion()).tool_calls[0].name == "weather"
        assert stream._reader.decoder.answer.updates is None


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (FakeReply.json({"error": {"code": "1302"}}, status=429), RateLimitError),
        (FakeReply.json({"error": {"code": "1113"}}), BillingError),
        (body([chunk({}), {"error": {"code": "1302"}}]), RateLimitError),
        (body([last()]), EmptyAnswerError),
        (body([chunk({})], done=False), StreamTruncatedError),
    ],
)
async def test_what_comes_in_place_of_content_is_raised(wire, error):
    async with chat_wire.client(wire) as zai:
        stream = chat_wire.stream(zai)
        with pytest.raises(error):
            await stream.prime(timeout=30)
        with pytest.raises((error, StreamConsumedError)):
            await stream.completion()


async def test_answer_without_content_is_primed_where_that_is_allowed():
    async with chat_wire.client(body([chunk({}), last()])) as zai:
        stream = await chat_wire.stream(zai, allow={"empty"}).prime()
        assert (await stream.completion()).outcome == "empty"


async def test_stream_that_has_begun_is_primed_already():
    async with chat_wire.client(GOOD) as zai, chat_wire.stream(zai) as stream:
        pieces = aiter(stream.text)
        first = await anext(pieces)
        await stream.prime()
        assert first + "".join([text async for text in pieces]) == GOOD_TEXT


async def test_time_that_is_up_loses_nothing(zai_emulator):
    from zai_async import AsyncZai

    zai_emulator.chat.reply("Hello")
    zai_emulator.fault(delay=0.2)
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        stream = zai.chat.completions.stream(model="glm-5.3", messages="Hi")
        await stream.prime(timeout=0.001)
        assert stream.outcome is None
        async with stream:
            assert (await stream.completion()).text == "Hello"
    assert len(zai_emulator.requests) == 1


async def test_wait_that_is_cancelled_closes_the_stream(zai_emulator):
    from zai_async import AsyncZai

    zai_emulator.fault(delay=30)
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        stream = zai.chat.completions.stream(model="glm-5.3", messages="Hi")
        waiting = asyncio.ensure_future(stream.prime())
        while not zai_emulator.requests:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(StreamConsumedError):
            await stream.completion()
        assert not any(each.in_flight for each in zai.limits.snapshot().values())


async def test_primed_stream_can_be_closed_unread():
    async with chat_wire.client(body([*texts("a", "b"), last()])) as zai:
        stream = await chat_wire.stream(zai).prime()
        await stream.aclose()
        with pytest.raises(StreamConsumedError):
            await stream.completion()
