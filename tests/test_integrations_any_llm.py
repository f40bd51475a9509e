"""The provider in the hands of any-llm itself, over the emulator."""

import asyncio
import dataclasses
import json
import math
import traceback

import pytest

from tests.calls import client, scripted
from tests.chat_wire import body, last, tool

any_llm = pytest.importorskip("any_llm")
pydantic = pytest.importorskip("pydantic")

from any_llm import AnyLLM, exceptions  # noqa: E402
from any_llm.types.completion import ChatCompletion, ChatCompletionChunk  # noqa: E402

from zai_async import CallOptions, ConfigurationError, MissingKeyError, ZaiError  # noqa: E402
from zai_async.integrations.any_llm import ZaiAsyncProvider  # noqa: E402
from zai_async.testing import FakeReply  # noqa: E402

HI = [{"role": "user", "content": "Hi"}]
KEY = "0123456789.CanaryCanary"


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url, limits=5) as zai:
        yield zai


@pytest.fixture
def provider(zai):
    return ZaiAsyncProvider(client=zai)


@pytest.fixture
def sent(zai_emulator):
    """Return what the last request of a chat said."""
    return lambda: zai_emulator.requests[-1].json


class City(pydantic.BaseModel):
    name: str
    people: int


@dataclasses.dataclass
class Place:
    name: str


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


# As any-llm makes it


@pytest.fixture
def created(monkeypatch, zai_emulator):
    """Make a provider by its name, where any-llm's own class has given way to ours."""
    import any_llm.providers.zai as home

    monkeypatch.setattr(home, "ZaiProvider", ZaiAsyncProvider)
    monkeypatch.setenv("ZAI_BASE_URL", zai_emulator.url)
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    return lambda **facts: AnyLLM.create("zai", **facts)


async def test_any_llm_makes_it_by_its_name(created, zai_emulator):
    zai_emulator.chat.reply("Hello")
    provider = created()
    async with provider.client:
        answer = await provider.acompletion("glm-5.3", HI)
    assert isinstance(answer, ChatCompletion)
    assert answer.choices[0].message.content == "Hello"
    assert type(provider).get_provider_metadata().completion


