"""A replay that processes share, in a real Redis that is lost and comes back."""

import asyncio
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests import chat_wire
from tests.effort import THOROUGH
from tests.ports import free_port
from tests.test_web_encoders import assert_balanced, kinds
from tests.test_web_relay import (
    END,
    Reader,
    Reading,
    Script,
    ids_in,
    posted,
    text_in,
    without_numbers,
)
from tests.test_web_servers import served
from zai_async import ConfigurationError, ZaiError
from zai_async.web import MemoryReplay, RedisReplay, Relay, ReplayGap, ReplayHead

redis = pytest.importorskip("redis")
needs_server = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)


class Server:
    """A Redis of the test's own, which keeps nothing over a restart."""

    def __init__(self, folder) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.start()

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self._folder}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return client.close()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def quick(monkeypatch):
    """Look more often than a server needs to."""
    # redis-py looks its own version up in the file system whenever it connects.
    monkeypatch.setattr("redis.utils.get_lib_version", lambda: "0", raising=False)
    monkeypatch.setattr("zai_async.web.redis_replay._TICK", 0.01)
    monkeypatch.setattr("zai_async.web.redis_replay._BLOCK", 20)
    monkeypatch.setattr("zai_async.web.redis_replay._LEASE", 1)


@pytest.fixture
async def process(server, quick):
    """Make relays, each with a replay of its own, as another process has."""
    relays = []
    async with chat_wire.client() as zai:

        def process(**settings):
            replay = RedisReplay(server.url, prefix=str(id(relays)), **settings)
            relays.append(Relay(zai, replay=replay, coalesce=0))
            return relays[-1]

        yield process
        for relay in relays:
            await relay.aclose()


@needs_server
async def test_other_process_replays_and_goes_on(process):
    here, there, script = process(), process(), Script()
    script.say("Good ")
    first = Reading(await here.start("chat", script))
    await first.until("Good ")
    second = Reading(await there.resume("chat"))
    await second.until("Good ")
    third = Reading(await here.resume("chat"))
    script.say("day", END)
    await asyncio.gather(first.task, second.task, third.task)
    assert first.reader.body == second.reader.body == third.reader.body
    late = await Reader().reads(await there.resume("chat"))
    assert late.body == first.reader.body
    third, fourth = ids_in(first.reader.body)[2:4]
    tail = await Reader().reads(await there.resume("chat", last_event_id=third))
    assert first.reader.body.endswith(tail.body)
    assert ids_in(tail.body)[0] == fourth
    assert (await Reader().reads(await here.resume("chat"))).body == first.reader.body


