"""Coalescing, broadcasting and merging; time is simulated."""

import asyncio
import gc
import itertools

import anyio
import pytest

from tests import chat_wire
from tests.chat_wire import GOOD, GOOD_TEXT, body, last, texts
from tests.virtual_loop import run
from zai_async import (
    StreamConsumedError,
    StreamTruncatedError,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    broadcast,
    coalesce,
    merge,
)
from zai_async.streams.combinators import SteadyIterator


async def paced(items, delay=0.0, error=None):
    for item in items:
        if delay:
            await asyncio.sleep(delay)
        yield item
    if error is not None:
        raise error


async def collected(source):
    """Return the items, and what ended them."""
    items = []
    try:
        async for item in source:
            items.append(item)  # noqa: PERF401 - what came before an error counts
    except Exception as error:  # noqa: BLE001
        return items, error
    return items, None


# Coalescing


def test_fast_pieces_are_joined_and_the_first_passes_at_once():
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        pieces = [f"{n} " for n in range(500)]
        started = loop.time()
        async for text in coalesce(paced(pieces, 0.001)):
            seen.append((loop.time() - started, text))  # noqa: PERF401 - the time of each
        return pieces, seen

    pieces, seen = run(main())
    assert "".join(text for _, text in seen) == "".join(pieces)
    assert len(seen) <= 25
    assert seen[0] == (pytest.approx(0.001), "0 ")
    waits = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(seen)]
    assert max(waits) <= 0.035


def test_slow_pieces_pass_alone():
    async def main():
        return await collected(coalesce(paced("abcdef", 0.05)))

    assert run(main()) == (list("abcdef"), None)


def test_long_texts_are_not_joined_without_end():
    async def main():
        return await collected(coalesce(paced(["x" * 100] * 50), max_chars=300))

    items, _ = run(main())
    assert [len(item) for item in items] == [100, *[300] * 16, 100]


def test_only_one_kind_is_joined_and_the_order_is_kept():
    usage = Usage(total_tokens=1)
    events = [
        *(
            ThinkingDelta("a"),
            ThinkingDelta("b"),
            ThinkingDelta("c"),
            TextDelta("d"),
            TextDelta("e"),
        ),
        *(
            ToolCallDelta(0, "f"),
            ToolCallDelta(0, "g"),
            ToolCallDelta(1, "h"),
            ToolCallDelta(1, "i"),
        ),
        *(usage, TextDelta("j"), TextDelta("k")),
    ]

    async def main():
        return await collected(coalesce(paced(events)))

    assert run(main())[0] == [
        *(ThinkingDelta("a"), ThinkingDelta("bc"), TextDelta("de")),
        *(ToolCallDelta(0, "fg"), ToolCallDelta(1, "hi"), usage, TextDelta("jk")),
    ]


@pytest.mark.parametrize("error", [StreamTruncatedError("cut"), TimeoutError("of the source")])
def test_error_comes_after_the_text_before_it(error):
    async def main():
        source = coalesce(paced("abc", error=error))
        items, first = await collected(source)
        return items, first, await collected(source)

    items, first, again = run(main())
    assert items == ["a", "bc"]
    assert (first, again) == (error, ([], error))


def test_read_that_is_cancelled_loses_nothing():
    async def main():
        source, seen = coalesce(paced("abcdef", 0.01), max_delay=0.1), []
        while True:
            try:
                seen.append(await asyncio.wait_for(anext(source), 0.004))
            except TimeoutError:
                continue
            except StopAsyncIteration:
                return seen

    assert "".join(run(main())) == "abcdef"


async def test_streams_of_ours_are_joined_without_tasks():
    async with chat_wire.client(GOOD) as zai, chat_wire.stream(zai) as stream:
        tasks = len(asyncio.all_tasks())
        assert "".join([text async for text in coalesce(stream.text)]) == GOOD_TEXT
        assert len(asyncio.all_tasks()) == tasks


async def test_closing_what_joins_closes_the_source():
    closed = []

    async def source():
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    joined = coalesce(source())
    assert await anext(joined) == "a"
    await joined.aclose()
    assert closed == [True]


async def test_steady_read_under_way_is_given_up_when_it_is_closed():
    steady = SteadyIterator(paced("a", 1000))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(steady), 0.001)
    await steady.aclose()
    assert len(asyncio.all_tasks()) == 1