def test_calls_without_await_run_in_the_loop_of_any_llm(created, zai_emulator):
    zai_emulator.chat.reply("one")
    zai_emulator.chat.reply("two")
    provider = created()
    assert provider.completion("glm-5.3", HI).choices[0].message.content == "one"
    chunks = [*provider.completion("glm-5.3", HI, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "two"
    asyncio.run(provider.client.aclose())


@pytest.mark.parametrize(
    "facts", [{"api_key": "k"}, {"api_base": "http://localhost"}, {"limits": 3}]
)
async def test_a_client_excludes_what_is_its_own(zai, facts):
    with pytest.raises(exceptions.InvalidRequestError, match="client= excludes"):
        ZaiAsyncProvider(client=zai, **facts)


async def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("ZAI_API_KEY", raising=False)
    with pytest.raises(exceptions.MissingApiKeyError, match="ZAI_API_KEY") as caught:
        ZaiAsyncProvider()
    assert isinstance(caught.value.__cause__, MissingKeyError)


async def test_wrong_settings_are_refused(zai_emulator):
    with pytest.raises(exceptions.InvalidRequestError, match="auth must be") as caught:
        ZaiAsyncProvider(api_key=KEY, api_base=zai_emulator.url, auth="none")
    assert isinstance(caught.value.__cause__, ConfigurationError)
    with pytest.raises(exceptions.InvalidRequestError, match="unexpected keyword: model"):
        ZaiAsyncProvider(api_key=KEY, model="glm-5.3")


async def test_the_address_and_settings_are_those_given(zai_emulator):
    zai_emulator.chat.reply("Hello")
    provider = ZaiAsyncProvider(KEY, zai_emulator.url, limits=1)
    async with provider.client:
        await provider.acompletion("glm-5.3", HI)
        assert provider.client.limits.snapshot()["glm-5.3"].limit == 1


# What is asked


async def test_keywords_are_translated(provider, zai_emulator, sent):
    zai_emulator.chat.reply("Hello")
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    await provider.acompletion(
        "glm-4.6v",
        [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}],
        temperature=0.5,
        max_tokens=9,
        stop="X",
        n=1,
        user="somebody",
        reasoning_effort="none",
        do_sample=True,
        request_id="request-1",
    )
    body = sent()
    assert body.pop("messages")[0]["content"][1] == image
    assert body == {
        "model": "glm-4.6v",
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["X"],
        "thinking": {"type": "disabled"},
        "do_sample": True,
        "request_id": "request-1",
    }


@pytest.mark.parametrize(
    ("model", "effort", "field"),
    [
        ("glm-5.3", "none", {"reasoning_effort": "low"}),
        ("glm-5.3", "xhigh", {"reasoning_effort": "max"}),
        ("glm-5.2", "high", {"reasoning_effort": "high"}),
        ("glm-5.2", "auto", {}),
    ],
)
async def test_effort_is_in_the_words_of_the_model(provider, sent, model, effort, field):
    await provider.acompletion(model, HI, reasoning_effort=effort)
    assert sent() == {"model": model, "messages": HI} | field


@pytest.mark.parametrize("wanted", [{"logprobs": True}, {"tool_choice": "required"}])
async def test_what_cannot_be_obeyed_is_refused_before_anything_is_sent(
    provider, zai_emulator, wanted
):
    (name,) = wanted
    with pytest.raises(exceptions.UnsupportedParameterError, match=name):
        await provider.acompletion("glm-5.3", HI, **wanted)
    assert not zai_emulator.requests


@pytest.mark.parametrize(
    "wanted", [{"temprature": 1}, {"response_format": {"type": "xml"}}, {"timeout": -1}]
)
async def test_what_is_wrong_is_refused_before_anything_is_sent(provider, zai_emulator, wanted):
    with pytest.raises(exceptions.InvalidRequestError, match=next(iter(wanted))) as caught:
        await provider.acompletion("glm-5.3", HI, **wanted)
    assert not zai_emulator.requests
    assert caught.value.original_exception is caught.value.__cause__


# What comes back


@pytest.mark.parametrize(
    ("kind", "value"), [(City, City(name="Oslo", people=7)), (Place, Place(name="Oslo"))]
)
async def test_a_type_is_answered_by_its_value(provider, zai_emulator, sent, kind, value):
    zai_emulator.chat.reply('{"name": "Oslo", "people": 7}')
    answer = await provider.acompletion("glm-5.3", HI, response_format=kind)
    assert answer.choices[0].message.parsed == value
    assert sent()["response_format"] == {"type": "json_object"}
    assert '"name"' in sent()["messages"][0]["content"]


async def test_a_whole_answer(provider, zai_emulator):
    zai_emulator.chat.reply("Hello", thinking="Greet.")
    answer = await provider.acompletion("glm-5.3", HI)
    assert answer.choices[0].message.reasoning.content == "Greet."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens > 0
    assert (answer.model, answer.object) == ("glm-5.3", "chat.completion")


@pytest.mark.parametrize(
    ("reason", "told"),
    [("sensitive", "content_filter"), ("model_context_window_exceeded", "length")],
)
async def test_reasons_are_in_the_words_of_openai(provider, zai_emulator, reason, told):
    zai_emulator.chat.reply("Hello", finish_reason=reason)
    zai_emulator.chat.reply("Hello", finish_reason=reason)
    answer = await provider.acompletion("glm-5.3", HI)
    *_, last = [chunk async for chunk in await provider.acompletion("glm-5.3", HI, stream=True)]
    assert answer.choices[0].finish_reason == last.choices[0].finish_reason == told


async def test_a_stream(provider, zai_emulator):
    zai_emulator.chat.reply("Hello", thinking="Greet.", chunk_size=2)
    chunks = [chunk async for chunk in await provider.acompletion("glm-5.3", HI, stream=True)]
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Hello"
    assert "".join(delta.reasoning.content for delta in deltas if delta.reasoning) == "Greet."
    assert {(chunk.id, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, "glm-5.3", "chat.completion.chunk")
    }
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens > 0


async def test_vectors_and_pictures_and_models(provider, zai_emulator):
    vectors = await provider.aembedding("embedding-3", ["a", "b"], dimensions=256)
    assert [len(item.embedding) for item in vectors.data] == [256, 256]
    pictures = await provider.aimage_generation("glm-image", "a lighthouse")
    assert pictures.data[0].url.startswith("http")
    pictures = await provider.aimage_generation(
        "glm-image", "a lighthouse", response_format="b64_json"
    )
    assert pictures.data[0].b64_json.startswith("iVBORw")
    assert "glm-5.3" in [model.id for model in await provider.alist_models()]


# An agent


async def test_an_agent_loop(provider, zai_emulator, sent):
    called = {"name": "weather", "arguments": {"city": "Oslo"}}
    zai_emulator.chat.reply(thinking="Ask the tool.", tool_calls=[called, called])
    zai_emulator.chat.reply("It is sunny.")
    messages = [*HI]
    while True:
        answer = await provider.acompletion("glm-5.3", messages, tools=[weather])
        message = answer.choices[0].message
        if not message.tool_calls:
            break
        messages.append(message)
        for call in message.tool_calls:
            result = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    assert message.content == "It is sunny."
    said = sent()["messages"]
    assert [each["role"] for each in said] == ["user", "assistant", "tool", "tool"]
    # Preserved thinking: the platform wants its reasoning back as it was.
    assert said[1]["reasoning_content"] == "Ask the tool."
    assert said[2]["content"] == "sunny in Oslo"


async def test_an_agent_loop_that_streams(provider, zai_emulator):
    called = {"name": "weather", "arguments": {"city": "Oslo"}}
    zai_emulator.chat.reply(tool_calls=[called])
    stream = await provider.acompletion("glm-5.3", HI, tools=[weather], stream=True)
    calls = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.function.name for call in calls if call.function.name] == ["weather"]
    assert calls[0].id
    text = "".join(call.function.arguments or "" for call in calls)
    assert json.loads(text) == {"city": "Oslo"}


