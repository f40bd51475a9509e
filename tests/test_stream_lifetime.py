"""Streams that are left, closed, cancelled and forgotten; connections that are kept or dropped."""

import asyncio
import gc
import math
import warnings

import anyio
import anyio.lowlevel
import pytest

from tests.chat_wire import DONE, GOOD, GOOD_TEXT, body, client, frame, last, stream, texts
from tests.virtual_loop import in_virtual_time
from zai_async import (
    AsyncZai,
    CallOptions,
    ConnectionLostError,
    DeadlineError,
    RetryPolicy,
    StreamConsumedError,
    StreamTruncatedError,
)
from zai_async.testing import FakeReply
from zai_async.testing.fake_transport import FakeResponse

WORD = frame(texts("word")[0])
SLOW = FakeReply.stream(WORD, 3600.0, WORD)


def real(emulator, **settings):
    settings.setdefault("retry", RetryPolicy(retries=0))
    return AsyncZai(api_key="test", base_url=emulator.url, **settings)


def transport_of(zai):
    return zai._manager.sessions._open_transport()


# Leaving early.


@pytest.mark.parametrize("how", ["break", "error", "cancel", "timeout", "scope", "close"])
@in_virtual_time
async def test_leaving_in_any_way_closes_the_connection(how):
    async def leave(answer):
        async with answer:
            async for _ in answer.text:
                if how == "break":
                    break
                if how == "error":
                    raise KeyError
                if how == "close":
                    await answer.aclose()
                    break

    async with client(SLOW) as zai:
        answer = stream(zai)
        if how in {"break", "close"}:
            await leave(answer)
        elif how == "error":
            with pytest.raises(KeyError):
                await leave(answer)
        elif how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await leave(answer)
        elif how == "scope":
            with anyio.move_on_after(0.01) as scope:
                await leave(answer)
            assert scope.cancelled_caught
        else:
            task = asyncio.create_task(leave(answer))
            await anyio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert transport_of(zai).open_responses == 0
        session = await zai._manager.sessions.current()
        assert not session.watchdog._watched
        assert answer.snapshot.text == "word"


async def test_the_server_sees_that_the_client_left(zai_emulator):
    zai_emulator.chat.reply("word " * 50, chunk_size=5)
    zai_emulator.fault(silence_after=(400, 30.0))
    async with real(zai_emulator) as zai:
        async with stream(zai) as answer:
            async for _ in answer.text:
                break
        await zai_emulator.wait_disconnected(1, timeout=1000)
    assert zai_emulator.requests[0].disconnected_at is not None


async def test_cancelling_a_task_group_leaves_nothing_behind(zai_emulator):
    zai_emulator.fault(hang=True, times=5)
    zai_emulator.fault(silence_after=(400, 30.0), times=5)
    async with real(zai_emulator, limits="off") as zai:

        async def read():
            async with stream(zai) as answer:
                await answer.completion()

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(read)
            await zai_emulator.wait_requests(10)
            group.cancel_scope.cancel()
        await zai_emulator.wait_until(lambda: zai_emulator.in_flight == 0)


@in_virtual_time
async def test_outside_a_context_reading_can_go_on_after_a_cancellation_too():
    slow = FakeReply.stream(WORD, 0.05, body([last()]))
    async with client(slow) as zai:
        answer = await zai.chat.completions.create(model="m", messages="hi", stream=True)
        pieces = answer.text
        assert await anext(pieces) == "word"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(pieces), 0.01)
        assert [piece async for piece in pieces] == []
        assert (await answer.completion()).text == "word"


@in_virtual_time
async def test_a_stream_that_a_cancelled_task_leaves_behind_is_closed():
    async with client(SLOW) as zai:

        async def read():
            async for _ in await zai.chat.completions.create(model="m", messages="hi", stream=True):
                pass

        task = asyncio.create_task(read())
        await anyio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del task
            gc.collect()
        assert [item.category for item in caught] == [ResourceWarning]
        assert transport_of(zai).open_responses == 0


