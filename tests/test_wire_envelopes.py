"""Answers in the envelopes that relays put around them."""

import json

import pytest
from msgspec.structs import replace

from tests.calls import ASK, COMPLETION, ask, scripted
from zai_async import BillingError, EmptyAnswerError, ResponseError, StreamTruncatedError
from zai_async._wire.envelopes import ENVELOPES
from zai_async.providers import ZAI
from zai_async.testing import FakeReply

HALF = {"id": "1", "choices": [{"index": 0, "message": {"content": "Hi"}}]}


@pytest.mark.parametrize("name", ENVELOPES)
async def test_a_chat_answer_is_taken_out_of_its_envelope(name):
    wrapped = FakeReply.json({"code": 200, "msg": "success", name: COMPLETION})
    zai, _ = scripted(wrapped)
    async with zai:
        assert (await ask(zai)).text == "Hi"
        async with zai.chat.completions.stream(**ASK) as stream:
            assert (await stream.completion()).text == "Hi"


WHOLE = json.dumps(COMPLETION)


@pytest.mark.parametrize(
    "body",
    [
        f"{WHOLE}\n\ndata: [DONE]\n\n",
        f"{WHOLE}[DONE]",
        f"{WHOLE}\0",
        f"\0\n{WHOLE} \0\0\n",
        f"[{WHOLE}]",
        json.dumps(WHOLE),
    ],
)
async def test_an_answer_is_read_whatever_stands_around_it(body):
    for provider in (ZAI, replace(ZAI, envelope=("payload",))):
        zai, _ = scripted(FakeReply(steps=(body.encode(),)), provider=provider)
        async with zai:
            assert (await ask(zai)).text == "Hi"


@pytest.mark.parametrize(
    "body", [f"[{WHOLE}, {WHOLE}]", f"{WHOLE} data: 1", "[1]", '"Hi"', '"Hi', "[DONE]", "{[DONE]"]
)
async def test_what_stands_around_no_single_answer_is_none(body):
    zai, _ = scripted(FakeReply(steps=(body.encode(),)))
    async with zai:
        with pytest.raises(ResponseError) as caught:
            await ask(zai)
    assert caught.value.body == body


async def test_an_error_may_have_the_end_of_a_stream_behind_it():
    body = b'{"error": {"code": "1113", "message": "m"}}\n\ndata: [DONE]\n\n'
    zai, _ = scripted(FakeReply(steps=(body,)))
    async with zai:
        with pytest.raises(BillingError):
            await ask(zai)


async def test_what_lies_in_an_envelope_is_judged():
    zai, _ = scripted(FakeReply.json({"code": 200, "data": HALF}))
    async with zai:
        with pytest.raises(StreamTruncatedError) as caught:
            await ask(zai)
    assert caught.value.body == json.dumps({"code": 200, "data": HALF}, separators=(",", ":"))


@pytest.mark.parametrize(
    "document",
    [{"data": {"text": "Hi"}}, {"data": [COMPLETION]}, {"data": {"choices": []}}, {"note": "Hi"}],
)
async def test_what_holds_no_answer_is_empty(document):
    zai, _ = scripted(FakeReply.json(document))
    async with zai:
        with pytest.raises(EmptyAnswerError):
            await ask(zai)


async def test_an_error_beside_an_answer_counts():
    zai, _ = scripted(FakeReply.json({"code": 1113, "msg": "no balance", "data": COMPLETION}))
    async with zai:
        with pytest.raises(BillingError):
            await ask(zai)


VECTORS = {"data": [{"embedding": [1.0], "index": 0}]}
PICTURES = {"created": 1, "data": [{"url": "https://cdn.example/a.png"}]}
MODELS = {"object": "list", "data": [{"id": "glm-5.3"}]}


@pytest.mark.parametrize("name", ["data", "result", "output", "response"])
async def test_lists_in_an_envelope_are_read(name):
    """Also in one of their own name, which could pass for a list of one."""
    replies = [FakeReply.json({"code": 200, name: body}) for body in (VECTORS, PICTURES, MODELS)]
    zai, _ = scripted(*replies)
    async with zai:
        vectors = await zai.embeddings.create(model="embedding-3", input="x")
        pictures = await zai.images.generate(model="cogview-4", prompt="x")
        models = await zai.models.list()
    assert vectors.data[0].embedding == [1.0]
    assert pictures.data[0].url == "https://cdn.example/a.png"
    assert [model.id for model in models.data] == ["glm-5.3"]


@pytest.mark.parametrize("body", [{"data": {"data": []}}, {"data": {"x": 1}}, {"data": [{}]}])
async def test_an_envelope_of_nothing_holds_nothing(body):
    zai, _ = scripted(FakeReply.json({"code": 200, **body}))
    async with zai:
        with pytest.raises(EmptyAnswerError):
            await zai.embeddings.create(model="embedding-3", input="x")
