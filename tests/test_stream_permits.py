"""How long a stream holds its permit: until the platform is done, not the one who reads."""

import asyncio
import gc

import anyio
import pytest

from tests.calls import ASK, ask
from zai_async import AsyncZai, Limits
from zai_async.testing import Emulator


async def emulated(**settings):
    return AsyncZai(api_key="k.s", base_url=settings.pop("url"), **settings)


async def in_flight(zai, number):
    """Wait until so many permits are held."""
    while zai.limits.snapshot()["glm-5.3"].in_flight != number:  # noqa: ASYNC110 - no event
        await anyio.sleep(0.005)


async def test_a_slow_reader_holds_no_permit_when_all_has_arrived():
    async with Emulator() as emulator, await emulated(url=emulator.url, limits=1) as zai:
        emulator.chat.reply("word " * 50, chunk_size=5)
        async with zai.chat.completions.stream(**ASK) as stream:
            await anext(stream)
            await in_flight(zai, 0)
            await ask(zai)
            completion = await stream.completion()
        assert completion.text == "word " * 50
        assert zai.usage.total.calls == 2
        await in_flight(zai, 0)


async def test_tokens_of_an_answer_that_is_read_later_count_once():
    limits = Limits(mode="fixed", start=2, tokens_per_minute=60_000)
    async with Emulator() as emulator, await emulated(url=emulator.url, limits=limits) as zai:
        emulator.chat.reply("word " * 50, chunk_size=5)
        async with zai.chat.completions.stream(**ASK) as stream:
            await anext(stream)
            await in_flight(zai, 0)
            await stream.completion()
        (queue,) = zai._manager.sessions.queues._by_model.values()
        assert queue._usual_tokens == zai.usage.total.tokens > 0


@pytest.mark.filterwarnings("ignore:ChatStream was never closed:ResourceWarning")
async def test_a_stream_that_its_task_has_abandoned_in_a_cycle_is_closed(caplog):
    """As a relay does whose reader goes away: its generator waits for the garbage collector."""
    caplog.set_level("INFO", logger="zai_async")
    gc.disable()
    try:
        async with Emulator(pace=1) as emulator, await emulated(url=emulator.url, limits=1) as zai:
            emulator.chat.reply("word " * 500, chunk_size=5)

            async def relay():
                async with zai.chat.completions.stream(**ASK) as stream:
                    async for chunk in stream:
                        yield chunk

            async def leaver():
                generator = relay()
                cycle = [generator]
                cycle.append(cycle)
                await anext(generator)

            await asyncio.create_task(leaver())
            assert zai.limits.snapshot()["glm-5.3"].in_flight == 1
            await in_flight(zai, 0)
            assert "the task that had opened it has ended" in caplog.text
    finally:
        gc.enable()
    gc.collect()


async def test_a_stream_whose_task_has_ended_may_be_read_on_by_another():
    async with Emulator(pace=1) as emulator, await emulated(url=emulator.url, limits=1) as zai:
        emulator.chat.reply("word " * 40, chunk_size=5)
        stream = zai.chat.completions.stream(**ASK)
        await asyncio.create_task(stream.__aenter__())
        texts = [text async for text in stream.text]
        assert "".join(texts) == "word " * 40
        await stream.__aexit__(None, None, None)