@in_virtual_time
async def test_a_cancelled_completion_closes_a_stream_that_nobody_else_will_close():
    async with client(SLOW) as zai:
        answer = await zai.chat.completions.create(model="m", messages="hi", stream=True)
        with anyio.move_on_after(0.01):
            await answer.completion()
        assert transport_of(zai).open_responses == 0
        with pytest.raises(StreamConsumedError, match="closed before its end"):
            await answer.completion()


@pytest.mark.parametrize("wait", [asyncio.wait_for, None])
@in_virtual_time
async def test_a_timed_read_before_the_headers_sends_one_request(wait):
    late = FakeReply(headers=FakeReply.stream().headers, steps=(GOOD,), delay=0.05)
    async with client(late) as zai:
        answer = stream(zai)
        pieces, text = answer.text, ""
        while answer.outcome is None:
            with anyio.move_on_after(0.01):
                try:
                    text += await (wait(anext(pieces), 0.005) if wait else anext(pieces))
                except TimeoutError:
                    continue
                except StopAsyncIteration:
                    break
        assert text == GOOD_TEXT
        assert len(transport_of(zai).requests) == 1


@in_virtual_time
async def test_opening_that_was_given_up_is_gone_on_with():
    late = FakeReply(headers=FakeReply.stream().headers, steps=(GOOD,), delay=0.05)
    async with client(late) as zai:
        answer = stream(zai)
        with anyio.move_on_after(0.01):
            await answer.open()
        await answer.open()
        async with answer:
            assert (await answer.completion()).text == GOOD_TEXT
        assert len(transport_of(zai).requests) == 1


@in_virtual_time
async def test_a_cancelled_entry_ends_the_opening():
    never = FakeReply(headers=FakeReply.stream().headers, delay=3600.0)
    async with client(never, limits=1) as zai:
        answer = stream(zai)
        with anyio.move_on_after(0.01):
            async with answer:
                pytest.fail("nothing came")
        assert next(iter(zai.limits.snapshot().values())).in_flight == 0


async def test_a_context_is_entered_once():
    async with client(GOOD) as zai:
        async with stream(zai) as answer:
            with pytest.raises(StreamConsumedError, match="entered before"):
                await answer.__aenter__()
            assert (await answer.completion()).text == GOOD_TEXT
        with pytest.raises(StreamConsumedError, match="entered before"):
            await answer.__aenter__()


@pytest.mark.parametrize("view", ["chunks", "text", "events"])
async def test_a_stream_that_was_left_before_its_end_has_no_completion(view):
    async with client(GOOD) as zai:
        async with stream(zai) as answer:
            async for _ in answer if view == "chunks" else getattr(answer, view):
                break
        for read in (answer.completion, answer.__anext__):
            with pytest.raises(StreamConsumedError, match="closed before its end"):
                await read()
        assert answer.outcome is None


@in_virtual_time
async def test_a_read_ends_whatever_its_transport_does(monkeypatch):
    async def deaf(response):
        """Wait for something that no close ends."""
        if isinstance(response._steps[0], bytes):
            return await read(response)
        return await asyncio.get_running_loop().create_future()

    read = FakeResponse.read
    monkeypatch.setattr(FakeResponse, "read", deaf)
    async with client(FakeReply.stream(WORD, 3600.0)) as zai, stream(zai, deadline=0.3) as answer:
        with pytest.raises(DeadlineError) as caught:
            await answer.completion()
        assert caught.value.partial.text == "word"
    async with client(FakeReply.stream(WORD, 3600.0)) as zai, stream(zai) as answer:
        await anext(answer)
        reader = asyncio.create_task(answer.completion())
        await anyio.sleep(0.01)
        await answer.aclose()
        with pytest.raises(StreamConsumedError, match="closed while it was read"):
            await reader
        assert reader.cancelling() == 0


@in_virtual_time
async def test_inside_a_context_reading_can_go_on_after_a_cancellation():
    slow = FakeReply.stream(WORD, 0.05, body([last()]))
    async with client(slow) as zai, stream(zai) as answer:
        pieces = answer.text
        assert await anext(pieces) == "word"
        with anyio.move_on_after(0.01):
            await anext(pieces)
        assert (await answer.completion()).text == "word"


