"""The two ends of a call and the times between them, for hooks, answers and errors."""

import asyncio
import gc
import logging

import anyio
import msgspec
import pytest

from tests import virtual_loop
from tests.calls import ASK, COMPLETION, FakeClock, ask, client, scripted
from tests.chat_wire import GOOD, body, chunk, last, texts
from tests.virtual_loop import in_virtual_time
from zai_async import (
    AsyncZai,
    Budget,
    BudgetExceededError,
    CallOptions,
    ConnectionLostError,
    DeadlineError,
    EmptyAnswerError,
    FinishEvent,
    Hooks,
    QueueEvent,
    RateLimitError,
    ServerError,
    StreamConsumedError,
    Timing,
)
from zai_async._operations import CHAT
from zai_async._wire import Operation
from zai_async.limiter import Limits
from zai_async.models import ChatCompletion
from zai_async.models.options import CallParams
from zai_async.testing import FakeReply, FakeTransport

FINE = FakeReply.json(COMPLETION)
BUSY = FakeReply.json({"error": {"code": "1302"}}, status=429)
WRONG = FakeReply.json({"error": {"code": "1210"}}, status=400)


class Seen(list):
    """Remembers how calls begin, wait and end."""

    @property
    def hooks(self):
        return Hooks(on_start=self.append, on_queue=self.append, on_finish=self.append)

    @property
    def names(self):
        return [type(event).__name__ for event in self]

    @property
    def ends(self):
        return [event.end for event in self if isinstance(event, FinishEvent)]


# Events


async def test_a_call_begins_and_ends():
    seen = Seen()
    zai, _ = scripted(FINE, hooks=seen.hooks)
    async with zai:
        answer = await ask(zai, options=CallOptions(tag="mine"))
    start, end = seen
    assert (start.operation, start.model, start.tag) == (
        "chat.completions.create",
        "glm-5.3",
        "mine",
    )
    assert (end.operation, end.model, end.tag) == ("chat.completions.create", "glm-5.3", "mine")
    assert (end.end, end.error, end.attempts) == ("completed", None, answer.attempts)
    assert end.usage.total_tokens == 0


async def test_a_call_that_fails():
    seen = Seen()
    zai, _ = scripted(WRONG, hooks=seen.hooks)
    async with zai:
        with pytest.raises(Exception, match="1210") as caught:
            await ask(zai)
    assert seen.names == ["StartEvent", "FinishEvent"]
    assert (seen[1].end, seen[1].error) == ("failed", caught.value)


async def in_full(zai):
    async with zai.chat.completions.stream(**ASK) as stream:
        await stream.completion()


async def closed_early(zai):
    async with zai.chat.completions.stream(**ASK) as stream:
        await anext(stream)


async def cancelled_while_reading(zai):
    with anyio.move_on_after(1):
        async with zai.chat.completions.stream(**ASK) as stream:
            await stream.completion()


async def cancelled_before_the_headers(zai):
    with anyio.move_on_after(1):
        await zai.chat.completions.create(**ASK, stream=True)


async def cancelled_between_attempts(zai):
    with anyio.move_on_after(0.05):  # before the shortest pause is over
        await zai.chat.completions.stream(**ASK).completion()


async def failed(zai):
    with pytest.raises(Exception, match=r"1210|1302|broke off|before the answer did|1234"):
        await zai.chat.completions.stream(**ASK, options=CallOptions(retries=0)).completion()


REFUSED = FakeReply.sse({"error": {"code": "1302"}}, done=False)
ERROR = FakeReply.sse({"error": {"code": "1234"}}, done=False)
PATHS = [
    (in_full, FakeReply.stream(GOOD), "completed"),
    (closed_early, FakeReply.stream(GOOD), "abandoned"),
    (cancelled_while_reading, FakeReply.stream(GOOD[:300], 60.0, GOOD[300:]), "abandoned"),
    (cancelled_before_the_headers, FakeReply(delay=60.0), "abandoned"),
    (cancelled_between_attempts, ERROR, "abandoned"),
    (cancelled_between_attempts, BUSY, "abandoned"),
    (failed, WRONG, "failed"),
    (failed, BUSY, "failed"),
    (failed, ERROR, "failed"),
    (failed, FakeReply.stream(GOOD[:300]), "failed"),
    (failed, FakeReply.stream(body(texts("Hi"), done=False)), "failed"),
]


@pytest.mark.parametrize(("path", "reply", "end"), PATHS)
def test_a_stream_ends_once_on_every_path(path, reply, end):
    async def work():
        seen = Seen()
        async with AsyncZai(api_key="k", transport=FakeTransport(reply), hooks=seen.hooks) as zai:
            await path(zai)
        assert seen.names == ["StartEvent", "FinishEvent"]
        assert seen.ends == [end]
        assert zai.usage.total.calls == 1

    virtual_loop.run(work())


