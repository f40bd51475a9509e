"""The API of OpenAI in front of the platform, judged by the package `openai`."""

import asyncio
import base64
import json
import math
from contextlib import asynccontextmanager

import aiohttp
import openai
import pydantic
import pytest
from fastapi import FastAPI

from tests import chat_wire
from tests.chat_wire import body, last, texts, thoughts
from tests.test_examples import served_by_uvicorn
from zai_async import AsyncZai, RetryPolicy, TextDelta, Timeout, ZaiError
from zai_async import errors as zai_errors
from zai_async.errors import InvalidBodyError, StreamRestartedError
from zai_async.testing import FakeReply
from zai_async.web import openai_router
from zai_async.web.asgi import send_answer
from zai_async.web.openai_stream import OpenAIEncoder
from zai_async.web.responses import refusal_of

MODELS = ["glm-5.3", "glm-5.1", "embedding-3", "cogview-4"]
USER = [{"role": "user", "content": "What is the weather in Beijing?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CHAT = {"model": "glm-5.3", "messages": USER}
JSON = "application/json"

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

# Bodies of programs, written by hand after what their sources send.
OF_OPEN_WEBUI = {
    "stream": True,
    "model": "glm-5.3",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ],
    "stream_options": {"include_usage": True},
    "metadata": {"chat_id": "1", "message_id": "2"},
    "reasoning": {"effort": "low"},
    "user": "a@b.example",
    "temperature": None,
    "function_calling": "native",
}
OF_LIBRECHAT = {
    "model": "glm-5.3",
    "user": "66f0",
    "stream": True,
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "stop": ["||>"],
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "tool_calls": [], "refusal": None},
        {"role": "user", "content": "Go on"},
    ],
}


@asynccontextmanager
async def mounted(zai, **settings):
    """Yield the address of a site that has a router in it."""
    app = FastAPI()
    app.mount("/v1", openai_router(zai, **{"models": MODELS, **settings}))
    async with served_by_uvicorn(app) as url:
        yield f"{url}/v1"


def client_of(url, key="anything"):
    return openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0)


@pytest.fixture
async def zai(zai_emulator):
    retry = RetryPolicy(retries=0)
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s", retry=retry) as zai:
        yield zai


@pytest.fixture
async def url(zai):
    async with mounted(zai) as url:
        yield url


@pytest.fixture
async def client(url):
    async with client_of(url) as client:
        yield client


@pytest.fixture
async def session(url):
    """Yield an HTTP client for what the package does not send."""
    async with aiohttp.ClientSession(f"{url}/") as session:
        yield session


def sent(emulator):
    """Return the body of the last request that reached the platform."""
    return json.loads(emulator.requests[-1].body)


# Models


async def test_models_are_listed_and_found(client):
    models = [model async for model in client.models.list()]
    assert [(each.id, each.object, each.owned_by) for each in models] == [
        (name, "model", "z-ai") for name in MODELS
    ]
    assert (await client.models.retrieve("glm-5.1")).id == "glm-5.1"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


async def test_models_tell_what_else_is_known_of_them(zai):
    known = {"z-ai/glm-5.3": {"context_length": 200_000, "owned_by": "acme"}}
    async with mounted(zai, models=known) as url, client_of(url) as client:
        model = await client.models.retrieve("z-ai/glm-5.3")
    assert (model.context_length, model.owned_by) == (200_000, "acme")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"models": []}, "list of names"),
        ({"models": "glm-5.3"}, "list of names"),
        ({"heartbeat": 0}, "heartbeat"),
    ],
)
def test_settings_are_checked(wrong, says):
    with pytest.raises(ValueError, match=says):
        openai_router(None, **{"models": MODELS, **wrong})


# Chats


async def test_answer_is_whole(zai_emulator, client):
    zai_emulator.chat.reply("hello", thinking="hm")
    answer = await client.chat.completions.create(**CHAT)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "hello")
    assert (choice.finish_reason, choice.message.refusal) == ("stop", None)
    assert choice.message.reasoning_content == "hm"
    assert (answer.object, answer.model) == ("chat.completion", "glm-5.3")
    assert answer.usage.total_tokens > answer.usage.prompt_tokens > 0
    assert answer._request_id == answer.id