async def test_every_point_at_which_a_stream_can_be_cancelled(zai_emulator):
    async with real(zai_emulator) as zai:

        async def read():
            async with stream(zai) as answer:
                return (await answer.completion()).text

        whole = await read()
        finished = 0
        for steps in range(60):
            task = asyncio.create_task(read())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                assert await task == whole
                finished += 1
            except asyncio.CancelledError:
                assert task.cancelled()
        assert finished < 60
        await zai_emulator.wait_until(lambda: zai_emulator.in_flight == 0)
        assert await read() == whole


# Reading twice.


async def test_two_tasks_cannot_read_one_stream():
    async with client(SLOW) as zai, stream(zai) as answer:
        await anext(answer)
        first = asyncio.create_task(anext(answer))
        await anyio.lowlevel.checkpoint()
        with pytest.raises(StreamConsumedError, match="another task"):
            await anext(answer)
        # The mistake of one task is no harm to the other.
        assert not first.done()
        await answer.aclose()
        with pytest.raises(StreamConsumedError, match="closed while it was read"):
            await first


async def test_a_second_task_that_asks_for_the_answer_does_not_cut_off_the_first():
    async with client(GOOD) as zai:
        answer = stream(zai)
        first, second = await asyncio.gather(
            answer.completion(), answer.completion(), return_exceptions=True
        )
        assert isinstance(second, StreamConsumedError)
        assert first.text == GOOD_TEXT
        await answer.aclose()


async def test_start_in_one_task_read_in_another_close_in_a_third():
    async with client(GOOD) as zai:
        answer = await asyncio.create_task(stream(zai).open())
        assert (await asyncio.create_task(answer.completion())).text == GOOD_TEXT
        await asyncio.create_task(answer.aclose())


async def test_what_has_come_and_was_not_taken_ends_with_the_stream():
    async with client(body(texts(*"abcdefgh"), done=False)) as zai, stream(zai) as answer:
        for _ in range(3):
            await anext(answer)
        await answer.aclose()
        with pytest.raises(StreamConsumedError, match="closed before its end"):
            await anext(answer)


async def test_closing_twice_and_closing_what_was_never_opened():
    async with client(GOOD) as zai:
        answer = stream(zai)
        await answer.aclose()
        await answer.aclose()
        for read in (answer.open, answer.__anext__, answer.completion):
            with pytest.raises(StreamConsumedError, match="closed before its end"):
                await read()
        assert not transport_of(zai).requests


# Forgetting.


async def test_a_forgotten_stream_is_closed_with_one_warning():
    async with client(SLOW) as zai:
        answer = await zai.chat.completions.create(model="m", messages="hi", stream=True)
        await anext(answer)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del answer
            gc.collect()
        assert [item.category for item in caught] == [ResourceWarning]
        assert "ChatStream was never closed" in str(caught[0].message)
        assert transport_of(zai).open_responses == 0


@pytest.mark.parametrize("pieces", [[1], [2, 2], [100, 300], [300]])
@pytest.mark.parametrize("altitude", ["chunks", "text", "events"])
async def test_a_forgotten_stream_goes_without_the_garbage_collector(pieces, altitude):
    steps = [WORD * count for count in pieces]
    async with client(FakeReply.stream(*steps, 3600.0, WORD), limits=1) as zai:
        answer = await zai.chat.completions.create(model="m", messages="hi", stream=True)
        gc.collect()
        gc.disable()
        try:
            async for _ in answer if altitude == "chunks" else getattr(answer, altitude):
                break
            with pytest.warns(ResourceWarning, match="ChatStream was never closed"):
                del answer
        finally:
            gc.enable()
        assert transport_of(zai).open_responses == 0
        assert zai.limits.snapshot()["m"].in_flight == 0


async def test_a_stream_that_was_read_to_its_end_may_be_forgotten():
    async with client(GOOD) as zai:
        answer = await zai.chat.completions.create(model="m", messages="hi", stream=True)
        assert [item async for item in answer]
        del answer
        gc.collect()


