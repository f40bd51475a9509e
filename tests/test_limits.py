"""Calls under a limit, against an account that refuses what is too much."""

import anyio
import pytest

from tests import virtual_loop
from tests.calls import ASK, COMPLETION, ask
from tests.chat_wire import GOOD
from zai_async import (
    AsyncZai,
    CallOptions,
    ConfigurationError,
    DeadlineError,
    RateLimitError,
    RetryPolicy,
)
from zai_async.limiter import Limits
from zai_async.testing import FakeReply, FakeTransport

BUSY = FakeReply.json({"error": {"code": "1302", "message": "busy"}}, status=429)
OVERLOADED = FakeReply.json({"error": {"code": "1305", "message": "overloaded"}}, status=429)


class Account(FakeTransport):
    """Answers after a second, and refuses at once what is more than ``limit`` in flight."""

    def __init__(self, limit, *, refusal=BUSY, poison=None):
        super().__init__(FakeReply.json(COMPLETION))
        self.limit = limit
        self.refusal = refusal
        self.poison = poison
        self.in_flight = self.peak = self.refused = 0

    async def send(self, request):
        self.requests.append(request)
        poisoned = self.poison is not None and self.poison in request.body
        if self.in_flight >= self.limit or poisoned:
            self.refused += 1
            return await FakeTransport(self.refusal).send(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await anyio.sleep(1)
        finally:
            self.in_flight -= 1
        return await FakeTransport(FakeReply.json(COMPLETION)).send(request)


def client(transport, **settings):
    return AsyncZai(api_key="k.abcdefgh", transport=transport, **settings)


def finish(transport, calls, *, params=lambda number: {}, **settings):
    """Make many calls at once; return the seconds that they took."""

    async def work():
        async with client(transport, **settings) as zai:
            async with anyio.create_task_group() as group:
                for number in range(calls):
                    group.start_soon(lambda n: ask(zai, **params(n)), number)
            (figures,) = zai.limits.snapshot().values()
            assert (figures.in_flight, figures.waiting) == (0, 0)
        return anyio.current_time()

    return virtual_loop.run(work())


@pytest.mark.parametrize(("limit", "calls"), [(1, 50), (8, 200)])
def test_an_unknown_limit_is_found(limit, calls):
    account = Account(limit)
    seconds = finish(account, calls)
    assert account.peak == limit
    assert account.refused <= 0.1 * len(account.requests)
    assert seconds <= 1.3 * calls / limit + 5


def test_without_a_limit_nobody_waits_for_long():
    account = Account(10_000)
    assert finish(account, 1000) < 15
    assert account.refused == 0


def test_a_fixed_limit_is_kept():
    account = Account(10_000)
    assert finish(account, 30, limits=3) == pytest.approx(10, abs=0.5)
    assert account.peak == 3


def test_switched_off_everything_goes_at_once():
    account = Account(10_000)

    async def work():
        async with client(account, limits="off") as zai, anyio.create_task_group() as group:
            for _ in range(500):
                group.start_soon(ask, zai)

    virtual_loop.run(work())
    assert account.peak == 500


def test_two_models_do_not_hold_each_other_up():
    account = Account(10_000)

    async def work():
        async with client(account, limits=1) as zai:
            async with anyio.create_task_group() as group:
                for model in ("a", "b"):
                    for _ in range(5):
                        group.start_soon(lambda name: ask(zai, model=name), model)
            assert set(zai.limits.snapshot()) == {"a", "b"}
        return anyio.current_time()

    assert virtual_loop.run(work()) == pytest.approx(5, abs=0.5)


def test_a_refused_call_waits_for_a_slot_within_the_budget_only():
    async def work():
        retry = RetryPolicy(budget=30)
        async with client(FakeTransport(BUSY), retry=retry) as zai:
            with pytest.raises(RateLimitError) as caught:
                await ask(zai)
            # By chance, each of its pauses may be half as long as it usually is.
            assert 3 <= len(caught.value.attempts) <= 16
            assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
        return anyio.current_time()

    assert virtual_loop.run(work()) <= 31


def test_a_limit_that_passes_within_the_budget_is_survived():
    async def work():
        transport = FakeTransport(lambda _: BUSY if anyio.current_time() < 60 else FINE)
        async with client(transport) as zai:
            answer = await ask(zai)
            assert 12 <= len(answer.attempts) <= 30  # asked every 5 s at least

    virtual_loop.run(work())


FINE = FakeReply.json(COMPLETION)


def test_the_deadline_counts_the_time_in_the_queue():
    async def work():
        async with client(Account(10_000), limits=1) as zai, anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask, zai)
            await anyio.sleep(0.1)
            with pytest.raises(DeadlineError) as caught:
                await ask(zai, options=CallOptions(deadline=2.0))
            assert caught.value.attempts == ()
            assert anyio.current_time() == pytest.approx(2.1)

    virtual_loop.run(work())