async def test_calls_without_an_id_are_told_apart():
    calls = [tool("{}", index=index, name="weather") for index in (0, 1)]
    zai, _ = scripted(FakeReply.stream(body([*calls, last("tool_calls")])))
    async with zai:
        stream = await ZaiAsyncProvider(client=zai).acompletion("glm-5.3", HI, stream=True)
        told = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.id for call in told if call.id] == ["call_0", "call_1"]


async def test_the_bridge_to_the_api_of_anthropic(provider, zai_emulator):
    zai_emulator.chat.reply("Hello", thinking="Greet.")
    zai_emulator.chat.reply("Hello")
    answer = await provider.amessages("glm-5.3", HI, max_tokens=50)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    events = [
        event async for event in await provider.amessages("glm-5.3", HI, max_tokens=50, stream=True)
    ]
    assert events[-1].type == "message_stop"


async def test_all_calls_share_the_limit(zai_emulator):
    zai_emulator.chat.reply("Hello", times=None)
    zai_emulator.fault(delay=0.01, times=None)
    async with client(zai_emulator.url, limits=2) as zai:
        providers = [ZaiAsyncProvider(client=zai) for _ in range(2)]

        async def ask(provider, stream):
            answer = await provider.acompletion("glm-5.3", HI, stream=stream)
            if stream:
                assert [chunk async for chunk in answer]

        async with asyncio.TaskGroup() as group:
            for provider in providers:
                for stream in (False, True) * 3:
                    group.create_task(ask(provider, stream))
    assert zai_emulator.peak_in_flight == 2


# Errors


CODES = [
    ("1000", exceptions.AuthenticationError),
    ("1113", exceptions.InsufficientFundsError),
    ("1210", exceptions.InvalidRequestError),
    ("1211", exceptions.ModelNotFoundError),
    ("1261", exceptions.ContextLengthExceededError),
    ("1301", exceptions.ContentFilterError),
    ("1302", exceptions.RateLimitError),
    ("1234", exceptions.ProviderError),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("code", "kind"), CODES)
async def test_refusals_are_those_of_any_llm(zai_emulator, code, kind, stream):
    zai_emulator.fault(code=code, times=None)
    provider = ZaiAsyncProvider(KEY, zai_emulator.url, max_retries=0)
    async with provider.client:
        with pytest.raises(exceptions.AnyLLMError) as caught:
            await provider.acompletion("glm-5.3", HI, stream=stream)
    error = caught.value
    assert type(error) is kind
    assert isinstance(error.__cause__, ZaiError)
    assert error.original_exception is error.__cause__
    assert (error.code, error.provider_name) == (code, "zai")
    assert "Canary" not in "".join(traceback.format_exception(error)) + repr(vars(error))
    # The number of retries is ours alone: any-llm makes none.
    assert len(zai_emulator.requests) == 1


async def test_a_wait_is_told(zai_emulator):
    zai_emulator.fault(code="1302", headers={"Retry-After": "7"}, times=None)
    provider = ZaiAsyncProvider(KEY, zai_emulator.url, max_retries=0)
    async with provider.client:
        with pytest.raises(exceptions.RateLimitError) as caught:
            await provider.acompletion("glm-5.3", HI)
    assert caught.value.retry_after == "7"


async def test_a_stream_that_breaks_off(provider, zai_emulator):
    zai_emulator.fault(error_in_stream="1305", after=2)
    stream = await provider.acompletion("glm-5.3", HI, stream=True)
    with pytest.raises(exceptions.AnyLLMError) as caught:
        async for _ in stream:
            pass
    assert isinstance(caught.value.__cause__, ZaiError)


async def test_options_are_those_of_the_call(provider, zai_emulator):
    zai_emulator.fault(code="1302", times=None)
    with pytest.raises(exceptions.RateLimitError):
        await provider.acompletion("glm-5.3", HI, options=CallOptions(retries=0))
    assert len(zai_emulator.requests) == 1


# Cancellation


@pytest.mark.parametrize("read", [0, 1])
async def test_a_stream_that_is_left_gives_its_permit_back(provider, zai, zai_emulator, read):
    zai_emulator.fault(silence_after=(900, math.inf))
    stream = await provider.acompletion("glm-5.3", HI, stream=True)
    for _ in range(read):
        await anext(stream)
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 1
    await stream.aclose()
    await zai_emulator.wait_disconnected()
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
    assert [chunk async for chunk in stream] == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [{"hang": True}, {"silence_after": (900, math.inf)}])
async def test_a_cancelled_call_gives_its_permit_back(provider, zai, zai_emulator, fault, stream):
    zai_emulator.fault(**fault)

    async def ask():
        answer = await provider.acompletion("glm-5.3", HI, stream=stream)
        async for _ in answer:
            pass

    task = asyncio.create_task(ask())
    await zai_emulator.wait_requests()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await zai_emulator.wait_disconnected()
    assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