async def test_answer_is_streamed(zai_emulator, client):
    zai_emulator.chat.reply("hello 你好 👋", thinking="let me see", chunk_size=3)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    chunks = [chunk async for chunk in stream]
    assert stream.response.headers["x-request-id"] == chunks[0].id
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "hello 你好 👋"
    thinking = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thinking == "let me see"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.usage for chunk in chunks} == {None}


async def test_usage_comes_in_a_chunk_of_its_own(client):
    stream = await client.chat.completions.create(
        **CHAT, stream=True, stream_options={"include_usage": True}
    )
    *chunks, end = [chunk async for chunk in stream]
    assert all(chunk.choices for chunk in chunks)
    assert end.choices == []
    assert end.usage.total_tokens > 0


@pytest.mark.parametrize("streams", [False, True])
async def test_tool_calls_go_there_and_back(client, streams):
    if streams:
        async with client.chat.completions.stream(**CHAT, tools=[WEATHER]) as stream:
            answer = await stream.get_final_completion()
    else:
        answer = await client.chat.completions.create(**CHAT, tools=[WEATHER], tool_choice="auto")
    (choice,) = answer.choices
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content in {None, ""}
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Beijing"}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    answer = await client.chat.completions.create(
        model="glm-5.3", messages=[*USER, choice.message, result], tools=[WEATHER]
    )
    assert "21 degrees" in answer.choices[0].message.content


class City(pydantic.BaseModel):
    """What `parse` shall return."""

    name: str
    people: int


@pytest.mark.parametrize("streams", [False, True])
async def test_answers_of_a_type_are_asked_for_in_the_prompt(zai_emulator, client, streams):
    zai_emulator.chat.reply('{"name": "Beijing", "people": 22}')
    asked = {**CHAT, "response_format": City}
    if streams:
        async with client.chat.completions.stream(**asked) as stream:
            answer = await stream.get_final_completion()
    else:
        answer = await client.chat.completions.parse(**asked)
    assert answer.choices[0].message.parsed == City(name="Beijing", people=22)
    body = sent(zai_emulator)
    assert body["response_format"] == {"type": "json_object"}
    assert '"people"' in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("asked", "becomes"),
    [
        ({"max_completion_tokens": 9, "max_tokens": 5}, {"max_tokens": 9}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"reasoning_effort": "medium"}, {"reasoning_effort": "high"}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        (
            {"model": "glm-5.1", "reasoning_effort": "medium"},
            {"model": "glm-5.1", "reasoning_effort": "medium"},
        ),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_object"}},
        ),
        ({"tools": [WEATHER], "tool_choice": "none"}, {}),
        ({"tools": []}, {}),
        ({"stop": "END", "n": 1, "logprobs": False, "modalities": ["text"]}, {"stop": ["END"]}),
        ({"extra_body": {"do_sample": False, "thinking": None}}, {"do_sample": False}),
        ({"user": "u", "store": True, "metadata": {"a": "b"}, "service_tier": "auto"}, {}),
        ({"stream_options": {}, "parallel_tool_calls": True}, {}),
        ({"parallel_tool_calls": False, "tools": []}, {}),
        ({"stop": "", "reasoning_effort": ""}, {}),
        ({"stop": ["", "END"]}, {"stop": ["END"]}),
        ({"stop": []}, {}),
        ({"messages": [{"role": "developer", "content": "x"}, *USER]}, {}),
    ],
)
async def test_request_is_translated(zai_emulator, client, asked, becomes):
    await client.chat.completions.create(**{**CHAT, **asked})
    body = sent(zai_emulator)
    assert [each["role"] for each in body.pop("messages")][-1:] == ["user"]
    assert body == {"model": "glm-5.3", **becomes}


async def test_answer_that_is_all_thinking_ends_by_its_length():
    alone = {"message": {"role": "assistant", "reasoning_content": "hm"}, "finish_reason": "length"}
    whole = FakeReply.json({"id": "1", "choices": [alone]})
    wire = body([*thoughts("hm"), last("length")])
    async with (
        chat_wire.client(whole, wire) as zai,
        mounted(zai) as url,
        client_of(url) as client,
    ):
        answer = await client.chat.completions.create(**CHAT)
        assert answer.choices[0].finish_reason == "length"
        stream = await client.chat.completions.create(**CHAT, stream=True)
        *_, end = [chunk async for chunk in stream]
        assert end.choices[0].finish_reason == "length"


async def test_sources_of_a_search_come_along(zai_emulator, client):
    search = {"type": "web_search", "web_search": {"enable": True, "search_result": True}}
    answer = await client.chat.completions.create(**CHAT, tools=[search])
    assert answer.web_search[0]["link"]