async def in_a_group(*items):
    """Yield what was given from inside of a task group, which must be left where it was entered."""
    async with asyncio.TaskGroup(), asyncio.timeout(1000):
        for item in items:
            yield item


async def test_steady_iterator_reads_in_one_task():
    assert await collected(SteadyIterator(in_a_group("a", "b"))) == (["a", "b"], None)


async def test_steady_iterator_closes_in_the_task_that_read():
    steady = SteadyIterator(in_a_group("a", "b"))
    assert await anext(steady) == "a"
    await steady.aclose()
    assert await collected(steady) == ([], None)


async def test_steady_iterator_that_nobody_has_read_can_be_closed():
    steady = SteadyIterator(paced("a"))
    await steady.aclose()
    assert await collected(steady) == ([], None)


async def test_steady_iterator_that_is_forgotten_leaves_no_task():
    steady = SteadyIterator(paced("ab"))
    assert await anext(steady) == "a"
    del steady
    gc.collect()
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - nobody is left who could tell
        await asyncio.sleep(0)


async def test_waiting_for_an_item_of_what_is_closed_ends():
    steady = SteadyIterator(paced("a", 1000))
    waiting = asyncio.ensure_future(anext(steady))
    await asyncio.sleep(0)
    await steady.aclose()
    await asyncio.wait({waiting})
    assert waiting.cancelled()


def test_steady_iterator_may_outlive_its_loop():
    async def begun():
        steady = SteadyIterator(paced("ab"))
        assert await anext(steady) == "a"
        return steady

    steady = asyncio.run(begun())
    assert steady._task.cancelled()
    del steady
    gc.collect()


# Broadcasting


async def test_every_reader_gets_everything():
    wire = body([*texts("a", "b", "c"), last()])
    async with chat_wire.client(wire) as zai, chat_wire.stream(zai) as stream:
        readers = broadcast(stream.text, readers=3, max_ahead=1)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(collected(reader)) for reader in readers]
    assert [task.result() for task in tasks] == [(["a", "b", "c"], None)] * 3


async def test_fast_reader_waits_for_the_slow_one():
    pulled = []

    async def source():
        for n in range(10):
            pulled.append(n)
            yield n

    fast, slow = broadcast(source(), max_ahead=3)
    assert [await anext(fast) for _ in range(3)] == [0, 1, 2]
    waiting = asyncio.ensure_future(anext(fast))
    await asyncio.sleep(0)
    assert (waiting.done(), pulled) == (False, [0, 1, 2])
    assert await anext(slow) == 0
    assert await waiting == 3
    await slow.aclose()
    assert (await collected(slow))[0] == []
    assert (await collected(fast))[0] == [4, 5, 6, 7, 8, 9]


async def test_reader_that_is_forgotten_holds_nobody_back():
    fast, slow = broadcast(paced(range(10)), max_ahead=2)
    del slow
    gc.collect()
    assert (await collected(fast))[0] == list(range(10))


async def test_error_reaches_every_reader():
    error = StreamTruncatedError("cut")
    first, second = broadcast(paced("ab", error=error))
    assert await collected(first) == (["a", "b"], error)
    assert await collected(second) == (["a", "b"], error)


async def test_last_reader_that_leaves_closes_the_stream():
    async with chat_wire.client(GOOD) as zai:
        stream = chat_wire.stream(zai)
        first, second = broadcast(stream)
        await anext(first)
        await first.aclose()
        assert stream._reader._response is not None
        await second.aclose()
        assert stream._reader._response is None


