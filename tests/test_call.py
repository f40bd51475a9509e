"""Calls: what is sent again and what is not, and what the ledger says."""

import asyncio
import gc
import logging
import weakref

import pytest

from tests.calls import BODY, BUSY, COMPLETION, FINE, LOST, FakeClock, ask, client, scripted
from tests.chat_wire import GOOD, GOOD_TEXT
from zai_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    CallOptions,
    ConnectionLostError,
    EmptyAnswerError,
    Hooks,
    LimitError,
    NotFoundError,
    Provider,
    RateLimitError,
    ResponseError,
    RetryPolicy,
    ServerError,
    Timeout,
    ZaiError,
)
from zai_async._wire import Operation
from zai_async.models.counting import counted_values
from zai_async.models.options import CallParams
from zai_async.retry import Backoff
from zai_async.session.bodies import parse_in_thread
from zai_async.testing import Emulator, FakeReply
from zai_async.uploads import image

PATIENT = RetryPolicy()


# What must not be repeated


@pytest.mark.parametrize("key_in", ["header", "query", "jwt"])
async def test_a_key_that_the_service_repeats_is_not_told(key_in):
    key, own = "0123456789.CanaryOfTheKey", "CanaryOfAField"
    message = f"neither {key} nor {own} will do"
    reply = FakeReply.json({"error": {"code": "1000", "message": message}}, status=401)
    provider = Provider(name="g", base_url="https://g.example", key_in=key_in)
    headers = {"X-Own-Token": own}
    zai, _ = scripted(reply, api_key=key, provider=provider, headers=headers)
    async with zai:
        with pytest.raises(AuthenticationError, match=r"neither .* nor .* will do") as caught:
            await ask(zai)
    assert "Canary" not in f"{caught.value} {caught.value.body}"


@pytest.mark.parametrize("key_in", ["query", "none"])
async def test_a_key_that_belongs_elsewhere_is_in_no_header(key_in):
    provider = Provider(name="g", base_url="https://g.example", key_in=key_in)
    zai, transport = scripted(FINE, api_key="0123456789.CanaryOfTheKey", provider=provider)
    async with zai:
        await ask(zai)
    (request,) = transport.requests
    assert "Authorization" not in {*request.headers, *request.secret_headers}


# Which failures are sent again, on real sockets


@pytest.mark.parametrize(
    ("fault", "error", "billed"),
    [
        ({"code": "1302"}, "RateLimitError", False),
        ({"code": "1305"}, "RateLimitError", False),
        ({"code": "1302", "http_200": True}, "RateLimitError", False),
        ({"status": 500}, "ServerError", False),
        ({"status": 502}, "ServerError", False),
        ({"code": "1234"}, "ServerError", False),
        ({"drop": True}, "ConnectionLostError", True),
        ({"drop": True, "how": "fin"}, "ConnectionLostError", True),
        ({"cut_after": 20}, "ConnectionLostError", True),
        ({"cut_after": 20, "how": "fin"}, "ConnectionLostError", True),
        ({"hang": True}, "RequestTimeoutError", True),
    ],
    ids=str,
)
async def test_what_may_pass_is_tried_again(fault, error, billed):
    limits = Timeout(first_byte=3 if "hang" in fault else 30)
    async with Emulator() as emulator:
        emulator.fault(times=2, **fault)
        zai = client(emulator.url, retry=PATIENT, clock=FakeClock(), timeout=limits)
        async with zai:
            attempts = (await ask(zai)).attempts
        assert len(emulator.requests) == len(attempts) == 3
    assert [attempt.error for attempt in attempts] == [error, error, None]
    assert [attempt.maybe_billed for attempt in attempts] == [billed, billed, False]
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert [attempt.wait > 0 for attempt in attempts] == [False, True, True]
    assert attempts[2].started == sum(attempt.wait for attempt in attempts)