# Programs


@pytest.mark.parametrize("asked", [OF_OPEN_WEBUI, OF_LIBRECHAT])
async def test_bodies_of_programs_are_answered(zai_emulator, session, asked):
    headers = {"X-OpenWebUI-User-Id": "1", "Authorization": "Bearer x"}
    async with session.post("chat/completions", json=asked, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        frames = (await answer.text()).split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    assert ('"usage":' in frames[-3]) is ("stream_options" in asked)
    body = sent(zai_emulator)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body.keys() <= {"model", "messages", "stream", "temperature", "top_p", "stop"}
    assert all(each.keys() == {"role", "content"} for each in body["messages"])


OF_PROGRAMS = {
    # What a chat of Open WebUI has about itself, in the versions that leave it in the body.
    "open webui, a chat": {
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": [{"type": "text", "text": ""}, PICTURE]}],
        "user": {"id": "1", "name": "A", "email": "a@b.example", "role": "admin"},
        "chat_id": "c",
        "session_id": "s",
        "id": "m",
        "features": {"web_search": False, "image_generation": False},
        "variables": {"{{USER_NAME}}": "A"},
        "model_item": {"id": "glm-5.3", "owned_by": "openai"},
        "background_tasks": {"title_generation": True},
        "tools": [],
        **dict.fromkeys(("tool_ids", "files", "filter_ids", "tool_servers"), ()),
    },
    "open webui, a title": {
        "stream": False,
        "max_completion_tokens": 1000,
        "messages": USER,
        "metadata": {"task": "title_generation", "task_body": {"chat_id": "c"}},
    },
    "librechat, tools": {
        "stream": True,
        "messages": [
            *USER,
            {
                "role": "assistant",
                "content": [{"type": "think", "think": "hm"}, {"type": "text", "text": ""}],
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": "{}"},
                    }
                ],
            },
            {
                "role": "tool",
                "name": "get_weather",
                "tool_call_id": "c1",
                "content": [{"type": "text", "text": "sunny"}],
            },
        ],
        "tools": [WEATHER],
        "tool_choice": "auto",
        "user": "66f0",
    },
    # Everything that its settings leave open.
    "nulls": dict.fromkeys(
        (
            *("stream", "stream_options", "tools", "tool_choice", "max_tokens", "stop", "seed"),
            *("temperature", "top_p", "response_format", "user", "metadata", "logit_bias", "n"),
            *("reasoning_effort", "parallel_tool_calls", "functions", "function_call"),
        )
    )
    | {"messages": USER},
}


@pytest.mark.parametrize("name", OF_PROGRAMS)
async def test_what_programs_send_besides_is_left_out(zai_emulator, session, name):
    asked = OF_PROGRAMS[name] | {"model": "glm-5.1"}
    headers = {"Authorization": "Bearer sk-dummy"}
    async with session.post("chat/completions", json=asked, headers=headers) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        assert answer.content_type == ("text/event-stream" if asked["stream"] else JSON)
    body = sent(zai_emulator)
    assert body.keys() <= {"model", "messages", "stream", "max_tokens", "tools"}
    known = {"role", "content", "tool_calls", "tool_call_id"}
    assert all(each.keys() <= known for each in body["messages"])
    assert body.get("max_tokens") == asked.get("max_completion_tokens")


# Embeddings and images


@pytest.mark.parametrize("encoding", [openai.NOT_GIVEN, "float", "base64"])
async def test_texts_are_embedded(client, zai, encoding):
    known = await zai.embeddings.create(model="embedding-3", input=["a", "b"], dimensions=256)
    answer = await client.embeddings.create(
        model="embedding-3", input=["a", "b"], dimensions=256, encoding_format=encoding
    )
    assert (answer.object, answer.model) == ("list", "embedding-3")
    assert answer.usage.total_tokens == known.usage.total_tokens
    for item, vector in zip(answer.data, known.vectors, strict=True):
        found = item.embedding
        if isinstance(found, str):
            assert len(base64.b64decode(found)) == 4 * 256
        else:
            assert found == pytest.approx(vector, rel=1e-6)


