"""Waiting for a slot, on one loop, on several, and with tasks that give up."""

import asyncio
import gc
import os
import threading
from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest

from tests import virtual_loop
from tests.calls import ASK, ask, client
from tests.chat_wire import GOOD
from zai_async import CallOptions, DeadlineError
from zai_async._clock import SystemClock
from zai_async.errors import LocalResourceError, RateLimitError
from zai_async.limiter import Limits, Window
from zai_async.session import in_flight, queueing
from zai_async.session.in_flight import LimiterQueues, LimitsView, Permit
from zai_async.session.queueing import LimiterQueue, WaitingList
from zai_async.session.settings import Settings
from zai_async.testing import FakeReply, FakeTransport


def queue_of(limit=1, **options):
    limits = Limits(mode="fixed", start=limit, **options)
    return LimiterQueue(Window(limits), SystemClock())


def no_warning():
    """Ignore that tests hold permits while others of their tasks wait."""


def test_permits_are_taken_in_order():
    async def work():
        queue = queue_of(2)
        order = []

        async def call(number):
            entry = await queue.enter(no_warning)
            order.append(number)
            await anyio.sleep(1)
            queue.leave(entry)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(call, number)
                await anyio.lowlevel.checkpoint()
            assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (2, 8)
        assert order == list(range(10))
        assert anyio.current_time() == pytest.approx(5)
        assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (0, 0)

    virtual_loop.run(work())


@pytest.mark.parametrize("steps", range(6))
def test_who_gives_up_leaves_no_trace(steps):
    async def work():
        queue = queue_of(1)
        first = await queue.enter(no_warning)
        waiting = [asyncio.create_task(queue.enter(no_warning)) for _ in range(5)]
        await anyio.lowlevel.checkpoint()
        for task in waiting[1:4]:
            task.cancel()
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        queue.leave(first)
        queue.leave(first)
        second = await waiting[0]
        queue.leave(second)
        queue.leave(await waiting[4])
        await asyncio.wait(waiting)
        assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (0, 0)
        assert not queue.waiting.waiters

    virtual_loop.run(work())


def test_a_permit_passes_by_a_task_that_is_being_cancelled():
    async def work():
        queue = queue_of(1)
        first = await queue.enter(no_warning)
        second = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        second.cancel()
        queue.leave(first)
        await asyncio.wait([second])
        assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (0, 0)

    virtual_loop.run(work())


def test_a_permit_that_reaches_a_cancelled_task_goes_on_to_the_next():
    async def work():
        queue = queue_of(1)
        first = await queue.enter(no_warning)
        second, third = (asyncio.create_task(queue.enter(no_warning)) for _ in range(2))
        await anyio.lowlevel.checkpoint()
        queue.leave(first)
        second.cancel()
        await asyncio.wait([second])
        queue.leave(await third)
        assert queue.snapshot().in_flight == 0

    virtual_loop.run(work())


def test_a_refused_request_waits_at_the_head_of_the_queue():
    async def work():
        queue = queue_of(1)
        order = []

        async def refused():
            entry = await queue.enter(no_warning)
            await anyio.sleep(1)
            await queue.return_to(entry, "unknown", no_warning, 0.0)
            order.append("refused")
            queue.window.accepted(entry)
            queue.leave(entry)

        async def other():
            await anyio.sleep(0.5)
            entry = await queue.enter(no_warning)
            order.append("other")
            queue.leave(entry)

        async with anyio.create_task_group() as group:
            group.start_soon(refused)
            group.start_soon(other)
        assert set(order) == {"refused", "other"}
        assert queue.snapshot().rejected == 1
        assert queue.snapshot().in_flight == 0

    virtual_loop.run(work())


def test_time_alone_lets_a_request_in():
    async def work():
        queue = queue_of(100, requests_per_minute=60)
        for _ in range(120):
            queue.leave(await queue.enter(no_warning))
        assert 85 <= anyio.current_time() <= 95  # 30 at once

    virtual_loop.run(work())


