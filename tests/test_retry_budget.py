"""Retries of a whole client: what a dead server gets, and who may retry at all."""

from contextlib import nullcontext

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import ASK, BUSY, FINE, LOST, FakeClock, ask, client, scripted
from zai_async import (
    CallOptions,
    ConnectionLostError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    ZaiError,
    no_retries,
)
from zai_async.retry import RetryBudget
from zai_async.testing import FakeReply, FakeTransport

DOWN = FakeReply.json({"error": {"code": "1234"}}, status=500)
OUT = FakeReply(status=503)
FAULTS = {
    "server": {"code": "1234"},
    "gateway": {"status": 502},
    "throttled": {"code": "1302"},
    "overloaded": {"code": "1305"},
    "later": {"code": "1302", "headers": {"Retry-After": "0"}},
    "dropped": {"drop": True},
    "in stream": {"error_in_stream": "1234"},
}


# The budget


def test_a_budget_is_used_up():
    budget = RetryBudget(3)
    assert [budget.draw() for _ in range(5)] == [True, True, True, False, False]


def test_a_retry_that_helped_costs_nothing():
    budget = RetryBudget(1)
    for _ in range(100):
        assert budget.draw()
        budget.refill(helped=True)


def test_ten_answers_pay_for_a_retry():
    budget = RetryBudget(1)
    assert budget.draw()
    for _ in range(9):
        budget.refill(helped=False)
        assert not budget.draw()
    budget.refill(helped=False)
    budget.refill(helped=False)
    assert budget.draw()


@given(st.lists(st.sampled_from(["draw", "answer"])), st.integers(1, 20))
def test_no_more_than_a_tenth_of_the_answers_is_retried(events, most):
    budget, drawn, answers = RetryBudget(most), 0, 0
    for event in events:
        if event == "draw":
            drawn += budget.draw()
        else:
            budget.refill(helped=False)
            answers += 1
        assert drawn <= most + answers / 10


# Calls


async def ask_in_vain(zai):
    with pytest.raises(ZaiError) as caught:
        await ask(zai)
    return caught.value


@pytest.mark.parametrize("reply", [DOWN, OUT, LOST], ids=["down", "out", "lost"])
async def test_a_dead_server_is_not_asked_twice_as_often(reply):
    zai, transport = scripted(reply)
    async with zai, anyio.create_task_group() as group:
        for _ in range(1000):
            group.start_soon(ask_in_vain, zai)
    assert 1000 < len(transport.requests) <= 1100


async def test_with_an_empty_budget_each_call_is_one_request_until_calls_succeed_again():
    replies = [DOWN] * 500
    zai, transport = scripted(lambda _: replies.pop() if replies else FINE)
    async with zai:
        other = zai.with_options(timeout=5)
        while len(transport.requests) < 200:
            error = await ask_in_vain(zai)
        assert "retry budget is exhausted" in error.hint
        assert len((await ask_in_vain(other)).attempts) == 1  # they share it
        replies.clear()
        for _ in range(5):
            await ask(zai)
        replies.append(DOWN)
        assert len((await ask_in_vain(other)).attempts) == 1  # ten answers pay for a retry
        for _ in range(15):
            await ask(zai)
        replies.append(DOWN)
        assert len((await ask(other)).attempts) == 2


async def test_many_failures_that_a_retry_cures_do_not_empty_it():
    turns = iter(range(10_000))
    zai, transport = scripted(lambda _: FINE if next(turns) % 2 else DOWN)
    async with zai:
        for _ in range(300):
            await ask(zai)
    assert len(transport.requests) == 600


# One request only


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_every_request_is_an_attempt(zai_emulator, fault):
    streams = "error_in_stream" in fault
    async with client(zai_emulator.url, retry=RetryPolicy(), clock=FakeClock()) as zai:
        zai_emulator.fault(**fault)
        stream = zai.chat.completions.stream(**ASK)
        answer = await (stream.completion() if streams else ask(zai))
        assert len(answer.attempts) == len(zai_emulator.requests) == 2
        assert answer.attempts[0].maybe_billed is ("drop" in fault)


