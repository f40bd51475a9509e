"""Proof that the emulator is faithful: other people's clients work with it, unchanged."""

import warnings

import pytest

from zai_async.testing import Emulator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # these packages warn at import; it is not ours to mend
    import openai
    import zai
    import zai.core

USER = [{"role": "user", "content": "What is the weather in Beijing?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


# The package `openai`, asynchronous


@pytest.fixture
async def client(emulator):
    async with openai.AsyncOpenAI(
        api_key="key.secret", base_url=emulator.url, max_retries=0
    ) as client:
        yield client


async def test_openai_gets_a_whole_answer(emulator, client):
    emulator.chat.reply("hello", thinking="hm")
    answer = await client.chat.completions.create(model="glm-5.3", messages=USER)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("hello", "stop")
    assert choice.message.reasoning_content == "hm"
    assert answer.object == "chat.completion"
    assert answer.usage.total_tokens > answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1


async def test_openai_streams_reasoning_and_text(emulator, client):
    emulator.chat.reply("hello 你好 👋", thinking="let me see", chunk_size=3)
    stream = await client.chat.completions.create(model="glm-5.3", messages=USER, stream=True)
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thinking = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thinking == "let me see"
    assert "".join(delta.content or "" for delta in deltas) == "hello 你好 👋"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 3


async def test_openai_gets_tool_calls_and_sends_the_result_back(client):
    answer = await client.chat.completions.create(model="glm-5.3", messages=USER, tools=[WEATHER])
    message = answer.choices[0].message
    (call,) = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Beijing"}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    answer = await client.chat.completions.create(
        model="glm-5.3", messages=[*USER, message, result], tools=[WEATHER]
    )
    assert "21 degrees" in answer.choices[0].message.content


@pytest.mark.parametrize("tool_stream", [True, False])
async def test_openai_accumulates_streamed_tool_calls(client, tool_stream):
    async with client.chat.completions.stream(
        model="glm-5.3",
        messages=USER,
        tools=[WEATHER],
        extra_body={"tool_stream": tool_stream},
    ) as stream:
        completion = await stream.get_final_completion()
    (call,) = completion.choices[0].message.tool_calls
    assert call.function.arguments == '{"city": "Beijing"}'
    assert completion.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("1000", openai.AuthenticationError),
        ("1220", openai.PermissionDeniedError),
        ("1302", openai.RateLimitError),
        ("1211", openai.BadRequestError),
        ("1234", openai.InternalServerError),
    ],
)
async def test_openai_maps_errors_and_finds_their_code(emulator, client, code, error):
    emulator.fault(code=code)
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model="glm-5.3", messages=USER)
    assert caught.value.code == code


async def test_openai_retries_what_the_emulator_refuses_once(emulator, client):
    emulator.fault(code="1302", headers={"Retry-After-Ms": "1"})
    answer = await client.with_options(max_retries=1).chat.completions.create(
        model="glm-5.3", messages=USER
    )
    assert answer.choices[0].message.content
    assert [request.status for request in emulator.requests] == [429, 200]


async def test_openai_sees_an_error_in_a_stream(emulator, client):
    emulator.fault(error_in_stream="1234", after=2)
    stream = await client.chat.completions.create(model="glm-5.3", messages=USER, stream=True)
    chunks = aiter(stream)
    assert [(await anext(chunks)).choices[0].delta.role for _ in range(2)] == ["assistant"] * 2
    with pytest.raises(openai.APIError) as caught:
        await anext(chunks)
    assert caught.value.code == "1234"


async def test_openai_lists_the_models(client):
    assert "glm-5.3" in [model.id async for model in client.models.list()]


# The package `zai-sdk`, synchronous


@pytest.fixture
def official(emulator):
    client = zai.ZaiClient(api_key="key.secret", base_url=emulator.url, max_retries=0)
    yield client
    client.close()


def test_the_official_package_gets_a_whole_answer(emulator, official):
    emulator.chat.reply("hello", thinking="hm")
    answer = official.chat.completions.create(model="glm-5.3", messages=USER)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("hello", "stop")
    assert choice.message.reasoning_content == "hm"
    assert answer.id == answer.request_id
    assert answer.usage.total_tokens > 0


def test_the_official_package_streams(emulator, official):
    emulator.chat.reply("hello 你好 👋", thinking="let me see", chunk_size=3)
    chunks = list(official.chat.completions.create(model="glm-5.3", messages=USER, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.reasoning_content or "" for delta in deltas) == "let me see"
    assert "".join(delta.content or "" for delta in deltas) == "hello 你好 👋"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("tool_stream", [True, False])
def test_the_official_package_streams_tool_calls(official, tool_stream):
    stream = official.chat.completions.create(
        model="glm-5.3", messages=USER, tools=[WEATHER], stream=True, tool_stream=tool_stream
    )
    parts = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
    assert parts[0].function.name == "get_weather"
    assert "".join(part.function.arguments for part in parts) == '{"city": "Beijing"}'
    assert (len(parts) > 1) is tool_stream


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("1000", zai.core.APIAuthenticationError),
        ("1302", zai.core.APIReachLimitError),
        ("1210", zai.core.APIRequestFailedError),
        ("1234", zai.core.APIInternalError),
    ],
)
def test_the_official_package_maps_errors(emulator, official, code, error):
    emulator.fault(code=code, message="so it is")
    with pytest.raises(error, match=f"{code}.*so it is"):
        official.chat.completions.create(model="glm-5.3", messages=USER)
