"""What relays put around an error with HTTP 200: it is found, judged, and never an empty answer."""

import json

import pytest

from tests.calls import ask, client
from tests.chat_wire import DONE, chunk, frame
from zai_async import EmptyAnswerError, GenerationFailedError
from zai_async import _operations as ep
from zai_async._wire import judged_results, meaning_of, told_fault
from zai_async.batch.server_lines import results_of
from zai_async.errors import (
    AuthenticationError,
    BadRequestError,
    BillingError,
    NotFoundError,
    RateLimitError,
    ServerError,
    ZaiError,
)
from zai_async.testing import FakeReply, FakeTransport

BROKE = {"error": {"code": "1113", "message": "Insufficient balance"}}
TEXT = json.dumps(BROKE)
MISFIT = {"type": "missing", "loc": ["body", "model"], "msg": "Field required"}
WRAPPED = {
    **{name: {name: BROKE} for name in ("detail", "data", "result", "output", "response", "body")},
    "detail as JSON": {"detail": TEXT},
    "detail as a repr": {"detail": f"Error code: 429 - {BROKE}"},
    "detail without an error": {"detail": BROKE["error"]},
    "data as JSON": {"data": TEXT},
    "data of a relay that is content": {"code": 200, "msg": "ok", "success": True, "data": BROKE},
    "a list in data": {"data": [BROKE]},
    "two of them": {"data": {"result": BROKE}},
    "capitals": {"Response": {"Error": {"Code": "1113", "Message": "Insufficient balance"}}},
    "an exception": {"exception": "ZaiException", "detail": BROKE},
    "a list": [BROKE],
    "no choices": {"choices": [], "data": BROKE},
    "null for choices": {"choices": None, "detail": BROKE},
    "beside other things": {"upstream": {"answer": BROKE["error"]}},
}
CHOICE = {"index": 0, "finish_reason": "error", "error": BROKE["error"]}
EMPTY = {"role": "assistant", "content": ""}


async def call(zai, way):
    if way == "create":
        await ask(zai)
    elif way == "embed":
        await zai.embeddings.create(model="embedding-3", input="x")
    elif way == "speak":
        await zai.audio.speech.create(model="glm-tts", input="x", voice="tongtong")
    elif way == "speak events":
        async with zai.audio.speech.stream(model="glm-tts", input="x") as stream:
            await stream.read()
    else:
        async with zai.chat.completions.stream(model="glm-5.3", messages="x") as stream:
            await stream.completion()


async def raised_by(body, way):
    events = FakeReply.sse(frame(body) + (b"" if way == "cut events" else DONE), done=False)
    transport = FakeTransport(events if "events" in way else FakeReply.json(body))
    async with client(transport=transport) as zai:
        with pytest.raises(ZaiError) as caught:
            await call(zai, way)
    return caught.value


@pytest.mark.parametrize("way", ["create", "stream", "events", "cut events", "embed", "speak"])
@pytest.mark.parametrize("shape", WRAPPED)
async def test_an_empty_purse_is_one_whatever_is_around_it(shape, way):
    error = await raised_by(WRAPPED[shape], way)
    assert type(error) is BillingError
    assert (error.code, error.status_code, error.retryable) == ("1113", 200, False)
    assert "Insufficient balance" in error.message


@pytest.mark.parametrize("way", ["create", "stream", "events"])
@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ({"detail": [MISFIT, MISFIT]}, BadRequestError, None),
        ({"detail": "Not Found"}, NotFoundError, None),
        ({"detail": "Not authenticated"}, AuthenticationError, None),
        ({"detail": "Method Not Allowed"}, BadRequestError, None),
        ({"detail": "the model has gone"}, ServerError, None),
        ({"detail": {"reason": "the model has gone"}}, ServerError, None),
        ({"detail": {"error": {"code": "new", "message": "x"}}}, ServerError, "new"),
        ({"data": {"error": "Too Many Requests"}}, RateLimitError, None),
        ({"title": "Too fast", "status": 429, "detail": "slow"}, RateLimitError, "429"),
        ({"error": "Unauthorized", "status": 401, "path": "/v4"}, AuthenticationError, "401"),
        ({"result": {"code": 1302, "msg": "slow"}}, RateLimitError, "1302"),
    ],
)
async def test_what_frameworks_say_with_the_wrong_status_is_judged(body, kind, code, way):
    error = await raised_by(body, way)
    assert (type(error), error.code) == (kind, code)
    assert json.loads(error.body) == body


