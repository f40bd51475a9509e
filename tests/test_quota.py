"""A plan that is used up: until when, for how long to wait, and which endpoint would fit."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests import virtual_loop
from tests.calls import FINE, FakeClock, ask, client, scripted
from zai_async import (
    AsyncZai,
    BillingError,
    CallOptions,
    QuotaError,
    RetryPolicy,
    no_retries,
)
from zai_async.testing import FakeReply, FakeTransport

HOUR = 3600.0


def used_up(seconds, now):
    """Refuse as a plan that allows calls again after some seconds."""
    moment = datetime.fromtimestamp(now + seconds, UTC) + timedelta(hours=8)
    text = f"Usage limit reached for 5 hour. Your limit will reset at {moment:%Y-%m-%d %H:%M:%S}"
    return FakeReply.json({"error": {"code": "1308", "message": text}}, status=429)


def plan(seconds, *, times=1):
    """Return a client whose plan is used up ``times`` times, its transport and its clock."""
    clock = FakeClock()
    left = [None] * times

    def reply(_):
        if not left:
            return FINE
        left.pop()
        return used_up(seconds, clock.wall())

    return *scripted(reply, clock=clock, wait_for_quota=True), clock


# Until when


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("code", ["1308", "1310"])
async def test_the_end_of_a_plan_is_known_to_the_second(zai_emulator, language, code):
    until = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    zai_emulator.account.quota(code, until=until, language=language)
    async with client(zai_emulator.url) as zai:
        with pytest.raises(QuotaError) as caught:
            await ask(zai)
    assert caught.value.retry_at == until
    assert caught.value.retry_at.tzinfo is not None
    assert len(zai_emulator.requests) == 1


@pytest.mark.parametrize(
    ("words", "longest"), [("5 hour", timedelta(hours=5)), ("7 天", timedelta(days=7))]
)
async def test_a_moment_beyond_the_named_window_is_cut(words, longest):
    text = f"Usage limit reached for {words}. reset at 2030-01-01 00:00:00"
    reply = FakeReply.json({"error": {"code": "1308", "message": text}}, status=429)
    zai, _ = scripted(reply)
    async with zai:
        with pytest.raises(QuotaError) as caught:
            await ask(zai)
    now = datetime.fromtimestamp(FakeClock().wall(), UTC)
    assert caught.value.retry_at == now + longest


# Waiting


@pytest.mark.parametrize("place", ["client", "derived", "call"])
async def test_a_call_waits_for_the_allowance(place):
    zai, transport, clock = plan(4 * HOUR)
    async with zai:
        used = zai if place == "client" else zai.with_options(wait_for_quota=place == "derived")
        options = CallOptions(wait_for_quota=True if place == "call" else None)
        answer = await ask(used, options=options)
    assert [attempt.code for attempt in answer.attempts] == ["1308", None]
    assert clock.slept == [4 * HOUR + 1.5]
    assert len(transport.requests) == 2


async def test_a_call_may_say_that_it_does_not_wait():
    zai, transport, clock = plan(HOUR)
    async with zai:
        with pytest.raises(QuotaError):
            await ask(zai, options=CallOptions(wait_for_quota=False))
    assert (clock.slept, len(transport.requests)) == ([], 1)


@pytest.mark.parametrize(("deadline", "waits"), [(HOUR, 0), (HOUR + 10, 1)])
async def test_a_wait_that_does_not_fit_into_the_deadline_does_not_begin(deadline, waits):
    zai, transport, clock = plan(HOUR)
    async with zai:
        options = CallOptions(deadline=deadline)
        if waits:
            await ask(zai, options=options)
        else:
            with pytest.raises(QuotaError):
                await ask(zai, options=options)
    assert len(clock.slept) == waits
    assert len(transport.requests) == 1 + waits


async def test_a_plan_may_be_used_up_again():
    zai, transport, clock = plan(HOUR, times=3)
    async with zai:
        await ask(zai)
    assert (len(clock.slept), len(transport.requests)) == (3, 4)


async def test_retries_bound_the_waits():
    zai, transport, clock = plan(HOUR, times=3)
    async with zai:
        with pytest.raises(QuotaError):
            await ask(zai, options=CallOptions(retries=1))
        with no_retries(), pytest.raises(QuotaError):
            await ask(zai)
    assert (len(clock.slept), len(transport.requests)) == (1, 3)


async def test_no_time_no_wait():
    reply = FakeReply.json({"error": {"code": "1308", "message": "used up"}}, status=429)
    zai, transport = scripted(reply, wait_for_quota=True)
    async with zai:
        with pytest.raises(QuotaError):
            await ask(zai)
    assert len(transport.requests) == 1


def test_many_calls_wait_together_and_are_not_all_sent_at_once():
    async def work():
        clock = virtual_clock()
        reset = clock.wall() + HOUR

        def reply(_):
            left = reset - clock.wall()
            return used_up(left, clock.wall()) if left > 0 else FINE

        transport = FakeTransport(reply)
        settings = {"clock": clock, "wait_for_quota": True, "retry": RetryPolicy(budget=30.0)}
        async with AsyncZai(api_key="k", transport=transport, **settings) as zai:
            async with anyio.create_task_group() as group:
                for _ in range(300):
                    group.start_soon(ask, zai)
            assert zai.usage.total.calls == 300
        assert len(transport.requests) == 600

    virtual_loop.run(work())


def virtual_clock():
    class Clock(FakeClock):
        def monotonic(self):
            return anyio.current_time()

        def wall(self):
            return 1_790_000_000.0 + anyio.current_time()

        async def sleep(self, seconds):
            await anyio.sleep(seconds)

    return Clock()


# The other endpoints


@pytest.mark.parametrize("provider", ["zai", "zai-coding", "bigmodel", "bigmodel-coding"])
async def test_the_hint_names_the_endpoint_that_was_used_and_the_others(provider):
    reply = FakeReply.json({"error": {"code": "1113", "message": "no balance"}}, status=429)
    transport = FakeTransport(reply)
    async with AsyncZai(api_key="k", provider=provider, transport=transport) as zai:
        with pytest.raises(BillingError) as caught:
            await ask(zai)
    here, _, elsewhere = caught.value.hint.partition("Other endpoints")
    assert f"provider='{provider}'" in here
    assert all(name in elsewhere for name in ("'zai'", "'zai-coding'", "'bigmodel"))
    assert len(transport.requests) == 1
