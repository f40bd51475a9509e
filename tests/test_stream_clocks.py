"""The clocks of a stream, on a loop where waiting takes no time."""

import asyncio
import math

import anyio
import pytest

from tests import virtual_loop
from tests.chat_wire import DONE, body, chunk, client, frame, last, stream, texts, thoughts, tool
from zai_async import (
    ClientDrainingError,
    ConnectionLostError,
    DeadlineError,
    StreamConsumedError,
    StreamStalledError,
    Timeout,
)
from zai_async.testing import FakeReply
from zai_async.testing.fake_transport import FakeResponse

PING = b": ping\n\n"
ROLE = frame(chunk({"role": "assistant", "content": ""}))
WORD = frame(texts("word ")[0])
CLOCKS = Timeout(first_progress=60, between_progress=30)


def read(*steps, consume=0.0, **options):
    """Read a stream of these steps; return its text, what it raised, and how long it took."""

    async def work():
        options.setdefault("timeout", CLOCKS)
        text = ""
        async with client(FakeReply.stream(*steps)) as zai, stream(zai, **options) as answer:
            begun = anyio.current_time()
            try:
                async for piece in answer.text:
                    text += piece
                    await anyio.sleep(consume)
            except (StreamStalledError, DeadlineError) as error:
                return text, error, anyio.current_time() - begun
            return text, None, anyio.current_time() - begun

    return virtual_loop.run(work())


def test_a_token_a_second_for_twenty_minutes():
    text, error, took = read(*[1.0, WORD] * 1200, 1.0, frame(last()) + DONE)
    assert (text, error) == ("word " * 1200, None)
    assert took == pytest.approx(1201)


def test_silence_before_the_first_token():
    text, error, took = read(3600.0, WORD)
    assert (text, error.phase) == ("", "first_progress")
    assert 60 <= error.waited <= took <= 60 * 9 / 8


def test_silence_between_tokens():
    text, error, took = read(WORD, 3600.0, WORD)
    assert (text, error.phase) == ("word ", "between_progress")
    assert 30 <= error.waited <= took <= 30 * 9 / 8 + 1
    assert error.partial.text == "word "
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize("mask", [PING, ROLE, frame(chunk({})), frame(chunk(choices=None))])
def test_pings_and_empty_deltas_are_no_progress(mask):
    _, error, took = read(*[1.0, mask] * 3600)
    assert error.phase == "first_progress"
    assert took == pytest.approx(60, abs=8)
    _, error, took = read(WORD, *[1.0, mask] * 3600)
    assert error.phase == "between_progress"
    assert took == pytest.approx(30, abs=8)


@pytest.mark.parametrize(
    "progress",
    [
        thoughts("hm")[0],
        texts("a")[0],
        tool("1", id="c", name="f"),
        chunk({}, web_search=[{"title": "a"}]),
    ],
)
def test_thinking_text_arguments_and_pages_are_progress(progress):
    end = frame(texts("A")[0]) + frame(last()) + DONE
    _, error, took = read(*[25.0, frame(progress)] * 10, end)
    assert error is None
    assert took == pytest.approx(250)


def test_the_time_of_the_consumer_does_not_count():
    words = [WORD] * 5
    text, error, took = read(*words, frame(last()) + DONE, consume=1000.0)
    assert (text, error) == ("word " * 5, None)
    assert took == pytest.approx(5000)


def left_alone(*pauses, opener_ends=True):
    """Read a stream that another task has opened, with pauses; return what came of it."""

    async def work():
        words = [WORD] * len(pauses)
        async with client(FakeReply.stream(*words, frame(last()) + DONE)) as zai:
            answer = stream(zai, timeout=2)  # of which the watchdog looks at it four times a second
            entering = answer.__aenter__()
            await (asyncio.create_task(entering) if opener_ends else entering)
            text = ""
            try:
                for pause in pauses:
                    await anyio.sleep(pause)
                    text += await anext(answer.text)
            except StreamConsumedError:
                text += "and no more"
            await answer.aclose()
            return text

    return virtual_loop.run(work())


def test_whose_task_has_ended_a_stream_is_left_alone_for_a_second_at_most():
    assert left_alone(0.1, 0.9) == "word word "
    assert left_alone(0.1, 1.6) == "word and no more"
    assert left_alone(0.1, 1.6, opener_ends=False) == "word word "


def test_a_stream_that_is_read_on_now_and_then_is_not_left_alone():
    assert left_alone(*[0.7] * 20) == "word " * 20


def test_without_limits_a_stream_may_be_silent_for_hours():
    timeout = Timeout(first_progress=None, between_progress=None)
    text, error, _ = read(9000.0, WORD, 9000.0, frame(last()) + DONE, timeout=timeout)
    assert (text, error) == ("word ", None)


