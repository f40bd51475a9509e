"""When a call is over: limits, deadlines, and cancelling at any moment."""

import asyncio
import itertools
import json
import math

import anyio
import pytest

from tests.calls import BODY, BUSY, COMPLETION, FINE, ask, client, scripted
from tests.virtual_loop import in_virtual_time, run
from zai_async import (
    CallOptions,
    ConfigurationError,
    DeadlineError,
    Hooks,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    Timeout,
)
from zai_async.testing import Emulator, FakeReply, FakeTransport

PATIENT = RetryPolicy()


# On a loop where waiting takes no time


def timed(*script, hooks=None, limits="off", **options):
    """Make a call; return what came of it and how long it took."""

    async def work():
        transport = FakeTransport(*script)
        loop = asyncio.get_running_loop()
        async with client(transport=transport, retry=PATIENT, hooks=hooks, limits=limits) as zai:
            begun = loop.time()
            try:
                result = await ask(zai, options=CallOptions(**options))
            except Exception as error:  # noqa: BLE001 - it is the result
                result = error
            took = loop.time() - begun
            assert transport.open_responses == 0
        return result, took, transport

    return run(work())


def test_waiting_for_headers_has_a_limit():
    error, took, _ = timed(FakeReply(delay=math.inf), timeout=Timeout(first_byte=30.0), retries=0)
    assert isinstance(error, RequestTimeoutError)
    assert str(error) == "no answer for 30.0 s"
    assert took == pytest.approx(30)
    assert error.attempts[0].maybe_billed


def test_how_long_nothing_came_is_told_of_the_last_request():
    down, silent = FakeReply.json({"error": {"code": "1234"}}, status=500), FakeReply(delay=1e6)
    error, took, _ = timed(down, silent, timeout=Timeout(first_byte=30.0), retries=1)
    assert str(error) == "no answer for 30.0 s (attempts 2)"
    assert took > 30.05  # the back-off before it


def test_a_body_that_trickles_after_its_first_part_has_a_limit():
    pieces = FakeReply(steps=(b" " * 2**14, *in_pieces(b" " * 2**14, 8, 1.0)))
    error, took, _ = timed(pieces, timeout=Timeout(between_progress=40.0), retries=0)
    assert isinstance(error, RequestTimeoutError)
    assert took == pytest.approx(40)


def test_reading_the_body_has_a_limit():
    stalled = FakeReply(steps=(b"{", 1e6))
    error, took, _ = timed(stalled, timeout=Timeout(between_progress=40.0), retries=0)
    assert isinstance(error, RequestTimeoutError)
    assert error.attempts[0].status_code == 200
    assert str(error) == "no whole answer for 40.0 s"
    assert took == pytest.approx(40)


LARGE = json.dumps(COMPLETION | {"padding": "x" * 2**18}).encode()


def in_pieces(body, size, pause):
    return [step for at in range(0, len(body), size) for step in (pause, body[at : at + size])]


def test_a_body_that_comes_in_pieces_may_take_longer_than_each_of_them():
    """A large answer over a slow line is not fetched, and paid for, again and again."""
    slow = FakeReply(steps=tuple(in_pieces(LARGE, 2**14, 30.0)))
    limits = Timeout(between_progress=40.0)
    reply, took, transport = timed(slow, timeout=limits)
    assert (reply.text, len(transport.requests)) == ("Hi", 1)
    assert took == pytest.approx(30 * 17)
    error, took, _ = timed(slow, timeout=limits, deadline=100.0)
    assert isinstance(error, DeadlineError)
    assert took == pytest.approx(100)


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_a_body_that_trickles_is_given_up(body):
    """A byte now and then is no progress: 16 KiB are, or the end."""
    trickle = FakeReply(steps=tuple(in_pieces(body, 1, 30.0)))
    error, took, _ = timed(trickle, timeout=Timeout(between_progress=40.0), retries=0)
    assert isinstance(error, RequestTimeoutError)
    assert took == pytest.approx(40)
    reply, took, _ = timed(FakeReply(steps=tuple(in_pieces(BODY, 1, 0.01))), retries=0)
    assert (reply.text, took) == ("Hi", pytest.approx(0.01 * len(BODY)))


def test_without_limits_a_call_waits():
    limits = Timeout(None, None, None, None)
    reply, took, _ = timed(FakeReply.json(COMPLETION, X_A="1"), timeout=limits)
    assert (reply.text, took) == ("Hi", 0)
    slow = FakeReply(delay=9e4, steps=FINE.steps)
    reply, took, _ = timed(slow, timeout=limits)
    assert (reply.text, took) == ("Hi", pytest.approx(9e4))


@pytest.mark.parametrize("where", ["headers", "body", "second attempt"])
def test_the_deadline_is_kept(where):
    script = {
        "headers": (FakeReply(delay=1e6),),
        "body": (FakeReply(delay=4.0, steps=(b"{", 1e6)),),
        "second attempt": (BUSY, FakeReply(delay=1e6)),
    }[where]
    error, took, _ = timed(*script, deadline=10.0)
    assert isinstance(error, DeadlineError)
    assert "deadline of 10 s has passed" in str(error)
    assert took == pytest.approx(10)
    assert error.attempts[-1].error == "DeadlineError"