async def ended(task):
    """Cancel a task until it ends; see ``AnswerWriter``."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.01)


@needs_server
async def test_other_process_stops_the_answer(process):
    here, there, script = process(), process(), Script()
    script.say("Half")
    reading = Reading(await here.start("chat", script))
    await reading.until("Half")
    assert await there.stop("chat")
    await reading.task
    assert kinds(without_numbers(reading.reader.body))[-2:] == ["abort", "[DONE]"]
    assert script.closed
    assert not await there.stop("other")


@needs_server
async def test_nothing_is_found_where_nothing_was_written(process):
    relay = process()
    assert (await Reader().reads(await relay.resume("chat"))).status == 204


@needs_server
async def test_answer_of_a_process_that_has_gone_is_ended_once(process):
    here, script = process(), Script()
    script.say("Half")
    reading = Reading(await here.start("chat", script))
    await reading.until("Half")
    writer = here._writers["chat"]
    readers = [Reading(await process().resume("chat")) for _ in range(2)]
    await asyncio.gather(*(reader.until("Half") for reader in readers))
    await ended(writer._watcher)  # as a process that is killed renews nothing
    await asyncio.gather(*(reader.task for reader in readers))
    for reader in readers:
        seen = without_numbers(reader.reader.body)
        assert_balanced(seen)
        assert kinds(seen)[-3:] == ["finish-step", "error", "[DONE]"]
        assert text_in(reader.reader.body) == "Half"
    writer.task.cancel()
    await asyncio.wait({writer.task})
    await reading.task


@needs_server
@pytest.mark.parametrize("is_gone", [False, True])
async def test_end_of_the_answer_before_touches_no_newer_one(process, is_gone):
    here, there, old, new = process(), process(), Script(), Script()
    first = Reading(await here.start("chat", old))
    watcher, task = here._writers["chat"]._watcher, here._writers["chat"].task
    follower = Reading(await process().resume("chat"))
    if is_gone:
        await ended(watcher)
        leases = await there.replay.redis.keys(f"{there.replay._prefix}:*:lease")
        assert await there.replay.redis.delete(*leases)
    new.say("new")
    second = Reading(await there.start("chat", new))
    await asyncio.gather(follower.task, *([] if is_gone else [first.task, asyncio.wait({task})]))
    key = f"{there.replay._prefix}:chat:chat"
    assert await there.replay.redis.ttl(key) > 1000
    third = Reading(await process().resume("chat"))
    await third.until("new")
    new.say(END)
    await asyncio.gather(second.task, third.task)
    task.cancel()
    await asyncio.gather(first.task, asyncio.wait({task}))
    assert (await Reader().reads(await process().resume("chat"))).body == second.reader.body


@needs_server
async def test_answer_of_the_same_process_that_was_replaced_takes_nothing_with_it(process):
    here, there = process().replay, process().replay
    old, new = (ReplayHead(answer_id=name, protocol="openai") for name in ("old", "new"))
    before = await here.begin("chat", old)
    kept = await here.begin("chat", new)
    await before.append([b"data: 1\n\n"])
    await before.finish(keep=True)
    assert await here.find("chat") is kept
    assert (await there.find("chat")).head == new


@needs_server
async def test_answer_that_began_without_redis_takes_the_chat_later(process, server):
    here, there, script = process(), process(), Script()
    script.say("old", END)
    await Reader().reads(await here.start("chat", script))
    script = Script()
    script.say("new")
    there.replay.redis, real = RedisReplay("redis://127.0.0.1:1").redis, there.replay.redis
    reading = Reading(await there.start("chat", script))
    await reading.until("new")
    kept = there._writers["chat"].kept
    kept._redis = real
    while not kept._written:  # noqa: ASYNC110
        await asyncio.sleep(0)
    follower = Reading(await process().resume("chat"))
    await follower.until("new")
    there.replay.redis = real
    script.say(END)
    await asyncio.gather(reading.task, follower.task)


@needs_server
async def test_process_that_writes_keeps_no_more_than_it_may(process):
    here, there, script = process(max_bytes=300), process(), Script()
    reading = Reading(await here.start("chat", script))
    follower = Reading(await there.resume("chat"))
    written = here.replay.written["chat"]
    for said in range(20):
        script.say(f"{said} ")
        await follower.until(f"{said} ")
        await reading.until(f"{said} ")
        assert sum(map(len, written._kept.events)) <= 300
    script.say(END)
    await asyncio.gather(reading.task, follower.task)
    assert follower.reader.body == reading.reader.body
    assert here.replay.written == {}


@needs_server
async def test_what_the_process_dropped_before_it_was_written_is_a_gap(process):
    here, there = process(max_bytes=20), process()
    kept = await here.replay.begin("chat", ReplayHead(answer_id="a", protocol="openai"))
    await kept.append([b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"])
    await kept._write()
    await kept.append([b"data: larger than all that is kept\n\n"])
    await kept.finish(keep=True)
    found = await there.replay.find("chat")
    read = [each async for each in found.read()]
    assert read == [ReplayGap(1, 1), (3, [b"data: 2\n\n", b"data: 3\n\n"]), ReplayGap(4, 4)]


@needs_server
@pytest.mark.parametrize("step", [0, 1])
async def test_end_of_another_process_is_told_although_redis_is_lost_meanwhile(process, step):
    here, there, script = process(), process(), Script()
    first = Reading(await here.start("chat", script))
    task = here._writers["chat"].task
    await ended(here._writers["chat"]._watcher)
    execute, done = there.replay.redis.execute_command, []

    async def cut(*command, **options):
        if command[0] not in {"GET", "XREAD", "EXISTS"}:
            done.append(command)
            if len(done) == step + 1:
                raise redis.ConnectionError("lost")
        return await execute(*command, **options)

    there.replay.redis.execute_command = cut
    for relay in (there, process()):
        reader = await Reader().reads(await relay.resume("chat"))
        assert kinds(without_numbers(reader.body)) == ["error", "[DONE]"]
    task.cancel()
    await asyncio.gather(first.task, asyncio.wait({task}))


@needs_server
async def test_answer_ends_although_a_cancellation_is_lost(process):
    """redis-py waits by ``asyncio.wait_for``, which loses some before Python 3.12."""
    here, script, lost = process(), Script(), []
    reading = Reading(await here.start("chat", script))
    writer = here._writers["chat"]
    await ended(writer._watcher)

    async def deaf():
        while len(lost) < 2:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            lost.append(1)

    writer._watcher = asyncio.create_task(deaf())
    script.say("Half", END)
    await reading.task
    assert len(lost) == 2


@needs_server
async def test_redis_that_is_lost_gets_back_what_it_had(process, server):
    here, there, script = process(), process(), Script()
    script.say("Good ")
    first = Reading(await here.start("chat", script))
    await first.until("Good ")
    second = Reading(await there.resume("chat"))
    await second.until("Good ")
    await asyncio.to_thread(server.stop)
    script.say("day")
    await first.until("Good day")  # who reads in this process notices nothing
    await asyncio.to_thread(server.start)
    await second.until("Good day")
    third = Reading(await process().resume("chat"))
    await third.until("Good day")
    script.say("!", END)
    await asyncio.gather(first.task, second.task, third.task)
    assert first.reader.body == second.reader.body == third.reader.body


@needs_server
async def test_redis_that_is_away_stops_no_answer(process, server):
    here, script = process(), Script()
    await asyncio.to_thread(server.stop)
    try:
        script.say("a", END)
        reader = await Reader().reads(await here.start("chat", script))
        assert text_in(reader.body) == "a"
        with pytest.raises(ZaiError, match="cannot be reached") as caught:
            await here.resume("chat")
        assert caught.value.to_http().status == 503
    finally:
        await asyncio.to_thread(server.start)


@pytest.mark.parametrize("step", range(4))
async def test_redis_that_goes_away_amid_a_request_to_stop_keeps_nobody_from_asking(quick, step):
    replay, done = RedisReplay(), []

    async def answered(*command, **_):
        done.append(command)
        if len(done) > step:
            raise redis.ConnectionError("lost")
        return b'{"answer_id":"a","protocol":"openai"}'

    replay.redis.execute_command = answered
    replay.redis.connection_pool.connection_kwargs["port"] = 1
    async with chat_wire.client() as zai:
        relay, script = Relay(zai, replay=replay), Script()
        script.say("a", END)
        reader = await Reader().reads(await relay.start("chat", script))
        assert text_in(reader.body) == "a"
        await relay.aclose()
    assert [command[0] for command in done] == ["GET", "SET", "EXISTS"][: step + 1]


@needs_server
@pytest.mark.parametrize("protocol", [2, 3])
async def test_both_protocols_of_redis_are_read(server, quick, protocol):
    client = redis.asyncio.Redis.from_url(server.url, protocol=protocol)
    replay = RedisReplay(client=client, prefix=f"p{protocol}", max_entries=1)
    head = ReplayHead(answer_id="a", protocol="openai")
    kept = await replay.begin("chat", head)
    await kept.append([b"data: 1\n\n", b"data: 2\n\n"])
    await kept._write()
    await kept.append([b"data: 3\n\n"])
    await kept.finish(keep=True)
    found = await replay.find("chat")
    assert found.head == head
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(found.stop_wanted(), 0.01)  # it is not written here
    assert [each async for each in found.read(1)] == [(2, [b"data: 2\n\n"]), (3, [b"data: 3\n\n"])]
    # What Redis has trimmed is a gap.
    await client.xtrim(f"p{protocol}:answer:a:events", maxlen=2, approximate=False)
    assert [each async for each in found.read()] == [ReplayGap(1, 2), (3, [b"data: 3\n\n"])]
    await replay.aclose()


@needs_server
async def test_what_was_written_down_twice_is_read_once(server, quick):
    replay = RedisReplay(server.url, prefix="twice")
    await replay.begin("chat", ReplayHead(answer_id="a", protocol="openai"))
    for fields in [{"events": b"data: 1\n\n", "last": 1}] * 2 + [{"end": 1}]:
        await replay.redis.xadd("twice:answer:a:events", fields)
    other = RedisReplay(server.url, prefix="twice")
    found = await other.find("chat")
    assert [each async for each in found.read()] == [(1, [b"data: 1\n\n"])]
    await replay.aclose()
    await other.aclose()


def test_extra_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match=r"pip install 'zai-async\[redis\]'"):
        RedisReplay()


def test_client_that_returns_text_is_refused():
    client = redis.asyncio.Redis(decode_responses=True)
    with pytest.raises(ConfigurationError, match="decode_responses"):
        RedisReplay(client=client)


async def test_memory_has_no_other_process_to_ask():
    assert not await MemoryReplay().request_stop("chat")


@pytest.mark.skipif(not THOROUGH, reason="a lease of five seconds has to run out")
@needs_server
async def test_restarted_server_goes_on_with_what_was_written(zai_emulator, server):
    """The process that wrote is killed: its answer is ended once, and is bought once."""
    zai_emulator.fault(silence_after=(1000, 600))
    setup = ("uvicorn", "asyncio", zai_emulator)
    headers = {"Content-Type": "application/json"}
    async with (
        served(*setup, REDIS=server.url) as (session, process),
        session.post("/chats/", data=posted(), headers=headers) as answer,
    ):
        first = b""
        while b"-delta" not in first:
            first += await answer.content.readany()
        async with (
            served(*setup, REDIS=server.url) as (other, _),
            other.get("/chats/chat-1/stream") as followed,
        ):
            # Another process is told of it, so it has been written down.
            while b"-delta" not in await followed.content.readany():
                pass
            process.kill()
            frames = await followed.read()
        assert frames.endswith(b"data: [DONE]\n\n")
    async with (
        served(*setup, REDIS=server.url) as (session, _),
        session.get("/chats/chat-1/stream") as answer,
    ):
        frames = without_numbers(await answer.read())
    assert kinds(frames)[-2:] == ["error", "[DONE]"]
    assert frames.partition(b"\n\n")[0] == without_numbers(first).partition(b"\n\n")[0]
    assert len(zai_emulator.requests) == 1
