"""pydantic-ai: its agents over the emulator, by real sockets."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("pydantic_ai")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    AgentRunResultEvent,
    BinaryContent,
    DeferredToolRequests,
    DeferredToolResults,
    DocumentUrl,
    FinalResultEvent,
    ImageUrl,
    ModelRetry,
    NativeOutput,
    PartDeltaEvent,
    PartStartEvent,
    PromptedOutput,
    Tool,
    ToolDenied,
    UsageLimits,
    VideoUrl,
)
from pydantic_ai import exceptions as theirs
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import UnexpectedModelBehavior, UserError
from pydantic_ai.messages import (
    AudioUrl,
    CachePoint,
    FilePart,
    FunctionToolResultEvent,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UploadedFile,
    UserPromptPart,
)
from pydantic_ai.models import (
    ModelRequestParameters,
    StreamedResponse,
    override_allow_model_requests,
)
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.settings import ModelSettingName, ModelSettings, ToolOrOutput
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from tests.effort import THOROUGH
from zai_async import (
    APIError,
    AsyncZai,
    Budget,
    CallOptions,
    ConnectError,
    ContentPolicyError,
    DeadlineError,
    EmptyAnswerError,
    GenerationFailedError,
    RateLimitError,
    RetryPolicy,
    StreamMalformedError,
    StreamStalledError,
    StreamTruncatedError,
    Timeout,
    ZaiError,
)
from zai_async.integrations.pydantic_ai import (
    ZaiAsyncModel,
    ZaiAsyncModelSettings,
    ZaiAsyncStreamedResponse,
)
from zai_async.integrations.pydantic_ai_answers import translated
from zai_async.integrations.pydantic_ai_requests import call_options

pytestmark = pytest.mark.usefixtures("children_unmeasured")
ROOT = Path(__file__).parent.parent
KEY = "a-secret-that-nobody-may-see"
WEATHER = {"name": "weather", "arguments": {"city": "Lund"}}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SPOKEN = (
    b'{"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Yes"}}]}'
)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


@pytest.fixture
async def zai(zai_emulator):
    async with AsyncZai(
        base_url=zai_emulator.url, api_key=KEY, retry=RetryPolicy(retries=0)
    ) as zai:
        yield zai


@pytest.fixture
def model(zai):
    return ZaiAsyncModel("glm-5.3", client=zai)


def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: Its name.
    """
    return f"rain in {city}"


class City(BaseModel):
    name: str
    people: int


class Failure(BaseModel):
    """There is no such city."""

    reason: str


# A run, whole and as a stream


async def test_a_run_brings_text_thinking_usage_and_the_id(model, zai, zai_emulator):
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 7,
        "total_tokens": 27,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    zai_emulator.chat.reply("Hello", thinking="Hm.", usage=usage)
    agent = Agent(model, system_prompt="Be kind.", instructions="Be brief.")
    result = await agent.run("Hi")
    assert result.output == "Hello"
    answer = result.response
    assert answer.parts == [ThinkingPart("Hm.", provider_name="zai"), TextPart("Hello")]
    counted = RequestUsage(
        input_tokens=20, cache_read_tokens=5, output_tokens=7, details={"reasoning_tokens": 3}
    )
    counted.cost = answer.usage.cost
    assert answer.usage == counted
    assert answer.usage.cost > 0
    assert (answer.model_name, answer.provider_name) == ("glm-5.3", "zai")
    assert answer.provider_url == zai.provider.base_url
    assert answer.finish_reason == "stop"
    assert answer.provider_details == {
        "request_id": answer.provider_response_id,
        "finish_reason": "stop",
    }
    assert zai_emulator.requests[0].json == {
        "model": "glm-5.3",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "thinking": {"type": "enabled", "clear_thinking": False},
    }


async def test_a_stream_ends_as_a_whole_answer_does(model, zai_emulator):
    usage = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
    zai_emulator.chat.reply("Good day to you", thinking="Hm.", chunk_size=3, usage=usage, times=2)
    whole = (await Agent(model).run("Hi")).response
    async with Agent(model).run_stream("Hi") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == "Good day to you"
    assert len(pieces) > 3
    streamed = result.response
    for name in ("parts", "model_name", "provider_name", "provider_url", "finish_reason", "state"):
        assert getattr(streamed, name) == getattr(whole, name)
    assert streamed.usage == whole.usage
    assert streamed.provider_details == {
        "request_id": streamed.provider_response_id,
        "finish_reason": "stop",
    }
    assert streamed.timestamp.tzinfo is UTC


async def test_events_of_a_stream_and_nodes_of_a_run(model, zai_emulator):
    zai_emulator.chat.reply(thinking="Hm.", tool_calls=[WEATHER])
    zai_emulator.chat.reply("Wet.")
    agent = Agent(model, tools=[weather])
    async with agent.run_stream_events("Weather?") as stream:
        events = [event async for event in stream]
    starts = [event.part for event in events if isinstance(event, PartStartEvent)]
    assert [type(part) for part in starts] == [ThinkingPart, ToolCallPart, TextPart]
    assert any(isinstance(event, PartDeltaEvent) for event in events)
    [told] = [event for event in events if isinstance(event, FunctionToolResultEvent)]
    assert told.part.content == "rain in Lund"
    assert any(isinstance(event, FinalResultEvent) for event in events)
    assert isinstance(events[-1], AgentRunResultEvent)
    assert events[-1].result.output == "Wet."

    zai_emulator.chat.reply("Again.")
    async with agent.iter("Weather?") as run:
        nodes = [type(node).__name__ async for node in run]
    assert nodes == ["UserPromptNode", "ModelRequestNode", "CallToolsNode", "End"]
    assert run.result.output == "Again."