@pytest.mark.parametrize("wrong", [{"readers": 0}, {"max_ahead": 0}])
def test_numbers_of_a_broadcast_are_checked(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        broadcast(paced(""), **wrong)


# Merging


def test_items_come_as_they_are_there():
    async def main():
        return await collected(merge(paced("abc", 2), paced("xyz", 5)))

    assert "".join(run(main())[0]) == "abxcyz"


async def test_merged_streams_are_read_at_once():
    wire = body([*texts("a", "b"), last()])
    async with chat_wire.client(wire, wire) as zai:
        streams = [chat_wire.stream(zai) for _ in range(2)]
        merged = merge(*streams)
        assert len([chunk async for chunk in merged]) == 6
        await merged.aclose()
    assert [stream.outcome for stream in streams] == ["completed", "completed"]


async def test_error_of_one_closes_all():
    closed = []

    async def endless():
        try:
            while True:
                await asyncio.sleep(0)
                yield "x"
        finally:
            closed.append(True)

    error = StreamTruncatedError("cut")
    merged = merge(endless(), paced("a", error=error))
    items, raised = await collected(merged)
    assert "a" in items
    assert raised is error
    assert closed == [True]
    assert await collected(merged) == ([], error)


async def test_merged_iterator_that_is_forgotten_ends_its_tasks():
    merged = merge(paced("ab"), paced("cd"))
    await anext(merged)
    del merged
    gc.collect()
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - they end one after the other
        await asyncio.sleep(0)


async def scoped(seen, *items, scope=anyio.CancelScope):
    """Yield from inside of a cancel scope, and note in which tasks that was."""
    try:
        with scope():
            for item in items:
                seen.append(asyncio.current_task())
                yield item
    finally:
        seen.append(asyncio.current_task())


@pytest.mark.parametrize("all_of_them", [True, False])
async def test_merged_sources_leave_their_scopes_in_the_task_that_read(all_of_them):
    seen, others = [], []
    merged = merge(scoped(seen, "a", "b"), scoped(others, "c"), in_a_group("d"))
    if all_of_them:
        assert sorted((await collected(merged))[0]) == ["a", "b", "c", "d"]
    else:
        await anext(merged)
    await merged.aclose()
    assert (len(set(seen)), len(set(others))) == (1, 1)
    assert seen[0] is not others[0]
    assert await collected(merged) == ([], None) or all_of_them


async def test_error_of_one_closes_scopes_in_the_task_that_read():
    seen, error = [], StreamTruncatedError("cut")
    assert (await collected(merge(scoped(seen, *"abc"), paced("", error=error))))[1] is error
    assert len(set(seen)) == 1


def within():
    return anyio.move_on_after(1)


@pytest.mark.parametrize("joined", [merge, SteadyIterator])
def test_scope_that_ends_while_its_source_waits_is_an_error(joined):
    """A generator may not be left by a yield while such a scope runs; nobody waits for ever."""

    async def main():
        seen = []
        source = joined(scoped(seen, *"abc", scope=within))
        assert await anext(source) == "a"
        await asyncio.sleep(2)
        items, error = await collected(source)
        await source.aclose()
        return items, error, len(set(seen)), await collected(source)

    items, error, tasks, again = run(main())
    assert isinstance(error, RuntimeError)
    assert "scope of its own" in str(error)
    assert (items, tasks) == (["b"] if joined is merge else [], 1)
    assert again[0] == []


def test_steady_iterator_whose_scope_has_ended_can_be_closed():
    async def main():
        steady = SteadyIterator(scoped([], *"abc", scope=within))
        await anext(steady)
        await asyncio.sleep(2)
        await steady.aclose()
        return await collected(steady)

    assert run(main()) == ([], None)


async def test_error_of_closing_reaches_who_closes():
    async def stubborn():
        try:
            yield "a"
        finally:
            raise ValueError("not now")

    merged = merge(stubborn(), paced("b", 1000))
    assert await anext(merged) == "a"
    with pytest.raises(ValueError, match="not now"):
        await merged.aclose()


@pytest.mark.parametrize("steps", [0, 1, 5])
async def test_who_waits_for_what_is_closed_waits_no_longer(steps):
    merged = merge(paced("a", 1000))
    waiting = asyncio.ensure_future(collected(merged))
    for _ in range(steps):
        await asyncio.sleep(0)
    await asyncio.gather(merged.aclose(), merged.aclose())
    assert await waiting == ([], None)


async def test_nothing_merged_is_nothing():
    assert await collected(merge()) == ([], None)


async def test_merged_streams_can_be_closed_unread():
    async with chat_wire.client(GOOD) as zai:
        stream = chat_wire.stream(zai)
        merged = merge(stream)
        await merged.aclose()
        assert await collected(merged) == ([], None)
        with pytest.raises(StreamConsumedError):
            await stream.completion()


async def test_steady_iterator_is_an_iterator():
    assert await collected(SteadyIterator(paced("ab"))) == (["a", "b"], None)
