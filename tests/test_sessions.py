"""One client and many event loops: opened when needed, closed when the loop ends, never leaked."""

import asyncio
import gc
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from unittest.mock import Mock

import anyio
import pytest

from tests.calls import COMPLETION, ask, client
from zai_async import AsyncZai, ClientClosedError
from zai_async.session import manager
from zai_async.session.manager import LoopSession, Sessions
from zai_async.testing import Emulator, FakeReply, FakeTransport

try:
    import uvloop
except ImportError:  # Windows, PyPy
    uvloop = None


@pytest.fixture(params=["asyncio", "anyio", "uvloop"])
def run(request):
    """Return a way to run a coroutine in a loop of its own."""
    match request.param:
        case "asyncio":
            return asyncio.run
        case "anyio":
            return lambda work: anyio.run(lambda: work)
        case _ if uvloop is None:
            return pytest.skip("uvloop does not run here")
        case _:
            return run_uvloop


def run_uvloop(work):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


# Many loops


def test_one_loop_after_the_other(zai_emulator, run):
    zai = client(zai_emulator.url)
    for _ in range(5):
        run(ask_twice(zai))
        zai_emulator.wait_closed().result()
    del zai
    gc.collect()
    assert zai_emulator.connections == 5
    assert len(zai_emulator.requests) == 10


async def ask_twice(zai):
    return [await ask(zai), await ask(zai)]