@in_virtual_time
async def test_times_are_counted_from_where_each_begins():
    await anyio.sleep(100)
    seen, answered = Seen(), []
    hooks = msgspec.structs.replace(seen.hooks, on_response=answered.append)
    lost = FakeReply(failure=ConnectionLostError("gone"), delay=2.0)
    fields = FakeReply.stream(GOOD).headers
    slow = FakeReply(headers=fields, delay=4.0, steps=(1.0, GOOD))
    zai, _ = scripted(lost, slow, clock=None, hooks=hooks)
    async with zai:
        await in_full(zai)
    (response,), timing = answered, seen[-1].timing
    first, second = seen[-1].attempts
    assert (first.started, first.duration, first.wait) == pytest.approx((0.0, 2.0, 0.0))
    assert 0 < second.wait < 60
    begun = 2.0 + second.wait
    assert (second.started, second.duration) == pytest.approx((begun, 4.0))
    assert response.duration == pytest.approx(4.0)
    assert timing.first_byte == pytest.approx(begun + 4.0)
    assert timing.first_token == timing.total == pytest.approx(begun + 5.0)


@in_virtual_time
async def test_an_attempt_takes_until_its_answer_is_whole():
    await anyio.sleep(100)
    seen = Seen()
    (whole,) = FINE.steps
    reply = FakeReply(headers=FINE.headers, delay=1.0, steps=(whole[:9], 3.0, whole[9:]))
    zai, _ = scripted(reply, clock=None, hooks=seen.hooks)
    async with zai:
        await ask(zai)
    (attempt,) = seen[-1].attempts
    assert attempt.duration == pytest.approx(4.0)


@in_virtual_time
async def test_a_stream_whose_opening_was_given_up_goes_on_as_the_same_call():
    seen = Seen()
    zai, _ = scripted(FakeReply(delay=0.05, steps=(GOOD,)), hooks=seen.hooks)
    async with zai:
        stream = zai.chat.completions.stream(**ASK)
        with anyio.move_on_after(0.01):
            await stream.open()
        await stream.completion()
    assert seen.ends == ["completed"]
    assert (zai.usage.total.attempts, zai.usage.total.unknown) == (1, 0)


@pytest.mark.filterwarnings("ignore:.*was never closed:ResourceWarning")
def test_a_stream_that_outlives_its_loop_ends_when_it_is_collected():
    seen = Seen()
    zai, _ = scripted(FakeReply.stream(GOOD), hooks=seen.hooks, clock=None)
    stream = zai.chat.completions.stream(**ASK)
    asyncio.run(first_of(stream))
    del stream
    gc.collect()
    assert seen.ends == ["abandoned"]
    assert seen[-1].timing.total >= seen[-1].timing.first_token
    assert zai.usage.total.unknown == 1


async def first_of(stream):
    await anext(stream)


@pytest.mark.parametrize("reply", [ERROR, REFUSED], ids=["failed", "refused"])
def test_a_stream_that_is_closed_while_it_waits_sends_nothing_more(reply):
    async def work():
        seen, transport = Seen(), FakeTransport(reply)
        async with (
            AsyncZai(api_key="k", transport=transport, hooks=seen.hooks) as zai,
            anyio.create_task_group() as group,
        ):
            stream = zai.chat.completions.stream(**ASK)
            group.start_soon(read_closed, stream)
            await anyio.sleep(1e-6)
            await stream.aclose()
            await anyio.sleep(60)
            assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
        assert seen.names == ["StartEvent", "FinishEvent"]
        assert len(transport.requests) == 1

    virtual_loop.run(work())


def test_a_stream_that_is_closed_while_it_is_opened_is_not_read():
    async def work():
        transport = FakeTransport(msgspec.structs.replace(FakeReply.stream(GOOD), delay=5.0))
        async with (
            AsyncZai(api_key="k", transport=transport) as zai,
            anyio.create_task_group() as group,
        ):
            stream = zai.chat.completions.stream(**ASK)
            group.start_soon(read_closed, stream)
            await anyio.sleep(1)
            await stream.aclose()
            await anyio.sleep(10)
            assert not transport.responses
            assert (zai.usage.total.calls, zai.usage.total.unknown) == (1, 1)

    virtual_loop.run(work())


async def test_a_stream_that_a_hook_closes_does_not_wait_for_a_slot():
    async def close(_):
        await stream.aclose()

    transport = FakeTransport(REFUSED)
    async with AsyncZai(api_key="k", transport=transport, hooks=Hooks(on_retry=close)) as zai:
        stream = zai.chat.completions.stream(**ASK)
        await read_closed(stream)
        assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
    assert len(transport.requests) == 1


