"""Real servers in processes of their own: readers who leave, plain text that is cut, signals."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.effort import THOROUGH
from tests.ports import free_port
from tests.test_web_encoders import kinds
from tests.test_web_relay import posted, text_in, without_numbers

SITE = Path(__file__).with_name("web_site.py")
SERVERS = [
    ("uvicorn", "asyncio"),
    ("uvicorn", "uvloop"),
    ("uvicorn_workers", "asyncio"),
    ("hypercorn", "asyncio"),
    ("hypercorn", "uvloop"),
    ("granian", "asyncio"),
    ("granian", "uvloop"),
    ("aiohttp", "asyncio"),
    ("aiohttp", "uvloop"),
]
# Within a process, other tests show the same of uvicorn in every run.
EVERY = pytest.mark.parametrize(
    ("server", "loop"), SERVERS if THOROUGH else [("aiohttp", "uvloop")]
)
AIOHTTP = [each for each in SERVERS if each[0] == "aiohttp"]
# hypercorn keeps signals from its workers: its program has to tell the relay.
HEARING = [each for each in SERVERS if each[0] != "hypercorn"]
HEARING += [("hypercorn_serve", "asyncio"), ("hypercorn_serve", "uvloop")]
WITH_SIGNAL = pytest.mark.parametrize(
    ("server", "loop"), HEARING if THOROUGH else [HEARING[0], *AIOHTTP]
)
# Several workers share no memory.
WITH_RELAY = pytest.mark.parametrize(
    ("server", "loop"),
    [each for each in SERVERS if each[0] != "uvicorn_workers"] if THOROUGH else AIOHTTP,
)
# granian ends a body that its application has not ended.
CUTTING = pytest.mark.parametrize(
    ("server", "loop"),
    [each for each in SERVERS if each[0] != "granian"] if THOROUGH else AIOHTTP[:1],
)

JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def served(server, loop, platform, **environment):
    pytest.importorskip(server.partition("_")[0])
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    port = free_port()
    own = {
        "ZAI_BASE_URL": platform.url,
        "ZAI_API_KEY": "k.s",
        "PYTHONPATH": str(SITE.parent.parent),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        SITE,
        server,
        str(port),
        loop,
        env=os.environ | own | environment,
        stderr=subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            while True:
                assert process.returncode is None, (await process.stderr.read()).decode()
                try:
                    async with session.get("/nothing"):
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.02)
            yield session, process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@EVERY
async def test_reader_who_leaves_stops_the_platform(server, loop, zai_emulator):
    zai_emulator.fault(silence_after=(1000, 600), times=None)
    async with served(server, loop, zai_emulator) as (session, process):
        for _ in range(3):
            async with session.get("/direct") as answer:
                await answer.content.readany()
        while sum(bool(each.disconnected_at) for each in zai_emulator.requests) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        process.terminate()
        _, log = await process.communicate()
        assert b"Traceback" not in log


@EVERY
async def test_reader_who_leaves_before_the_first_byte_stops_the_platform(
    server, loop, zai_emulator
):
    zai_emulator.fault(delay=600, times=None)
    async with served(server, loop, zai_emulator) as (session, _):
        asking = asyncio.ensure_future(session.get("/direct"))
        while not zai_emulator.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait({asking})
        await zai_emulator.wait_disconnected(timeout=100)


@CUTTING
async def test_plain_text_that_is_cut_is_no_whole_body(server, loop, zai_emulator):
    zai_emulator.fault(error_in_stream="1305", after=4)
    async with (
        served(server, loop, zai_emulator, PROTOCOL="text") as (session, _),
        session.get("/direct") as answer,
    ):
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


@WITH_RELAY
async def test_tabs_and_reloads_read_one_answer_until_it_is_stopped(server, loop, zai_emulator):
    zai_emulator.fault(silence_after=(1000, 600), times=None)
    path = "/chats/chat-1"
    async with served(server, loop, zai_emulator) as (session, process):
        async with session.get(f"{path}/stream") as nothing:
            assert nothing.status == 204
        async with session.post("/chats/", data=posted(), headers=JSON) as left:
            first = await left.content.readany()
        # A page that has been reloaded, and a second tab: whoever leaves stops nothing.
        async with session.get(f"{path}/stream") as reloaded:
            await reloaded.content.readany()
            async with session.get(f"{path}/stream") as tab:
                await tab.content.readany()
            async with session.post(f"{path}/stop") as stopped:
                assert stopped.status == 204
            frames = without_numbers(await (await session.get(f"{path}/stream")).read())
            rest = await reloaded.read()
        assert kinds(frames)[-2:] == ["abort", "[DONE]"]
        assert rest.endswith(b"data: [DONE]\n\n")
        assert frames.startswith(without_numbers(first).partition(b"\n\n")[0])
        assert len(zai_emulator.requests) == 1
        await zai_emulator.wait_disconnected(timeout=100)
        process.terminate()
        _, log = await process.communicate()
        assert b"Traceback" not in log


@WITH_SIGNAL
async def test_signal_ends_open_answers_in_order(server, loop, zai_emulator):
    zai_emulator.fault(silence_after=(1000, 600))
    async with served(server, loop, zai_emulator) as (session, process):
        async with session.get("/chats/status") as answer:
            assert json.loads(await answer.read())["status"] == "ok"
        async with session.post("/chats/", data=posted(), headers=JSON) as answer:
            first = await answer.content.readany()
            process.send_signal(signal.SIGTERM)
            frames = first + await answer.read()
        assert kinds(without_numbers(frames))[-2:] == ["abort", "[DONE]"]
        _, log = await process.communicate()
        assert b"Traceback" not in log
        await zai_emulator.wait_disconnected(timeout=100)


@WITH_SIGNAL
async def test_answer_that_ends_within_the_grace_ends_as_ever(server, loop, zai_emulator):
    zai_emulator.chat.reply("Good day!", chunk_size=1)
    zai_emulator.fault(silence_after=(1000, 2))
    async with served(server, loop, zai_emulator, GRACE="100") as (session, process):
        async with session.post("/chats/", data=posted(), headers=JSON) as answer:
            first = await answer.content.readany()
            assert b'"finish"' not in first
            process.send_signal(signal.SIGTERM)
            frames = first + await answer.read()
        assert text_in(frames) == "Good day!"
        assert kinds(without_numbers(frames))[-2:] == ["finish", "[DONE]"]
        await process.communicate()