def test_a_stream_whose_arguments_were_wrong_leaves_no_trace():
    zai = client(GOOD)
    with pytest.raises(TypeError, match="unexpected keyword: modle"):
        zai.chat.completions.stream(modle="m", messages="hi")
    gc.collect()


# Keeping connections.


async def test_connections_are_used_again(zai_emulator, monkeypatch):
    monkeypatch.setattr("zai_async.streams.opening._DRAIN_SECONDS", math.inf)
    zai_emulator.fault(late_end=0.02, times=None)
    async with real(zai_emulator) as zai:
        for _ in range(10):
            async with stream(zai) as answer:
                await answer.completion()
            session = await zai._manager.sessions.current()
            while session._tasks:  # noqa: ASYNC110 - what drains it has no event
                await asyncio.sleep(0.001)
    assert zai_emulator.connections == 1


async def test_a_late_end_does_not_hold_the_reader_up(zai_emulator):
    zai_emulator.fault(late_end=30.0)
    async with real(zai_emulator) as zai:
        with anyio.fail_after(1000):
            async with stream(zai) as answer:
                await answer.completion()
            await zai_emulator.wait_closed()


@pytest.mark.parametrize("rest", [[3600.0], [b"x" * 40_000] * 3, [ConnectionLostError("reset")]])
@in_virtual_time
async def test_what_follows_the_end_mark_is_read_within_bounds(rest):
    async with client(FakeReply.stream(GOOD, *rest)) as zai:
        async with stream(zai) as answer:
            assert (await answer.completion()).text == GOOD_TEXT
        with anyio.fail_after(1000):
            while transport_of(zai).open_responses:  # noqa: ASYNC110 - nothing tells of it
                await anyio.sleep(0.01)


async def test_closing_the_client_ends_what_is_being_drained():
    async with client(FakeReply.stream(GOOD, 3600.0)) as zai, stream(zai) as answer:
        assert (await answer.completion()).text == GOOD_TEXT
    assert transport_of(zai).open_responses == 0


# Repeating.


@pytest.mark.parametrize("fault", [{"cut_after": 0}, {"eof_after": 0}, {"status": 500}])
async def test_a_fault_before_the_first_token_is_repeated(zai_emulator, fault):
    zai_emulator.fault(**fault)
    async with real(zai_emulator, retry=RetryPolicy()) as zai, stream(zai) as answer:
        assert (await answer.completion()).outcome == "completed"
        assert len(answer.attempts) == len(zai_emulator.requests) == 2


async def test_a_fault_after_the_first_token_is_not(zai_emulator):
    zai_emulator.chat.reply("word " * 50, chunk_size=5)
    zai_emulator.fault(cut_after=2000)
    async with real(zai_emulator, retry=RetryPolicy()) as zai:
        with pytest.raises(StreamTruncatedError) as caught:
            async with stream(zai) as answer:
                await answer.completion()
    assert len(zai_emulator.requests) == 1
    assert caught.value.partial.text.startswith("word word")
    assert caught.value.attempts[0].maybe_billed


async def test_options_reach_the_stream():
    async with client(body([*texts("A")], done=False) + DONE) as zai:
        answer = zai.chat.completions.stream(
            model="m", messages="hi", options=CallOptions(allow={"truncated"}, tag="t")
        )
        assert (await answer.completion()).outcome == "truncated"


async def test_a_completion_tells_the_header_fields_of_its_stream():
    async with client(FakeReply.stream(GOOD, X_Log_Id="log-1", X_Other="x")) as zai:
        async with stream(zai) as answer:
            whole = await answer.completion()
        assert whole.headers["x-other"] == answer.headers["X-Other"] == "x"


async def test_a_view_is_claimed_by_its_first_read_or_iteration():
    async with client(GOOD) as zai, stream(zai) as answer:
        events = answer.events
        assert await anext(events) is not None
        assert aiter(aiter(events)) is events
        with pytest.raises(StreamConsumedError, match="already read as events"):
            await anext(answer.text)
        assert [event async for event in events]