async def test_number_that_no_float_can_hold_is_a_bad_answer():
    reply = FakeReply.json({"model": "m", "data": [{"index": 0, "embedding": [1e39]}]})
    async with (
        chat_wire.client(reply) as zai,
        mounted(zai) as url,
        client_of(url) as client,
    ):
        with pytest.raises(openai.InternalServerError, match="did not answer properly") as caught:
            await client.embeddings.create(model="embedding-3", input="a")  # in base64
    assert (caught.value.status_code, caught.value.type) == (502, "protocol")


async def test_images_are_made(zai_emulator, client):
    answer = await client.images.generate(model="cogview-4", prompt="a cat", size="1024x1024")
    assert answer.data[0].url.startswith("http")
    assert answer.created > 0
    assert sent(zai_emulator)["size"] == "1024x1024"


@pytest.mark.parametrize(
    ("quality", "becomes"), [("auto", None), ("high", "hd"), ("low", "standard"), ("hd", "hd")]
)
async def test_images_are_fetched_where_they_are_wanted_in_base64(
    zai_emulator, client, quality, becomes
):
    answer = await client.images.generate(
        model="cogview-4", prompt="auto", size="auto", quality=quality, response_format="b64_json"
    )
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")
    made = next(each for each in zai_emulator.requests if each.path.endswith("generations"))
    body = json.loads(made.body)
    assert (body["prompt"], body.get("quality")) == ("auto", becomes)
    assert "size" not in body


async def test_image_that_comes_in_base64_is_not_fetched():
    reply = FakeReply.json({"created": 5, "data": [{"b64_json": "QUJD"}]})
    async with (
        chat_wire.client(reply) as zai,
        mounted(zai) as url,
        client_of(url) as client,
    ):
        answer = await client.images.generate(
            model="cogview-4", prompt="a", response_format="b64_json"
        )
    assert (answer.data[0].b64_json, answer.created) == ("QUJD", 5)