async def read_closed(stream):
    with pytest.raises(StreamConsumedError, match="closed while it waited"):
        await stream.completion()


@pytest.mark.parametrize("moment", ["on_start", "on_request"])
async def test_a_hook_that_fails_ends_the_call(moment):
    def fail(_):
        raise LookupError("the hook's own")

    ends = []
    zai, _ = scripted(BUSY, FINE, hooks=Hooks(on_finish=ends.append, **{moment: fail}))
    async with zai:
        with pytest.raises(LookupError, match="own"):
            await ask(zai)
    assert [(end.end, type(end.error)) for end in ends] == [("failed", LookupError)]


def test_who_waits_is_told_for_what(caplog):
    async def work():
        seen = Seen()
        transport = FakeTransport(FakeReply(headers=FINE.headers, steps=FINE.steps, delay=1.0))
        hooks = seen.hooks
        async with (
            AsyncZai(api_key="k", transport=transport, limits=1, hooks=hooks) as zai,
            anyio.create_task_group() as group,
        ):
            for _ in range(3):
                group.start_soon(ask, zai)
        waits = [event for event in seen if isinstance(event, QueueEvent)]
        assert [(wait.limit, wait.in_flight, wait.waiting) for wait in waits] == [
            (1, 1, 0),
            (1, 1, 1),
        ]
        assert waits[0].model == "glm-5.3"
        queued = sorted(end.timing.queued for end in seen if isinstance(end, FinishEvent))
        assert queued == pytest.approx([0, 1, 2])

    caplog.set_level(logging.DEBUG, "zai_async")
    virtual_loop.run(work())
    assert "chat.completions.create: the limit is 1 at a time; waiting" in caplog.messages


def test_words_about_a_limit_that_was_found(caplog):
    async def work():
        replies = iter([FINE, BUSY])
        transport = FakeTransport(lambda _: next(replies, FINE))
        limits = Limits(start=1, most=1)
        async with AsyncZai(api_key="k", transport=transport, limits=limits) as zai:
            await ask(zai)
            async with anyio.create_task_group() as group:
                group.start_soon(ask, zai)
                await anyio.sleep(0.1)
                group.start_soon(ask, zai)

    caplog.set_level(logging.DEBUG, "zai_async")
    virtual_loop.run(work())
    assert any(
        "too many requests at once (code 1302); again when a permit is free" in line
        for line in caplog.messages
    )
    assert "chat.completions.create: the account allows 1 at a time; waiting" in caplog.messages


def test_words_about_a_rate(caplog):
    async def work():
        limits = Limits(mode="off", requests_per_minute=1)
        async with AsyncZai(api_key="k", transport=FakeTransport(FINE), limits=limits) as zai:
            await ask(zai)
            assert (await ask(zai)).timing.queued == pytest.approx(60)

    caplog.set_level(logging.DEBUG, "zai_async")
    virtual_loop.run(work())
    assert any("as much as one minute allows" in line for line in caplog.messages)


@pytest.mark.parametrize("tokens", [1200, 600])
def test_tokens_per_minute(tokens):
    async def work():
        limits = Limits(mode="off", tokens_per_minute=60)
        answer = COMPLETION | {"usage": {"total_tokens": tokens}}
        transport = FakeTransport(FakeReply.json(answer))
        async with AsyncZai(api_key="k", transport=transport, limits=limits) as zai:
            await ask(zai)
            assert (await ask(zai)).timing.queued == pytest.approx(tokens)

    virtual_loop.run(work())


async def test_a_free_answer_that_tells_of_tokens_but_of_no_task_is_not_charged():
    told = FakeReply.json(COMPLETION | {"usage": {"total_tokens": 7}})
    operation = Operation("jobs.list", "paas/v4/jobs", ChatCompletion, CallParams, method="GET")
    zai, _ = scripted(told)
    async with zai:
        await zai._manager.call(operation, {})
    assert (zai.usage.total.calls, zai.usage.total.tokens) == (1, 0)


async def test_a_call_that_is_made_again_after_its_end_is_another_one():
    seen = Seen()
    zai, _ = scripted(FINE, hooks=seen.hooks)

    async def accept(response):
        return await call.read(response)

    async with zai:
        call = zai._manager.begin(CHAT, ASK)
        for _ in range(2):
            assert await call.execute(accept)
            call.leave(completed=True)
            call.leave(completed=True)
    assert seen.names == ["StartEvent", "FinishEvent"] * 2
    assert seen[0].call_id == seen[1].call_id != seen[2].call_id == seen[3].call_id
    assert [[attempt.number for attempt in end.attempts] for end in seen[1::2]] == [[1], [2]]
    assert (zai.usage.total.calls, zai.usage.total.attempts) == (2, 2)


