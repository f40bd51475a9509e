"""The emulator speaks the platform's contract; every answer is read from a real socket."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zai_async.testing
from tests.emulator_wire import wire
from zai_async.testing import MODELS, Emulator, RecordedRequest
from zai_async.testing.emulator.author import find_schema
from zai_async.testing.emulator.prose import tokens
from zai_async.testing.emulator.schema_values import sample

ROOT = Path(__file__).parent.parent
HELLO = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hello there"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}


@dataclass
class Answer:
    status: int
    headers: dict
    text: str

    @property
    def body(self):
        return json.loads(self.text)

    @property
    def error(self):
        return self.status, self.body["error"]["code"]

    @property
    def choice(self):
        return self.body["choices"][0]

    @property
    def message(self):
        return self.choice["message"]

    @property
    def chunks(self):
        lines = self.text.split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]

    @property
    def deltas(self):
        return [chunk["choices"][0]["delta"] for chunk in self.chunks]

    def joined(self, key):
        return "".join(delta.get(key, "") for delta in self.deltas)


@dataclass
class Client:
    session: aiohttp.ClientSession
    url: str
    headers: dict = field(default_factory=lambda: {"Authorization": "Bearer test.key"})

    async def request(self, method, url, **options):
        async with self.session.request(method, url, headers=self.headers, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def chat(self, body=HELLO, **changes):
        return await self.request("POST", f"{self.url}/chat/completions", json=body | changes)


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with aiohttp.ClientSession() as session:
        yield Client(session, emulator.url)


def user(text):
    return [{"role": "user", "content": text}]


# Answers


async def test_a_whole_answer_has_the_documented_shape(emulator, client):
    emulator.chat.reply("hello", thinking="hm")
    answer = await client.chat(request_id="mine-1234")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    body = answer.body
    assert re.fullmatch(r"\d{14}[0-9a-f]{16}", body["id"])
    assert answer.headers["X-Log-Id"] == body["id"]
    assert body.pop("created") > 1_700_000_000
    usage = body.pop("usage")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 1}
    message = {"content": "hello", "role": "assistant", "reasoning_content": "hm"}
    assert body == {
        "choices": [{"finish_reason": "stop", "index": 0, "message": message}],
        "id": answer.headers["X-Log-Id"],
        "model": "glm-5.2",
        "object": "chat.completion",
        "request_id": "mine-1234",
    }


async def test_the_request_id_is_the_servers_unless_sent(client):
    answer = await client.chat()
    assert answer.body["request_id"] == answer.body["id"]


async def test_a_stream_is_reasoning_then_text_then_a_final_chunk_with_usage(emulator, client):
    emulator.chat.reply("hello 你好", thinking="let me see", chunk_size=3)
    answer = await client.chat(stream=True)
    assert answer.headers["Content-Type"] == "text/event-stream;charset=UTF-8"
    assert [delta.get("reasoning_content") for delta in answer.deltas][:4] == [
        "let",
        " me",
        " se",
        "e",
    ]
    assert answer.joined("content") == "hello 你好"
    *others, final = answer.chunks
    assert all("finish_reason" not in chunk["choices"][0] for chunk in others)
    assert all("usage" not in chunk for chunk in others)
    assert final["choices"] == [
        {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}
    ]
    assert final["usage"]["completion_tokens"] == 6
    assert {chunk["id"] for chunk in answer.chunks} == {answer.headers["X-Log-Id"]}
    assert {chunk["object"] for chunk in answer.chunks} == {"chat.completion.chunk"}


async def test_a_tool_call_comes_whole_without_tool_stream(emulator, client):
    emulator.chat.reply(tool_calls=[{"name": "f", "arguments": {"a": "ä"}, "id": "call_1"}])
    (call,) = (await client.chat(stream=True)).deltas[0]["tool_calls"]
    function = {"name": "f", "arguments": '{"a": "ä"}'}
    assert call == {"id": "call_1", "index": 0, "type": "function", "function": function}


async def test_tool_calls_come_in_fragments_with_tool_stream(emulator, client):
    emulator.chat.reply(tool_calls=[{"name": "f", "arguments": '{"a":1}'}, {"name": "g"}])
    answer = await client.chat(stream=True, tool_stream=True)
    parts = [delta["tool_calls"][0] for delta in answer.deltas[:-1]]
    first, *rest = [part for part in parts if part["index"] == 0]
    assert re.fullmatch(r"call_[0-9a-f]{24}", first["id"])
    assert first["function"] == {"name": "f", "arguments": ""}
    assert all(part.keys() == {"index", "function"} for part in rest)
    assert "".join(part["function"]["arguments"] for part in rest) == '{"a":1}'
    assert [part for part in parts if part["index"] == 1][-1]["function"] == {"arguments": "}"}
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_older_models_ignore_tool_stream(client):
    answer = await client.chat(model="glm-4.5", stream=True, tool_stream=True, tools=[TIME])
    assert sum("tool_calls" in delta for delta in answer.deltas) == 1


async def test_a_whole_answer_carries_its_tool_calls_with_text_arguments(emulator, client):
    emulator.chat.reply("Let me look.", tool_calls=[{"name": "f"}])
    answer = await client.chat()
    assert answer.choice["finish_reason"] == "tool_calls"
    assert answer.message["content"] == "Let me look."
    assert answer.message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


async def test_replies_are_used_in_order_and_as_often_as_told(emulator, client):
    emulator.chat.reply("one", times=2)
    emulator.chat.reply("two", match=lambda body: body["model"] == "glm-4.6")
    emulator.chat.reply("three", times=None, model="GLM-X")
    contents = [(await client.chat()).message["content"] for _ in range(3)]
    assert contents == ["one", "one", "three"]
    assert (await client.chat(model="glm-4.6")).message["content"] == "two"
    assert (await client.chat(model="glm-4.6")).body["model"] == "GLM-X"


@pytest.mark.parametrize("stream", [True, False])
async def test_usage_sources_and_filters_can_be_scripted(emulator, client, stream):
    emulator.chat.reply("x", usage=None, finish_reason="sensitive", web_search=[{"refer": "ref_1"}])
    answer = await client.chat(stream=stream)
    last = answer.chunks[-1] if stream else answer.body
    assert "usage" not in last
    assert last["choices"][0]["finish_reason"] == "sensitive"
    assert last["content_filter"] == [{"role": "assistant", "level": 1}]
    assert last["web_search"] == [{"refer": "ref_1"}]


async def test_scripted_usage_is_sent_as_it_is(emulator, client):
    emulator.chat.reply("x", usage={"total_tokens": 5})
    assert (await client.chat()).body["usage"] == {"total_tokens": 5}


@pytest.mark.parametrize(("sequence", "place"), [("before", 0), ("after", -1)])
async def test_sources_come_first_or_last(client, sequence, place):
    search = {"enable": True, "search_result": True, "result_sequence": sequence}
    tools = [{"type": "web_search", "web_search": search}]
    chunks = (await client.chat(stream=True, tools=tools)).chunks
    assert [source["refer"] for source in chunks[place]["web_search"]] == ["ref_1", "ref_2"]
    assert sum("web_search" in chunk for chunk in chunks) == 1


async def test_no_sources_without_search_result(client):
    tools = [{"type": "web_search", "web_search": {"enable": True}}]
    assert "web_search" not in (await client.chat(tools=tools)).body


# What it writes by itself


async def test_the_same_seed_and_prompt_give_the_same_answer(client):
    async with Emulator(seed=1) as twin, Emulator(seed=2) as other:
        first = await client.chat()
        client.url = twin.url
        changed = await client.chat()
        assert changed.message == (await client.chat()).message
        client.url = other.url
        assert len({first.text, changed.text, (await client.chat()).text}) == 3


async def test_a_stream_says_the_same_as_a_whole_answer(client):
    whole, stream = await client.chat(), await client.chat(stream=True)
    assert stream.joined("content") == whole.message["content"]
    assert stream.joined("reasoning_content") == whole.message["reasoning_content"]
    assert stream.chunks[-1]["usage"] == whole.body["usage"] | {
        "prompt_tokens": stream.chunks[-1]["usage"]["prompt_tokens"],
        "total_tokens": stream.chunks[-1]["usage"]["total_tokens"],
    }


async def test_it_writes_code_and_chinese_when_asked(client):
    english = await client.chat(messages=user("Show me a Python function"))
    chinese = await client.chat(messages=user("请说明一下流式输出 " * 20))
    assert "```python" in english.message["content"]
    assert re.search("[一-鿿]", chinese.message["content"])
    assert "请说明" in chinese.message["reasoning_content"]


async def test_content_parts_are_read_as_one_prompt(client):
    image = {"type": "image_url", "image_url": {"url": "AAAA"}}
    parts = [image, {"type": "text", "text": "What is this?"}]
    answer = await client.chat(model="glm-4.6v", messages=user(parts))
    assert "> What is this?" in answer.message["content"]


async def test_max_tokens_counts_reasoning_and_ends_with_length(client):
    whole = (await client.chat()).body["usage"]
    reasoning = whole["completion_tokens_details"]["reasoning_tokens"]
    answer = await client.chat(max_tokens=reasoning + 4)
    assert answer.choice["finish_reason"] == "length"
    assert len(tokens(answer.message["content"])) == 4
    short = await client.chat(max_tokens=2)
    assert short.message["content"] == ""
    assert short.body["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("stop", ["there", ["never seen", "there"]])
async def test_stop_words_end_the_text(client, stop):
    assert (await client.chat(stop=stop)).message["content"].endswith("> Hello ")


@pytest.mark.parametrize(
    "switch",
    [
        {"thinking": {"type": "disabled"}},
        {"reasoning_effort": "none"},
        {"model": "glm-4-32b-0414-128k"},
    ],
)
async def test_reasoning_can_be_switched_off(client, switch):
    answer = await client.chat(**switch)
    assert "reasoning_content" not in answer.message
    assert (await client.chat(**switch, max_tokens=1)).choice["finish_reason"] == "length"


async def test_it_calls_the_function_the_prompt_is_about(client):
    asked = user("What is the weather in Beijing?")
    answer = await client.chat(messages=asked, tools=[TIME, WEATHER])
    (call,) = answer.message["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Beijing", "days": 1}
    other = await client.chat(tools=[TIME, WEATHER])
    assert other.message["tool_calls"][0]["function"] == {"name": "get_time", "arguments": "{}"}


async def test_it_answers_after_a_tool_result(client):
    messages = [
        *user("Weather?"),
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "content": "21 degrees", "tool_call_id": "call_1"},
    ]
    answer = await client.chat(messages=messages, tools=[WEATHER])
    assert "21 degrees" in answer.message["content"]
    messages[0] = user("天气怎么样")[0]
    assert "根据工具" in (await client.chat(messages=messages)).message["content"]
    assert "21" in (await client.chat(messages=messages[1:])).message["content"]


async def test_tool_choice_none_is_obeyed(client):
    assert "tool_calls" not in (await client.chat(tools=[TIME], tool_choice="none")).message


async def test_json_mode_gives_json_and_follows_a_schema_in_the_prompt(client):
    wish = {"response_format": {"type": "json_object"}}
    free = json.loads((await client.chat(**wish)).message["content"])
    assert free["topic"] == "Hello there"
    schema = {"properties": {"celsius": {"type": "number"}}}
    text = f"Answer {{with}} this schema: {json.dumps(schema)}"
    bound = await client.chat(**wish, messages=user(text))
    assert json.loads(bound.message["content"]) == {"celsius": 21.5}
    plain = await client.chat(response_format={"type": "text"})
    assert "> Hello there" in plain.message["content"]


# Refusals


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": None}, "1214"),
        ({"model": "gpt-4"}, "1211"),
        ({"model": "cogvideox-3"}, "1212"),
        ({"messages": []}, "1214"),
        ({"messages": "Hello"}, "1214"),
        ({"messages": [{"role": "system", "content": "x"}]}, "1214"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "1214"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "1214"),
        ({"messages": [{"role": "user"}]}, "1214"),
        ({"messages": user(3)}, "1214"),
        ({"temperature": 1.1}, "1210"),
        ({"temperature": -0.1}, "1210"),
        ({"temperature": "hot"}, "1210"),
        ({"top_p": 0}, "1210"),
        ({"top_p": 1.5}, "1210"),
        ({"max_tokens": 0}, "1210"),
        ({"max_tokens": 131_073}, "1210"),
        ({"max_tokens": "many"}, "1210"),
        ({"thinking": {"type": "perhaps"}}, "1210"),
        ({"reasoning_effort": "huge"}, "1210"),
        ({"tools": [TIME] * 129}, "1210"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "1210"),
        ({"response_format": "json"}, "1210"),
        ({"model": "glm-5.3", "thinking": {"type": "disabled"}}, "1210"),
        ({"model": "glm-5.3", "reasoning_effort": "medium"}, "1210"),
        ({"model": "glm-5.3-flash", "reasoning_effort": "none"}, "1210"),
    ],
)
async def test_illegal_parameters_are_refused(client, changes, code):
    answer = await client.chat(**changes)
    assert answer.error == (400, code)
    assert answer.body["error"]["message"]


@pytest.mark.parametrize("name", ["model", "messages"])
async def test_a_missing_parameter_is_named(client, name):
    answer = await client.chat({key: value for key, value in HELLO.items() if key != name})
    assert answer.error == (400, "1213")
    assert name in answer.body["error"]["message"]


async def test_the_cap_on_max_tokens_is_named(client):
    answer = await client.chat(model="glm-4.5v", max_tokens=20_000)
    assert "[1,16384]" in answer.body["error"]["message"]


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"model": "\xff"}'])
async def test_a_body_that_is_no_json_object_is_refused(emulator, client, data):
    answer = await client.request("POST", f"{client.url}/chat/completions", data=data)
    assert answer.error == (400, "1210")
    assert not emulator.requests[0].streams


@pytest.mark.parametrize(
    "changes",
    [
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"store": True, "strict": 3},
        {"temperature": None, "tools": None, "thinking": None},
        {"model": "GLM-5.2"},
        {"model": "glm-5.3", "reasoning_effort": "low", "thinking": {"clear_thinking": False}},
        {"model": "glm-4.6", "reasoning_effort": "huge"},
    ],
)
async def test_what_the_platform_tolerates_is_tolerated(client, changes):
    assert (await client.chat(**changes)).status == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "1001"),
        ({"Authorization": "Bearer "}, "1000"),
        ({"Authorization": "Bearer"}, "1000"),
        ({"Authorization": "Basic abc"}, "1000"),
        ({"Authorization": "Bearer bad.key"}, "1000"),
    ],
)
async def test_bad_keys_are_refused_before_anything_else(client, headers, code):
    client.headers = headers
    assert (await client.chat(model="gpt-4")).error == (401, code)


async def test_one_key_can_be_the_only_one():
    async with Emulator(api_key="bad.but.mine") as emulator, aiohttp.ClientSession() as session:
        client = Client(session, emulator.url)
        assert (await client.chat()).error == (401, "1000")
        client.headers = {"Authorization": "Bearer bad.but.mine"}
        assert (await client.chat()).status == 200


@pytest.mark.parametrize("path", ["/chat", "/chat/completions/x", "/v1/agents"])
async def test_a_wrong_path_is_answered_like_the_platform_does(client, path):
    answer = await client.request("POST", client.url + path, json=HELLO)
    assert answer.status == 200
    assert answer.body == {"code": 500, "msg": "404 NOT_FOUND", "success": False}
    wrong_method = await client.request("GET", f"{client.url}/chat/completions")
    assert wrong_method.body["success"] is False


@pytest.mark.parametrize("base", ["paas/v4", "coding/paas/v4"])
async def test_both_bases_answer_chats_and_models(emulator, client, base):
    client.url = f"{emulator.root_url}/{base}"
    assert (await client.chat()).status == 200
    models = (await client.request("GET", f"{client.url}/models")).body
    assert models["object"] == "list"
    assert {"glm-5.3", "glm-4.5-air"} <= {model["id"] for model in models["data"]}
    assert models["data"][0].keys() == {"id", "object", "created", "owned_by"}


def test_the_catalogue_is_read_only():
    assert MODELS["glm-5.3"].max_output == 131_072
    with pytest.raises(TypeError):
        MODELS["mine"] = MODELS["glm-5.3"]


# Figures and waiting


async def test_requests_are_recorded_without_showing_the_key(emulator, client):
    await client.request("POST", f"{client.url}/chat/completions?debug=1", json=HELLO)
    (request,) = emulator.requests
    assert isinstance(request, RecordedRequest)
    assert (request.method, request.path) == ("POST", "/api/paas/v4/chat/completions")
    assert request.operation == "chat.completions"
    assert request.query == {"debug": "1"}
    assert request.json == HELLO
    assert request.headers["authorization"] == "Bearer test.key"
    assert request.received_at <= request.finished_at
    assert request.disconnected_at is None
    assert request.status == 200
    assert "test.key" not in repr(request)
    assert "'***'" in repr(request)


async def test_repr_tells_what_became_of_a_request(emulator, client):
    client.headers = {}
    emulator.fault(hang=True)
    task = asyncio.create_task(client.chat())
    await emulator.wait_requests()
    assert " None " in repr(emulator.requests[0])
    task.cancel()
    await emulator.wait_disconnected()
    assert " disconnected " in repr(emulator.requests[0])


async def test_connections_and_requests_are_counted(emulator, client):
    await client.chat()
    await client.chat()
    assert [request.reused for request in emulator.requests] == [False, True]
    assert emulator.connections == emulator.open_connections == 1
    emulator.fault(hang=True, times=2)
    tasks = [asyncio.create_task(client.chat()) for _ in range(2)]
    await emulator.wait_until(lambda: emulator.in_flight == 2)
    assert emulator.peak_in_flight == emulator.connections == 2
    assert {request.connection for request in emulator.requests} == {1, 2}
    for task in tasks:
        task.cancel()
    await emulator.wait_disconnected(2)
    await emulator.wait_closed()
    assert emulator.in_flight == emulator.open_connections == 0


async def test_a_client_that_leaves_is_noticed_at_once(emulator, client):
    emulator.fault(silence_after=(10, 60))
    task = asyncio.create_task(client.chat(stream=True))
    await emulator.wait_requests()
    left = asyncio.get_running_loop().time()
    task.cancel()
    await emulator.wait_disconnected()
    assert left <= emulator.requests[0].disconnected_at < left + 5
    assert emulator.requests[0].finished_at is None


async def test_waiting_in_vain_says_for_what(emulator):
    with pytest.raises(TimeoutError, match=r"2 request\(s\): not seen within 0.01 s"):
        await emulator.wait_requests(2, timeout=0.01)
    waiting = emulator.wait_disconnected(timeout=0.01)
    with pytest.raises(TimeoutError, match=r"1 disconnection\(s\)"):
        await asyncio.to_thread(waiting.result)


async def test_reset_forgets_everything_and_resets_connections(emulator, client):
    emulator.chat.reply("old", times=None)
    emulator.fault(status=500, times=None)
    await client.chat()
    old = emulator.requests
    emulator.reset()
    await emulator.wait_closed()
    assert (await client.chat()).message["content"] != "old"
    assert len(emulator.requests) == emulator.connections == 1
    assert old[0].disconnected_at is None
    emulator.reset()
    emulator.reset()  # while the connection is still on its way out
    await emulator.wait_closed()


async def test_a_client_may_be_gone_before_the_first_byte(emulator, client):
    emulator.chat.reply("never read", match=lambda _: emulator.reset() is None)
    with pytest.raises(aiohttp.ClientError):
        await client.chat()
    assert emulator.requests == []


async def test_stopping_leaves_nothing_even_with_hanging_requests(client):
    async with Emulator() as emulator:
        emulator.fault(hang=True)
        client.url = emulator.url
        task = asyncio.create_task(client.chat())
        await emulator.wait_requests()
    with pytest.raises(aiohttp.ClientError):
        await task
    assert emulator.requests[0].disconnected_at is None
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url


async def test_it_can_be_started_again(client):
    emulator = Emulator()
    for _ in range(2):
        async with emulator:
            client.url = emulator.url
            assert (await client.chat()).status == 200


# Other threads, other loops


def post(url):
    headers = {"Authorization": "Bearer k", "Connection": "close"}
    with urlopen(Request(f"{url}/chat/completions", json.dumps(HELLO).encode(), headers)) as reply:
        return json.loads(reply.read())["choices"][0]["message"]["content"]


def test_it_serves_from_a_thread_of_its_own():
    before = threading.active_count()
    with Emulator() as emulator:
        emulator.chat.reply("from a thread")
        assert post(emulator.url) == "from a thread"
        emulator.wait_until(lambda: not emulator.in_flight).result()
        emulator.reset()
        assert emulator.requests == []
        assert emulator.open_connections == 0
    assert threading.active_count() == before


@pytest.fixture
def threaded():
    with Emulator() as emulator:
        yield emulator


async def test_a_loop_can_wait_for_an_emulator_in_a_thread(threaded):
    asking = asyncio.create_task(asyncio.to_thread(post, threaded.url))
    await threaded.wait_requests()
    assert await asking


def test_a_port_that_is_taken_is_reported():
    with Emulator() as first:
        port = int(first.url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="address already in use"), Emulator(port=port):
            pytest.fail("two emulators on one port")


async def test_figures_after_the_end():
    emulator = Emulator()
    assert (emulator.open_connections, emulator.requests) == (0, [])
    async with emulator, wire(emulator) as client:
        await client.get("/paas/v4/models")
    assert (emulator.open_connections, len(emulator.requests)) == (0, 1)
    await emulator.wait_closed()
    emulator.reset()
    async with emulator:  # and again
        assert emulator.url
    with pytest.raises(RuntimeError, match="is not running"):
        _ = emulator.url


# Pace


async def test_pace_spreads_the_tokens_over_time(client):
    async with Emulator(pace=0.05) as emulator:
        client.url = emulator.url
        emulator.chat.reply("one two three")
        body = HELLO | {"stream": True}
        url = f"{emulator.url}/chat/completions"
        async with client.session.post(url, json=body, headers=client.headers) as response:
            reads = [data async for data in response.content.iter_any()]
        assert len(reads) == 5
        assert (await client.chat()).status == 200


# Small parts


@given(st.text())
def test_tokens_join_back_to_the_text(text):
    assert "".join(tokens(text)) == text


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "enum": ["a", "b"]}, "a"),
        ({"const": 0}, 0),
        ({"type": "integer", "default": 7}, 7),
        ({"type": "string", "examples": ["x"]}, "x"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "boolean"}, True),
        ({"type": ["null", "boolean"]}, True),
        ({"type": ["null"]}, None),
        ({"type": "null"}, None),
        ({"anyOf": [{"type": "null"}, {"type": "number"}]}, 21.5),
        ({"oneOf": [{"type": "null"}]}, None),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "string", "format": "date"}, "2026-10-09"),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "object"}, {}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}, True),
        ({"$ref": "#/nowhere/at/all"}, "text"),
        (True, "text"),
    ],
)
def test_samples_satisfy_their_schema(schema, value):
    assert sample(schema) == value


def test_a_recursive_schema_ends():
    value = sample({"properties": {"next": {"$ref": "#"}}})
    assert value["next"]["next"]
    assert len(str(value)) < 200


def test_a_schema_is_found_among_other_braces():
    assert find_schema('{x {"a": 1} [] {"properties": {}} {"properties": {"b": {}}}') == {
        "properties": {}
    }
    assert find_schema("no braces") is None


# The package, the plugin and the command line


def test_names_are_imported_when_used():
    code = (
        "import sys, zai_async.testing.plugin as p, zai_async.testing as t\n"
        "assert 'aiohttp' not in sys.modules\n"
        "assert t.Emulator.__name__ == 'Emulator'\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_public_name_exists():
    for name in zai_async.testing.__all__:
        assert getattr(zai_async.testing, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = zai_async.testing.nothing


def test_the_plugin_gives_each_test_a_fresh_emulator(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(
        """
        from urllib.error import HTTPError
        from urllib.request import urlopen

        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(zai_emulator, number):
            assert zai_emulator.requests == []
            zai_emulator.fault(status=429, code="1302")
            with pytest.raises(HTTPError, match="429") as caught:
                urlopen(zai_emulator.url)
            caught.value.close()
        """
    )
    plugins = ("-p", "no:zai_async", "-p", "zai_async.testing.plugin")
    result = pytester.runpytest_subprocess(*plugins, "-p", "no:asyncio", "-W", "error")
    result.assert_outcomes(passed=2)


async def test_the_command_line_serves_until_it_is_told_to_stop(client):
    command = ["-m", "zai_async.testing", "--port", "0", "--pace", "0", "--seed", "3"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=subprocess.PIPE
    )
    client.url = (await process.stdout.readline()).decode().strip()
    assert client.url.endswith("/api/paas/v4")
    assert (await client.chat()).status == 200
    process.terminate()
    assert await process.wait() == 0


def test_what_is_still_being_answered_is_nothing_to_the_next_test(zai_emulator, monkeypatch):
    closing, logs = zai_emulator._listener.reset, []

    def answer_and_close():
        zai_emulator.fault(status=500)
        logs.append(zai_emulator._log)  # which has the request by now
        closing()

    monkeypatch.setattr(zai_emulator._listener, "reset", answer_and_close)
    zai_emulator.reset()
    monkeypatch.undo()
    assert not zai_emulator.faults
    assert zai_emulator._log is not logs[0]