@pytest.mark.parametrize(
    ("fault", "error", "billed"),
    [
        ({"code": "1000"}, "AuthenticationError", False),
        ({"code": "1113"}, "BillingError", False),
        ({"code": "1210"}, "BadRequestError", False),
        ({"code": "1211"}, "NotFoundError", False),
        ({"code": "1301"}, "ContentPolicyError", False),
        ({"code": "1308"}, "QuotaError", False),
        ({"body": b"<p>", "content_type": "text/html"}, "ResponseError", True),
        ({"body": b"[]"}, "ResponseError", True),
    ],
    ids=str,
)
async def test_what_will_not_pass_is_sent_once(fault, error, billed):
    async with Emulator() as emulator:
        emulator.fault(times=None, **fault)
        async with client(emulator.url, retry=PATIENT, clock=FakeClock()) as zai:
            with pytest.raises(ZaiError) as caught:
                await ask(zai)
        assert len(emulator.requests) == 1
    (attempt,) = caught.value.attempts
    assert (type(caught.value).__name__, attempt.error) == (error, error)
    assert attempt.maybe_billed is billed
    assert attempt.connection_reused is False
    assert attempt.request_id
    assert caught.value.operation == "chat.completions.create"


async def test_the_ledger_tells_all():
    zai, transport = scripted(BUSY, LOST, FINE)
    async with zai:
        reply = await ask(zai)
    busy, lost, fine = reply.attempts
    assert (busy.status_code, busy.code, busy.request_id, busy.wait) == (429, "1302", "log-0", 0.0)
    assert (lost.status_code, lost.code, lost.request_id, lost.wait) == (None, None, None, 1.0)
    assert (fine.status_code, fine.error, fine.request_id, fine.wait) == (200, None, "log-1", 0.5)
    assert [attempt.started for attempt in reply.attempts] == [0.0, 1.0, 1.5]
    assert reply.request_id == "log-1"
    assert len(transport.requests) == 3


async def test_a_failure_after_the_headers_keeps_what_they_told():
    broken = FakeReply(status=200, headers={"X-Log-Id": "log-2"}, steps=(b"{", LOST.failure))
    zai, _ = scripted(broken, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(ConnectionLostError) as caught:
            await ask(zai)
    (attempt,) = caught.value.attempts
    assert (attempt.status_code, attempt.request_id, attempt.connection_reused) == (
        200,
        "log-2",
        False,
    )
    assert attempt.maybe_billed


async def test_the_waits_follow_the_policy():
    retry = RetryPolicy(retries=3, throttle=Backoff(2.0, 5.0))
    zai, transport = scripted(BUSY, retry=retry, clock=(clock := FakeClock()))
    async with zai:
        with pytest.raises(RateLimitError) as caught:
            await ask(zai)
    assert clock.slept == [1.0, 2.0, 2.5]
    assert len(transport.requests) == len(caught.value.attempts) == 4


async def test_the_server_may_name_the_wait():
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429, Retry_After="7")
    zai, _ = scripted(busy, FINE, clock=(clock := FakeClock()))
    async with zai:
        await ask(zai)
    assert clock.slept == [7.0]


@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_a_call_may_have_retries_of_its_own(retries):
    zai, transport = scripted(BUSY)
    async with zai:
        with pytest.raises(RateLimitError):
            await ask(zai, options=CallOptions(retries=retries))
    assert len(transport.requests) == 1 + retries


async def test_stale_connections_use_up_no_retries():
    stale = ConnectionLostError("reset")
    stale.stale = True
    gone = FakeReply(failure=stale)
    zai, transport = scripted(gone, BUSY, gone, BUSY, FINE, retry=RetryPolicy(retries=2))
    async with zai:
        attempts = (await ask(zai)).attempts
    assert [request.fresh for request in transport.requests] == [False, True, False, True, False]
    assert [attempt.error for attempt in attempts] == [
        "ConnectionLostError",
        "RateLimitError",
        "ConnectionLostError",
        "RateLimitError",
        None,
    ]
    assert [attempt.wait for attempt in attempts] == [0.0, 0.0, 1.0, 0.0, 2.0]
    assert [attempt.connection_reused for attempt in attempts[:2]] == [True, False]