def test_a_queue_learns_how_many_tokens_a_call_takes():
    async def work():
        queue = queue_of(100, tokens_per_minute=6000)
        for _ in range(120):
            queue.leave(await queue.enter(no_warning), tokens=100)
        assert 110 <= anyio.current_time() <= 120

    virtual_loop.run(work())


async def test_a_queue_expects_what_calls_have_taken_on_average():
    queue, expected = queue_of(100, tokens_per_minute=60_000), []
    for tokens in (100, 300, 500):
        entry = await queue.enter(no_warning)
        expected.append(entry.tokens)
        queue.leave(entry, tokens=tokens)
    assert expected == [1000, 100, 200]
    assert queue.try_enter().tokens == 300


def test_what_nobody_reports_counts_as_usual():
    async def work():
        queue = queue_of(100, tokens_per_minute=6000)
        for _ in range(60):
            queue.leave(await queue.enter(no_warning), tokens=100)
        for _ in range(60):
            queue.leave(await queue.enter(no_warning))
        assert 110 <= anyio.current_time() <= 120

    virtual_loop.run(work())


def test_many_threads_share_one_gate():
    queue = queue_of(3)
    most = in_flight = 0
    lock = threading.Lock()

    async def call():
        nonlocal most, in_flight
        entry = await queue.enter(no_warning)
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        await anyio.sleep(0.001)
        with lock:
            in_flight -= 1
        queue.leave(entry)

    async def work():
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3
    assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (0, 0)


