"""Runs of tools behind a page: relayed like a stream, and left when the reader leaves."""

import asyncio

import pytest

from tests.test_web_encoders import assert_balanced, kinds, parts
from tests.test_web_relay import without_numbers
from tests.test_web_responses import Reader
from zai_async import AsyncZai, RetryPolicy, tool
from zai_async.web import Relay, sse_response

QUESTION = {"model": "glm-5.3", "messages": "Please add 2 and 3."}


@tool
async def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@pytest.fixture
async def zai(zai_emulator):
    retry = RetryPolicy(retries=0)
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s", retry=retry) as zai:
        yield zai


def as_it_is(run):
    return run


async def by_hand(run):
    async with run:
        async for event in run.events:
            yield event


@pytest.mark.parametrize("made", [as_it_is, by_hand])
async def test_run_is_relayed_as_one_message(zai, made):
    run = zai.chat.completions.run_tools(**QUESTION, tools=[add])
    reader = await Reader().reads(sse_response(made(run), message_id="m"))
    assert_balanced(reader.body)
    told = parts(reader.body)
    kinds = [part["type"] for part in told[:-1]]
    assert kinds.count("start-step") == kinds.count("finish-step") == 2
    assert {p.get("providerExecuted") for p in told[:-1] if p["type"] == "tool-input-start"} == {
        True
    }
    (output,) = (part for part in told[:-1] if part["type"] == "tool-output-available")
    assert output["output"] == 5
    # The result stands in the step of its call.
    assert kinds.index("tool-output-available") < kinds.index("finish-step")
    assert told[-2]["finishReason"] == "stop"


async def test_refusal_of_a_run_has_a_status(zai, zai_emulator):
    zai_emulator.fault(status=429, code="1302")
    run = zai.chat.completions.run_tools(**QUESTION, tools=[add])
    reader = await Reader().reads(sse_response(run))
    assert reader.status == 429
    assert not any(each.in_flight for each in zai.limits.snapshot().values())


class Waiting:
    """A tool that is under way until it is ended."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.has_ended = False
        self.tool = tool(self.wait_for)

    async def wait_for(self, city: str) -> str:
        """Wait for news from a city."""
        self.has_begun.set()
        try:
            return await asyncio.Event().wait() and city
        finally:
            self.has_ended = True


@pytest.fixture
def waiting():
    return Waiting()


@pytest.fixture
def run(zai, waiting):
    question = {"model": "glm-5.3", "messages": "Please wait_for Lisbon."}
    return zai.chat.completions.run_tools(**question, tools=[waiting.tool])


@pytest.mark.parametrize("made", [as_it_is, by_hand])
async def test_reader_who_leaves_ends_the_tools(run, waiting, made):
    reader = Reader()
    reading = asyncio.ensure_future(reader.reads(sse_response(made(run))))
    await waiting.has_begun.wait()
    reader.gone.set()
    await reading
    assert waiting.has_ended


async def test_stop_ends_the_tools_of_a_relay(zai, run, waiting):
    async with Relay(zai) as relay:
        reading = asyncio.ensure_future(Reader().reads(await relay.start("chat", run)))
        await waiting.has_begun.wait()
        assert await relay.stop("chat")
        assert waiting.has_ended
        reader = await reading
    assert kinds(without_numbers(reader.body))[-2:] == ["abort", "[DONE]"]