@pytest.mark.parametrize("stale", [False, True])
async def test_an_operation_that_must_not_happen_twice_is_sent_once(stale):
    lost = ConnectionLostError("reset")
    lost.stale = stale
    operation = Operation("jobs.create", "paas/v4/jobs", dict, CallParams, repeatable=False)
    zai, transport = scripted(FakeReply(failure=lost), FINE)
    async with zai:
        with pytest.raises(ConnectionLostError):
            await zai._manager.call(operation, {})
    assert len(transport.requests) == 1


async def test_an_operation_that_was_refused_is_sent_again_all_the_same():
    operation = Operation("jobs.create", "paas/v4/jobs", dict, CallParams, repeatable=False)
    zai, transport = scripted(BUSY, FINE)
    async with zai:
        answer = await zai._manager.call(operation, {})
    assert answer == COMPLETION
    assert len(transport.requests) == 2


async def test_an_answer_without_content_is_an_error_with_attempts():
    empty = FakeReply.json({"choices": [{"finish_reason": "stop", "message": {"content": ""}}]})
    zai, _ = scripted(BUSY, empty)
    async with zai:
        with pytest.raises(EmptyAnswerError) as caught:
            await ask(zai)
        assert len(caught.value.attempts) == 2
        assert caught.value.operation == "chat.completions.create"
        allowed = await ask(zai, options=CallOptions(allow={"empty"}))
    assert allowed.outcome == "empty"


DOWN = FakeReply.json({"error": {"code": "1234"}}, status=500)


STREAM = FakeReply.stream(GOOD)


@pytest.mark.parametrize(
    ("streamed", "script"),
    [
        (False, (BUSY, FINE)),
        (False, (DOWN, FINE)),
        (False, (BUSY,)),
        (False, (DOWN,)),
        (True, (BUSY, STREAM)),  # a stream keeps the error that it ended with
        (True, (DOWN, STREAM)),
    ],
    ids=range(6),
)
async def test_what_failed_is_gone_as_soon_as_nobody_holds_its_error(streamed, script):
    """A traceback leads to frames, and a frame that keeps the error would keep everything."""
    errors = []
    hooks = Hooks(on_retry=lambda event: errors.append(weakref.ref(event.error)))
    retry = RetryPolicy(retries=1)
    zai, _ = scripted(*script, hooks=hooks, retry=retry)
    async with zai:
        gc.collect()
        gc.disable()
        try:
            try:
                answer = await ask(zai, stream=streamed)
                if streamed:
                    await answer.aclose()
                del answer
            except ZaiError as error:
                errors.append(weakref.ref(error))
            await asyncio.sleep(0)
            alive = [error() for error in errors if error() is not None]
        finally:
            gc.enable()
    assert errors
    assert not alive


# What is sent again in another form


def expired(code):
    return FakeReply.json({"error": {"code": code, "message": "token expired"}}, status=401)


@pytest.mark.parametrize("code", ["1003", "1004"])
async def test_a_token_that_came_too_late_is_signed_again(code):
    provider = Provider(name="signed", base_url="https://gateway.example/api", key_in="jwt")
    clock = FakeClock()

    def late(request):
        clock.now += 300
        return expired(code)

    zai, transport = scripted(late, FINE, provider=provider, base_url=None, clock=clock)
    async with zai:
        reply = await ask(zai)
    first, second = (request.secret_headers["Authorization"] for request in transport.requests)
    assert first != second
    assert [attempt.wait for attempt in reply.attempts] == [0.0, 0.0]


