"""Any number of texts becomes vectors in order, however many requests it takes."""

import asyncio
import json

import pytest

from tests.calls import client
from zai_async import BadRequestError, RateLimitError, ResponseError
from zai_async.resources.parts import in_parts


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url) as zai:
        yield zai


def embed(zai, texts, **params):
    return zai.embeddings.create(model="embedding-3", input=texts, dimensions=256, **params)


async def test_vectors_are_in_the_order_of_the_texts(zai, zai_emulator):
    texts = [f"text {number}" for number in range(150)]
    answer = await embed(zai, tuple(texts), request_id="request")
    sizes = sorted(len(request.json["input"]) for request in zai_emulator.requests)
    assert sizes == [22, 64, 64]
    names = {request.json["request_id"] for request in zai_emulator.requests}
    assert names == {"request-0", "request-1", "request-2"}
    assert [item.index for item in answer.data] == list(range(150))
    assert len(answer.attempts) == 3
    for place in (0, 63, 64, 149):
        alone = await embed(zai, texts[place])
        assert answer.vectors[place] == alone.vectors[0]
    assert answer.usage.total_tokens == sum(len(text.split()) for text in texts)


async def test_a_missing_vector_is_an_error(zai, zai_emulator):
    short = {"data": [{"index": 0, "embedding": [0.5]}], "usage": {}}
    zai_emulator.fault(status=200, body=json.dumps(short).encode())
    with pytest.raises(ResponseError, match="1 vectors came for 2 texts") as caught:
        await embed(zai, ["text"] * 2)
    assert caught.value.partial.vectors == [[0.5]]
    zai_emulator.fault(status=200, body=json.dumps(short).encode())
    with pytest.raises(ResponseError, match="1 vectors came for"):
        await embed(zai, ["text"] * 100)


async def test_64_texts_are_one_request(zai, zai_emulator):
    answer = await embed(zai, ["text"] * 64)
    assert len(answer.data) == 64
    assert len(zai_emulator.requests) == 1


async def test_error_of_one_request_is_that_of_the_call(zai, zai_emulator):
    with pytest.raises(BadRequestError):
        await embed(zai, ["text"] * 100 + ["word " * 4000])
    zai_emulator.fault(status=429, code="1302")
    with pytest.raises(RateLimitError):
        await embed(zai, ["text"] * 100)


async def test_first_error_ends_the_other_calls():
    cancelled = []

    async def waits():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def fails():
        raise LookupError

    with pytest.raises(LookupError):
        await in_parts([waits, waits, fails])
    assert cancelled == [True, True]


async def test_more_calls_than_workers_are_all_made():
    async def number(n):
        return n

    calls = [lambda n=n: number(n) for n in range(40)]
    assert await in_parts(calls) == list(range(40))