async def test_usage_that_nobody_told_is_unmeasured(model, zai_emulator):
    zai_emulator.chat.reply("Hello", usage=None, times=2)
    assert (await Agent(model).run("Hi")).usage.unmeasured_requests == 1
    async with Agent(model).run_stream("Hi") as result:
        await result.get_output()
    assert result.usage.unmeasured_requests == 1


async def test_tests_can_forbid_requests(model, zai_emulator):
    with override_allow_model_requests(allow_model_requests=False):
        with pytest.raises(RuntimeError):
            await Agent(model).run("Hi")
        with pytest.raises(RuntimeError):
            async with Agent(model).run_stream("Hi"):
                pass
        with pytest.raises(RuntimeError):
            await model.count_tokens([], None, ModelRequestParameters())
    assert not zai_emulator.requests


# Tools


@pytest.mark.parametrize("streamed", [False, True])
async def test_calls_are_made_side_by_side_and_answered_in_order(model, zai_emulator, streamed):
    running = asyncio.Semaphore(0)

    async def meet(city: str) -> str:
        running.release()
        for _ in range(2):
            await running.acquire()  # until both are here
        running.release()
        running.release()
        return f"met in {city}"

    calls = [{"name": "meet", "arguments": {"city": city}} for city in ("Lund", "Oslo")]
    zai_emulator.chat.reply(thinking="Two.", tool_calls=calls)
    zai_emulator.chat.reply("Both.")
    agent = Agent(model, tools=[meet])
    if streamed:
        async with agent.run_stream("Meet") as result:
            assert await result.get_output() == "Both."
    else:
        assert (await agent.run("Meet")).output == "Both."
    _, asked, lund, oslo = zai_emulator.requests[1].json["messages"]
    assert asked["reasoning_content"] == "Two."
    assert asked["content"] == ""
    assert [call["function"] for call in asked["tool_calls"]] == [
        {"name": "meet", "arguments": '{"city":"Lund"}'},
        {"name": "meet", "arguments": '{"city":"Oslo"}'},
    ]
    assert [(each["role"], each["content"]) for each in (lund, oslo)] == [
        ("tool", "met in Lund"),
        ("tool", "met in Oslo"),
    ]
    assert [call["id"] for call in asked["tool_calls"]] == [
        each["tool_call_id"] for each in (lund, oslo)
    ]


async def test_a_tool_is_described_and_strict_only_where_asked(model, zai_emulator):
    zai_emulator.chat.reply("Hi", times=None)
    await Agent(model, tools=[weather]).run("Hi")
    await Agent(model, tools=[Tool(weather, strict=True)]).run("Hi")
    [plain], [strict] = (request.json["tools"] for request in zai_emulator.requests)
    assert plain["function"].pop("parameters")["properties"] == {
        "city": {"description": "Its name.", "type": "string"}
    }
    assert plain == {
        "type": "function",
        "function": {"name": "weather", "description": "Tell the weather."},
    }
    assert strict["function"]["strict"] is True


async def test_a_schema_has_no_definitions(zai, zai_emulator):
    def move(start: City, end: City) -> str:
        return f"{start.name} to {end.name}"

    zai_emulator.chat.reply("Hi")
    model = ZaiAsyncModel("glm-4.6", client=zai)  # theirs inlines for GLM-5.3 alone
    await Agent(model, tools=[move]).run("Hi")
    assert "$ref" not in json.dumps(zai_emulator.requests[0].json)