@pytest.mark.parametrize(("retries", "sent"), [(None, 2), (1, 2), (0, 1)])
async def test_a_token_is_signed_again_once(retries, sent):
    provider = Provider(name="signed", base_url="https://gateway.example/api", key_in="jwt")
    zai, transport = scripted(expired("1003"), provider=provider, base_url=None)
    async with zai:
        with pytest.raises(AuthenticationError) as caught:
            await ask(zai, options=CallOptions(retries=retries))
    assert len(transport.requests) == sent
    token = transport.requests[0].secret_headers["Authorization"].reveal()
    assert token not in str(vars(caught.value))


async def test_a_key_that_is_no_token_is_not_signed_again():
    zai, transport = scripted(expired("1003"))
    async with zai:
        with pytest.raises(AuthenticationError):
            await ask(zai)
    assert len(transport.requests) == 1


PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
UNREADABLE = FakeReply.json({"error": {"code": "1210", "message": "bad image"}}, status=400)


@pytest.mark.parametrize(("retries", "sent"), [(None, 2), (0, 1)])
async def test_an_image_that_could_not_be_read_is_written_otherwise_once(retries, sent):
    zai, transport = scripted(UNREADABLE)
    messages = [{"role": "user", "content": [image(PNG)]}]
    async with zai:
        with pytest.raises(BadRequestError):
            await ask(zai, messages=messages, options=CallOptions(retries=retries))
        body = b"".join([piece async for piece in transport.requests[-1].body])
    assert len(transport.requests) == sent
    assert (b"data:image/png;base64," in body) is (sent == 1)


async def test_a_refusal_without_images_is_final():
    zai, transport = scripted(UNREADABLE)
    async with zai:
        with pytest.raises(BadRequestError):
            await ask(zai)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("reply", [BUSY, LOST])
async def test_a_body_that_cannot_be_read_twice_is_sent_once(reply):
    async def pieces():
        yield PNG

    stale = ConnectionLostError("reset")
    stale.stale = True
    for first in (reply, FakeReply(failure=stale)):
        messages = [{"role": "user", "content": [image(pieces())]}]
        zai, transport = scripted(first, FINE)
        async with zai:
            with pytest.raises(ZaiError):
                await ask(zai, messages=messages)
        assert len(transport.requests) == 1