# Times


def test_the_times_of_an_answer():
    async def work():
        reply = FakeReply(headers=FINE.headers, steps=(2.0, *FINE.steps), delay=1.0)
        async with AsyncZai(api_key="k", transport=FakeTransport(reply)) as zai:
            return await ask(zai)

    timing = virtual_loop.run(work()).timing
    assert timing == Timing(queued=0.0, first_byte=1.0, first_token=None, total=3.0)


def test_the_times_of_a_stream():
    async def work():
        role, first = body([chunk()], done=False), body(texts("Hi"), done=False)
        steps = (role, 2.0, first, 4.0, body([last()]))
        reply = FakeReply.stream(*steps)
        async with AsyncZai(api_key="k", transport=FakeTransport(reply)) as zai:
            stream = zai.chat.completions.stream(**ASK)
            assert stream.timing == Timing()
            async with stream:
                await anyio.sleep(8)
                assert stream.timing == Timing(first_byte=0.0, total=8.0)
                answer = await stream.completion()
            await anyio.sleep(16)
            assert stream.timing == answer.timing
            return stream.timing

    timing = virtual_loop.run(work())
    assert timing == Timing(first_byte=0.0, first_token=10.0, total=14.0)


def test_the_first_token_may_be_one_of_many():
    async def work():
        reply = FakeReply.stream(1.0, GOOD)
        async with AsyncZai(api_key="k", transport=FakeTransport(reply)) as zai:
            async with zai.chat.completions.stream(**ASK) as stream:
                await stream.completion()
            return stream.timing

    assert virtual_loop.run(work()).first_token == 1.0


async def test_the_times_of_an_error():
    clock = FakeClock()
    zai, _ = scripted(FakeReply.json({"error": {"code": "1234"}}, status=500), clock=clock)
    async with zai:
        with pytest.raises(ServerError) as caught:
            await ask(zai)
    assert caught.value.timing.total == sum(clock.slept) > 0
    assert caught.value.timing.first_byte == caught.value.timing.total


async def test_an_answer_that_is_no_good_has_times_too():
    clock = FakeClock()
    empty = FakeReply.json({**COMPLETION, "choices": []})
    zai, _ = scripted(empty, clock=clock)
    async with zai:
        with pytest.raises(EmptyAnswerError) as caught:
            await ask(zai, options=CallOptions(retries=0))
    assert caught.value.timing.first_byte == 0.0


def test_an_error_in_the_queue_tells_how_long_it_waited():
    async def work():
        transport = FakeTransport(FakeReply(delay=60.0))
        async with (
            AsyncZai(api_key="k", transport=transport, limits=1) as zai,
            anyio.create_task_group() as group,
        ):
            group.start_soon(ask, zai)
            await anyio.sleep(1)
            with pytest.raises(DeadlineError) as caught:
                await ask(zai, options=CallOptions(deadline=5.0))
            group.cancel_scope.cancel()
        assert caught.value.timing == Timing(queued=5.0, total=5.0)

    virtual_loop.run(work())


def test_waiting_after_a_refusal_is_queueing():
    async def work():
        async with AsyncZai(api_key="k", transport=FakeTransport(BUSY)) as zai:
            with pytest.raises(RateLimitError) as caught:
                await ask(zai, options=CallOptions(deadline=5.0))
        assert caught.value.timing.queued == pytest.approx(5.0)

    virtual_loop.run(work())


async def test_a_client_without_hooks_needs_none(zai_emulator):
    async with client(zai_emulator.url) as zai:
        assert (await ask(zai)).timing.first_byte > 0


@pytest.mark.parametrize("told", ["prompt_tokens", "completion_tokens", "total_tokens"])
async def test_whoever_tells_one_count_of_tokens_has_told_the_usage(told):
    zai, _ = scripted(FakeReply.json(COMPLETION | {"usage": {told: 5}}))
    async with zai:
        await ask(zai)
        assert (zai.usage.total.calls, zai.usage.total.unknown) == (1, 0)


async def test_what_has_no_model_is_made_although_a_budget_is_used_up():
    operation = Operation("jobs.create", "paas/v4/jobs", ChatCompletion, CallParams)
    told = FakeReply.json(COMPLETION | {"usage": {"prompt_tokens": 7}})
    zai, _ = scripted(told, told, budget=Budget(tokens=1))
    async with zai:
        await ask(zai)
        with pytest.raises(BudgetExceededError):
            await ask(zai)
        assert (await zai._manager.call(operation, {})).text == "Hi"