@pytest.mark.parametrize("limits", ["off", 1])
@pytest.mark.parametrize("asked", ["20", "600"])
def test_a_wait_that_does_not_fit_is_not_begun(limits, asked):
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429, Retry_After=asked)
    error, took, transport = timed(busy, limits=limits, deadline=20.0)
    assert isinstance(error, RateLimitError)
    assert (took, len(transport.requests)) == (0, 1)
    assert error.retry_after == float(asked)
    assert error.retry_at is not None
    assert f"a wait of {asked} s does not fit into the deadline of 20 s" in error.hint


@pytest.mark.parametrize("limits", ["off", 1])
def test_a_wait_that_fits_is_waited_for(limits):
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429, Retry_After="20")
    reply, took, transport = timed(busy, FINE, limits=limits, deadline=25.0)
    assert (reply.text, took, len(transport.requests)) == ("Hi", pytest.approx(20, abs=2), 2)


def test_a_wait_for_a_permit_ends_with_the_error_there_is():
    """How long that takes is known to nobody beforehand."""
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429)
    error, took, _ = timed(busy, limits=1, deadline=5.0)
    assert isinstance(error, RateLimitError)
    assert took == pytest.approx(5)
    assert error.hint.endswith("Not retried: the deadline of 5 s has passed.")
    error, took, _ = timed(busy, limits=1)
    assert took == pytest.approx(PATIENT.budget)
    assert error.hint.endswith("Not retried: the 120 s of the retry policy are over.")


def test_a_wait_of_our_own_that_does_not_fit_is_not_begun_either():
    down = FakeReply.json({"error": {"code": "1234"}}, status=500)
    error, took, transport = timed(down, deadline=0.05)
    assert (took, len(transport.requests)) == (0, 1)
    assert "does not fit into the deadline of 0.05 s" in error.hint


@pytest.mark.parametrize("limits", ["off", 1])
def test_what_is_final_has_nothing_to_do_with_the_deadline(limits):
    slow = FakeReply(status=400, delay=9.0, steps=(b'{"error": {"code": "1210"}}', 0.5))
    error, _, _ = timed(slow, limits=limits, deadline=9.75)
    assert error.hint is None


def test_a_call_outside_asyncio_says_so():
    """As under trio, which anyio would let it get quite far with."""
    with pytest.raises(ConfigurationError, match="runs on asyncio"):
        ask(client(transport=FakeTransport(FINE))).send(None)


def test_the_sooner_limit_counts():
    hanging = FakeReply(delay=1e6)
    for deadline, error in ((5.0, DeadlineError), (15.0, RequestTimeoutError)):
        limits = Timeout(first_byte=10.0)
        caught, took, _ = timed(hanging, deadline=deadline, timeout=limits, retries=0)
        assert (type(caught), took) == (error, pytest.approx(min(deadline, 10)))


@pytest.mark.parametrize("name", ["on_request", "on_response"])
def test_the_deadline_passes_while_a_hook_works(name):
    async def hook(event):
        await anyio.sleep(100)

    error, took, _ = timed(FINE, hooks=Hooks(**{name: hook}), deadline=10.0)
    assert isinstance(error, DeadlineError)
    assert took == pytest.approx(10)


def test_a_number_sets_all_clocks_but_connecting():
    _, _, transport = timed(FINE, timeout=3.0)
    assert transport.requests[0].connect_timeout == 10.0
    error, took, transport = timed(FakeReply(delay=1e6), timeout=3.0, retries=0)
    assert (type(error), took) == (RequestTimeoutError, pytest.approx(3))
    _, _, transport = timed(FINE, timeout=Timeout(connect=2.0))
    assert transport.requests[0].connect_timeout == 2.0


# Cancelling


async def read(zai):
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
        return [chunk async for chunk in stream]


@pytest.mark.parametrize("work", [ask, read])
async def test_a_call_can_be_cancelled_at_any_moment(work):
    """After each possible number of steps: no connection is lost, nothing is sent again."""
    async with Emulator() as emulator, client(emulator.url, retry=PATIENT) as zai:
        for steps in itertools.count():
            task = asyncio.create_task(work(zai))
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.done():
                break
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await task
        assert steps > 5
        assert len(emulator.requests) <= steps + 1
        await emulator.wait_until(lambda: emulator.open_connections <= 1)
        connections = emulator.connections
        await work(zai)
        assert emulator.connections - connections <= 1
        await zai.aclose()
        await emulator.wait_closed()


@in_virtual_time
async def test_a_wait_before_a_retry_can_be_cancelled():
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429, Retry_After="60")
    zai, transport = scripted(busy, clock=None)
    async with zai:
        with anyio.move_on_after(0.02) as scope:
            await ask(zai)
    assert scope.cancelled_caught
    assert len(transport.requests) == 1


def test_cancelling_from_outside_wins_over_a_limit_that_ends_at_the_same_moment():
    async def work():
        transport = FakeTransport(FakeReply(delay=1e6))
        async with client(transport=transport, retry=PATIENT, timeout=10.0) as zai:
            task = asyncio.create_task(ask(zai))
            asyncio.get_running_loop().call_at(10.0, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
        return transport

    assert len(run(work()).requests) == 1


def test_an_outer_scope_wins_over_a_limit_that_ends_at_the_same_moment():
    async def work():
        transport = FakeTransport(FakeReply(delay=1e6))
        async with client(transport=transport, retry=PATIENT, timeout=10.0) as zai:
            with anyio.move_on_after(10.0) as scope:
                await ask(zai)
        return scope, transport

    scope, transport = run(work())
    assert scope.cancelled_caught
    assert len(transport.requests) == 1