async def test_a_tool_asks_to_be_called_again(model, zai_emulator):
    def lookup(city: str) -> str:
        if city == "Lund":
            raise ModelRetry("say the country as well")
        return city

    zai_emulator.chat.reply(tool_calls=[{"name": "lookup", "arguments": {"city": "Lund"}}])
    zai_emulator.chat.reply(tool_calls=[{"name": "lookup", "arguments": {"city": "Lund, SE"}}])
    zai_emulator.chat.reply("Found.")
    assert (await Agent(model, tools=[lookup]).run("Look")).output == "Found."
    retried = zai_emulator.requests[1].json["messages"][-1]
    assert retried["role"] == "tool"
    assert "say the country as well" in retried["content"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("arguments", "finish_reason"),
    [('{"city": Lund}', "tool_calls"), ('{"city": 5}', "tool_calls")],
)
async def test_arguments_that_cannot_be_read_are_told_to_the_model(
    model, zai_emulator, streamed, arguments, finish_reason
):
    bad = {"name": "weather", "arguments": arguments}
    zai_emulator.chat.reply(tool_calls=[bad], finish_reason=finish_reason)
    zai_emulator.chat.reply(tool_calls=[WEATHER])
    zai_emulator.chat.reply("Wet.")
    agent = Agent(model, tools=[weather])
    if streamed:
        async with agent.run_stream("Weather?") as result:
            assert await result.get_output() == "Wet."
    else:
        assert (await agent.run("Weather?")).output == "Wet."
    told = zai_emulator.requests[1].json["messages"][-1]
    assert told["role"] == "tool"
    assert "error" in told["content"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_that_the_limit_cut_is_not_made(model, zai_emulator, streamed):
    cut = {"name": "weather", "arguments": '{"city": "Lu'}
    zai_emulator.chat.reply(tool_calls=[cut], finish_reason="length", times=None)
    agent = Agent(model, tools=[weather], retries=0)
    with pytest.raises(theirs.IncompleteToolCall):
        await (drained(agent) if streamed else agent.run("Weather?"))


async def drained(agent, prompt="Hi", **facts):
    async with agent.run_stream(prompt, **facts) as result:
        return await result.get_output()


async def test_a_call_without_an_id_gets_one(model, zai_emulator):
    nameless = {"id": "", "function": {"name": "weather", "arguments": '{"city": "Lund"}'}}
    message = {"role": "assistant", "content": "\n", "tool_calls": [nameless, {"id": "x"}]}
    whole = {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    zai_emulator.fault(body=json.dumps(whole).encode(), status=200, content_type="application/json")
    zai_emulator.chat.reply("Wet.")
    result = await Agent(model, tools=[weather]).run("Weather?")
    [call] = result.all_messages()[1].parts
    assert call.tool_call_id.startswith("pyd_ai_")
    assert result.all_messages()[1].model_name == "glm-5.3"
    assert result.all_messages()[1].provider_response_id is None


CHOICES = [
    (None, {"functions": ["a", "b"]}, ["a", "b"]),
    ("auto", {"functions": ["a", "b"]}, ["a", "b"]),
    ("none", {"functions": ["a"]}, []),
    ("none", {"functions": ["a"], "outputs": ["final"]}, ["final"]),
    ([], {"functions": ["a"], "outputs": ["final"]}, ["final"]),
    (ToolOrOutput(["b"]), {"functions": ["a", "b"], "outputs": ["final"]}, ["b", "final"]),
    (["b"], {"functions": ["a", "b"]}, ["b"]),
    ("required", {"functions": ["a", "b"]}, ["a", "b"]),
]


def parameters(functions=(), outputs=(), text=True, **facts):
    return ModelRequestParameters(
        function_tools=[ToolDefinition(name=name) for name in functions],
        output_tools=[ToolDefinition(name=name, kind="output") for name in outputs],
        allow_text_output=text,
        output_mode="tool" if outputs else "text",
        **facts,
    )


ASKED = [ModelRequest([UserPromptPart("Hi")])]


@pytest.mark.parametrize(("choice", "tools", "offered"), CHOICES)
async def test_tool_choice_says_what_is_offered(zai, zai_emulator, choice, tools, offered):
    model = ZaiAsyncModel("glm-5.3", client=zai, profile={"supports_forced_tool_choice": True})
    settings = {} if choice is None else {"tool_choice": choice}
    await model.request(ASKED, settings, parameters(**tools))
    body = zai_emulator.requests[0].json
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == offered
    assert ("tool_choice" in body) == (choice in ("required", ["b"]))


async def test_a_choice_is_forced_where_the_profile_allows_it(zai, zai_emulator):
    model = ZaiAsyncModel("glm-5.3", client=zai, profile={"supports_forced_tool_choice": True})
    await model.request(ASKED, None, parameters(outputs=["x", "y"], text=False))
    await model.request(ASKED, None, parameters(outputs=["x"], text=False))
    several, one = (request.json["tool_choice"] for request in zai_emulator.requests)
    assert several == "required"
    assert one == {"type": "function", "function": {"name": "x"}}


@pytest.mark.parametrize("choice", ["required", ["a"]])
async def test_a_choice_that_cannot_be_asked_for_is_refused(model, zai_emulator, choice):
    with pytest.raises(UserError, match="cannot be asked of this model"):
        await model.request(ASKED, {"tool_choice": choice}, parameters(functions=["a"]))
    with pytest.raises(UserError, match="names no tool"):
        await model.request(ASKED, {"tool_choice": choice}, parameters())
    assert not zai_emulator.requests


# Output types


async def test_a_value_is_the_argument_of_a_tool(model, zai_emulator):
    lund = {"name": "Lund", "people": 94_000}
    zai_emulator.chat.reply(tool_calls=[{"name": "final_result", "arguments": lund}])
    result = await Agent(model, output_type=City).run("Where?")
    assert result.output == City(**lund)
    body = zai_emulator.requests[0].json
    assert [tool["function"]["name"] for tool in body["tools"]] == ["final_result"]
    assert "tool_choice" not in body


async def test_a_union_and_a_list(model, zai_emulator):
    reason = {"reason": "unknown"}
    zai_emulator.chat.reply(tool_calls=[{"name": "final_result_Failure", "arguments": reason}])
    assert (await Agent(model, output_type=[City, Failure]).run("?")).output == Failure(**reason)

    cities = [{"name": "Lund", "people": 1}, {"name": "Oslo", "people": 2}]
    call = {"name": "final_result", "arguments": {"response": cities}}
    zai_emulator.chat.reply(tool_calls=[call])
    output = (await Agent(model, output_type=list[City]).run("?")).output
    assert [city.name for city in output] == ["Lund", "Oslo"]


async def test_a_value_that_does_not_fit_is_asked_for_again(model, zai_emulator):
    zai_emulator.chat.reply(tool_calls=[{"name": "final_result", "arguments": {"name": "Lund"}}])
    right = {"name": "Lund", "people": 5}
    zai_emulator.chat.reply(tool_calls=[{"name": "final_result", "arguments": right}])
    assert (await Agent(model, output_type=City).run("?")).output == City(**right)
    assert "people" in zai_emulator.requests[1].json["messages"][-1]["content"]


async def test_a_text_in_place_of_a_value_is_asked_for_again(model, zai_emulator):
    zai_emulator.chat.reply("Lund has many.")
    right = {"name": "Lund", "people": 5}
    zai_emulator.chat.reply(tool_calls=[{"name": "final_result", "arguments": right}])
    assert (await Agent(model, output_type=City).run("?")).output == City(**right)


@pytest.mark.parametrize("mode", [NativeOutput, PromptedOutput])
async def test_a_value_is_the_text_where_that_is_wanted(model, zai_emulator, mode):
    zai_emulator.chat.reply('{"name": "Lund", "people": 5}', times=2)
    agent = Agent(model, output_type=mode(City))
    assert (await agent.run("?")).output == City(name="Lund", people=5)
    assert (await drained(agent)) == City(name="Lund", people=5)
    for request in zai_emulator.requests:
        assert request.json["response_format"] == {"type": "json_object"}
        system = request.json["messages"][0]
        assert system["role"] == "system"
        assert '"people"' in system["content"]


async def test_json_mode_does_not_keep_the_model_from_tools(model, zai_emulator):
    zai_emulator.chat.reply(tool_calls=[WEATHER])
    zai_emulator.chat.reply('{"name": "Lund", "people": 5}')
    agent = Agent(model, output_type=PromptedOutput(City), tools=[weather])
    assert (await agent.run("?")).output.name == "Lund"
    assert all("response_format" not in request.json for request in zai_emulator.requests)


async def test_models_that_see_have_no_json_mode(zai, zai_emulator):
    model = ZaiAsyncModel("glm-4.6v", client=zai)
    with pytest.raises(UserError, match="Native structured output"):
        await Agent(model, output_type=NativeOutput(City)).run("?")
    zai_emulator.chat.reply('{"name": "Lund", "people": 5}')
    assert (await Agent(model, output_type=PromptedOutput(City)).run("?")).output.people == 5
    assert "response_format" not in zai_emulator.requests[0].json


async def test_a_partial_value_is_told_while_it_is_written(model, zai_emulator):
    lund = {"name": "Lund in Sweden", "people": 94_000}
    zai_emulator.chat.reply(tool_calls=[{"name": "final_result", "arguments": lund}], chunk_size=4)
    agent = Agent(model, output_type=City, model_settings={"zai_tool_stream": True})
    async with agent.run_stream("Where?") as result:
        seen = [city async for city in result.stream_output(debounce_by=None)]
    assert seen[-1] == City(**lund)
    assert zai_emulator.requests[0].json["tool_stream"] is True


# Conversations


async def test_a_history_goes_to_json_and_back_unchanged(model, zai_emulator):
    zai_emulator.chat.reply(thinking="  Let me\nlook. ", tool_calls=[WEATHER])
    zai_emulator.chat.reply("Wet.", thinking="Rain is wet.")
    zai_emulator.chat.reply("Still.", times=2)
    agent = Agent(model, tools=[weather])
    history = (await agent.run("Weather?")).all_messages()
    loaded = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(history))
    assert loaded == history
    for each in (history, loaded):
        await agent.run("And now?", message_history=each)
    *_, before, after = (request.json["messages"] for request in zai_emulator.requests)
    assert before == after
    assert [
        message.get("reasoning_content") for message in before if message["role"] == "assistant"
    ] == [
        "  Let me\nlook. ",
        "Rain is wet.",
    ]


async def test_what_other_models_said_goes_along(model, zai_emulator):
    image = BinaryContent(PNG, media_type="image/png")
    history = [
        ModelRequest([SystemPromptPart("Be kind."), UserPromptPart("One")]),
        ModelResponse(
            [
                ThinkingPart("a", signature="s", provider_name="x"),
                ThinkingPart(""),
                ThinkingPart("b"),
            ]
        ),
        ModelRequest([UserPromptPart("Two")]),
        ModelResponse([FilePart(image)]),
        ModelRequest([UserPromptPart("Three")]),
    ]
    await model_request(model, history)
    assert zai_emulator.requests[0].json["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "", "reasoning_content": "a\n\nb"},
        {"role": "user", "content": "Two"},
        {"role": "user", "content": "Three"},
    ]


async def test_an_untranslated_part_is_refused(model, zai_emulator):
    with pytest.raises(UserError, match="prepare_messages"):
        await model.request(
            [ModelRequest([RetryFeedbackPart("Again.", retry=RetryInfo(cause="no_output"))])],
            None,
            ModelRequestParameters(),
        )
    assert not zai_emulator.requests


async def test_a_call_waits_for_a_person(model, zai_emulator):
    delete = {"name": "delete", "arguments": {"path": "a.txt"}}
    keep = {"name": "delete", "arguments": {"path": "b.txt"}}
    zai_emulator.chat.reply(thinking="Hm.", tool_calls=[delete, keep])
    zai_emulator.chat.reply("Done.")
    deleted = []

    def remove(path: str) -> str:
        deleted.append(path)
        return "gone"

    tool = Tool(remove, name="delete", requires_approval=True)
    agent = Agent(model, tools=[tool], output_type=[str, DeferredToolRequests])
    first = await agent.run("Delete")
    assert isinstance(first.output, DeferredToolRequests)
    yes, no = first.output.approvals
    decisions = DeferredToolResults(
        approvals={yes.tool_call_id: True, no.tool_call_id: ToolDenied("never")}
    )
    stored = ModelMessagesTypeAdapter.validate_json(first.all_messages_json())
    second = await agent.run(message_history=stored, deferred_tool_results=decisions)
    assert (second.output, deleted) == ("Done.", ["a.txt"])
    *_, gone, denied = zai_emulator.requests[1].json["messages"]
    assert gone["content"] == "gone"
    assert "never" in denied["content"]


# Cancelling, and the limiter


async def test_leaving_a_stream_closes_it_and_gives_the_permit_back(model, zai, zai_emulator):
    zai_emulator.chat.reply("word " * 500, chunk_size=5)
    zai_emulator.fault(silence_after=(6000, 60))
    async with Agent(model).run_stream("Hi") as result:
        async for _ in result.stream_text(delta=True, debounce_by=None):
            break
    await zai_emulator.wait_disconnected()
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 0


async def test_cancel_ends_a_stream_for_its_reader(model, zai, zai_emulator):
    zai_emulator.chat.reply("word " * 500, chunk_size=5)
    zai_emulator.fault(silence_after=(6000, 60))
    first = asyncio.Event()

    async def read(result):
        async for _ in result.stream_text(delta=True, debounce_by=None):
            first.set()

    async with Agent(model).run_stream("Hi") as result:
        reading = asyncio.create_task(read(result))
        await first.wait()
        await result.cancel()
        await reading
        assert result.cancelled
        assert result.response.state == "interrupted"
        assert result.response.text
    await zai_emulator.wait_disconnected()
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_run_leaves_nothing_behind(model, zai, zai_emulator, streamed):
    zai_emulator.fault(hang=True)
    agent = Agent(model)
    running = asyncio.create_task(drained(agent) if streamed else agent.run("Hi"))
    await zai_emulator.wait_requests()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await zai_emulator.wait_disconnected()
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 0


async def test_agents_of_a_client_share_its_limit(zai_emulator):
    zai_emulator.account.limit("glm-5.3", concurrency=2)
    zai_emulator.chat.reply("Hello", times=None)
    async with AsyncZai(base_url=zai_emulator.url, api_key=KEY) as zai:
        agents = [Agent(ZaiAsyncModel("glm-5.3", client=zai)) for _ in range(3)]
        runs = (
            drained(agent) if number % 2 else agent.run("Hi")
            for number in range(4)
            for agent in agents
        )
        assert len(await asyncio.gather(*runs)) == 12
        snapshot = zai.limits.snapshot()["glm-5.3"]
    assert (snapshot.in_flight, snapshot.waiting) == (0, 0)


async def test_an_agent_does_not_close_the_client(model, zai, zai_emulator):
    agent = Agent(model)
    async with agent:
        await agent.run("Hi")
    async with model:
        pass
    await zai.chat.completions.create(model="glm-5.3", messages="Hi")
    assert model.provider.client is zai


# Errors


REFUSALS = [
    ("1000", 401, theirs.ModelAuthenticationError),
    ("1112", 429, theirs.ModelAuthenticationError),
    ("1220", 403, theirs.ModelAuthenticationError),
    ("1113", 429, theirs.ModelQuotaExceededError),
    ("1308", 429, theirs.ModelQuotaExceededError),
    ("1302", 429, theirs.ModelRateLimitError),
    ("1305", 429, theirs.ModelOverloadedError),
    ("1211", 400, theirs.ModelNotFoundError),
    ("1214", 400, theirs.ModelRequestRejectedError),
    ("1261", 400, theirs.ModelContextWindowExceededError),
    ("1234", 500, theirs.ModelServerError),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_is_what_agents_know_it_as(model, zai_emulator, streamed, refusal):
    code, status, kind = refusal
    zai_emulator.fault(status=status, code=code, message=f"no, {KEY}")
    agent = Agent(model)
    with pytest.raises(kind) as caught:
        await (drained(agent) if streamed else agent.run("Hi"))
    error = caught.value
    assert isinstance(error, theirs.ModelHTTPError)
    assert (error.status_code, error.provider_error_code) == (status, code)
    assert (error.model_name, error.in_stream) == ("glm-5.3", False)
    assert error.body["error"]["code"] == code
    assert error.body["request_id"] == error.__cause__.request_id
    assert isinstance(error.__cause__, APIError)
    assert KEY not in f"{error!r} {error} {error.body} {vars(error)} {error.__cause__}"


@pytest.mark.parametrize("after", [0, 3])
async def test_a_refusal_inside_a_stream(model, zai_emulator, after):
    zai_emulator.fault(error_in_stream="1305", after=after)
    with pytest.raises(theirs.ModelOverloadedError) as caught:
        await drained(Agent(model))
    assert (caught.value.status_code, caught.value.in_stream) == (503, True)


async def test_a_refusal_tells_when_to_come_back(model, zai_emulator):
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    zai_emulator.account.quota("1308", until=until)
    with pytest.raises(theirs.ModelQuotaExceededError) as caught:
        await Agent(model).run("Hi")
    assert 7000 < caught.value.retry_after <= 7200


async def test_a_busy_platform_tells_for_how_long(model, zai_emulator):
    zai_emulator.fault(status=429, code="1302", headers={"Retry-After": "7"})
    with pytest.raises(theirs.ModelRateLimitError) as caught:
        await Agent(model).run("Hi")
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_refused_prompt_is_a_content_filter(model, zai_emulator, streamed):
    zai_emulator.fault(status=400, code="1301", message="unsafe")
    agent = Agent(model)
    with pytest.raises(theirs.ContentFilterError, match="unsafe") as caught:
        await (drained(agent) if streamed else agent.run("Hi"))
    assert isinstance(caught.value.__cause__, ContentPolicyError)
    assert json.loads(caught.value.body)["error"]["code"] == "1301"


async def test_a_filtered_answer_is_a_content_filter(model, zai_emulator):
    zai_emulator.chat.reply("", thinking="Hm.", finish_reason="sensitive")
    with pytest.raises(theirs.ContentFilterError, match="sensitive"):
        await Agent(model).run("Hi")


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_empty_answer_is_asked_for_again(model, zai_emulator, streamed):
    zai_emulator.chat.reply("", thinking="Hm.")
    zai_emulator.chat.reply("Hello")
    agent = Agent(model)
    assert await (drained(agent) if streamed else output_of(agent)) == "Hello"
    zai_emulator.chat.reply("", times=None)
    with pytest.raises(UnexpectedModelBehavior):
        await (drained(agent) if streamed else output_of(agent))


async def output_of(agent):
    return (await agent.run("Hi")).output


async def test_thinking_that_used_up_the_limit(model, zai_emulator):
    zai_emulator.chat.reply("", thinking="Hm hm", finish_reason="length", times=None)
    with pytest.raises(theirs.OutputTokenLimitExceeded):
        await Agent(model, model_settings={"max_tokens": 5}).run("Hi")


async def test_a_cut_stream(model, zai_emulator):
    zai_emulator.fault(cut_after=1000, times=None)
    with pytest.raises(theirs.ModelConnectionError) as caught:
        await drained(Agent(model))
    assert (caught.value.phase, caught.value.in_stream) == ("read", True)
    assert isinstance(caught.value.__cause__, StreamTruncatedError)


async def test_a_stream_that_is_cut_inside_a_call_is_no_call(model, zai_emulator):
    long = {"name": "weather", "arguments": {"city": "Lund" * 2000}}
    zai_emulator.chat.reply(tool_calls=[long], chunk_size=10, times=None)
    zai_emulator.fault(cut_after=8000, times=None)
    agent = Agent(model, tools=[weather], model_settings={"zai_tool_stream": True})
    with pytest.raises(theirs.ModelConnectionError):
        await drained(agent)


async def test_a_lost_generation(model, zai_emulator):
    zai_emulator.chat.reply("Hel", finish_reason="network_error", times=2)
    for work in (drained(Agent(model)), output_of(Agent(model))):
        with pytest.raises(theirs.ModelServerError) as caught:
            await work
        assert isinstance(caught.value.__cause__, GenerationFailedError)


async def test_a_server_that_is_not_there(zai_emulator):
    address = zai_emulator.url.rsplit(":", 1)[0] + ":9/api"
    async with AsyncZai(base_url=address, api_key=KEY, retry=RetryPolicy(retries=0)) as zai:
        with pytest.raises(theirs.ModelConnectionError) as caught:
            await Agent(ZaiAsyncModel("glm-5.3", client=zai)).run("Hi")
    assert caught.value.phase == "connect"
    assert isinstance(caught.value.__cause__, ConnectError)


async def test_a_deadline(zai, zai_emulator):
    zai_emulator.fault(hang=True)
    model = ZaiAsyncModel("glm-5.3", client=zai, options=CallOptions(deadline=0.05))
    with pytest.raises(theirs.ModelTimeoutError) as caught:
        await Agent(model).run("Hi")
    assert isinstance(caught.value.__cause__, DeadlineError)


async def test_a_request_timeout_of_theirs_ends_the_request(model, zai, zai_emulator):
    zai_emulator.fault(hang=True, times=None)
    settings = {"request_timeout": 0.05}
    with pytest.raises(theirs.ModelRequestTimeout):
        await Agent(model, model_settings=settings).run("Hi")
    with pytest.raises(theirs.ModelRequestTimeout):
        await drained(Agent(model, model_settings={"first_event_timeout": 0.05}))
    # On a slow machine they may run out before anything is sent, and nothing is known of the model.
    assert all(figures.in_flight == 0 for figures in zai.limits.snapshot().values())


async def test_a_spent_budget(zai, zai_emulator):
    budget = Budget(tokens=1)
    model = ZaiAsyncModel("glm-5.3", client=zai, options=CallOptions(budget=budget))
    await Agent(model).run("Hi")
    with pytest.raises(theirs.UsageLimitExceeded):
        await Agent(model).run("Hi")


async def test_a_page_of_a_proxy(model, zai_emulator):
    zai_emulator.fault(status=200, body=b"<html>", content_type="text/html")
    with pytest.raises(UnexpectedModelBehavior) as caught:
        await Agent(model).run("Hi")
    assert isinstance(caught.value.__cause__, ZaiError)


async def test_wrong_arguments_and_a_closed_client(zai_emulator):
    async with AsyncZai(base_url=zai_emulator.url, api_key=KEY) as zai:
        with pytest.raises(UserError):
            await Agent(ZaiAsyncModel("", client=zai)).run("Hi")
    with pytest.raises(UserError):
        await Agent(ZaiAsyncModel("glm-5.3", client=zai)).run("Hi")
    assert not zai_emulator.requests


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StreamStalledError("x"), theirs.ModelTimeoutError),
        (StreamMalformedError("x", body="<html>"), UnexpectedModelBehavior),
        (APIError("x", status_code=418), theirs.ModelHTTPError),
        (EmptyAnswerError("x"), UnexpectedModelBehavior),
    ],
)
def test_other_errors(error, kind):
    assert isinstance(translated(error, "glm-5.3"), kind)