@pytest.mark.parametrize("limits", ["adaptive", "off"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_without_retries_there_is_one_request(zai_emulator, fault, limits):
    async with client(zai_emulator.url, retry=RetryPolicy(), limits=limits) as zai:
        zai_emulator.fault(**fault, times=None)
        with no_retries():
            stream = zai.chat.completions.stream(**ASK)
            with pytest.raises(ZaiError) as caught:
                await stream.completion()
        assert len(caught.value.attempts) == len(zai_emulator.requests) == 1


async def test_no_retries_holds_for_one_task_and_its_children():
    zai, transport = scripted(DOWN)
    async with zai:
        with no_retries(), pytest.raises(ExceptionGroup):
            async with anyio.create_task_group() as group:
                group.start_soon(ask, zai)
        assert len(transport.requests) == 1
        await ask_in_vain(zai)
        assert len(transport.requests) > 2


async def test_no_retries_wins_over_what_the_call_says():
    zai, transport = scripted(BUSY)
    async with zai:
        with no_retries(), pytest.raises(ZaiError):
            await ask(zai, options=CallOptions(retries=5))
    assert len(transport.requests) == 1


@pytest.mark.parametrize("options", [{}, {"options": CallOptions(retries=0)}])
async def test_an_idle_connection_that_was_closed_is_no_failure(zai_emulator, options):
    """Nobody has answered on it: to send the request once more is no retry."""
    async with client(zai_emulator.url, retry=RetryPolicy()) as zai:
        await ask(zai)
        zai_emulator.fault(drop_reused=True)
        with nullcontext() if options else no_retries():
            attempts = (await ask(zai, **options)).attempts
        assert [attempt.error for attempt in attempts] == ["ConnectionLostError", None]
        assert [attempt.connection_reused for attempt in attempts] == [True, False]


async def test_a_second_connection_that_breaks_is_a_failure():
    stale = ConnectionLostError("reset")
    stale.stale = True
    zai, transport = scripted(FakeReply(failure=stale))
    async with zai:
        with pytest.raises(ConnectionLostError):
            await ask(zai, options=CallOptions(retries=0))
    assert [request.fresh for request in transport.requests] == [False, True]


# When the server names a time: (header, wait in seconds or None to give up)
RETRY_AFTER = [
    ({}, 0.25),
    ({"Retry_After": "0"}, 0.25),
    ({"Retry_After": "-1"}, 0.25),
    ({"Retry_After": "1.5"}, 1.5),
    ({"Retry_After": "abc"}, 0.25),
    ({"Retry_After": "86400"}, None),
    ({"Retry_After": "inf"}, 0.25),
    ({"Retry_After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.25),
    ({"Retry_After": "Mon, 21 Sep 2026 14:30:10 GMT"}, 10.0),
    ({"Retry_After": "Fri, 01 Jan 2100 00:00:00 GMT"}, None),
    ({"retry_after_ms": "1500", "Retry_After": "30"}, 1.5),
]


class Dated(FakeClock):
    def wall(self) -> float:
        return 1_790_001_000.0


@pytest.mark.parametrize(("headers", "wait"), RETRY_AFTER, ids=str)
async def test_a_time_that_the_server_names(headers, wait):
    clock = Dated()
    reply = FakeReply.json({"error": {"code": "1234"}}, status=500, **headers)
    transport = FakeTransport(reply, FINE)
    async with client(transport=transport, retry=RetryPolicy(), clock=clock) as zai:
        if wait is None:
            with pytest.raises(ServerError) as caught:
                await ask(zai)
            error = caught.value
            assert error.retry_after > 3600
            assert error.retry_at.timestamp() == clock.wall() + error.retry_after
        else:
            await ask(zai)
    assert clock.slept == ([] if wait is None else [wait])


async def test_a_wait_beyond_the_calendar_has_no_date():
    late = RateLimitError("busy", repeat="throttle", retry_after=1e15)
    zai, transport = scripted(FakeReply(failure=late))
    async with zai:
        with pytest.raises(RateLimitError) as caught:
            await ask(zai)
    assert len(transport.requests) == 1
    assert caught.value.retry_at is None


async def test_a_reset_that_the_platform_tells_wins_over_retry_after():
    message = "used up, resets at 2026-09-23 14:00:00"
    reply = FakeReply.json(
        {"error": {"code": "1308", "message": message}}, status=429, Retry_After="86400"
    )
    zai, _ = scripted(reply)
    async with zai:
        with pytest.raises(ZaiError) as caught:
            await ask(zai)
    assert caught.value.retry_after == 86400
    assert caught.value.retry_at.isoformat() == "2026-09-23T14:00:00+08:00"
