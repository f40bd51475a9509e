"""What calls tell the limiter, and what they hold meanwhile."""

import asyncio
import gc
from contextlib import suppress
from functools import partial

import anyio
import pytest

from tests import virtual_loop
from tests.calls import ASK, BUSY, COMPLETION, FINE, ask, client
from tests.chat_wire import GOOD, body, texts
from zai_async import (
    CallOptions,
    ConnectionLostError,
    DeadlineError,
    Hooks,
    Limits,
    RateLimitError,
    RetryPolicy,
    ServerError,
    no_retries,
)
from zai_async.testing import FakeReply, FakeTransport

OVERLOAD = FakeReply.json({"error": {"code": "1305"}}, status=429)
DOWN = FakeReply.json({"error": {"code": "1234"}}, status=500)


def figures(zai):
    return zai.limits.snapshot()["glm-5.3"]


@pytest.mark.parametrize("reply", [BUSY, OVERLOAD])
async def test_a_refusal_that_is_not_retried_is_one_all_the_same(reply):
    """Frameworks that retry calls themselves share the limit of the account, too."""
    async with client(transport=FakeTransport(reply), limits="adaptive") as zai:
        with no_retries(), pytest.raises(RateLimitError):
            await ask(zai)
        assert (figures(zai).rejected, figures(zai).in_flight, figures(zai).waiting) == (1, 0, 0)
        with pytest.raises(RateLimitError):
            await ask(zai, stream=True, options=CallOptions(retries=0))
        assert (figures(zai).rejected, figures(zai).in_flight, figures(zai).waiting) == (2, 0, 0)


async def test_other_failures_say_nothing_about_the_limit():
    async with client(transport=FakeTransport(DOWN), limits="adaptive") as zai:
        with no_retries(), pytest.raises(ServerError):
            await ask(zai)
        assert (figures(zai).rejected, figures(zai).in_flight) == (0, 0)


async def test_an_answer_proves_at_once_that_its_request_was_not_too_much():
    """However soon it is over: the search goes on as fast as answers come."""
    async with client(transport=FakeTransport(FINE, DOWN), limits="adaptive") as zai:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask_in_some_way, zai)
        assert figures(zai).limit > 2


async def ask_in_some_way(zai):
    with suppress(ServerError):
        await ask(zai)


async def test_an_error_half_way_through_an_answer_says_nothing_about_the_limit():
    reply = FakeReply.stream(
        body(texts("Hi"), done=False), b'data: {"error": {"code": "1302", "message": "no"}}\n\n'
    )
    async with client(transport=FakeTransport(reply), limits="adaptive") as zai:
        async with zai.chat.completions.stream(**ASK) as stream:
            with pytest.raises(RateLimitError):
                await stream.completion()
        assert (figures(zai).rejected, figures(zai).in_flight) == (0, 0)


def test_a_limit_is_found_without_a_single_retry():
    async def work():
        busy = 0

        def answer(request):
            return FINE if busy <= 3 else BUSY

        class Server(FakeTransport):
            async def send(self, request):
                nonlocal busy
                busy += 1
                try:
                    response = await super().send(request)
                    await anyio.sleep(1)
                finally:
                    busy -= 1
                return response

        refused = 0

        async def one(zai):
            nonlocal refused
            try:
                await ask(zai, options=CallOptions(retries=0))
            except RateLimitError:
                refused += 1

        async with client(transport=Server(answer), limits="adaptive") as zai:
            for _ in range(40):
                async with anyio.create_task_group() as group:
                    for _ in range(10):
                        group.start_soon(one, zai)
        assert refused < 100  # of 400; of ten at once, seven would be refused each time

    virtual_loop.run(work())


def test_a_refused_call_holds_no_permit_while_it_waits_for_the_server():
    async def work():
        later = FakeReply.json({"error": {"code": "1302"}}, status=429, Retry_After="30")
        replies = iter([later])
        transport = FakeTransport(lambda _: next(replies, FakeReply.json(COMPLETION)))
        ends = []

        async def timed(zai):
            await ask(zai)
            ends.append(anyio.current_time())

        async with (
            client(transport=transport, limits=1, retry=RetryPolicy()) as zai,
            anyio.create_task_group() as group,
        ):
            group.start_soon(timed, zai)
            await anyio.sleep(1)
            for _ in range(3):
                group.start_soon(timed, zai)
        first = ends.pop()
        assert max(ends) < 10
        assert first == pytest.approx(30, abs=3)

    virtual_loop.run(work())


@pytest.mark.filterwarnings("ignore:.*was never closed:ResourceWarning")
def test_what_a_loop_held_that_has_ended_is_free():
    zai, kept = client(transport=FakeTransport(FakeReply.stream(GOOD)), limits=1), []

    async def hold():
        kept.append(zai.chat.completions.stream(**ASK))
        await kept[0].open()
        assert figures(zai).in_flight == 1

    asyncio.run(hold())
    assert figures(zai).in_flight == 0
    kept.clear()
    gc.collect()


async def test_an_answer_in_bytes_ends_its_call_like_any_other():
    ends = []
    sound = FakeReply(headers={"Content-Type": "audio/wav"}, steps=(b"RIFF....WAVE",))
    transport = FakeTransport(sound)
    hooks = Hooks(on_finish=lambda event: ends.append(event.end))
    async with client(transport=transport, limits=1, hooks=hooks) as zai:
        for _ in range(2):
            await zai.audio.speech.create(model="glm-tts", input="Hi.", voice="tongtong")
        (window,) = zai.limits.snapshot().values()
        assert (window.in_flight, zai.usage.total.calls) == (0, 2)
    assert ends == ["completed", "completed"]


async def test_a_retry_that_need_not_wait_keeps_its_permit():
    gone = FakeReply(failure=ConnectionLostError("reset"))
    gone.failure.stale = True
    transport = FakeTransport(gone, FINE)
    async with (
        client(transport=transport, limits=1, retry=RetryPolicy()) as zai,
        anyio.create_task_group() as group,
    ):
        for question in ("first", "second"):
            group.start_soon(partial(ask, zai, messages=question))
    sent = [b"first" in request.body for request in transport.requests]
    assert sent == [True, True, False]


# A wait that does not fit into the deadline


@pytest.mark.parametrize("streaming", [False, True])
def test_a_rate_that_lets_nobody_in_before_the_deadline_ends_the_call_at_once(streaming):
    async def work():
        limits = Limits(mode="fixed", start=5, requests_per_minute=1)
        transport = FakeTransport(FINE)
        await anyio.sleep(7.0)
        async with client(transport=transport, limits=limits) as zai:
            await ask(zai)
            with pytest.raises(DeadlineError, match="lets nobody in for 60 s") as info:
                await ask(zai, stream=streaming, options=CallOptions(deadline=30.0))
            assert anyio.current_time() == 7.0
            assert info.value.attempts == ()
            assert (figures(zai).in_flight, figures(zai).waiting) == (0, 0)
            await ask(zai, options=CallOptions(deadline=61.0))
            assert anyio.current_time() == 67.0
        assert len(transport.requests) == 2

    virtual_loop.run(work())