def test_the_deadline_counts_the_time_after_a_refusal():
    async def work():
        async with client(FakeTransport(BUSY)) as zai:
            with pytest.raises(RateLimitError):
                await ask(zai, options=CallOptions(deadline=5.0))
            assert anyio.current_time() == pytest.approx(5.0)

    virtual_loop.run(work())


def test_a_server_that_names_a_time_is_obeyed():
    async def work():
        later = FakeReply.json({"error": {"code": "1302"}}, status=429, Retry_After="20")
        async with client(FakeTransport(later, FINE)) as zai:
            assert len((await ask(zai)).attempts) == 2
        return anyio.current_time()

    assert 20 <= virtual_loop.run(work()) <= 22


def test_a_poisoned_request_is_named_and_holds_nobody_up():
    async def work():
        account = Account(10_000, refusal=OVERLOADED, poison=b"poison")
        raised = []

        async def poisoned(zai):
            with pytest.raises(RateLimitError) as caught:
                await ask(zai, messages="poison")
            raised.append(caught.value)

        async with client(account) as zai, anyio.create_task_group() as group:
            group.start_soon(poisoned, zai)
            for _ in range(200):
                await anyio.sleep(0.5)
                group.start_soon(ask, zai)
        assert "specific to this request" in raised[0].hint
        assert raised[0].kind == "overload"

    virtual_loop.run(work())


def test_streams_hold_their_slot_until_they_are_closed():
    async def work():
        script = FakeReply.stream(GOOD)
        async with client(FakeTransport(script), limits=1) as zai:
            first = zai.chat.completions.stream(**ASK)
            await first.open()
            second = zai.chat.completions.stream(**ASK)
            with anyio.move_on_after(5) as scope:
                await second.open()
            assert scope.cancelled_caught
            assert zai.limits.snapshot()["glm-5.3"].in_flight == 1
            await first.aclose()
            async with second:
                await second.completion()
                # What has been read to its end needs no slot any more.
                assert zai.limits.snapshot()["glm-5.3"].in_flight == 0

    virtual_loop.run(work())


@pytest.mark.parametrize("kind", ["error", "cancel", "refused", "in_stream"])
def test_a_slot_is_given_back_whatever_happens(kind):
    async def work():
        replies = {
            "error": FakeReply.json({"error": {"code": "1210"}}, status=400),
            "cancel": FakeReply(delay=100),
            "refused": BUSY,
            "in_stream": FakeReply.sse({"error": {"code": "1302"}}),
        }
        retry = RetryPolicy(budget=3)
        async with client(FakeTransport(replies[kind]), retry=retry, limits=2) as zai:
            for call in (ask, lambda zai: zai.chat.completions.stream(**ASK).completion()):
                with anyio.move_on_after(10), pytest.raises(BaseException):  # noqa: B017, PT011
                    await call(zai)
                assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
                assert zai.limits.snapshot()["glm-5.3"].waiting == 0

    virtual_loop.run(work())


def test_a_refusal_inside_a_stream_counts_too():
    async def work():
        refused = FakeReply.sse({"error": {"code": "1302"}}, done=False)
        transport = FakeTransport(refused, FakeReply.stream(GOOD))
        async with client(transport) as zai, zai.chat.completions.stream(**ASK) as stream:
            await stream.completion()
            assert zai.limits.snapshot()["glm-5.3"].rejected == 1

    virtual_loop.run(work())


def test_derived_clients_share_the_limit():
    async def work():
        async with client(Account(10_000), limits=2) as zai:
            other = zai.with_options(timeout=5)
            async with anyio.create_task_group() as group:
                for each in (zai, other) * 4:
                    group.start_soon(ask, each)
            assert zai.limits.snapshot() == other.limits.snapshot()
        return anyio.current_time()

    assert virtual_loop.run(work()) == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("limits", [0, -1, "many", True])
def test_limits_that_make_no_sense(limits):
    with pytest.raises(ConfigurationError):
        AsyncZai(api_key="k", limits=limits)


def test_limits_can_be_described():
    zai = AsyncZai(api_key="k", limits=Limits(start=2, most=3))
    assert zai.limits.snapshot() == {}


@pytest.mark.parametrize(
    "usage", [{"total_tokens": 100}, {"prompt_tokens": 60, "completion_tokens": 40}]
)
def test_a_first_burst_is_bounded_although_no_call_has_told_its_size(usage):
    used = FakeReply.json({**COMPLETION, "usage": usage})
    transport = FakeTransport(FakeReply(headers=used.headers, steps=used.steps, delay=1.0))
    limits = Limits(mode="fixed", start=20, tokens_per_minute=6000)

    async def work():
        async with (
            client(transport=transport, limits=limits) as zai,
            anyio.create_task_group() as group,
        ):
            for _ in range(20):
                group.start_soon(ask, zai)
            await anyio.sleep(0.5)
            assert len(transport.requests) == 1
            await anyio.sleep(1.0)
            assert 3 <= len(transport.requests) <= 6  # 100 flow in per second, 500 at once

    virtual_loop.run(work())
    assert len(transport.requests) == 20
