"""Streams that are closed by another task while they are being opened."""

import asyncio
import contextlib

import anyio
import pytest

from tests.calls import FakeClock, scripted
from tests.chat_wire import GOOD, GOOD_TEXT, client, stream
from zai_async import AsyncZai, ConnectionLostError, Hooks, RetryPolicy, StreamConsumedError
from zai_async.streams import opening
from zai_async.testing import FakeReply

FAILED = FakeReply.json({"error": {"code": "500", "message": "internal"}}, status=500)
BROKEN = FakeReply.stream(ConnectionLostError("reset"))
NEVER = FakeReply(headers=FakeReply.stream().headers, delay=3600.0)


class Sleepless(FakeClock):
    """A clock on which a wait never ends; ``waits`` is set when one begins."""

    def __init__(self):
        super().__init__()
        self.waits = anyio.Event()

    async def sleep(self, seconds):
        self.waits.set()
        await anyio.sleep_forever()


def opened(*script, **settings):
    """Return a client of a scripted transport that allows one request at a time."""
    return scripted(*script, limits=1, **settings)


async def until(true):
    while not true():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


async def close_while(zai, transport, waits, answer=None):
    """Close a stream as soon as its opener waits; return what ended the opener."""
    answer = stream(zai) if answer is None else answer
    opener = asyncio.create_task(answer.open())
    await until(waits)
    sent = len(transport.requests)
    await answer.aclose()
    with pytest.raises(StreamConsumedError, match="was closed while it waited") as caught:
        await opener
    assert opener.cancelling() == 0
    assert len(transport.requests) == sent
    return caught.value


def idle(zai):
    figures = next(iter(zai.limits.snapshot().values()))
    return figures.in_flight == figures.waiting == 0


async def test_while_it_connects():
    zai, transport = opened(NEVER)
    async with zai:
        await close_while(zai, transport, lambda: transport.requests)
        assert idle(zai)
        assert transport.open_responses == 0


async def test_the_slot_is_free_only_after_the_request_is_over():
    slots = []
    zai, transport = opened(NEVER)
    send = transport.send

    async def watched(request):
        try:
            return await send(request)
        finally:
            slots.append(not idle(zai))

    transport.send = watched
    async with zai:
        await close_while(zai, transport, lambda: transport.requests)
        assert slots == [True]


async def test_while_it_waits_for_a_slot():
    zai, transport = opened(NEVER)
    async with zai:
        first = asyncio.create_task(stream(zai).open())
        await until(lambda: transport.requests)
        waits = next(iter(zai.limits.snapshot()))
        await close_while(zai, transport, lambda: zai.limits.snapshot()[waits].waiting)
        assert zai.limits.snapshot()[waits].in_flight == 1
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await until(lambda: idle(zai))  # nobody holds the stream any more


async def test_while_it_waits_to_try_again():
    clock = Sleepless()
    zai, transport = opened(FAILED, clock=clock)
    async with zai:
        await close_while(zai, transport, clock.waits.is_set)
        assert idle(zai)


async def test_while_a_broken_answer_waits_to_be_asked_for_again():
    clock = Sleepless()
    zai, transport = opened(BROKEN, FakeReply.stream(GOOD), clock=clock)
    async with zai:
        answer = stream(zai)
        reader = asyncio.create_task(anext(answer.text))
        await clock.waits.wait()
        with pytest.raises(StreamConsumedError, match="by another task"):
            await answer.completion()
        await answer.aclose()
        with pytest.raises(StreamConsumedError, match="closed while it waited"):
            await reader
        assert len(transport.requests) == 1
        assert idle(zai)


async def test_as_the_wait_to_ask_again_is_over():
    class Closing(Sleepless):
        async def sleep(self, seconds):
            await answer.aclose()

    zai, transport = opened(BROKEN, FakeReply.stream(GOOD), clock=Closing())
    async with zai:
        answer = stream(zai)
        with pytest.raises(StreamConsumedError, match="closed while it waited"):
            await answer.completion()
        assert len(transport.requests) == 1
        assert idle(zai)