@pytest.mark.parametrize("streamed", [False, True])
async def test_another_model_is_asked_before_anything_was_told(zai, zai_emulator, streamed):
    if streamed:
        zai_emulator.fault(error_in_stream="1305", after=0)
    else:
        zai_emulator.fault(status=429, code="1302")
    zai_emulator.chat.reply("Hello", match=lambda body: body["model"] == "glm-5.2")
    models = [ZaiAsyncModel(name, client=zai) for name in ("glm-5.3", "glm-5.2")]
    agent = Agent(FallbackModel(*models))
    assert await (drained(agent) if streamed else output_of(agent)) == "Hello"
    assert [request.json["model"] for request in zai_emulator.requests] == ["glm-5.3", "glm-5.2"]


async def test_retries_are_those_of_the_client(zai_emulator):
    zai_emulator.fault(status=429, code="1302")
    async with AsyncZai(base_url=zai_emulator.url, api_key=KEY) as zai:
        model = ZaiAsyncModel("glm-5.3", client=zai)
        with pytest.raises(theirs.ModelRateLimitError) as caught:
            await Agent(model, model_settings={"max_retries": 0}).run("Hi")
    assert isinstance(caught.value.__cause__, RateLimitError)
    assert len(zai_emulator.requests) == 1


# Settings