# Errors


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("1302", (openai.RateLimitError, "throttle")),
        ("1305", (openai.InternalServerError, "overload")),
        ("1210", (openai.BadRequestError, "request")),
        ("1301", (openai.UnprocessableEntityError, "content")),
        ("1211", (openai.NotFoundError, "not_found")),
        ("1113", (openai.InternalServerError, "billing")),  # the account is not theirs
        ("1234", (openai.InternalServerError, "server")),
    ],
)
async def test_errors_of_the_platform_have_their_classes(zai_emulator, client, code, told, streams):
    error, kind = told
    zai_emulator.fault(code=code)
    with pytest.raises(error) as caught:
        await client.chat.completions.create(**CHAT, stream=streams)
    assert (caught.value.code, caught.value.type) == (code, kind)
    assert caught.value.request_id == caught.value.body["request_id"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "asked"),
    [
        ({"code": "1302"}, openai.RateLimitError, 3),
        ({"code": "1308"}, openai.RateLimitError, 1),  # used up for hours
        ({"code": "1113"}, openai.InternalServerError, 1),  # nor does a balance fill itself
        ({"code": "1000"}, openai.InternalServerError, 1),
        ({"body": b'{"choices": []}'}, openai.InternalServerError, 1),  # paid for, perhaps
        ({"code": "1210"}, openai.BadRequestError, 1),
    ],
)
async def test_clients_repeat_what_is_worth_it(
    zai_emulator, url, monkeypatch, *, fault, error, asked, streams
):
    """As they are by default: twice after any 429 and 5xx, unless they are told not to."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0)
    zai_emulator.fault(**fault, times=None)
    async with openai.AsyncOpenAI(api_key="x", base_url=url) as client:
        with pytest.raises(error):
            await client.chat.completions.create(**CHAT, stream=streams)
    assert len(zai_emulator.requests) == asked


async def test_service_that_ends_is_asked_again_elsewhere(zai, url):
    await zai.drain(0)
    async with client_of(url) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**CHAT)
    assert caught.value.status_code == 503
    assert caught.value.body["retryable"]
    assert "x-should-retry" not in caught.value.response.headers


async def test_error_amid_an_answer_is_raised():
    wire = body(texts("Half"), done=False)
    async with chat_wire.client(wire) as zai, mounted(zai) as url, client_of(url) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        with pytest.raises(openai.APIError, match="broke off") as caught:
            [chunk async for chunk in stream]
    assert caught.value.type == "stream"


@pytest.mark.parametrize("end", ["drain", "stall"])
async def test_answer_that_is_ended_here_is_raised(zai_emulator, zai, end):
    """Its reader is not left with half of it, and nothing goes on at the platform."""
    zai_emulator.chat.reply("word " * 100, chunk_size=5)
    zai_emulator.fault(silence_after=(2000, math.inf))
    patience = Timeout(between_progress=0.3 if end == "stall" else None)
    async with (
        mounted(zai.with_options(timeout=patience)) as url,
        client_of(url) as client,
        asyncio.TaskGroup() as tasks,
    ):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        assert await anext(stream)
        if end == "drain":
            tasks.create_task(zai.drain(0))
        with pytest.raises(openai.APIError) as caught:
            [chunk async for chunk in stream]
    assert caught.value.type == {"drain": "config", "stall": "timeout"}[end]
    await zai_emulator.wait_disconnected()
    assert {each.in_flight for each in zai.limits.snapshot().values()} == {0}


def every_error():
    """Return an error of each class, with what nobody else may read."""
    for name in zai_errors.__all__:
        kind = getattr(zai_errors, name)
        if isinstance(kind, type) and issubclass(kind, ZaiError) and kind is not InvalidBodyError:
            own = {"old_id": "1", "new_id": "2"} if kind is StreamRestartedError else {}
            yield kind("acme owes", hint="call acme", code="1", request_id="r-1", **own)


# By the status: what a client of OpenAI makes of it.
CLASSES = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


@pytest.mark.parametrize("amid", [False, True], ids=["instead", "amid"])
async def test_every_error_is_one_for_clients(amid):
    failing = []

    async def app(scope, receive, send):
        if amid:
            encoder = OpenAIEncoder("glm-5.3")
            half = encoder.encode(TextDelta("Half")) + encoder.fail(failing[-1])
            await send_answer(send, 200, {"Content-Type": "text/event-stream"}, half)
        else:
            status, headers, content = refusal_of(failing[-1], OpenAIEncoder(), as_json=False)
            await send_answer(send, status, headers, content)

    async with served_by_uvicorn(app) as url, client_of(url) as client:

        async def read(said):
            async for chunk in await client.chat.completions.create(**CHAT, stream=True):
                said.append(chunk.choices[0].delta.content)

        for failed in every_error():
            failing.append(failed)
            said = []
            with pytest.raises(openai.APIError) as caught:
                await read(said)
            error, answer = caught.value, failed.to_http()
            assert said == (["", "Half"] if amid else [])
            assert (error.type, error.code) == (failed.kind, "1")
            assert answer.message in error.message
            assert "acme" not in f"{error} {error.body}"
            if not amid:
                assert error.status_code == answer.status
                assert type(error) is CLASSES.get(answer.status, openai.InternalServerError)
    assert len(failing) > 40


REFUSED = [
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"tools": [WEATHER], "parallel_tool_calls": False}, "parallel_tool_calls"),
    ({"messages": [*USER, {"role": "tool", "content": [PICTURE]}]}, "messages[1]"),
    ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "function", "content": "Hi"}]}, "messages[0].role"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        "response_format.json_schema.schema",
    ),
    ({"response_format": {"type": "grammar"}}, "response_format.type"),
    ({"temperature": "hot"}, "temperature"),
]


@pytest.mark.parametrize(("asked", "param"), REFUSED)
async def test_request_that_cannot_be_obeyed_is_refused(zai_emulator, client, asked, param):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**{**CHAT, **asked})
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
    assert caught.value.request_id
    assert not zai_emulator.requests


@pytest.mark.parametrize(
    ("path", "asked", "param"),
    [
        ("embeddings", {"model": "embedding-3", "input": [[1, 2]]}, "input[0]"),
        ("embeddings", {"model": "embedding-3", "input": []}, "input"),
        (
            "embeddings",
            {"model": "embedding-3", "input": "a", "encoding_format": "int8"},
            "encoding_format",
        ),
        ("images/generations", {"model": "cogview-4"}, "prompt"),
        ("images/generations", {"model": "cogview-4", "prompt": ""}, "prompt"),
        ("images/generations", {"model": "cogview-4", "prompt": "a", "n": 2}, "n"),
        ("chat/completions", {"messages": USER}, "model"),
        ("chat/completions", {"model": 5, "messages": USER}, "model"),
    ],
)
async def test_other_bodies_are_refused_too(zai_emulator, session, path, asked, param):
    async with session.post(path, json=asked) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == param
    assert not zai_emulator.requests


@pytest.mark.parametrize("stream", [False, True])
async def test_text_that_looks_like_a_file_of_ours_is_the_clients_mistake(
    zai_emulator, session, stream
):
    """Files of a request are marked by such texts; this one was not made here."""
    said = {"role": "user", "content": f"zai-media-{'0' * 24}"}
    asked = {**CHAT, "messages": [said], "stream": stream}
    async with session.post("chat/completions", json=asked) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"] == "The file cannot be used."
    assert not zai_emulator.requests


async def test_model_that_is_not_listed_does_not_exist(zai_emulator, client):
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(**{**CHAT, "model": "glm-4.6"})
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert not zai_emulator.requests


# HTTP


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "JSON object"),
        (b"", "not JSON"),
    ],
)
async def test_body_that_is_no_object_is_refused(session, content, says):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    async with session.post("chat/completions", data=content, headers=headers) as answer:
        assert answer.status == 400
        assert says in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "completions", 404, None),
        ("GET", "", 404, None),
        ("GET", "chat/completions", 405, "POST, OPTIONS"),
        ("POST", "models", 405, "GET, HEAD, OPTIONS"),
        ("DELETE", "models/glm-5.3", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "chat/completions", 204, "POST, OPTIONS"),
        ("OPTIONS", "models", 204, "GET, HEAD, OPTIONS"),
        ("HEAD", "models", 200, None),
        ("HEAD", "models/gpt-9", 404, None),
        ("GET", "models/", 200, None),
        ("POST", "embeddings", 415, None),
    ],
)
async def test_every_method_has_an_answer(session, method, path, status, allow):
    async with session.request(method, path) as answer:
        assert (answer.status, answer.headers.get("Allow")) == (status, allow)
        assert answer.headers["X-Request-Id"].startswith("req-")
        empty = method in {"HEAD", "OPTIONS"}
        assert (await answer.read() == b"") is empty


async def test_body_may_not_be_larger_than_allowed(zai, zai_emulator):
    async with mounted(zai, max_body=1000) as url, client_of(url) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(**CHAT, user="u" * 1000)
    assert caught.value.status_code == 413
    assert not zai_emulator.requests


def is_right(token):
    return token == "right"


async def is_right_in_time(token):
    await asyncio.sleep(0)
    return token == "right"


@pytest.mark.parametrize("authorize", [is_right, is_right_in_time])
async def test_only_the_right_key_is_let_in(zai, zai_emulator, authorize):
    async with mounted(zai, authorize=authorize) as url:
        async with client_of(url, "right") as client:
            await client.models.list()
            await client.chat.completions.create(**CHAT)
        seen = len(zai_emulator.requests)
        async with client_of(url, "wrong-secret") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(**CHAT)
            assert caught.value.code == "invalid_api_key"
            assert "wrong-secret" not in str(caught.value)
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic right"}):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{url}/models", headers=headers) as answer,
            ):
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert len(zai_emulator.requests) == seen


# Readers who leave


def scope_of(path, headers=((b"content-type", b"application/json"),)):
    return {"type": "http", "method": "POST", "path": path, "headers": list(headers)}


@pytest.mark.parametrize("streams", [False, True])
async def test_reader_who_leaves_stops_the_platform(zai, zai_emulator, streams):
    zai_emulator.fault(delay=60)
    messages, sent = asyncio.Queue(), []
    content = json.dumps({**CHAT, "stream": streams}).encode()
    messages.put_nowait({"type": "http.request", "body": content[:9], "more_body": True})
    messages.put_nowait({"type": "http.request", "body": content[9:]})

    async def send(message):
        sent.append(message)

    router = openai_router(zai, models=MODELS)
    serving = asyncio.ensure_future(router(scope_of("/chat/completions"), messages.get, send))
    while not zai_emulator.requests:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.005)
    messages.put_nowait({"type": "http.disconnect"})
    await serving
    assert sent == []
    await zai_emulator.wait_disconnected(timeout=100)
    assert not any(window.in_flight for window in zai.limits.snapshot().values())


async def test_reader_who_leaves_amid_the_body_is_not_answered(zai, zai_emulator):
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive():
        return next(messages, {"type": "http.disconnect"})

    async def send(message):
        raise AssertionError(message)

    router = openai_router(zai, models=MODELS)
    await router(scope_of("/chat/completions"), receive, send)
    assert not zai_emulator.requests


async def test_what_is_not_http_is_passed_over(zai):
    await openai_router(zai, models=MODELS)({"type": "lifespan"}, None, None)