def test_the_words_of_a_framework_stay_as_they_are():
    fault = told_fault({"detail": [MISFIT]})
    assert json.loads(fault.message) == [MISFIT]
    assert meaning_of(None, 500, "Not Found").kind == "server"  # the status says it


@pytest.mark.parametrize("way", ["create", "stream", "events"])
@pytest.mark.parametrize(
    "choice",
    [
        {**CHOICE, "message": EMPTY},
        {**CHOICE, "finish_reason": None, "message": EMPTY},
        {"index": 0, "finish_reason": "stop", "message": {**EMPTY, **BROKE}},
        {**CHOICE, "message": {**EMPTY, "content": "half of it"}},
    ],
)
async def test_the_error_of_a_choice_is_told(choice, way):
    error = await raised_by({"id": "x", "choices": [choice]}, way)
    assert (type(error), error.code) == (BillingError, "1113")
    assert error.partial.text == choice["message"]["content"]


@pytest.mark.parametrize("way", ["create", "stream"])
async def test_an_answer_that_ends_by_an_error_is_none(way):
    said = {**EMPTY, "content": "half of it"}
    choice = {"index": 0, "finish_reason": "error", "message": said}
    error = await raised_by({"id": "x", "choices": [choice]}, way)
    assert (type(error), error.partial.text) == (GenerationFailedError, "half of it")


@pytest.mark.parametrize("way", ["create", "stream", "events"])
@pytest.mark.parametrize(
    "body",
    [
        {"id": "x", "choices": [{"finish_reason": "length", "message": {"reasoning": TEXT}}]},
        {"id": "x", "choices": [{"finish_reason": "stop", "message": {"content": ""}}]},
    ],
)
async def test_what_a_model_thinks_of_codes_is_no_error(body, way):
    assert type(await raised_by(body, way)) is EmptyAnswerError


async def test_an_event_that_says_nothing_known_harms_no_answer():
    told = frame({"detail": BROKE})
    said = frame(chunk({"content": "Hi"})) + frame(chunk({}, finish="stop"))
    transport = FakeTransport(FakeReply.sse(told + said + told + DONE))
    async with client(transport=transport) as zai:
        async with zai.chat.completions.stream(model="glm-5.3", messages="x") as stream:
            assert (await stream.completion()).text == "Hi"
        assert stream.skipped == 2


async def test_an_error_in_place_of_spoken_events_is_told():
    error = await raised_by({"detail": BROKE}, "speak events")
    assert (type(error), error.code) == (BillingError, "1113")


async def test_the_content_of_a_file_may_be_an_error_of_somebody():
    body = {"custom_id": "a", "response": {"body": BROKE}}
    async with client(transport=FakeTransport(FakeReply.json(body))) as zai:
        assert json.loads((await zai.files.content("f")).content) == body
    assert told_fault(body) is not None


@pytest.mark.parametrize("body", [{"detail": BROKE}, {"data": BROKE}, {"result": BROKE}])
def test_the_lines_of_batches_are_read_the_same(body):
    line = {"custom_id": "a", "response": {"status_code": 200, "body": body}}
    data = json.dumps(line).encode()
    (result,) = judged_results(data)
    assert (result.error.code, result.error.message) == ("1113", "Insufficient balance")
    (failed,) = results_of(data, {"a": "row"}, ep.CHAT)
    assert (failed.kind, failed.error.code) == ("billing", "1113")


def test_a_line_whose_error_has_no_code_has_the_outcome():
    line = {"response": {"status_code": 200, "body": {"detail": "gone"}}}
    (result,) = judged_results(json.dumps(line).encode())
    assert (result.error.code, result.error.message) == ("empty", "gone")


def test_the_search_in_what_is_no_answer_ends():
    wide = {"detail": [[{"data": []}] * 64] * 64}
    fault = told_fault(wide)
    assert fault.code is None
    assert told_fault([[]] * 300) is None