async def sent(zai, zai_emulator, settings, name="glm-5.3", **tools):
    """Return the body, and the headers, of a request with these settings."""
    model = ZaiAsyncModel(name, client=zai, settings=settings)
    await model.request(ASKED, None, parameters(**tools))
    request = zai_emulator.requests[-1]
    return request.json, request.headers


async def test_settings_have_their_names_on_the_wire(zai, zai_emulator):
    settings = ZaiAsyncModelSettings(
        temperature=0.5,
        top_p=0.9,
        max_tokens=100,
        seed=7,
        stop_sequences=["END"],
        extra_body={"new_field": 1, "seed": 8},
        extra_headers={"X-Team": "blue"},
        zai_do_sample=True,
        zai_tool_stream=False,
        zai_user_id="user-1234",
        zai_clear_thinking=True,
    )
    body, headers = await sent(zai, zai_emulator, settings)
    del body["model"], body["messages"]
    assert body == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 100,
        "seed": 8,
        "stop": ["END"],
        "new_field": 1,
        "do_sample": True,
        "tool_stream": False,
        "user_id": "user-1234",
        "thinking": {"type": "enabled", "clear_thinking": True},
    }
    assert headers["X-Team"] == "blue"


THINKING = [
    ("glm-5.3", True, {"type": "enabled"}, None),
    ("glm-5.3", False, {"type": "enabled"}, "low"),
    ("glm-5.3", "medium", {"type": "enabled"}, "high"),
    ("glm-5.2", "minimal", {"type": "enabled"}, "minimal"),
    ("glm-5.2", False, {"type": "disabled"}, None),
    ("glm-4.6", "high", {"type": "enabled"}, None),
    ("glm-4.6", False, {"type": "disabled"}, None),
    ("glm-4-32b-0414-128k", True, None, None),
]


