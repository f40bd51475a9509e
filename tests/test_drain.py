"""A client that is drained: no new calls, time for those under way, and nothing left afterwards."""

import asyncio
import os
import threading

import anyio
import anyio.lowlevel
import pytest

from tests.calls import ASK, BUSY, FINE, FakeClock, ask, client
from tests.chat_wire import body, frame, last, texts
from tests.virtual_loop import run
from zai_async import CallOptions, ClientClosedError, ClientDrainingError, RetryPolicy, ZaiError
from zai_async._threads import call_in
from zai_async.session.in_flight import InFlightCall, InFlightCalls
from zai_async.testing import FakeReply, FakeTransport

WORD = frame(texts("word ")[0])
END = body([last()])


def slowly(seconds, reply=FINE):
    return FakeReply(headers=reply.headers, steps=reply.steps, delay=seconds)


async def test_in_the_child_of_a_fork_calls_are_counted_from_the_first():
    calls = InFlightCalls()
    parents = InFlightCall(calls)
    parents.register()
    calls.process = -1
    own = [InFlightCall(calls) for _ in range(2)]
    for call in own:
        call.register()
    assert calls.inside == {*own}


async def test_a_drain_waits_for_the_last_of_its_calls():
    calls = InFlightCalls()
    both = [InFlightCall(calls) for _ in range(2)]
    for call in both:
        call.register()
    async with anyio.create_task_group() as group:
        group.start_soon(calls.end, 10.0)
        for call in both:
            await anyio.wait_all_tasks_blocked()
            assert len(calls.waiters) == 1
            call.leave()
    assert not any(call.drained for call in both)


async def test_a_drain_that_is_over_is_told_nothing_more():
    calls = InFlightCalls()
    call = InFlightCall(calls)
    call.register()
    async with anyio.create_task_group() as group:
        group.start_soon(calls.end, 10.0)
        await anyio.wait_all_tasks_blocked()
        assert len(calls.waiters) == 1
        call.leave()
    assert not calls.waiters


async def read(zai, **params):
    async with zai.chat.completions.stream(**ASK, **params) as stream:
        return await stream.completion()


async def started(group, function, *args):
    """Start a task, and let it come as far as it can without waiting."""
    future = asyncio.get_running_loop().create_future()

    async def work():
        try:
            future.set_result(await function(*args))
        except ZaiError as error:
            future.set_exception(error)

    group.start_soon(work)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    return future


def in_flight(zai):
    return sum(figures.in_flight for figures in zai.limits.snapshot().values())


def nothing_is_left(zai, transport):
    sessions = zai._manager.sessions
    return transport.open_responses == in_flight(zai) == len(sessions.calls.inside) == 0


@pytest.mark.parametrize("call", [ask, read])
def test_what_is_under_way_may_end(call):
    async def main():
        slow = {ask: slowly(9.0), read: FakeReply.stream(WORD, 9.0, END)}[call]
        transport = FakeTransport(slow)
        zai = client(transport=transport, limits=2)
        async with anyio.create_task_group() as group:
            future = await started(group, call, zai)
            draining = await started(group, zai.drain, 10.0)
            for late in (ask, read):
                with pytest.raises(ClientDrainingError, match="no new calls"):
                    await late(zai.with_options(timeout=1.0))
            assert not draining.done()
        assert (await future).outcome == "completed"
        assert anyio.current_time() == 9.0
        assert transport.closed
        assert nothing_is_left(zai, transport)
        await draining

    run(main())


def test_a_call_that_takes_too_long_is_cut_off():
    async def main():
        transport = FakeTransport(slowly(99.0))
        zai = client(transport=transport, limits=2)
        async with anyio.create_task_group() as group:
            future = await started(group, ask, zai)
            await zai.drain(10.0)
        with pytest.raises(ClientDrainingError, match="before the call had ended") as caught:
            await future
        assert anyio.current_time() == 10.0
        assert caught.value.attempts[0].maybe_billed
        assert caught.value.operation == "chat.completions.create"
        assert nothing_is_left(zai, transport)

    run(main())


def test_a_stream_that_takes_too_long_is_cut_off_with_what_has_arrived():
    async def main():
        transport = FakeTransport(FakeReply.stream(WORD, WORD, 99.0, END))
        zai = client(transport=transport, limits=2)
        async with anyio.create_task_group() as group:
            future = await started(group, read, zai)
            await zai.drain(1.0)
        with pytest.raises(ClientDrainingError, match="before the stream had ended") as caught:
            await future
        assert caught.value.partial.text == "word word "
        assert caught.value.in_stream
        assert nothing_is_left(zai, transport)

    run(main())


def test_an_answer_that_lacks_only_its_end_mark_is_whole():
    async def main():
        whole = body([*texts("word"), last()], done=False)
        zai = client(transport=FakeTransport(FakeReply.stream(whole, 5.0)))
        async with anyio.create_task_group() as group:
            future = await started(group, read, zai)
            await zai.drain(1.0)
        assert (await future).text == "word"

    run(main())


def test_a_stream_that_nobody_reads_ends_at_the_next_reading():
    async def main():
        transport = FakeTransport(FakeReply.stream(WORD, 99.0, END))
        zai = client(transport=transport)
        async with zai.chat.completions.stream(**ASK) as stream:
            assert await anext(stream.text) == "word "
            await zai.drain(1.0)
            with pytest.raises(ClientDrainingError) as caught:
                await stream.completion()
        assert caught.value.partial.text == "word "
        assert nothing_is_left(zai, transport)

    run(main())