def test_a_number_sets_the_clocks():
    _, error, took = read(3600.0, timeout=8)
    assert error.phase == "first_progress"
    assert took == pytest.approx(8, abs=1.1)


def test_one_deadline_over_the_whole_stream():
    text, error, took = read(*[1.0, WORD] * 3600, deadline=20.5)
    assert isinstance(error, DeadlineError)
    assert took == pytest.approx(20.5, abs=0.2)
    assert text == error.partial.text == "word " * 20


def test_the_deadline_counts_the_time_before_the_headers():
    async def work():
        reply = FakeReply.stream(WORD, 3600.0)
        late = FakeReply(headers=reply.headers, steps=reply.steps, delay=15)
        async with client(late) as zai, stream(zai, deadline=20) as answer:
            with pytest.raises(DeadlineError):
                await answer.completion()
            assert anyio.current_time() == pytest.approx(20, abs=0.2)

    virtual_loop.run(work())


def test_the_deadline_passes_while_the_consumer_sleeps():
    text, error, took = read(*[WORD] * 3, 10.0, WORD, consume=30.0, deadline=20.5)
    assert isinstance(error, DeadlineError)
    assert text == "word "
    assert took == pytest.approx(30)


def test_after_the_finish_reason_the_end_mark_may_be_missing():
    wire = body([*texts("A"), last()], done=False)
    text, error, took = read(wire, 3600.0, DONE)
    assert (text, error) == ("A", None)
    assert 10 <= took <= 10 + 2  # two looks of the watchdog
    text, error, took = read(wire, 3600.0, DONE, timeout=Timeout(10, 10, None, None))
    assert (text, error) == ("A", None)


@pytest.mark.parametrize("rest", [[30.0, DONE], [30.0, ConnectionLostError("reset")]])
def test_a_deadline_after_the_finish_reason_is_no_failure(rest):
    wire = body([*texts("A"), last()], done=False)
    text, error, took = read(wire, *rest, deadline=2.5)
    assert (text, error) == ("A", None)
    assert took == pytest.approx(2.5, abs=0.2)
    text, error, took = read(1.0, wire, *rest, consume=5.0, deadline=2.5)
    assert (text, error) == ("A", None)
    assert took == pytest.approx(6)


def test_one_timer_for_all_streams():
    async def work():
        reply = FakeReply.stream(3600.0)
        async with client(reply) as zai:
            streams = [stream(zai, timeout=Timeout(1, 1, limit, limit)) for limit in (80, 40, 400)]
            for each in streams:
                await each.open()
            watchdog = (await zai._manager.sessions.current()).watchdog
            assert math.isclose(watchdog._due, 1.0)
            assert streams[2]._reader._timer.shortest_timeout == 400
            ended = []

            async def wait(each):
                with pytest.raises(StreamStalledError):
                    await each.completion()
                ended.append(round(anyio.current_time(), -1))

            async with anyio.create_task_group() as group:
                for each in streams:
                    group.start_soon(wait, each)
            assert ended == [40, 80, 400]
            await anyio.sleep(1.5)
            assert watchdog._timer is None

    virtual_loop.run(work())


def test_a_stream_that_joins_just_before_a_look_has_its_whole_time():
    async def work():
        async with client(FakeReply.stream(3600.0)) as zai:
            timeout = Timeout(1, 1, 40, 40)
            async with stream(zai, timeout=timeout), stream(zai, timeout=timeout) as late:
                await anyio.sleep(0.9)  # as the watchdog looks after a second
                await late.aclose()
                begun = anyio.current_time()
                async with stream(zai, timeout=timeout) as latest:
                    with pytest.raises(StreamStalledError):
                        await latest.completion()
                return anyio.current_time() - begun

    assert 40 <= virtual_loop.run(work()) <= 40 * 9 / 8


def test_what_ends_while_it_is_broken_off_was_broken_off(monkeypatch):
    async def work():
        async with client(FakeReply.stream(WORD, 1.0)) as zai, stream(zai) as answer:
            await anext(answer)
            read = FakeResponse.read

            async def read_and_drain(response):
                data = await read(response)
                answer._reader._timer.interrupt()
                return data

            monkeypatch.setattr(FakeResponse, "read", read_and_drain)
            with pytest.raises(ClientDrainingError):
                await anext(answer)

    virtual_loop.run(work())


async def test_breaking_off_what_is_not_open_is_harmless():
    async with client(FakeReply.stream(WORD)) as zai:
        answer = stream(zai)
        answer._reader.break_off(None)
        await answer.aclose()
        assert answer.outcome is None