@pytest.mark.parametrize("case", THINKING)
async def test_thinking_as_each_model_takes_it(zai, zai_emulator, case):
    name, level, thinking, effort = case
    body, _ = await sent(zai, zai_emulator, {"thinking": level}, name)
    expected = None if thinking is None else {**thinking, "clear_thinking": False}
    assert body.get("thinking") == expected
    assert body.get("reasoning_effort") == effort


async def test_every_setting_is_sent_or_declared(zai, zai_emulator):
    """Pydantic-ai's own rule for models, which its repository tests for those it brings."""
    values: dict[str, Any] = {
        "stop_sequences": ["END"],
        "extra_headers": {"X-Team": "blue"},
        "extra_body": {"new_field": 1},
        "logit_bias": {"a": 1},
        "parallel_tool_calls": True,
        "service_tier": "flex",
        "citations": False,
        "max_tokens": 5,
        "seed": 5,
        "top_k": 5,
        "timeout": 5,
        "max_retries": 5,
    }
    resolved = {"request_timeout", "first_event_timeout", "framing_announcement"}
    resolved |= {"thinking", "cache", "tool_choice"}
    plain, usual = await sent(zai, zai_emulator, {}, functions=["a"])
    in_options = set()
    for name in set(get_args(ModelSettingName)) - resolved:
        settings = {name: values.get(name, 0.5)}
        body, headers = await sent(zai, zai_emulator, settings, functions=["a"])
        changed = body != plain or headers.keys() != usual.keys()
        if call_options(CallOptions(), ModelSettings(**settings), ()) != CallOptions(allow=set()):
            in_options.add(name)
            changed = True
        assert changed != (name in ZaiAsyncModel.unsupported_settings), name
    assert in_options == {"timeout", "max_retries", "extra_headers"}


