"""What is used where no event loop of asyncio runs says so at once."""

import asyncio

import pytest

from tests.calls import FINE, KEY, ask, scripted
from zai_async import AsyncZai, ZaiError, as_completed, wait_all
from zai_async._clock import RescheduleTimeout


def test_a_timeout_needs_a_loop():
    with pytest.raises((ZaiError, RuntimeError), match="asyncio"):
        RescheduleTimeout().__enter__()


def test_a_session_needs_a_loop():
    zai = AsyncZai(api_key=KEY)
    opening = zai._manager.sessions.current()
    with pytest.raises((ZaiError, RuntimeError), match="asyncio"):
        opening.send(None)


def test_closing_needs_a_loop():
    closing = AsyncZai(api_key=KEY)._manager.sessions.aclose()
    with pytest.raises(RuntimeError, match="zai_async runs on asyncio"):
        closing.send(None)


def test_a_drain_without_a_loop_closes_nothing():
    zai, transport = scripted(FINE)
    with pytest.raises(RuntimeError, match="zai_async runs on asyncio"):
        zai.drain().send(None)

    async def work():
        async with zai:
            await ask(zai)

    asyncio.run(work())
    assert len(transport.requests) == 1


async def entered(zai):
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hi"):
        raise AssertionError("nothing can be read here")


async def read(zai):
    async for _ in zai.chat.completions.stream(model="glm-5.3", messages="Hi").text:
        raise AssertionError("nothing can be read here")


async def next_of(zai):
    await anext(as_completed([zai.videos.task("1")]))


async def drained(zai):
    await zai.drain()


WORKS = {
    "create": lambda zai: zai.chat.completions.create(model="glm-5.3", messages="Hi"),
    "request": lambda zai: zai.request("GET", "models"),
    "download": lambda zai: zai.download("http://127.0.0.1/a.mp4", "a.mp4"),
    "wait": lambda zai: zai.videos.task("1").wait(),
    "wait for all": lambda zai: wait_all([zai.videos.task("1")]),
    "as completed": next_of,
    "enter a stream": entered,
    "read a stream": read,
    "list": lambda zai: anext(aiter(zai.files.list())),
    "updates": lambda zai: anext(zai.videos.task("1").updates()),
    "drain": drained,
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_everything_else_needs_a_loop_too(work):
    zai = AsyncZai(api_key=KEY)
    for _ in range(2):  # and nothing has changed by the first attempt
        with pytest.raises((ZaiError, RuntimeError), match="zai_async runs on asyncio"):
            work(zai).send(None)
