import asyncio

import anyio
import pytest

from tests.virtual_loop import in_virtual_time
from zai_async import AsyncZai, ConfigurationError, ConnectionLostError, RateLimitError, RetryPolicy
from zai_async._transport import Request, Response, Transport
from zai_async.testing import FakeReply, FakeTransport

ANSWER = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]}
PIECE = {"id": "a", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
REQUEST = Request(operation="op", method="POST", url="http://x/y", headers={}, body=b'{"n": 1}')


def client(*script, **settings):
    transport = FakeTransport(*script)
    return AsyncZai(api_key="test", transport=transport, **settings), transport


async def read_all(response: Response):
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return pieces


async def test_it_is_a_transport():
    transport: Transport = FakeTransport(FakeReply())
    response: Response = await transport.send(REQUEST)
    assert (response.status, response.connection_reused) == (200, False)
    assert await response.read() == b""
    assert response.at_end()


async def test_a_client_needs_no_socket():
    zai, transport = client(FakeReply.json(ANSWER, X_Log_Id="r1"))
    async with zai:
        answer = await zai.chat.completions.create(model="glm-5.3", messages="Hello")
    assert (answer.text, answer.request_id) == ("hi", "r1")
    assert transport.bodies == [
        {"model": "glm-5.3", "messages": [{"role": "user", "content": "Hello"}]}
    ]
    assert transport.requests[0].operation == "chat.completions.create"
    assert transport.closed


async def test_a_form_is_sent_to_its_end():
    zai, transport = client(FakeReply.json({"id": "f1", "data": []}))
    async with zai:
        await zai.files.create(file=("a.csv", b"a,b"), purpose="agent")
        await zai.files.list(purpose="agent")
    form, nothing = transport.bodies
    assert b"a,b" in form
    assert nothing is None


async def test_a_stream_needs_none_either():
    zai, transport = client(FakeReply.sse(PIECE, X_Log_Id="r1"))
    async with zai, zai.chat.completions.stream(model="glm-5.3", messages="Hello") as stream:
        assert [text async for text in stream.text] == ["hi"]
        assert (stream.outcome, stream.request_id) == ("completed", "r1")
    assert transport.open_responses == 0


async def test_answers_come_in_order_and_the_last_for_ever():
    transport = FakeTransport(FakeReply(status=500), FakeReply(status=429), FakeReply())
    assert [(await transport.send(REQUEST)).status for _ in range(5)] == [500, 429, 200, 200, 200]
    assert len(transport.requests) == len(transport.responses) == 5


async def test_an_answer_may_depend_on_the_request():
    transport = FakeTransport(lambda request: FakeReply.json({"url": request.url}, status=404))
    response = await transport.send(REQUEST)
    assert response.status == 404
    assert await read_all(response) == [b'{"url":"http://x/y"}']


async def test_a_failure_is_raised_in_place_of_an_answer():
    transport = FakeTransport(FakeReply(failure=ConnectionLostError("gone")), FakeReply())
    with pytest.raises(ConnectionLostError, match="gone"):
        await transport.send(REQUEST)
    assert transport.responses == []
    assert (await transport.send(REQUEST)).status == 200


async def test_refusals_are_repeated_as_with_the_real_thing():
    refusal = FakeReply.json({"error": {"code": "1302", "message": "slow"}}, status=429)
    zai, transport = client(refusal, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(RateLimitError):
            await zai.chat.completions.create(model="glm-5.3", messages="Hello")
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    ("reply", "headers", "body"),
    [
        (FakeReply.json([1]), {"content-type": "application/json"}, [b"[1]"]),
        (
            FakeReply.json({}, Retry_After="7"),
            {"content-type": "application/json", "retry-after": "7"},
            [b"{}"],
        ),
        (
            FakeReply.sse({"a": 1}, "text", b": raw\n\n"),
            {"content-type": "text/event-stream;charset=UTF-8"},
            [b'data: {"a":1}\n\n', b"data: text\n\n", b": raw\n\n", b"data: [DONE]\n\n"],
        ),
        (
            FakeReply.sse(done=False, X_A="b"),
            {"content-type": "text/event-stream;charset=UTF-8", "x-a": "b"},
            [],
        ),
        (
            FakeReply.stream(b"da", b"ta: x\n\n"),
            {"content-type": "text/event-stream;charset=UTF-8"},
            [b"da", b"ta: x\n\n"],
        ),
        (FakeReply(), {}, []),
    ],
    ids=["json", "json-header", "sse", "sse-open", "stream", "bare"],
)
async def test_kinds_of_answers(reply, headers, body):
    response = await FakeTransport(reply).send(REQUEST)
    assert dict(response.headers) == headers
    assert await read_all(response) == body


async def test_headers_are_found_in_any_case():
    reply = FakeReply(headers={"X-Log-Id": "r1"})
    headers = (await FakeTransport(reply).send(REQUEST)).headers
    assert headers["x-log-id"] == headers.get("X-LOG-ID") == "r1"
    assert "X-Log-ID" in headers
    assert "X-Other" not in headers
    assert headers.get("X-Other", "none") == "none"
    with pytest.raises(KeyError):
        headers["X-Other"]


async def test_the_body_may_break_off():
    reply = FakeReply.stream(b"first", ConnectionLostError("cut"))
    response = await FakeTransport(reply).send(REQUEST)
    assert await response.read() == b"first"
    with pytest.raises(ConnectionLostError, match="cut"):
        await response.read()


@in_virtual_time
async def test_a_delay_comes_before_the_headers():
    transport = FakeTransport(FakeReply(delay=3600.0), FakeReply(delay=0.001))
    with anyio.move_on_after(0.001) as scope:
        await transport.send(REQUEST)
    assert scope.cancelled_caught
    assert (await transport.send(REQUEST)).status == 200


@in_virtual_time
async def test_a_silence_comes_between_the_pieces():
    response = await FakeTransport(FakeReply.stream(b"a", 0.001, b"b", 3600, b"c")).send(REQUEST)
    assert [await response.read(), await response.read()] == [b"a", b"b"]
    with anyio.move_on_after(0.001) as scope:
        await response.read()
    assert scope.cancelled_caught
    assert not response.at_end()


@in_virtual_time
async def test_a_read_that_is_cancelled_loses_nothing():
    response = await FakeTransport(FakeReply.stream(0.01, b"piece")).send(REQUEST)
    with anyio.move_on_after(0):
        await response.read()
    assert await response.read() == b"piece"


async def test_closing_wakes_a_reader_up():
    transport = FakeTransport(FakeReply.stream(3600.0, b"never"))
    response = await transport.send(REQUEST)
    reader = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    assert transport.open_responses == 1
    response.close()
    with pytest.raises(ConnectionLostError, match="closed"):
        await reader
    with pytest.raises(ConnectionLostError, match="closed"):
        await response.read()
    assert transport.open_responses == 0


async def test_closing_after_the_end_changes_nothing():
    response = await FakeTransport(FakeReply()).send(REQUEST)
    response.close()
    assert not response.closed
    assert await response.read() == b""


@pytest.mark.parametrize("at_once", [True, False])
async def test_closing_the_transport_closes_all_responses(at_once):
    transport = FakeTransport(FakeReply.stream(b"x"))
    responses = [await transport.send(REQUEST) for _ in range(3)]
    if at_once:
        transport.close_now()
    else:
        await transport.aclose()
    assert transport.closed
    assert all(response.closed for response in responses)


async def test_a_request_without_a_body_is_listed_as_none():
    transport = FakeTransport(FakeReply())
    await transport.send(Request(operation="op", method="GET", url="http://x", headers={}))
    assert transport.bodies == [None]


@pytest.mark.parametrize("make", [FakeReply.json, FakeReply.sse, FakeReply.stream])
def test_header_fields_are_texts(make):
    with pytest.raises(ConfigurationError, match=r"retry_after='5', not \{"):
        make(*([{}] if make == FakeReply.json else []), headers={"a": "b"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "200"}, "status must be a whole number, not '200'"),
        ({"headers": {"a": 1}}, "header fields must be texts, such as retry_after='5', not 1"),
        ({"steps": (b"", "text")}, "steps must be bytes, seconds or exceptions, not 'text'"),
        ({"steps": b"text"}, "steps must be"),
        ({"delay": None}, "delay must be a number of seconds, not None"),
        ({"failure": ValueError}, "failure must be an exception, not <class"),
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_given_is_refused_when_it_is_written(fields, words):
    with pytest.raises(ConfigurationError, match=words):
        FakeReply(**fields)


@pytest.mark.parametrize("script", [({"choices": []},), ("text",), (FakeReply(), None)])
def test_a_script_has_answers_only(script):
    with pytest.raises(ConfigurationError, match="a script has FakeReply objects, or functions"):
        FakeTransport(*script)


async def test_without_a_script_nothing_should_be_sent():
    zai, transport = client()
    async with zai:
        with pytest.raises(ConfigurationError, match=r"no answer is scripted, to models\.list"):
            await zai.models.list()
    assert len(transport.requests) == 1


async def test_a_function_of_a_script_returns_an_answer():
    zai, _ = client(lambda _: {"choices": []})
    async with zai:
        with pytest.raises(ConfigurationError, match=r"return one, not \{'choices'"):
            await zai.models.list()
