"""The emulator answers every operation of the table, also one that nobody wrote an answer for."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from aiohttp import ClientSession

from zai_async import AsyncZai, RetryPolicy, _operations
from zai_async._wire import Operation
from zai_async.errors import BadRequestError
from zai_async.models import CallParams, Page, Reply, UploadParams
from zai_async.testing import Emulator
from zai_async.testing.emulator.operation import Route
from zai_async.testing.emulator.unscripted import sample_of, unscripted
from zai_async.uploads import FileLimits


class Part(msgspec.Struct):
    title: str = ""
    inner: list["Part"] = []
    kind: Literal["a", "b"] = "b"
    number: Annotated[int, msgspec.Meta(ge=0)] | None = None
    anything: Any = None
    free: dict[str, Any] = {}


class Things(Reply, kw_only=True):
    parts: list[Part] = msgspec.field(default_factory=list)
    ratio: float = 0.0
    good: bool = False


class ThingParams(CallParams):
    name: str


class ThingFile(UploadParams):
    file: bytes


THINGS = Operation("things.make", "paas/v4/things", Things, ThingParams)
STREAM = Operation("things.make", "paas/v4/things", Things, ThingParams, stream=True)
ONE = Operation("things.get", "paas/v4/things/{name}", Things, ThingParams, method="GET")
RAW = Operation("things.raw", "paas/v4/things/raw", bytes, CallParams)
FORM = Operation("things.send", "paas/v4/things/file", Things, ThingFile, upload=FileLimits())


@pytest.fixture
async def zai(monkeypatch):
    for row in (THINGS, STREAM, ONE, RAW, FORM):
        name = f"{row.name}.{row.stream}".upper()
        monkeypatch.setattr(_operations, name, row, raising=False)
    async with (
        Emulator() as emulator,
        AsyncZai(api_key="k.s", base_url=emulator.root_url, retry=RetryPolicy(retries=0)) as client,
    ):
        yield client


async def test_every_kind_of_operation_is_answered(zai):
    made = await zai._manager.call(THINGS, {"name": "a"})
    assert made.parts[0].title == "text"
    assert made.request_id
    assert (await zai._manager.call(ONE, {"name": "a"})).ratio == 0.5
    assert (await zai._manager.call(FORM, {"file": b"x"})).good
    assert (await zai._manager.fetch(RAW, {})).content == b"bytes"


async def test_what_is_missing_is_refused(zai):
    lenient = Operation("things.make", "paas/v4/things", Things, CallParams)
    with pytest.raises(BadRequestError, match="name") as caught:
        await zai._manager.call(lenient, {})
    assert caught.value.code == "1213"
    with pytest.raises(BadRequestError, match="not received"):
        await zai.request("POST", "things", body={})


async def test_a_body_that_is_no_object_is_refused(zai):
    (address,) = {zai.provider.base_url}
    async with (
        ClientSession() as session,
        session.post(
            f"{address}/paas/v4/things", data=b"[1]", headers={"Authorization": "Bearer k.s"}
        ) as response,
    ):
        assert "not a JSON object" in await response.text()


def test_routes_that_have_an_answer_are_left_alone():
    every = unscripted([])
    assert {route.name for route in every} >= {"embeddings.create", "files.content"}
    assert unscripted(every) == []
    named = Route("any", "GET", "/api/paas/v4/files/{id}/content", lambda call: call)
    assert "files.content" not in {route.name for route in unscripted([named])}


def test_a_sample_has_every_field():
    assert sample_of(Part)["inner"][0]["kind"] == "a"
    assert sample_of(Page[Part])["data"][0]["number"] == 1
    assert sample_of(Part)["free"] == {}
    deepest = sample_of(Part)
    while deepest["inner"]:
        (deepest,) = deepest["inner"]
    assert msgspec.json.encode(sample_of(Things))
