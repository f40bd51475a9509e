"""Waiting for a slot, on one loop, on several, and with tasks that give up."""

import asyncio
import gc
import threading

import anyio
import anyio.lowlevel
import pytest

from tests import virtual_loop
from zai_async._clock import SystemClock
from zai_async.limiter import Limits, Window, WindowKey
from zai_async.session.gate import Gate, Gates, LimitsView

CLOCK = SystemClock()
KEY = WindowKey("https://x", "a", "glm")


def gate(limit=1, **options):
    limits = Limits(mode="fixed", start=limit, **options)
    return Gates(limits).gate(KEY)


def test_slots_are_taken_in_order():
    async def work():
        door = gate(2)
        order = []

        async def call(number):
            ticket = await door.enter(CLOCK)
            order.append(number)
            await anyio.sleep(1)
            door.leave(ticket, CLOCK)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(call, number)
                await anyio.lowlevel.checkpoint()
            assert (door.snapshot().in_flight, door.snapshot().waiting) == (2, 8)
        assert order == list(range(10))
        assert anyio.current_time() == pytest.approx(5)
        assert (door.snapshot().in_flight, door.snapshot().waiting) == (0, 0)

    virtual_loop.run(work())


@pytest.mark.parametrize("steps", range(6))
def test_who_gives_up_leaves_no_trace(steps):
    async def work():
        door = gate(1)
        first = await door.enter(CLOCK)
        waiting = [asyncio.create_task(door.enter(CLOCK)) for _ in range(5)]
        await anyio.lowlevel.checkpoint()
        for task in waiting[1:4]:
            task.cancel()
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        door.leave(first, CLOCK)
        door.leave(first, CLOCK)
        second = await waiting[0]
        door.leave(second, CLOCK)
        door.leave(await waiting[4], CLOCK)
        await asyncio.wait(waiting)
        assert (door.snapshot().in_flight, door.snapshot().waiting) == (0, 0)

    virtual_loop.run(work())


def test_a_slot_that_reaches_a_cancelled_task_goes_on_to_the_next():
    async def work():
        door = gate(1)
        first = await door.enter(CLOCK)
        second, third = (asyncio.create_task(door.enter(CLOCK)) for _ in range(2))
        await anyio.lowlevel.checkpoint()
        door.leave(first, CLOCK)
        second.cancel()
        await asyncio.wait([second])
        door.leave(await third, CLOCK)
        assert door.snapshot().in_flight == 0

    virtual_loop.run(work())


def test_a_refused_request_waits_at_the_head_of_the_queue():
    async def work():
        door = gate(1)
        order = []

        async def refused():
            ticket = await door.enter(CLOCK)
            await anyio.sleep(1)
            await door.return_to(ticket, "throttle", CLOCK)
            order.append("refused")
            door.accepted(ticket)
            door.leave(ticket, CLOCK)

        async def other():
            await anyio.sleep(0.5)
            ticket = await door.enter(CLOCK)
            order.append("other")
            door.leave(ticket, CLOCK)

        async with anyio.create_task_group() as group:
            group.start_soon(refused)
            group.start_soon(other)
        assert set(order) == {"refused", "other"}
        assert door.snapshot().rejected == 1
        assert door.snapshot().in_flight == 0

    virtual_loop.run(work())


def test_time_alone_opens_a_gate():
    async def work():
        door = gate(100, requests_per_minute=60)
        for _ in range(120):
            door.leave(await door.enter(CLOCK), CLOCK)
        assert 55 <= anyio.current_time() <= 65

    virtual_loop.run(work())


def test_a_gate_learns_how_many_tokens_a_call_takes():
    async def work():
        door = gate(100, tokens_per_minute=6000)
        for _ in range(120):
            door.leave(await door.enter(CLOCK), CLOCK, tokens=100)
        assert 55 <= anyio.current_time() <= 65

    virtual_loop.run(work())


