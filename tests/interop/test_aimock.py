"""aimock speaks the OpenAI dialect, and misbehaves on demand.

Install: `npm install @copilotkit/aimock`, with its `.bin` folder in PATH.
"""

import json

import pytest

from tests.interop.programs import running
from tests.ports import free_port
from zai_async import (
    AsyncZai,
    ConnectionLostError,
    RateLimitError,
    ResponseError,
    RetryPolicy,
    ServerError,
    StreamTruncatedError,
)

pytestmark = pytest.mark.interop

# Only of the basic plane: it cuts other letters in two, as JavaScript counts them.
LONG = "Ein Leuchtturm, 灯台, stands on the cliff, and nobody knows who lit it. " * 8
CALLS = [{"name": "get_weather", "arguments": json.dumps({"city": "Köln"})}]
WANTED = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
FIXTURES = {
    "plain": {"response": {"content": LONG}},
    "thoughtful": {"response": {"content": LONG, "reasoning": "Let me think."}},
    "tool": {"response": {"toolCalls": CALLS}, "chunkSize": 3},
    "truncated": {"response": {"content": LONG}, "latency": 20, "truncateAfterChunks": 5},
    "disconnected": {"response": {"content": LONG}, "latency": 20, "disconnectAfterMs": 150},
    "busy": {"response": {"error": {"message": "slow down"}, "status": 429}},
    "rate": {"response": {"content": LONG}, "chaos": {"rateLimitRate": 1.0}},
    "dropped": {"response": {"content": LONG}, "chaos": {"dropRate": 1.0}},
    "malformed": {"response": {"content": LONG}, "chaos": {"malformedRate": 1.0}},
    "cut": {"response": {"content": LONG}, "chaos": {"disconnectRate": 1.0}},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aimock")
    fixtures = [{"match": {"userMessage": name}, **rest} for name, rest in FIXTURES.items()]
    path = folder / "fixtures.json"
    path.write_text(json.dumps({"fixtures": fixtures}))
    port = free_port()
    with running(port, "llmock", "-p", port, "-f", path, log=folder / "log"):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
async def zai(url):
    retry = RetryPolicy(retries=0)
    async with AsyncZai(api_key="key", base_url=url, retry=retry, trust_env=False) as client:
        yield client


async def create(zai, what, **params):
    return await zai.chat.completions.create(model="gpt-4o", messages=what, **params)


async def stream(zai, what, **params):
    async with zai.chat.completions.stream(model="gpt-4o", messages=what, **params) as answer:
        return await answer.completion()


BOTH = pytest.mark.parametrize("call", [create, stream])


@BOTH
async def test_text(zai, call):
    answer = await call(zai, "plain")
    assert (answer.outcome, answer.text) == ("completed", LONG)


@BOTH
async def test_thinking(zai, call):
    answer = await call(zai, "thoughtful")
    assert (answer.thinking, answer.text) == ("Let me think.", LONG)


@BOTH
async def test_a_tool_call(zai, call):
    answer = await call(zai, "tool", tools=[WANTED])
    assert answer.outcome == "tool_calls"
    assert answer.tool_calls[0].parse() == {"city": "Köln"}


async def test_a_stream_that_is_cut_is_not_whole(zai):
    with pytest.raises(StreamTruncatedError) as caught:
        await stream(zai, "truncated")
    assert caught.value.partial.text
    assert LONG.startswith(caught.value.partial.text)


async def test_a_connection_that_ends_at_some_time(zai):
    with pytest.raises((StreamTruncatedError, ConnectionLostError)) as caught:
        await stream(zai, "disconnected")
    assert LONG.startswith(caught.value.partial.text)


@BOTH
async def test_too_many_requests(zai, call):
    for what in ("busy", "rate"):
        with pytest.raises(RateLimitError):
            await call(zai, what)


CHAOS = {"dropped": ServerError, "malformed": ResponseError, "cut": ConnectionLostError}


@BOTH
@pytest.mark.parametrize("what", CHAOS)
async def test_chaos_has_types(zai, call, what):
    with pytest.raises(CHAOS[what]):
        await call(zai, what)