def test_a_waiter_of_a_loop_that_has_ended_holds_nobody_up():
    queue = queue_of(1)
    entries = []

    async def take():
        entries.append(await queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()

    async def give_and_take():
        queue.leave(entries[0])
        queue.leave(await queue.enter(no_warning))

    asyncio.run(take())
    asyncio.run(give_and_take())
    assert queue.snapshot().in_flight == 0


def test_a_permit_can_be_given_back_outside_a_loop():
    queue = queue_of(1)

    async def take():
        entry = await queue.enter(no_warning)
        queue.window.accepted(entry)  # so that time alone tells nothing
        task = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        thread = threading.Thread(target=queue.leave, args=(entry,))
        thread.start()
        queue.leave(await task)

    asyncio.run(take())
    assert queue.snapshot().in_flight == 0


def test_however_many_leave_there_is_one_timer(monkeypatch):
    async def work():
        queue, looks = queue_of(10), []
        look = WaitingList.look
        monkeypatch.setattr(WaitingList, "look", lambda one: looks.append(1) or look(one))
        entries = [await queue.enter(no_warning) for _ in range(10)]
        resting = asyncio.create_task(queue.return_to(entries.pop(), "unknown", no_warning, 0.0))
        await anyio.lowlevel.checkpoint()
        for entry in entries:
            queue.leave(entry)
        await resting
        assert len(looks) <= 5

    asyncio.run(work())


def test_a_loop_that_was_closed_by_hand_keeps_no_slot():
    queue, loop = queue_of(1), asyncio.new_event_loop()

    async def take_and_wait():
        entry = await queue.enter(no_warning)
        task = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        task._log_destroy_pending = False
        return entry

    async def use():
        queue.leave(await queue.enter(no_warning))

    entry = loop.run_until_complete(take_and_wait())
    loop.close()
    queue.leave(entry)
    asyncio.run(use())
    gc.collect()
    assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (0, 0)


def test_what_the_garbage_collector_gives_back_meanwhile_lets_the_next_one_in(monkeypatch):
    async def work():
        queue = queue_of(2)
        forgotten, entry = queue.try_enter(), queue.try_enter()
        for each in (forgotten, entry):
            queue.window.accepted(each)  # so that time alone tells nothing
        admit = Window.admit

        def admit_and_collect(window, now):
            admitted = admit(window, now)
            queue.leave(forgotten)
            return admitted

        task = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        monkeypatch.setattr(Window, "admit", admit_and_collect)
        began = anyio.current_time()
        queue.waiting.look()
        queue.leave(await task)
        queue.leave(entry)
        assert anyio.current_time() == began

    virtual_loop.run(work())


def test_what_a_loop_held_that_is_about_to_close_is_free_at_once():
    async def take():
        queue.window.accepted(queue.try_enter())

    async def wait(closing):
        task = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        began = anyio.current_time()
        queue.abandon(closing)
        queue.leave(await task)
        assert anyio.current_time() == began

    queue = queue_of(1)
    with asyncio.Runner() as closing:
        closing.run(take())
        virtual_loop.run(wait(closing.get_loop()))


def test_the_garbage_collector_may_give_back_at_any_time(monkeypatch):
    async def work():
        queue = queue_of(2)
        forgotten = await queue.enter(no_warning)
        admit = Window.admit

        def admit_and_collect(window, now):
            queue.leave(forgotten)
            return admit(window, now)

        monkeypatch.setattr(Window, "admit", admit_and_collect)
        queue.leave(await queue.enter(no_warning))
        assert queue.snapshot().in_flight == 0

    asyncio.run(work())


# Owners: a process, a loop, a call


def held_by(queue, loop_of):
    """Run a loop of its own that ends while a call still holds a permit."""
    queue_entries = []

    async def take():
        queue_entries.append(await queue.enter(no_warning))

    loop_of(take())
    return queue_entries[0]


def by_hand(work):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(work)
    loop.close()


@pytest.mark.parametrize("loop_of", [asyncio.run, by_hand])
def test_a_loop_that_has_closed_holds_nothing(loop_of):
    queue = queue_of(1)
    held_by(queue, loop_of)

    async def next_one():
        with anyio.fail_after(5):
            queue.leave(await queue.enter(no_warning))

    asyncio.run(next_one())
    assert queue.snapshot().in_flight == 0


@pytest.mark.parametrize("told", [True, False])
def test_who_waits_in_another_thread_gets_the_permit_of_a_loop_that_closes(told, monkeypatch):
    monkeypatch.setattr(queueing, "_CHECK", 0.02)
    queue, holding, asked = queue_of(1), threading.Event(), threading.Event()
    held = []

    async def hold():
        # Kept, or the collector gives it back; and answered, so that time tells nothing more.
        held.append(await queue.enter(no_warning))
        queue.window.accepted(held[0])
        holding.set()
        await asyncio.to_thread(asked.wait)
        if told:
            queue.abandon(asyncio.get_running_loop())

    async def wait():
        task = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        asked.set()
        queue.leave(await task)

    holder = threading.Thread(target=asyncio.run, args=(hold(),))
    holder.start()
    holding.wait()
    asyncio.run(wait())
    holder.join()
    assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (0, 0)


def test_who_waits_for_time_alone_is_not_warned():
    """It holds all permits itself, and will get the next one all the same."""

    async def work():
        queue = queue_of(5, requests_per_minute=600, burst=0.0)
        held = [queue.try_enter()]
        held += [await queue.enter(pytest.fail) for _ in range(3)]
        for entry in held:
            queue.leave(entry)
        return anyio.current_time()

    assert virtual_loop.run(work()) == pytest.approx(0.3)


def test_a_timer_of_another_loop_is_not_relied_upon():
    """The loop that comes first plans a look, ends, and leaves the others without one."""
    queue = queue_of(5, requests_per_minute=600, burst=0.0)
    ready = threading.Barrier(2)
    ends = []

    async def hurried():
        for _ in range(3):
            queue.leave(await queue.enter(no_warning))
        ready.wait()
        with anyio.move_on_after(0.01):
            await queue.enter(no_warning)

    async def patient():
        ready.wait()
        entry = await queue.enter(no_warning)
        ends.append(entry)
        queue.leave(entry)

    threads = [threading.Thread(target=asyncio.run, args=(one(),)) for one in (hurried, patient)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(ends) == 1


def test_thousand_loops_leave_no_trace():
    queue = queue_of(5)

    async def call():
        queue.leave(queue.try_enter())

    for _ in range(50):
        asyncio.run(call())
    assert len(queue.waiting.timers) <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_starts_without_permits():
    queue = queue_of(1)

    async def child():
        return queue.try_enter() is not None

    async def parent():
        entry = queue.try_enter()
        with queue.lock:  # as another thread may hold it
            pid = os.fork()
            if pid == 0:
                asyncio._set_running_loop(None)
                queue.leave(entry)  # the parent's, as the garbage collector does it
                queue.abandon(asyncio.new_event_loop())
                queue.snapshot()
                loop = asyncio.new_event_loop()
                os._exit(0 if loop.run_until_complete(child()) else 1)
        _, status = os.waitpid(pid, 0)  # noqa: ASYNC222 - the child ends at once
        assert os.waitstatus_to_exitcode(status) == 0
        assert queue.snapshot().in_flight == 1
        queue.leave(entry)

    asyncio.run(parent())


# Calls inside the stream that holds the last permit


def nested_client(**settings):
    script = FakeReply.stream(GOOD)
    return client(transport=FakeTransport(script), **settings)


@pytest.mark.parametrize("opened", [False, True])
def test_a_call_inside_the_stream_that_holds_the_only_permit_is_warned_of_once(opened, caplog):
    async def work():
        async with (
            nested_client(limits=1) as zai,
            aclosing(zai.chat.completions.stream(**ASK)) as stream,
        ):
            if opened:  # by a task of the stream's own, for this one
                await stream.open()
            else:
                await anext(stream)
            for _ in range(2):
                with pytest.raises(DeadlineError) as caught:
                    await ask(zai, options=CallOptions(deadline=5))
                assert "only calls of its own task" in caught.value.hint
            async with anyio.create_task_group() as group:
                group.start_soon(expect_deadline, zai)

    async def expect_deadline(zai):
        with pytest.raises(DeadlineError) as caught:
            await ask(zai, options=CallOptions(deadline=5))
        assert "only calls of its own task" in caught.value.hint

    virtual_loop.run(work())
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "let the open stream or upload end" in warnings[0].getMessage()


@pytest.mark.parametrize("waits", [False, True])
def test_a_call_that_is_made_while_its_file_is_read_waits_for_itself_too(waits, caplog):
    async def pieces(zai):
        yield b"The beginning is read before there is a permit. "
        with pytest.raises(DeadlineError) as caught:
            await upload(zai, b"inside", options=CallOptions(deadline=5))
        hints.append(caught.value.hint)

    def upload(zai, content, **more):
        return zai.files.create(file=("a.txt", content), purpose="agent", **more)

    async def work():
        transport = FakeTransport(FakeReply(steps=(b'{"id": "f"}',), delay=1.0))
        async with client(transport=transport, limits=1) as zai, anyio.create_task_group() as group:
            if waits:
                group.start_soon(upload, zai, b"first")
                await anyio.wait_all_tasks_blocked()
            await upload(zai, pieces(zai))

    hints = []
    virtual_loop.run(work())
    assert [hint for hint in hints if "only calls of its own task" in hint] == hints != []
    assert len(caplog.records) == 1


def test_who_waits_for_others_is_not_warned(caplog):
    async def work():
        async with nested_client(limits=1) as zai:
            stream = zai.chat.completions.stream(**ASK)
            opened = asyncio.create_task(stream.open())
            await opened
            with pytest.raises(DeadlineError) as caught:
                await ask(zai, options=CallOptions(deadline=5))
            assert caught.value.hint is None
            await stream.aclose()

    virtual_loop.run(work())
    assert caplog.records == []


def test_overlapping_streams_leave_no_chain_behind():
    async def work():
        queue = queue_of(9)
        before = queue.try_enter()
        for _ in range(20):
            entry = queue.try_enter()
            queue.leave(before)
            before = entry
        depth = 0
        while entry is not None:
            entry, depth = entry.outer, depth + 1
        assert depth <= 2
        queue.leave(before)

    asyncio.run(work())


def test_a_permit_that_is_adopted_again_is_not_its_own_outer_one():
    async def work():
        queue = queue_of(9)
        first, second = queue.try_enter(), queue.try_enter()
        for entry in (first, second, first):
            queueing.nest(entry)
        assert (second.outer, first.outer) == (first, None)
        for entry in (first, second):
            queue.leave(entry)

    asyncio.run(work())


# All models of a client


def permits_of(queues, *models):
    return [Permit(queues, queues.queue_of(Settings(), model)) for model in models]


async def test_a_call_without_a_permit_has_nothing_to_report_or_to_give_back():
    queues = LimiterQueues(Limits())
    (permit,) = permits_of(queues, "glm-5.3")
    busy = RateLimitError("busy")
    permit.accepted()
    permit.refused(busy)
    await permit.again(busy)
    permit.leave()
    assert not permit.counts(busy)
    assert permit.figures == queues.snapshot().popitem()[1]
    assert (permit.figures.in_flight, permit.figures.rejected) == (0, 0)


async def test_a_permit_is_kept_until_it_is_given_back():
    (permit,) = permits_of(LimiterQueues(Limits(mode="fixed", start=1)), "glm-5.3")
    assert permit.try_take()
    assert permit.try_take()
    await permit.take()
    assert permit.figures.in_flight == 1
    permit.leave()
    permit.leave()
    assert permit.figures.in_flight == 0


async def test_what_the_limiter_knows_is_told_by_model():
    queues = LimiterQueues(Limits(mode="fixed", start=7))
    permits_of(queues, "glm", "other", "glm")
    figures = LimitsView(queues).snapshot()
    assert figures.keys() == {"glm", "other"}
    assert figures["glm"].limit == 7


async def test_models_that_were_used_least_recently_are_forgotten(monkeypatch):
    monkeypatch.setattr(in_flight, "_MOST_WINDOWS", 20)
    queues = LimiterQueues(Limits())
    busy, idle = permits_of(queues, "busy", "idle")
    assert busy.try_take()
    assert idle.try_take()
    idle.leave()
    for number in range(100):
        (permit,) = permits_of(queues, f"model {number}")
        assert permit.try_take()
        permit.leave()
    known = LimitsView(queues).snapshot()
    assert len(known) <= 20
    assert "busy" in known
    assert "idle" not in known
    busy.leave()


async def test_of_the_models_that_nobody_uses_a_tenth_is_forgotten_at_once(monkeypatch):
    monkeypatch.setattr(in_flight, "_MOST_WINDOWS", 20)
    queues = LimiterQueues(Limits())
    for number in range(21):
        if number == 20:
            assert len(LimitsView(queues).snapshot()) == 20
        (permit,) = permits_of(queues, f"model {number}")
        assert permit.try_take()
        permit.leave()
    known = LimitsView(queues).snapshot()
    assert known.keys() == {f"model {number}" for number in range(2, 21)}


@pytest.mark.parametrize(
    ("code", "kind", "meaning"),
    [
        ("1302", "throttle", "concurrency"),
        ("1303", "throttle", "rate"),
        ("1305", "overload", "overload"),
        (None, "throttle", "unknown"),
    ],
)
async def test_what_a_refusal_means(code, kind, meaning, monkeypatch):
    heard = []
    rejected = Window.rejected

    def hear(window, entry, now, kind, **more):
        heard.append(kind)
        rejected(window, entry, now, kind, **more)

    monkeypatch.setattr(Window, "rejected", hear)
    (permit,) = permits_of(LimiterQueues(Limits()), "glm")
    assert permit.try_take()
    error = RateLimitError("no", code=code)
    error.kind = kind
    assert permit.counts(error)
    await permit.again(error)
    permit.leave()
    assert heard == [meaning]


async def test_a_shortage_of_this_machine_shrinks_the_window():
    queues = LimiterQueues(Limits(start=8))
    permits = permits_of(queues, *["glm"] * 8)
    assert all(permit.try_take() for permit in permits)
    shortage = LocalResourceError("no open files are left")
    assert permits[7].counts(shortage)
    waiting = asyncio.create_task(permits[7].again(shortage))
    await anyio.lowlevel.checkpoint()
    assert permits[0].figures.limit == 7
    for permit in permits[:7]:
        permit.leave()
    await waiting
    permits[7].leave()


def test_who_is_refused_without_a_word_about_the_time_waits_for_a_permit_only():
    async def work():
        permits = permits_of(LimiterQueues(Limits(mode="fixed", start=1)), "glm", "glm")
        assert permits[0].try_take()
        began = anyio.current_time()
        await permits[0].again(RateLimitError("no", code="1302"))
        told = RateLimitError("no", code="1302")
        told.retry_after = 7.0
        passed = anyio.current_time() - began
        await permits[0].again(told)
        assert passed < 1.0
        assert anyio.current_time() - began >= 7.0
        permits[0].leave()

    virtual_loop.run(work())


@pytest.mark.parametrize(
    ("limits", "expected", "limit"),
    [
        (Limits(most=20), 50, 20),
        (Limits(), 50, 50),
        (Limits(start=60), 50, 60),
        (Limits(mode="fixed", start=4), 50, 4),
    ],
)
def test_a_window_that_comes_later_begins_with_what_is_expected(limits, expected, limit):
    queues = LimiterQueues(limits)
    queues.expect("glm", expected)
    expecting, other = permits_of(queues, "glm", "glm-air")
    assert (expecting.figures.limit, other.figures.limit) == (limit, limits.start)


async def test_what_a_call_without_a_permit_does_about_one_changes_nothing():
    (permit,) = permits_of(LimiterQueues(Limits(mode="off")), "glm")
    permit.adopt()
    permit.received()
    assert permit.figures.in_flight == 0
    assert "one minute" in permit.situation


@pytest.mark.parametrize("looks", [True, False])
async def test_after_a_fork_nothing_of_the_parent_counts(monkeypatch, looks):
    queue = queue_of(1)
    entry = queue.try_enter()
    monkeypatch.setattr(queueing.os, "getpid", lambda: -1)
    queue.leave(entry)
    queue.abandon(asyncio.get_running_loop())
    assert not looks or queue.snapshot().in_flight == 0
    own = queue.try_enter()
    assert own is not None
    assert not entry.in_flight
    queue.leave(own)
    assert queue.snapshot().in_flight == 0


def test_a_loop_that_closes_at_this_very_moment():
    queue, loop = queue_of(2), asyncio.new_event_loop()

    async def take():
        queue.leave(queue.try_enter())

    async def others():
        entries = [queue.try_enter()]
        assert len(queue.waiting.timers) == 2
        queue.waiting.discard(entries[0])  # nobody waits, so that nothing is planned
        entries.append(queue.try_enter())
        task = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()  # the other loop is told when to look
        loop.close()
        assert not queueing._call_in(loop, no_warning)
        queue.leave(entries[0])
        queue.leave(await task)

    loop.run_until_complete(take())
    asyncio.run(others())


def test_what_a_loop_held_that_has_closed_meanwhile_is_there_at_once():
    queue = queue_of(1)

    async def take():
        return queue.try_enter()

    async def take_and_wait():
        held = await take()
        waiting = queue.window.request(owner=asyncio.get_running_loop())
        queue.waiting.add(waiting, None, no_warning)
        return held

    async def others(loop):
        queue.leave(await take())
        assert await asyncio.to_thread(loop.run_until_complete, take_and_wait())
        loop.close()
        entering = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        assert entering.done()
        queue.leave(await entering)
        assert not queue.waiting.waiters

    asyncio.run(others(asyncio.new_event_loop()))


def test_who_waits_beside_other_loops_looks_again_after_a_while(monkeypatch):
    monkeypatch.setattr(queueing, "_CHECK", 1000.0)
    queue, loop = queue_of(1), asyncio.new_event_loop()

    async def take():
        return queue.try_enter()

    async def wait():
        held = await take()
        queue.window.accepted(held)  # so that time alone tells nothing
        entering = asyncio.create_task(queue.enter(no_warning))
        await anyio.lowlevel.checkpoint()
        timer = queue.waiting.timers[asyncio.get_running_loop()]
        assert timer.when() > asyncio.get_running_loop().time() + 500
        queue.leave(held)
        queue.leave(await entering)

    queue.leave(loop.run_until_complete(take()))
    asyncio.run(wait())
    loop.close()


def test_a_permit_for_a_loop_that_has_closed_goes_to_the_next():
    queue = queue_of(1)

    async def take():
        return queue.try_enter()

    async def wait():
        entry = queue.window.request(owner=asyncio.get_running_loop())
        queue.waiting.add(entry, None, no_warning)

    async def leave_and_take(held):
        queue.leave(held)
        with anyio.fail_after(100):
            queue.leave(await queue.enter(no_warning))

    async def others(loop):
        held = await take()
        await asyncio.to_thread(loop.run_until_complete, wait())
        loop.close()
        await leave_and_take(held)

    asyncio.run(others(asyncio.new_event_loop()))
    assert (queue.snapshot().in_flight, queue.snapshot().waiting) == (0, 0)


async def test_who_waits_behind_a_request_of_another_queue_is_not_warned():
    queue, warnings = queue_of(1), []
    held, other = queue.try_enter(), queue.window.request()
    queue.window.accepted(held)  # so that time alone tells nothing
    task = asyncio.create_task(queue.enter(lambda: warnings.append("nested")))
    await anyio.lowlevel.checkpoint()
    queue.window.released(other)
    queue.leave(held)
    queue.leave(await task)
    assert warnings == []


async def test_who_was_refused_twice_is_warned_when_only_its_own_stream_is_left():
    queue, warnings = queue_of(3), []
    around, other, entry = (queue.try_enter() for _ in range(3))
    entry.refusals = 1
    queue.window.rejected(entry, SystemClock().monotonic(), "overload", jitter=0.5, rest=1000.0)
    queue.waiting.add(entry, around, lambda: warnings.append("nested"))
    assert (entry.refusals, warnings) == (2, [])
    queue.leave(other)
    assert warnings == ["nested"]
    queue.leave(entry)
    queue.leave(around)
    assert queue.snapshot().in_flight == 0


async def test_who_was_refused_once_is_not_warned_although_only_its_own_stream_is_left():
    """That may have been the weather: it waits for its rest, and not for the stream."""
    queue = queue_of(3)
    around, other, entry = (queue.try_enter() for _ in range(3))
    queue.window.rejected(entry, SystemClock().monotonic(), "overload", jitter=0.5, rest=1000.0)
    queue.waiting.add(entry, around, pytest.fail)
    queue.waiting._stubborn = True  # as one has left it that was refused twice
    queue.waiting.look()
    queue.leave(other)
    assert entry.refusals == 1
    queue.leave(entry)
    queue.leave(around)
    assert queue.snapshot().in_flight == 0


def test_who_was_cancelled_in_another_thread_is_not_woken():
    async def work():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        queueing._settle(future)
        queueing._settle(future, ValueError())
        assert future.cancelled()

    asyncio.run(work())
