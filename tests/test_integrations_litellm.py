"""The provider in the hands of LiteLLM itself, over the emulator; it fetches no list of prices."""

import asyncio
import gc
import json
import logging
import math
import traceback

import pytest

from tests.calls import client, scripted
from tests.chat_wire import body, last, tool

litellm = pytest.importorskip("litellm")

from zai_async import CallOptions, ConfigurationError, ZaiError  # noqa: E402
from zai_async.integrations.litellm import ZaiLLM  # noqa: E402
from zai_async.testing import FakeReply  # noqa: E402

# LiteLLM has TypedDicts that its version of pydantic warns of.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Items? .* using the `ReadOnly` qualifier:UserWarning"
)
HI = [{"role": "user", "content": "Hi"}]
KEY = "0123456789.CanaryCanary"
MODEL = "zai-async/glm-5.3"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(autouse=True)
async def worker():
    """Stop the task that LiteLLM leaves in each loop, for what is logged later."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    yield
    await GLOBAL_LOGGING_WORKER.stop()


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url, limits=5) as zai:
        yield zai


@pytest.fixture
def register(monkeypatch):
    """Make a handler the one that LiteLLM calls."""

    def register(handler):
        registered = {"provider": "zai-async", "custom_handler": handler}
        monkeypatch.setattr(litellm, "custom_provider_map", [registered])
        return handler

    return register


@pytest.fixture
def handler(zai, register):
    return register(ZaiLLM(zai))


@pytest.fixture
def sent(zai_emulator):
    """Return what the last request said."""
    return lambda: zai_emulator.requests[-1].json


async def ask(**facts):
    return await litellm.acompletion(**{"model": MODEL, "messages": HI} | facts)


# What is asked


async def test_keywords_are_translated(handler, sent, zai_emulator):
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    await ask(
        model="zai-async/glm-4.6v",
        messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}],
        temperature=0.5,
        max_completion_tokens=9,
        stop="X",
        n=1,
        user="somebody",
        tool_stream=True,
        extra_body={"request_id": "request-1"},
        extra_headers={"X-Team": "blue"},
        metadata={"a": "b"},
        reasoning_effort="none",
        allowed_openai_params=["reasoning_effort"],
    )
    body = sent()
    assert body.pop("messages")[0]["content"][1] == image
    assert body == {
        "model": "glm-4.6v",
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["X"],
        "thinking": {"type": "disabled"},
        "tool_stream": True,
        "request_id": "request-1",
    }
    assert zai_emulator.requests[0].headers["X-Team"] == "blue"


async def test_a_schema_goes_into_the_messages(handler, sent):
    pydantic = pytest.importorskip("pydantic")
    kind = pydantic.create_model("City", people=(int, ...))
    await ask(response_format=kind)
    assert sent()["response_format"] == {"type": "json_object"}
    assert '"people"' in sent()["messages"][0]["content"]


@pytest.mark.parametrize("wanted", [{"logprobs": True}, {"tool_choice": "required"}])
async def test_what_cannot_be_obeyed_is_refused(handler, zai_emulator, wanted):
    with pytest.raises(litellm.UnsupportedParamsError, match=next(iter(wanted))):
        await ask(**wanted)
    assert not zai_emulator.requests


@pytest.mark.parametrize("wanted", [{"temprature": 1}, {"api_key": KEY}, {"api_base": "http://a"}])
async def test_what_is_wrong_is_refused(handler, zai_emulator, wanted):
    with pytest.raises(litellm.BadRequestError, match=next(iter(wanted))) as caught:
        await ask(**wanted)
    assert "Canary" not in str(caught.value)
    assert not zai_emulator.requests


async def test_it_has_a_client_of_its_own(zai_emulator, register):
    handler = register(ZaiLLM(api_key=KEY, base_url=zai_emulator.url))
    async with handler.client:
        assert (await ask()).choices[0].message.content
    with pytest.raises(ConfigurationError, match="client= excludes"):
        ZaiLLM(handler.client, api_key=KEY)


# What comes back


async def test_a_whole_answer(handler, zai_emulator):
    zai_emulator.chat.reply("Hello", thinking="Greet.", finish_reason="sensitive")
    answer = await ask()
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].message.reasoning_content == "Greet."
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.usage.completion_tokens > 0
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize("usage", [None, {"include_usage": True}])
async def test_a_stream(handler, zai_emulator, usage):
    zai_emulator.chat.reply("Hello", thinking="Greet.", chunk_size=2)
    chunks = [chunk async for chunk in await ask(stream=True, stream_options=usage)]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Hello"
    assert len({chunk.id for chunk in chunks}) == 1
    thinking = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thinking) == "Greet."
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [end for end in ends if end] == ["stop"]
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.reasoning_content == "Greet."
    if usage:
        assert chunks[-1].usage.completion_tokens > 0


async def test_vectors_and_pictures(handler):
    vectors = await litellm.aembedding("zai-async/embedding-3", input=["a", "b"])
    assert [len(item["embedding"]) for item in vectors.data] == [2048, 2048]
    assert vectors.usage.prompt_tokens > 0
    wanted = {"model": "zai-async/glm-image", "prompt": "a lighthouse"}
    pictures = await litellm.aimage_generation(**wanted)
    assert pictures.data[0].url.startswith("http")
    pictures = await litellm.aimage_generation(**wanted, response_format="b64_json")
    assert pictures.data[0].b64_json.startswith("iVBORw")


def test_without_await(zai_emulator, register):
    zai_emulator.chat.reply("Hello")
    zai_emulator.chat.reply("Hello", chunk_size=2)
    handler = register(ZaiLLM(client(zai_emulator.url)))
    assert litellm.completion(MODEL, HI).choices[0].message.content == "Hello"
    chunks = [*litellm.completion(MODEL, HI, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
    assert litellm.embedding("zai-async/embedding-3", input=["a"]).data
    assert litellm.image_generation("a lighthouse", model="zai-async/glm-image").data
    handler.close()


def test_a_blocking_stream_that_is_left_is_closed(zai_emulator, register):
    zai_emulator.fault(silence_after=(900, math.inf))
    handler = register(ZaiLLM(client(zai_emulator.url)))
    stream = litellm.completion(MODEL, HI, stream=True)
    assert next(stream)
    stream.close()
    zai_emulator.wait_disconnected().result()
    handler.close()


# An agent


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_loop(handler, zai_emulator, sent, stream):
    called = {"name": "weather", "arguments": {"city": "Oslo"}}
    zai_emulator.chat.reply(thinking="Ask the tool.", tool_calls=[called, called])
    zai_emulator.chat.reply("It is sunny.")
    messages = [*HI]
    while True:
        answer = await ask(messages=messages, tools=[WEATHER], tool_choice="auto", stream=stream)
        if stream:
            answer = litellm.stream_chunk_builder([chunk async for chunk in answer])
        message = answer.choices[0].message
        if not message.tool_calls:
            break
        assert answer.choices[0].finish_reason == "tool_calls"
        messages.append(message)
        for call in message.tool_calls:
            result = f"sunny in {json.loads(call.function.arguments)['city']}"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    assert message.content == "It is sunny."
    said = sent()["messages"]
    assert [each["role"] for each in said] == ["user", "assistant", "tool", "tool"]
    assert said[1]["reasoning_content"] == "Ask the tool."
    assert [each["tool_call_id"] for each in said[2:]] == [
        call["id"] for call in said[1]["tool_calls"]
    ]
    assert said[2]["content"] == "sunny in Oslo"


async def test_calls_without_an_id_are_told_apart(register):
    calls = [tool("{}", index=index, name="weather") for index in (0, 1)]
    zai, _ = scripted(FakeReply.stream(body([*calls, last("tool_calls")])))
    async with zai:
        register(ZaiLLM(zai))
        stream = await ask(stream=True)
        told = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.id for call in told if call.id] == ["call_0", "call_1"]


async def test_all_calls_share_the_limit(zai_emulator, register):
    zai_emulator.fault(delay=0.01, times=None)
    async with client(zai_emulator.url, limits=2) as zai:
        handler = register(ZaiLLM(zai))

        async def once(stream):
            answer = await ask(stream=stream)
            if stream:
                assert [chunk async for chunk in answer]

        async with asyncio.TaskGroup() as group:
            for stream in (False, True) * 4:
                group.create_task(once(stream))
            for _ in range(4):
                # In another loop, with connections of its own.
                group.create_task(asyncio.to_thread(litellm.completion, MODEL, HI))
        await asyncio.to_thread(handler.close)
    assert len(zai_emulator.requests) == 12
    assert zai_emulator.peak_in_flight == 2


# Errors


@pytest.fixture
def shown(caplog, capfd):
    """Return what has been logged and printed."""
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text + "".join(capfd.readouterr())


CODES = [
    ("1000", "AuthenticationError"),
    ("1113", "PaymentRequiredError"),
    ("1210", "BadRequestError"),
    ("1211", "NotFoundError"),
    ("1261", "ContextWindowExceededError"),
    ("1301", "ContentPolicyViolationError"),
    ("1302", "RateLimitError"),
    ("1305", "ServiceUnavailableError"),
    ("1234", "InternalServerError"),
]


@pytest.mark.parametrize(("code", "kind"), CODES)
async def test_refusals_are_those_of_litellm(handler, zai_emulator, shown, code, kind):
    zai_emulator.fault(code=code, times=None)
    with pytest.raises(getattr(litellm.exceptions, kind)) as caught:
        await ask()
    error = caught.value
    assert type(error).__name__ == kind
    assert isinstance(error.__cause__, ZaiError)
    assert (error.llm_provider, error.model) == ("zai-async", "glm-5.3")
    told = "".join(traceback.format_exception(error)) + repr(vars(error)) + shown()
    assert "secret9876543210" not in told
    assert len(zai_emulator.requests) == 1


async def test_a_stream_that_breaks_off(handler, zai_emulator):
    zai_emulator.fault(error_in_stream="1301", after=2)
    with pytest.raises(litellm.ContentPolicyViolationError) as caught:
        async for _ in await ask(stream=True):
            pass
    assert isinstance(caught.value.__cause__, ZaiError)


@pytest.mark.parametrize(
    ("facts", "requests"),
    [({"max_retries": 2}, 3), ({"max_retries": 0}, 1), ({"options": CallOptions(retries=1)}, 2)],
)
async def test_only_the_client_retries(zai_emulator, register, facts, requests):
    zai_emulator.fault(code="1302", times=None, headers={"Retry-After": "0"})
    async with client(zai_emulator.url, retry=None) as zai:
        register(ZaiLLM(zai))
        with pytest.raises(litellm.RateLimitError):
            await ask(**facts)
    assert len(zai_emulator.requests) == requests


def test_a_router_retries_alone(zai_emulator, register):
    """Not in the loop of a test: a router opens what it keeps."""
    zai_emulator.fault(code="1302", times=None, headers={"Retry-After": "0.01"})

    async def route():
        async with client(zai_emulator.url, retry=None) as zai:
            register(ZaiLLM(zai))
            known = [{"model_name": "glm", "litellm_params": {"model": MODEL}}]
            router = litellm.Router(known, num_retries=2, disable_cooldowns=True)
            with pytest.raises(litellm.RateLimitError):
                await router.acompletion("glm", HI)

    asyncio.run(route())
    assert len(zai_emulator.requests) == 3


async def test_a_short_timeout_counts(handler, zai_emulator):
    zai_emulator.fault(hang=True)
    with pytest.raises(litellm.Timeout) as caught:
        await ask(timeout=0.05)
    assert isinstance(caught.value.__cause__, ZaiError)


# Cancellation


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [{"hang": True}, {"silence_after": (900, math.inf)}])
async def test_a_cancelled_call_gives_its_permit_back(handler, zai, zai_emulator, fault, stream):
    zai_emulator.fault(**fault)

    async def read():
        async for _ in await ask(stream=stream):
            pass

    task = asyncio.create_task(read())
    await zai_emulator.wait_requests()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await zai_emulator.wait_disconnected()
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 0


@pytest.mark.parametrize("close", [True, False])
async def test_a_stream_that_is_left_gives_its_permit_back(handler, zai, zai_emulator, close):
    zai_emulator.fault(silence_after=(900, math.inf))
    stream = await ask(stream=True)
    async for _ in stream:
        break
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 1
    if close:
        await stream.aclose()
    else:
        del stream, _
        gc.collect()
    await zai_emulator.wait_disconnected()
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
