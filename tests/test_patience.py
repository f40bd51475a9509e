"""Waiting ends at its moment or on demand, and nobody else's cancellation gets lost."""

import asyncio
import math

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import virtual_loop
from tests.virtual_loop import in_virtual_time
from zai_async._clock import RescheduleTimeout


def patience():
    return RescheduleTimeout()


def now():
    return asyncio.get_running_loop().time()


async def waited(seconds, *moments):
    """Wait with patience until each of these moments in turn, and return what became of it."""
    start, done = now(), False
    with patience() as mine:
        for moment in moments:
            mine.reschedule(start + moment)
        await asyncio.sleep(seconds)
        done = True
    return done, now() - start, asyncio.current_task().cancelling()


MOMENTS = st.lists(st.one_of(st.integers(0, 400), st.just(math.inf)), max_size=5)


@given(st.integers(0, 500).map(lambda half: half + 0.5), MOMENTS)
def test_only_the_last_moment_counts(seconds, moments):
    done, took, cancelling = virtual_loop.run(waited(seconds, *moments))
    last = moments[-1] if moments else math.inf
    assert done == (seconds < last)
    assert took == pytest.approx(min(seconds, last))
    assert cancelling == 0


def test_a_moment_that_moves_on_with_each_piece_is_never_reached():
    async def reads():
        with patience() as mine:
            for _ in range(20):
                mine.reschedule(now() + 50)
                await asyncio.sleep(10)
            return True
        return False

    assert virtual_loop.run(reads())


async def test_a_cancellation_from_outside_goes_on():
    async def work():
        with patience() as mine:
            mine.reschedule(now() + 60)
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_together_with_ours_goes_on():
    inside = []

    async def work():
        with patience() as mine:
            inside.append(mine)
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    inside[0].interrupt()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_that_answers_the_interruption_goes_on():
    async def work():
        with patience() as mine:
            mine.reschedule(now())
            try:
                await asyncio.sleep(60)
            finally:
                raise KeyError

    with pytest.raises(KeyError):
        await work()
    assert asyncio.current_task().cancelling() == 0


async def test_what_has_come_is_not_thrown_away():
    """The future is done, and its task about to run, when the interruption arrives."""
    inside, future = [], asyncio.get_running_loop().create_future()

    async def work():
        with patience() as mine:
            inside.append(mine)
            await future
        await asyncio.sleep(0)  # a cancellation that came too late would arrive here
        return "done"

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    future.set_result(None)
    inside[0].interrupt()
    assert await task == "done"
    inside[0].interrupt()
    assert task.cancelling() == 0


async def test_what_waits_again_is_interrupted_then():
    inside, future = [], asyncio.get_running_loop().create_future()

    async def work():
        with patience() as mine:
            inside.append(mine)
            await future
            await asyncio.sleep(60)
        return "interrupted"

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    future.set_result(None)
    inside[0].interrupt()
    inside[0].interrupt()
    assert await task == "interrupted"


async def test_who_interrupts_himself_goes_on_until_he_waits():
    done = []
    with patience() as mine:
        mine.interrupt()
        done.append("before")
        await asyncio.sleep(10)
        done.append("after")
    with patience() as mine:
        mine.interrupt()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert done == ["before"]
    assert not asyncio.current_task().cancelling()


@in_virtual_time
async def test_it_works_inside_and_around_the_scopes_of_others():
    with anyio.move_on_after(0.01) as outer, patience() as mine:
        mine.reschedule(now() + 60)
        await anyio.sleep(60)
    assert outer.cancelled_caught
    with anyio.move_on_after(60) as outer:
        with patience() as mine:
            mine.reschedule(now() + 0.01)
            with anyio.move_on_after(60) as inner:
                await anyio.sleep(60)
        await anyio.lowlevel.checkpoint()
    assert not outer.cancelled_caught
    assert not inner.cancelled_caught
    with pytest.raises(TimeoutError):
        await timed_out()


async def timed_out():
    async with asyncio.timeout(0.01):
        with patience() as mine:
            mine.reschedule(now() + 60)
            await asyncio.sleep(60)


async def test_no_timer_is_left_behind():
    loop = asyncio.get_running_loop()
    with patience() as mine:
        mine.reschedule(now() + 60)
        mine.reschedule(now() + 30)
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]


def test_calls_are_made_inside_a_task():
    loop = asyncio.new_event_loop()
    failures = []

    def enter():
        try:
            with RescheduleTimeout():
                pass
        except RuntimeError as error:
            failures.append(str(error))
        loop.stop()

    loop.call_soon(enter)
    loop.run_forever()
    loop.close()
    assert failures == ["calls are made inside a task"]