def test_loops_in_several_threads(zai_emulator, run):
    zai = client(zai_emulator.url)
    run(zai.__aenter__())  # or threads would wait for what another one imports
    together = threading.Barrier(3)
    answers = []

    def work():
        together.wait()
        answers.extend(run(ask_twice(zai)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert zai_emulator.connections == 3
    zai_emulator.wait_closed().result()


def test_a_stream_is_open_when_the_loop_ends(zai_emulator, run):
    zai_emulator.fault(silence_after=(200, float("inf")))
    zai = client(zai_emulator.url)

    async def read(opened):
        async with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
            opened.set()
            async for _ in stream:
                pass

    async def leave():
        opened = anyio.Event()
        task = asyncio.create_task(read(opened))
        await opened.wait()
        return task

    task = run(leave())
    gc.collect()
    assert task.cancelled()
    zai_emulator.wait_closed().result()


def test_an_answer_is_still_drained_when_the_loop_ends(zai_emulator, run):
    zai_emulator.fault(late_end=5)
    zai = client(zai_emulator.url)

    async def read():
        async with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
            return [chunk async for chunk in stream]

    assert run(read())
    gc.collect()
    zai_emulator.wait_closed().result()


async def test_a_loop_keeps_its_session():
    sessions = Sessions(FakeTransport, made_at="here")
    assert await sessions.current() is await sessions.current()
    await sessions.aclose()


def test_sessions_of_closed_loops_are_dropped():
    sessions = Sessions(FakeTransport, made_at="here")
    for _ in range(3):
        asyncio.run(sessions.current())
    assert len(sessions._open) == 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del sessions
    assert forgotten(caught) == []


def test_a_loop_that_goes_on_does_not_keep_the_sessions_of_closed_ones():
    sessions = Sessions(FakeTransport, made_at="here")
    with asyncio.Runner() as lasting:
        lasting.run(sessions.current())
        for _ in range(3):
            asyncio.run(sessions.current())
        assert len(sessions._open) == 2
        lasting.run(sessions.aclose())


def test_a_loop_that_was_closed_by_hand(zai_emulator, caplog):
    zai = client(zai_emulator.url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask(zai))
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio on its own transports
        asyncio.run(ask(zai))
        gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    zai_emulator.wait_closed().result()


# Closing


async def test_closing_twice_at_once_and_again():
    async with Emulator() as emulator:
        zai = client(emulator.url)
        await ask(zai)
        async with anyio.create_task_group() as group:
            group.start_soon(zai.aclose)
            group.start_soon(zai.aclose)
        await zai.aclose()
        await emulator.wait_closed()


async def test_a_closed_client_says_so():
    transport = FakeTransport(FakeReply.json(COMPLETION))
    zai = client(transport=transport)
    derived = zai.with_options(timeout=5.0)
    async with zai:
        await ask(derived)
    assert transport.closed
    for closed in (zai, derived):
        with pytest.raises(ClientClosedError):
            await ask(closed)
    assert len(transport.requests) == 1


async def test_a_client_that_was_never_used_closes_as_well():
    async with client():
        pass


def test_closing_reaches_the_other_loops(zai_emulator):
    zai = client(zai_emulator.url)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(ask(zai))
        second.run(ask(zai))
        second.run(zai.aclose())
        first.run(asyncio.sleep(0))
        zai_emulator.wait_closed().result()
    gc.collect()


async def test_background_tasks_end_with_the_session():
    loop = asyncio.get_running_loop()
    session = LoopSession(loop, FakeTransport(), lambda _: None)
    await session.start()
    cleaned = []
    session.spawn(asyncio.sleep(0), lambda: cleaned.append("done"))
    while not cleaned:  # noqa: ASYNC110 - the session has no event for it
        await asyncio.sleep(0)
    session.spawn(asyncio.sleep(60), lambda: cleaned.append("cancelled"))
    await session.aclose()
    assert cleaned == ["done", "cancelled"]


# Forgetting


def forgotten(caught):
    return [str(w.message) for w in caught if "never closed" in str(w.message)]


async def test_a_forgotten_client_warns_once_and_closes():
    async with Emulator() as emulator:
        zai = client(emulator.url)
        await ask(zai)
        with pytest.warns(ResourceWarning, match="never closed") as caught:
            del zai
        await emulator.wait_closed()
    assert len(forgotten(caught)) == 1


async def test_the_warning_tells_where_the_client_was_made():
    zai = AsyncZai(api_key="test", transport=FakeTransport(FakeReply.json(COMPLETION)))
    line = sys._getframe().f_lineno - 1
    await ask(zai)
    with pytest.warns(ResourceWarning, match=re.escape(f"{__file__}:{line} was never closed")):
        del zai


def test_a_client_is_forgotten_between_two_runs(zai_emulator):
    with asyncio.Runner() as runner:
        zai = client(zai_emulator.url)
        runner.run(ask(zai))
        with pytest.warns(ResourceWarning, match="never closed"):
            del zai
        runner.run(asyncio.sleep(0))
        zai_emulator.wait_closed().result()
    gc.collect()


async def test_a_client_is_forgotten_by_another_thread():
    async with Emulator() as emulator:
        kept = [client(emulator.url)]
        await ask(kept[0])
        with pytest.warns(ResourceWarning, match="never closed"):
            await asyncio.to_thread(kept.clear)
        await emulator.wait_closed()


async def test_derived_clients_keep_the_connections():
    async with Emulator() as emulator:
        zai = client(emulator.url)
        derived = zai.with_options(timeout=9.0)
        await ask(zai)
        del zai
        gc.collect()
        await ask(derived)
        assert emulator.connections == 1
        with pytest.warns(ResourceWarning, match="never closed"):
            del derived
        await emulator.wait_closed()


async def test_an_open_stream_keeps_the_connections():
    """As in a web application that returns the stream as its response."""
    async with Emulator() as emulator:
        stream = await ask(client(emulator.url), stream=True)
        gc.collect()
        async with stream:
            assert [chunk async for chunk in stream]
        with pytest.warns(ResourceWarning, match="never closed"):
            del stream
        await emulator.wait_closed()


async def test_a_closed_client_is_forgotten_in_silence():
    async with client(transport=FakeTransport(FakeReply.json(COMPLETION))) as zai:
        await ask(zai)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del zai
        gc.collect()
    assert forgotten(caught) == []


def test_a_client_that_was_never_used_is_forgotten_in_silence():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client()
    assert forgotten(caught) == []


def test_a_loop_that_closes_at_that_moment_is_no_matter():
    loop = Mock(asyncio.AbstractEventLoop)
    loop.is_running.return_value = True
    loop.call_soon_threadsafe.side_effect = RuntimeError("Event loop is closed")
    session = LoopSession(loop, FakeTransport(), lambda _: None)
    session.close_now()
    loop.call_soon_threadsafe.assert_called_once_with(session.transport.close_now)


# Forking


async def test_after_a_fork_the_sessions_of_the_parent_are_left_alone(monkeypatch):
    monkeypatch.setattr(manager, "_INHERITED", inherited := [])
    sessions = Sessions(FakeTransport, made_at="here")
    parents = await sessions.current()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    own = await sessions.current()
    await sessions.aclose()
    assert own.transport.closed
    assert not parents.transport.closed
    assert inherited == [parents]


FORKING = """
import asyncio, gc, os, sys
from zai_async import AsyncZai

zai = AsyncZai(api_key="test", base_url=sys.argv[1], trust_env=False)

async def ask():
    return await zai.chat.completions.create(model="glm-5.3", messages="Hi")

async def in_child():
    {child}

with asyncio.Runner() as runner:
    runner.run(ask())
    child = os.fork()
    if child == 0:
        asyncio.run(in_child())
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert runner.run(ask()).attempts[0].connection_reused
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(
    ("child", "connections"),
    [
        ("assert not (await ask()).attempts[0].connection_reused", 2),
        ("await zai.aclose()", 1),
        ("globals().pop('zai')", 1),
    ],
)
def test_a_forked_child_leaves_the_connections_of_its_parent_alone(
    zai_emulator, child, connections
):
    script = FORKING.format(child=child)
    command = [sys.executable, "-W", "error", "-c", script, zai_emulator.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert zai_emulator.connections == connections
    zai_emulator.wait_closed().result()