# What is there instead of a stream


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (BUSY, RateLimitError),
        (FakeReply.json({"error": {"code": "1113"}}), BillingError),
        (FakeReply(headers={"Content-Type": "text/html"}, steps=(b"<html>",)), ResponseError),
        (FakeReply.json({"id": "1", "object": "something"}), ResponseError),
        (FakeReply(status=300), ResponseError),
        (FakeReply(status=304), ResponseError),
        (FakeReply(status=502, steps=(b"<html>",)), ServerError),
        (FakeReply(status=401, steps=(b"", LOST.failure)), AuthenticationError),
    ],
)
async def test_an_answer_that_is_no_stream(reply, error):
    zai, transport = scripted(reply, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(error):
            await ask(zai, stream=True)
        assert transport.open_responses == 0


async def test_a_whole_answer_in_place_of_a_stream_is_read():
    zai, _ = scripted(FakeReply.json(COMPLETION))
    async with zai:
        stream = await ask(zai, stream=True)
        assert [chunk.text async for chunk in stream] == ["Hi"]
        assert (await stream.completion()).text == "Hi"


# Sizes


async def test_a_large_error_is_still_classified():
    page = FakeReply(status=429, steps=(b" " * 2**15,) * 2**10)
    zai, transport = scripted(page, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(APIError) as caught:
            await ask(zai)
        assert transport.responses[0].closed
    assert caught.value.status_code == 429


@pytest.mark.parametrize(("status", "cls"), [(400, BadRequestError), (401, AuthenticationError)])
async def test_an_error_that_breaks_off_is_still_classified(status, cls):
    broken = FakeReply(status=status, steps=(b'{"error', LOST.failure))
    zai, transport = scripted(broken, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(cls):
            await ask(zai)
        assert transport.open_responses == 0


@pytest.mark.parametrize("steps", [(BODY,), (BODY[:50], BODY[50:])], ids=["whole", "halves"])
async def test_the_limit_is_the_size_of_the_largest_answer(steps):
    zai, _ = scripted(FakeReply(steps=steps), max_response_bytes=len(BODY))
    async with zai:
        assert (await ask(zai)).text == "Hi"
    zai, _ = scripted(FakeReply(steps=steps), max_response_bytes=len(BODY) - 1)
    async with zai:
        with pytest.raises(LimitError):
            await ask(zai)


async def test_an_answer_whose_connection_was_cut_where_it_ends_is_read_and_closed():
    cut = ConnectionLostError("cut")
    cut.unclosed = True
    zai, transport = scripted(FakeReply(steps=(BODY, cut)))
    async with zai:
        assert (await ask(zai)).text == "Hi"
        assert transport.open_responses == 0


@pytest.mark.parametrize(("body", "whole"), [(BODY[:-1], False), (b"7", False), (GOOD, True)])
async def test_an_answer_tells_itself_whether_it_was_cut_where_it_ends(body, whole):
    cut = ConnectionLostError("cut")
    cut.unclosed = True
    zai, _ = scripted(FakeReply(steps=(body, cut)), retry=RetryPolicy(retries=0))
    async with zai:
        if whole:
            assert (await ask(zai)).text == GOOD_TEXT
        else:
            with pytest.raises(ConnectionLostError):
                await ask(zai)


async def test_an_answer_that_breaks_off_where_more_was_to_come_is_none_however_it_looks():
    zai, transport = scripted(FakeReply(steps=(BODY, LOST.failure)), FINE)
    async with zai:
        assert (await ask(zai)).text == "Hi"
    assert len(transport.requests) == 2


@pytest.mark.parametrize("status", [300, 304, 404])
async def test_what_a_server_says_instead_of_sound_is_none(status):
    page = FakeReply(status=status, headers={"Content-Type": "audio/wav"}, steps=(b"RIFF",))
    zai, _ = scripted(page, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(NotFoundError if status == 404 else ResponseError):
            await zai.audio.speech.create(model="glm-tts", input="Hi.", voice="tongtong")


async def test_others_have_their_turn_while_the_values_of_an_answer_are_counted():
    body, turns = b"[" + b"1," * 2**19 + b"1]", 0
    *slices, most = counted_values(body)

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    busy = asyncio.create_task(others())
    await asyncio.sleep(0)
    assert await parse_in_thread(body, body.decode, most) == body.decode()
    before = turns
    with pytest.raises(LimitError, match="the answer holds more than"):
        await parse_in_thread(body, body.decode, most - 1)
    assert turns - before >= len(slices) > 9
    busy.cancel()


async def test_a_large_answer_is_refused():
    zai, transport = scripted(FakeReply(steps=(b" " * 99, b" " * 2)), max_response_bytes=100)
    async with zai:
        with pytest.raises(LimitError, match="larger than 100 bytes"):
            await ask(zai)
        assert transport.open_responses == 0


# Logs


async def test_each_retry_is_one_line(caplog):
    caplog.set_level(logging.INFO, "zai_async")
    zai, _ = scripted(BUSY, LOST, FINE)
    async with zai:
        await ask(zai)
    assert caplog.messages == [
        "chat.completions.create: too many requests at once (code 1302); again in 1.00 s",
        "chat.completions.create: the connection failed (ConnectionLostError); again in 0.50 s",
    ]


async def test_each_request_is_two_lines_for_those_who_look_closely(caplog):
    caplog.set_level(logging.DEBUG, "zai_async")
    zai, _ = scripted(FINE)
    async with zai:
        await ask(zai)
    assert caplog.messages == [
        "chat.completions.create: POST http://127.0.0.1:9/api/paas/v4/chat/completions",
        "chat.completions.create: HTTP 200 in 0.000 s",
    ]