@pytest.mark.parametrize("limits", [1, "off"])
def test_a_call_that_waits_for_its_repetition_is_cut_off(limits):
    async def main():
        transport = FakeTransport(BUSY)
        zai = client(transport=transport, limits=limits, retry=RetryPolicy(budget=1e6, retries=99))
        async with anyio.create_task_group() as group:
            futures = [await started(group, ask, zai) for _ in range(2)]
            await zai.drain(1.0)
        for future in futures:
            with pytest.raises(ClientDrainingError):
                await future
        assert anyio.current_time() == 1.0
        assert nothing_is_left(zai, transport)

    run(main())


def test_a_repetition_is_no_new_call():
    async def main():
        transport = FakeTransport(slowly(1.0, BUSY), FINE)
        zai = client(transport=transport, retry=RetryPolicy(), clock=FakeClock())
        async with anyio.create_task_group() as group:
            future = await started(group, ask, zai)
            group.start_soon(zai.drain, 10.0)
        assert len((await future).attempts) == 2

    run(main())


def test_a_download_is_a_call(tmp_path):
    async def main():
        transport = FakeTransport(FakeReply(steps=(b"half", 99.0)))
        zai = client(transport=transport)
        path = tmp_path / "film.mp4"
        async with anyio.create_task_group() as group:
            future = await started(group, zai.download, "http://127.0.0.1/film.mp4", path)
            await zai.drain(1.0)
        with pytest.raises(ClientDrainingError):
            await future
        with pytest.raises(ClientDrainingError):
            await zai.download("http://127.0.0.1/film.mp4", path)
        assert list(tmp_path.iterdir()) == []
        assert nothing_is_left(zai, transport)

    asyncio.run(main())


def test_nothing_to_wait_for_and_again():
    async def main():
        zai = client(transport=FakeTransport(FINE))
        await zai.drain()
        await zai.drain()
        assert anyio.current_time() == 0.0
        with pytest.raises(ClientClosedError):
            await ask(zai)

    run(main())


def test_two_who_drain_and_one_who_gives_up():
    async def main():
        zai = client(transport=FakeTransport(slowly(9.0)))
        async with anyio.create_task_group() as group:
            future = await started(group, ask, zai)
            group.start_soon(zai.drain, 10.0)
            with anyio.move_on_after(1.0):
                await zai.drain(10.0)
            assert not future.done()
        assert (await future).text == "Hi"

    run(main())


def test_calls_of_another_loop_are_cut_off_too():
    zai = client(transport=FakeTransport(slowly(99.0)))
    asked, failures = threading.Event(), []

    async def work():
        asyncio.get_running_loop().call_later(0.05, asked.set)
        with pytest.raises(ClientDrainingError) as caught:
            await ask(zai, options=CallOptions(tag="other"))
        failures.append(caught.value)

    thread = threading.Thread(target=asyncio.run, args=[work()])
    thread.start()
    asked.wait()
    asyncio.run(zai.drain(0.0))
    thread.join()
    assert len(failures) == 1


def test_what_a_closed_loop_has_left_is_not_waited_for():
    zai = client(transport=FakeTransport(FakeReply.stream(WORD, 99.0, END)))
    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(zai.chat.completions.stream(**ASK).open())
    loop.close()

    async def main():
        await zai.drain(10.0)
        assert anyio.current_time() == 0.0

    run(main())
    call_in(loop, pytest.fail)
    asyncio.run(stream.aclose())


async def test_a_call_that_waits_for_nothing_yet_has_nothing_to_cancel():
    calls = InFlightCalls()
    call = InFlightCall(calls)
    call.register()
    call.drain()
    await asyncio.sleep(0)
    with pytest.raises(ClientDrainingError, match="before the call had ended"):
        call.register()
    call.leave()
    call.leave()
    assert not calls.inside


@pytest.mark.parametrize("calling", [True, False])
def test_the_child_of_a_fork_does_not_wait_for_calls_of_its_parent(calling, monkeypatch):
    async def main():
        calls = InFlightCalls()
        of_parent, own = InFlightCall(calls), InFlightCall(calls)
        of_parent.register()
        monkeypatch.setattr(os, "getpid", lambda: -1)
        if calling:
            own.register()
            assert calls.inside == {own}
            own.leave()
        await calls.end(grace=10.0)
        assert anyio.current_time() == 0.0
        of_parent.leave()
        assert not of_parent.drained

    run(main())


async def test_twenty_streams_of_a_real_server(zai_emulator):
    for _ in range(20):
        zai_emulator.chat.reply("word " * 50, chunk_size=5)
    zai_emulator.fault(silence_after=(600, 30.0), times=10)
    zai = client(zai_emulator.url, limits=20)
    async with anyio.create_task_group() as group:
        futures = [await started(group, read, zai) for _ in range(20)]
        await zai_emulator.wait_until(
            lambda: len(zai_emulator.requests) - zai_emulator.in_flight == 10
        )
        await zai.drain(0.05)
    ends = await asyncio.gather(*futures, return_exceptions=True)
    whole = [end for end in ends if not isinstance(end, ClientDrainingError)]
    assert [end.text for end in whole] == ["word " * 50] * 10
    assert all(e.partial.text.startswith("word ") for e in ends if e not in whole)
    await zai_emulator.wait_closed()
    assert in_flight(zai) == 0