def test_what_nobody_reports_counts_as_usual():
    async def work():
        door = gate(100, tokens_per_minute=6000)
        for _ in range(60):
            door.leave(await door.enter(CLOCK), CLOCK, tokens=100)
        for _ in range(60):
            door.leave(await door.enter(CLOCK), CLOCK)
        assert 50 <= anyio.current_time() <= 65

    virtual_loop.run(work())


def test_many_threads_share_one_gate():
    door = gate(3)
    most = in_flight = 0
    lock = threading.Lock()

    async def call():
        nonlocal most, in_flight
        ticket = await door.enter(CLOCK)
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        await anyio.sleep(0.001)
        with lock:
            in_flight -= 1
        door.leave(ticket, CLOCK)

    async def work():
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert most == 3
    assert (door.snapshot().in_flight, door.snapshot().waiting) == (0, 0)


def test_a_waiter_of_a_loop_that_has_ended_holds_nobody_up():
    door = gate(1)
    tickets = []

    async def take():
        tickets.append(await door.enter(CLOCK))
        await anyio.lowlevel.checkpoint()

    async def give_and_take():
        door.leave(tickets[0], CLOCK)
        door.leave(await door.enter(CLOCK), CLOCK)

    asyncio.run(take())
    asyncio.run(give_and_take())
    assert door.snapshot().in_flight == 0


def test_a_slot_can_be_given_back_outside_a_loop():
    door = gate(1)

    async def take():
        ticket = await door.enter(CLOCK)
        task = asyncio.create_task(door.enter(CLOCK))
        await anyio.lowlevel.checkpoint()
        thread = threading.Thread(target=door.leave, args=(ticket, CLOCK))
        thread.start()
        door.leave(await task, CLOCK)

    asyncio.run(take())
    assert door.snapshot().in_flight == 0


def test_what_the_limiter_knows_is_told_by_model():
    gates = Gates(Limits(mode="fixed", start=7))
    assert isinstance(gates.gate(KEY), Gate)
    assert gates.gate(KEY) is gates.gate(KEY)
    assert LimitsView(gates).snapshot()["glm"].limit == 7


def test_however_many_leave_there_is_one_timer(monkeypatch):
    async def work():
        door, looks = gate(10), []
        look = Gate._look
        monkeypatch.setattr(Gate, "_look", lambda *gate: looks.append(1) or look(*gate))
        tickets = [await door.enter(CLOCK) for _ in range(10)]
        resting = asyncio.create_task(door.return_to(tickets.pop(), "throttle", CLOCK))
        await anyio.lowlevel.checkpoint()
        for ticket in tickets:
            door.leave(ticket, CLOCK)
        await resting
        assert len(looks) <= 12

    asyncio.run(work())


def test_a_loop_that_was_closed_by_hand_keeps_no_slot():
    door, loop = gate(1), asyncio.new_event_loop()

    async def take_and_wait():
        ticket = await door.enter(CLOCK)
        task = asyncio.create_task(door.enter(CLOCK))
        await anyio.lowlevel.checkpoint()
        task._log_destroy_pending = False
        return ticket

    async def use():
        with anyio.fail_after(100):
            door.leave(await door.enter(CLOCK), CLOCK)

    ticket = loop.run_until_complete(take_and_wait())
    loop.close()
    door.leave(ticket, CLOCK)
    asyncio.run(use())
    gc.collect()
    assert (door.snapshot().in_flight, door.snapshot().waiting) == (0, 0)


def test_the_garbage_collector_may_give_back_at_any_time(monkeypatch):
    async def work():
        door = gate(2)
        forgotten = await door.enter(CLOCK)
        admit = Window.admit

        def admit_and_collect(window, now):
            door.leave(forgotten, CLOCK)
            return admit(window, now)

        monkeypatch.setattr(Window, "admit", admit_and_collect)
        door.leave(await door.enter(CLOCK), CLOCK)
        assert door.snapshot().in_flight == 0

    asyncio.run(work())