async def test_opening_what_is_open_changes_nothing():
    zai, transport = opened(FakeReply.stream(GOOD))
    async with zai, stream(zai) as answer:
        assert await answer.open() is answer
        assert (await answer.completion()).text == GOOD_TEXT
        assert len(transport.requests) == 1


@pytest.mark.parametrize("steps", range(1, 12))
async def test_at_every_step(steps):
    async with client(GOOD) as zai:
        answer = stream(zai)
        opener = asyncio.create_task(answer.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        await answer.aclose()
        with contextlib.suppress(StreamConsumedError):
            await opener
        await asyncio.sleep(0)
        transport = zai._manager.sessions._open_transport()
        assert transport.open_responses == 0
        assert not (await zai._manager.sessions.current()).watchdog._watched


async def test_an_answer_that_comes_as_the_stream_is_closed_is_closed_too():
    async def slow(event):
        await answer.aclose()

    async with client(GOOD, hooks=Hooks(on_response=slow)) as zai:
        answer = stream(zai)
        with pytest.raises(StreamConsumedError, match="closed while it waited"):
            await answer.open()
        assert zai._manager.sessions._open_transport().open_responses == 0


async def test_a_cancelled_opener_is_cancelled():
    zai, transport = opened(NEVER)
    async with zai:
        answer = stream(zai)
        opener = asyncio.create_task(answer.open())
        await until(lambda: transport.requests)
        opener.cancel()
        await answer.aclose()
        with pytest.raises(asyncio.CancelledError):
            await opener
        assert idle(zai)


async def test_one_task_opens():
    zai, transport = opened(FakeReply.stream(GOOD), retry=RetryPolicy(retries=0))
    async with zai, zai.chat.completions.stream(model="m", messages="hi") as answer:
        assert (await answer.completion()).text == GOOD_TEXT
    async with client(NEVER) as zai:
        answer = stream(zai)
        first = asyncio.create_task(answer.open())
        await until(lambda: zai._manager.sessions._open_transport().requests)
        for second in (answer.open(), anext(answer.text)):
            with pytest.raises(StreamConsumedError, match="by another task"):
                await second
        assert not first.done()  # the mistake of one task is no harm to the other
        await answer.aclose()
        with pytest.raises(StreamConsumedError):
            await first
        assert len(transport.requests) == 1


async def test_the_server_sees_that_the_opener_left(zai_emulator):
    zai_emulator.fault(hang=True, times=None)
    async with AsyncZai(api_key="test", base_url=zai_emulator.url) as zai:
        answer = stream(zai)
        opener = asyncio.create_task(answer.open())
        await zai_emulator.wait_requests(1)
        await answer.aclose()
        await zai_emulator.wait_disconnected(1, timeout=1000)
        with pytest.raises(StreamConsumedError):
            await opener


class Delayed(Sleepless):
    """A clock on which a wait ends when ``over`` is set."""

    def __init__(self):
        super().__init__()
        self.over = anyio.Event()

    async def sleep(self, seconds):
        self.waits.set()
        await self.over.wait()


async def test_a_stream_that_is_forgotten_while_it_waits_to_try_again_sends_nothing():
    clock = Delayed()
    zai, transport = opened(BROKEN, FakeReply.stream(GOOD), clock=clock)
    async with zai:
        answer = stream(zai)
        reader = asyncio.create_task(anext(answer.text))
        await clock.waits.wait()
        answer._reader.phase = opening.Phase.OVER  # as a close that has not cancelled it yet
        clock.over.set()
        with pytest.raises(StreamConsumedError):
            await reader
        assert len(transport.requests) == 1
        assert idle(zai)


async def test_a_hook_that_raises_while_a_stream_opens_is_told():
    def broken(event):
        raise KeyError("mine")

    zai, _ = opened(FakeReply.stream(GOOD), hooks=Hooks(on_request=broken))
    async with zai:
        with pytest.raises(KeyError, match="mine"):
            await stream(zai).open()
        with pytest.raises(KeyError, match="mine"):
            async with stream(zai):
                pytest.fail("it was not opened")
        assert idle(zai)


async def test_a_stream_that_fails_to_open_after_it_was_closed_is_over():
    async def close(event):
        await answer.aclose()

    zai, _ = opened(FAILED, hooks=Hooks(on_response=close), retry=RetryPolicy(retries=0))
    async with zai:
        answer = stream(zai)
        with pytest.raises(StreamConsumedError):
            await answer.open()
        assert idle(zai)


async def test_a_document_that_is_closed_while_it_is_read_is_no_failure():
    slow = FakeReply(headers={"Content-Type": "application/json"}, steps=(b"{", 3600.0, b"}"))
    zai, transport = opened(slow)
    async with zai:
        answer = stream(zai)
        opener = asyncio.create_task(answer.open())
        await until(lambda: transport.responses and len(transport.responses[0]._steps) == 2)
        await answer.aclose()
        with pytest.raises(StreamConsumedError):
            await opener
        assert transport.open_responses == 0


async def test_an_opening_that_is_over_before_anybody_waits_for_it():
    zai, transport = opened(FakeReply.stream(GOOD))
    async with zai:
        answer = stream(zai)
        opener = asyncio.create_task(answer.open())
        await until(lambda: answer._reader._opening is not None)
        opener.cancel()
        await until(answer._reader._opening.done)
        await answer.open()
        await answer.aclose()
        assert transport.open_responses == 0
        again = stream(zai)
        opener = asyncio.create_task(again.open())
        await until(lambda: again._reader._opening is not None)
        opener.cancel()
        await until(again._reader._opening.done)
        await again.aclose()
        assert transport.open_responses == 0


async def test_the_timer_of_a_stream_that_is_gone_does_nothing():
    async with client(GOOD) as zai:
        async with stream(zai) as answer:
            timer = answer._reader._timer
        del answer
        timer.look(0.0, 1.0)
        timer.interrupt()
        assert timer.shortest_timeout == float("inf")


async def entered(answer):
    async with answer:
        return await answer.completion()


async def test_a_stream_is_closed_while_its_context_is_entered():
    zai, transport = opened(NEVER)
    async with zai:
        answer = stream(zai)
        opener = asyncio.create_task(entered(answer))
        await until(lambda: transport.requests)
        await answer.aclose()
        with pytest.raises(StreamConsumedError, match="closed while it waited"):
            await opener
        assert opener.cancelling() == 0
        assert idle(zai)


async def test_a_document_is_closed_while_its_context_is_entered():
    slow = FakeReply(headers={"Content-Type": "application/json"}, steps=(b"{", 3600.0, b"}"))
    zai, transport = opened(slow)
    async with zai:
        answer = stream(zai)
        opener = asyncio.create_task(entered(answer))
        await until(lambda: transport.responses and len(transport.responses[0]._steps) == 2)
        await answer.aclose()
        with pytest.raises(StreamConsumedError, match="closed while it waited"):
            await opener
        assert transport.open_responses == 0
        assert idle(zai)


async def test_a_stream_whose_opener_has_ended_is_left_open_for_a_moment():
    slow = FakeReply.stream(GOOD[:300], 3600.0)
    zai, transport = opened(slow)
    async with zai:
        answer = stream(zai)
        await asyncio.create_task(answer.__aenter__())
        timer = answer._reader._timer
        for _ in range(3):
            timer.look(0.0, 0.1)
        await asyncio.sleep(0)
        assert transport.open_responses == 1
        await answer.aclose()


async def test_the_iterator_of_a_stream_is_an_iterator():
    zai, _ = opened(FakeReply.stream(GOOD))
    async with zai, stream(zai) as answer:
        chunks = aiter(answer)
        assert aiter(chunks) is chunks
        assert "".join([chunk.text async for chunk in chunks]) == GOOD_TEXT