class Phases:
    """Looks like ``httpx.Timeout``."""

    connect, read = 3.0, 9.0


def test_options_of_a_call():
    given = CallOptions(tag="agent", timeout=4.0, allow={"length"}, on_restart="reset")
    plain = call_options(given, {}, {"empty"})
    assert (plain.tag, plain.timeout, plain.retries) == ("agent", 4.0, None)
    assert plain.allow == {"length", "empty"}
    assert plain.on_restart == "raise"
    assert call_options(given, {"timeout": 7}, ()).timeout == 7.0
    assert call_options(given, {"timeout": Phases()}, ()).timeout == Timeout(3.0, 9.0, 9.0, 9.0)
    assert call_options(given, {"max_retries": 2}, ()).retries == 2


async def test_a_setting_that_is_a_guarantee_is_warned_of(model):
    with pytest.warns(theirs.UnsupportedSettingWarning, match="parallel_tool_calls"):
        await model.request(ASKED, {"parallel_tool_calls": False}, parameters(functions=["a"]))


# Files


async def test_files_go_into_the_message(zai, zai_emulator):
    model = ZaiAsyncModel("glm-5v-turbo", client=zai)
    prompt = [
        "Look:",
        CachePoint(),
        ImageUrl("https://example.com/a.png"),
        BinaryContent(PNG, media_type="image/png"),
        VideoUrl("https://example.com/a.mp4"),
    ]
    await Agent(model).run(prompt)
    text, address, picture, video = zai_emulator.requests[0].json["messages"][0]["content"]
    assert text == {"type": "text", "text": "Look:"}
    assert address == {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert picture["image_url"]["url"].startswith("iVBOR") or "base64" in str(picture)
    assert video == {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}


async def test_documents_and_sounds(zai, zai_emulator):
    model = ZaiAsyncModel("glm-5.3-flash", client=zai)
    pdf = BinaryContent(b"%PDF-1.4", media_type="application/pdf", identifier="report")
    await Agent(model).run([DocumentUrl("https://example.com/a.pdf"), pdf])
    address, document = zai_emulator.requests[0].json["messages"][0]["content"]
    assert address == {"type": "file", "file": {"file_url": "https://example.com/a.pdf"}}
    assert document["file"]["filename"] == "report.pdf"
    assert document["file"]["file_data"].startswith("data:application/pdf;base64,")

    speaking = ZaiAsyncModel("glm-4-voice", client=zai)
    zai_emulator.fault(body=SPOKEN, status=200, content_type="application/json")
    await Agent(speaking).run([BinaryContent(WAV, media_type="audio/wav")])
    [sound] = zai_emulator.requests[1].json["messages"][0]["content"]
    assert sound["input_audio"]["format"] == "wav"


async def test_files_are_fetched_where_an_address_will_not_do(zai, zai_emulator, monkeypatch):
    fetched = []

    async def download(item, data_format):
        fetched.append(item.url)
        return {"data": WAV if isinstance(item, AudioUrl) else PNG, "data_type": ""}

    from zai_async.integrations import pydantic_ai_requests

    monkeypatch.setattr(pydantic_ai_requests, "download_item", download)
    sound = AudioUrl("https://example.com/a.wav")
    picture = ImageUrl("https://example.com/a.png", force_download=True)
    zai_emulator.fault(body=SPOKEN, status=200, content_type="application/json")
    await Agent(ZaiAsyncModel("glm-4-voice", client=zai)).run(["Hear:", sound, picture])
    _, heard, seen = zai_emulator.requests[0].json["messages"][0]["content"]
    assert heard["type"] == "input_audio"
    assert not seen["image_url"]["url"].startswith("http")
    assert fetched == [sound.url, picture.url]


async def test_a_file_that_breaks_a_limit_is_refused(zai, zai_emulator):
    model = ZaiAsyncModel("glm-4.6v", client=zai)
    with pytest.raises(UserError):
        await Agent(model).run([BinaryContent(b"GIF89a", media_type="image/gif")])
    theirs_alone = UploadedFile(file_id="f", provider_name="openai")
    with pytest.raises(UserError, match="UploadedFile"):
        await Agent(model).run([theirs_alone])
    assert not zai_emulator.requests


@pytest.mark.parametrize(
    ("name", "kinds"), [("glm-4.6v", {"text", "image_url"}), ("glm-4.6", set())]
)
async def test_files_of_a_tool_go_to_models_that_see(zai, zai_emulator, name, kinds):
    def draw() -> BinaryContent:
        return BinaryContent(PNG, media_type="image/png", identifier="map")

    zai_emulator.chat.reply(tool_calls=[{"name": "draw", "arguments": {}}])
    zai_emulator.chat.reply("Seen.")
    agent = Agent(ZaiAsyncModel(name, client=zai), tools=[draw])
    assert (await agent.run("Look")).output == "Seen."
    messages = zai_emulator.requests[1].json["messages"]
    files = [message["content"] for message in messages if isinstance(message["content"], list)]
    assert {part["type"] for parts in files for part in parts} == kinds
    [told] = [message["content"] for message in messages if message["role"] == "tool"]
    assert "map" in told


# What the package wants of a model


def test_nothing_is_left_abstract(model):
    assert ZaiAsyncModel.__abstractmethods__ == frozenset()
    assert ZaiAsyncStreamedResponse.__abstractmethods__ == frozenset()
    assert ZaiAsyncStreamedResponse.close_stream is not StreamedResponse.close_stream
    assert model.model_id == "zai:glm-5.3"
    assert KEY not in repr(model) + repr(model.provider)


@pytest.mark.parametrize(
    ("name", "sees", "thinks", "always"),
    [
        ("glm-5.3", False, True, True),
        ("glm-5.3-flashx", True, True, True),
        ("glm-4.6v-flash", True, True, False),
        ("GLM-4.5-air", False, True, False),
        ("glm-4-32b-0414-128k", False, False, False),
    ],
)
def test_profiles(zai, name, sees, thinks, always):
    profile = ZaiAsyncModel(name, client=zai).profile
    assert profile["supports_image_input"] is sees
    assert profile.get("supports_thinking", False) is thinks
    assert profile.get("thinking_always_enabled", False) is always
    own = ZaiAsyncModel(name, client=zai, profile={"supports_image_input": not sees})
    assert own.profile["supports_image_input"] is not sees


def test_the_profile_of_an_unknown_model_claims_little(zai):
    profile = ZaiAsyncModel("my-model", client=zai).profile
    assert profile["supports_image_input"]
    assert not profile["supports_thinking"]


async def test_tokens_are_counted_before_a_request(zai, zai_emulator):
    model = ZaiAsyncModel("glm-4.6", client=zai)
    agent = Agent(model, tools=[weather])
    limits = UsageLimits(input_tokens_limit=3, count_tokens_before_request=True)
    with pytest.raises(theirs.UsageLimitExceeded):
        await agent.run("How many tokens are there in this?", usage_limits=limits)
    [request] = zai_emulator.requests
    assert request.path.endswith("/tokenizer")
    assert request.json.keys() == {"model", "messages", "tools"}


async def test_spans_of_pydantic_ai(model, zai_emulator):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    zai_emulator.chat.reply(tool_calls=[WEATHER])
    zai_emulator.chat.reply("Wet.")
    agent = Agent(model, tools=[weather])
    agent.instrument = InstrumentationSettings(tracer_provider=provider)
    await drained(agent, "Weather?")
    spans = {span.name: span for span in exporter.get_finished_spans()}
    chat = spans["chat glm-5.3"].attributes
    assert chat["gen_ai.request.model"] == chat["gen_ai.response.model"] == "glm-5.3"
    assert chat["gen_ai.provider.name"] == "zai"
    assert chat["server.address"] == "127.0.0.1"
    assert chat["gen_ai.usage.input_tokens"] > 0
    assert chat["gen_ai.response.id"]
    assert any("weather" in name for name in spans)


def test_the_core_imports_nothing_of_it():
    code = (
        "import sys, zai_async.client, zai_async.batch, zai_async.web, zai_async.tools; "
        "print([name for name in sys.modules if name.startswith('pydantic')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.skipif(not THOROUGH, reason="a part of the thorough run")
def test_the_example_runs_without_a_key():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZAI_")}
    program = [sys.executable, ROOT / "examples/pydantic_ai_agent.py", "--emulate"]
    told = subprocess.check_output(program, env=environment | {"PYTHONPATH": str(ROOT)}, text=True)
    assert "Lund" in told
