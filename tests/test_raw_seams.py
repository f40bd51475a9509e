"""What lies below a typed call: operations of one's own, header fields, bytes."""

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest

from zai_async import AsyncZai, BadRequestError, CallOptions, ConfigurationError, ResponseError
from zai_async.models import BinaryReply, ChatCompletion, Page, Reply
from zai_async.testing import FakeReply, FakeTransport

OK = {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}


def answering(*replies, **options):
    transport = FakeTransport(*replies)
    return AsyncZai(api_key="k.s", transport=transport, **options), transport


class Weather(msgspec.Struct):
    celsius: float
    city: str = ""


# --- request() -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/new/thing", "/api/paas/v4/new/thing"),
        ("new/thing", "/api/paas/v4/new/thing"),
        ("/paas/v5/thing", "/api/paas/v5/thing"),
        ("v1/agents/new", "/api/v1/agents/new"),
        ("/api/monitor/usage", "/api/monitor/usage"),
    ],
)
async def test_an_operation_of_ones_own_is_sent_where_the_others_are(path, place):
    zai, transport = answering(FakeReply.json({"a": 1}))
    async with zai:
        found = await zai.request("POST", path, body={"x": [1]}, into=dict)
    assert found == {"a": 1}
    (sent,) = transport.requests
    assert (sent.method, sent.url) == ("POST", f"https://api.z.ai{place}")
    assert json.loads(sent.body) == {"x": [1]}


@pytest.mark.parametrize("method", ["GET", "delete"])
async def test_without_a_body_the_fields_are_the_query(method):
    zai, transport = answering(FakeReply.json({}))
    async with zai:
        await zai.request(method, "things", body={"after": "a b", "limit": 2, "none": None})
    (sent,) = transport.requests
    assert (sent.method, sent.body) == (method.upper(), None)
    assert sent.url.endswith("/paas/v4/things?after=a+b&limit=2")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_other_methods_have_a_body(method):
    zai, transport = answering(FakeReply.json({}))
    async with zai:
        await zai.request(method, "things/1", body={"options": 1, "extra": {}, "on_progress": 2})
    assert json.loads(transport.requests[0].body) == {"options": 1, "extra": {}, "on_progress": 2}


@pytest.mark.parametrize(
    ("into", "found"),
    [
        (dict, {"celsius": 3.5, "city": "Rome", "x": 1}),
        (dict[str, Any], {"celsius": 3.5, "city": "Rome", "x": 1}),
        (Weather, Weather(3.5, "Rome")),
        (bytes, b'{"celsius":3.5,"city":"Rome","x":1}'),
    ],
    ids=range(4),
)
async def test_the_answer_is_of_the_type_that_was_asked_for(into, found):
    zai, _ = answering(FakeReply.json({"celsius": 3.5, "city": "Rome", "x": 1}))
    async with zai:
        assert await zai.request("POST", "weather", into=into) == found


async def test_an_answer_may_be_a_result_of_this_package():
    zai, _ = answering(FakeReply.json({"request_id": "r", "x": 1}), FakeReply.json(OK))
    async with zai:
        reply = await zai.request("POST", "weather", into=Reply)
        assert (reply.request_id, reply.extra) == ("r", {"x": 1})
        assert len(reply.attempts) == 1
        answer = await zai.request(
            "POST", "chat/completions", body={"model": "m"}, into=ChatCompletion
        )
    assert answer.text == "ok"
    assert zai.usage.total.calls == 2


async def test_errors_and_options_are_those_of_every_call():
    refusal = FakeReply.json({"error": {"code": "1210", "message": "no"}}, status=400)
    zai, transport = answering(refusal, FakeReply.json([1]), provider="zai-coding")
    async with zai:
        with pytest.raises(BadRequestError) as caught:
            await zai.request("POST", "weather", options=CallOptions(headers={"X-A": "b"}))
        assert caught.value.operation == "request"
        assert transport.requests[0].headers["X-A"] == "b"
        with pytest.raises(ResponseError):
            await zai.request("POST", "weather", into=Weather)


@pytest.mark.parametrize(
    "path",
    ["https://evil.example/x", "//evil.example", "a/../../b", "", "/", "a b", "ä", "a\r\nb", "a#b"],
)
async def test_a_path_that_is_none_is_refused(path):
    zai, transport = answering()
    async with zai:
        with pytest.raises(ConfigurationError, match="path must be a path"):
            await zai.request("POST", path)
    assert transport.requests == []


@pytest.mark.parametrize("method", ["", "HEAD", "GET /x", "GET\r\nX: y", None, 5])
async def test_a_method_that_is_none_is_refused(method):
    zai, transport = answering()
    async with zai:
        with pytest.raises(ConfigurationError, match="method must be one of POST, GET"):
            await zai.request(method, "weather")
    assert transport.requests == []


@pytest.mark.parametrize("body", [b"raw", "text", [1], 5])
async def test_a_body_that_is_no_mapping_is_refused(body):
    zai, transport = answering()
    async with zai:
        with pytest.raises(ConfigurationError, match="body must be a mapping, not "):
            await zai.request("POST", "weather", body=body)
    assert transport.requests == []


async def test_nothing_is_kept_of_operations_of_ones_own():
    zai, _ = answering(*[FakeReply.json({}) for _ in range(3)])
    async with zai:
        before = len(zai._manager._factories)
        for number in range(3):
            await zai.request("GET", f"things/{number}")
        assert len(zai._manager._factories) == before


# --- headers and bytes -----------------------------------------------------------------------


async def test_an_answer_has_its_header_fields_and_its_bytes_when_asked_for():
    zai, _ = answering(FakeReply.json(OK, X_Rate="5"), FakeReply.json(OK, X_Rate="5"))
    async with zai:
        answer = await zai.chat.completions.create(model="m", messages="x")
        assert answer.raw is None
        kept = await zai.chat.completions.create(
            model="m", messages="x", options=CallOptions(keep_raw=True)
        )
    assert json.loads(kept.raw) == OK
    for found in (answer, copy.deepcopy(answer), pickle.loads(pickle.dumps(answer))):
        assert found.headers["x-rate"] == found.headers.get("X-RATE") == "5"
        assert "X-Rate" in found.headers
        assert found.headers.get("absent", "-") == "-"
        assert 3 not in found.headers
    assert b"X-Rate" not in msgspec.json.encode(answer)


async def test_sounds_have_header_fields_too():
    zai, _ = answering(
        FakeReply(steps=(b"RIFF0000WAVE",), headers={"Content-Type": "audio/wav", "X-Rate": "5"})
    )
    async with zai:
        sound = await zai.audio.speech.create(model="m", input="a", voice="v")
    assert isinstance(sound, BinaryReply)
    assert sound.headers["x-rate"] == "5"


def test_what_was_not_fetched_has_neither():
    assert (Page().headers, Page().raw) == ({}, None)
