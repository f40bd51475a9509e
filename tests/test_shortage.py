"""What the machine runs out of: threads, memory, open files, room on a disk."""

import asyncio
import errno
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import pytest

from tests.batches import client as batch_client
from tests.batches import collect, rows
from tests.calls import ASK, BODY, FINE, FakeClock, ask, client, scripted
from tests.fault_server import FaultServer, answer
from zai_async import LocalResourceError, RetryPolicy, ZaiError
from zai_async._files import OutputFile
from zai_async._threads import ANSWER_THREADS, FILE_THREADS, DaemonThreads, abandonable
from zai_async.batch.journal import Journal
from zai_async.downloads.targets import PartialFile
from zai_async.models import BinaryReply
from zai_async.sync import Zai
from zai_async.testing import FakeReply
from zai_async.uploads import sources

LARGE = BODY + b" " * 2**21
TEXT = {"text": "hello"}


@pytest.fixture
def no_threads(monkeypatch):
    """Let the system have no thread left; returns how many more it may refuse."""
    start, refused = threading.Thread.start, [10**6]

    def refuse(thread):
        if refused[0]:
            refused[0] -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    for pool in FILE_THREADS, ANSWER_THREADS:  # whoever is there already is left out
        monkeypatch.setattr(pool, "_work", queue.SimpleQueue())
        monkeypatch.setattr(pool, "_waiting", deque())
        monkeypatch.setattr(pool, "_threads", set())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    return refused


async def transcribe(zai, path):
    return await zai.audio.transcriptions.create(model="glm-asr-2512", file=path)


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVE" + bytes(100))
    return path


# Threads


async def test_without_a_thread_no_file_is_sent_and_the_error_says_so(no_threads, sound):
    zai, transport = scripted(FINE, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(LocalResourceError, match="cannot start another thread") as caught:
            await transcribe(zai, sound)
    assert (caught.value.kind, caught.value.request_sent) == ("local", False)
    assert caught.value.hint
    assert not transport.requests


async def test_a_file_is_closed_without_a_thread(no_threads, sound):
    no_threads[0] = 0
    file = sources.ThreadedFile(sound)
    assert await file.read(4) == b"RIFF"
    no_threads[0] = 10**6
    FILE_THREADS.start_clean()
    file.close()
    assert file._file.closed


async def test_a_file_is_sent_when_threads_are_free_again(no_threads, sound):
    no_threads[0] = 2
    clock = FakeClock()
    async with FaultServer([answer(b'{"text": "hello"}')]) as server:
        async with client(server.url, retry=RetryPolicy(), clock=clock) as zai:
            assert (await transcribe(zai, sound)).text == "hello"
        assert len(server.requests) == 1
    assert len(clock.slept) == 2


async def test_a_large_answer_is_not_lost(no_threads):
    async with FaultServer([answer(LARGE)]) as server, client(server.url) as zai:
        assert (await ask(zai)).text == "Hi"


def test_a_download_needs_no_thread(tmp_path, children_unmeasured):
    """In another process, as this one forbids what is done here: to block the loop for a moment."""
    code = f"""
import asyncio, threading
from tests.test_shortage import LARGE, FaultServer, answer, client

def refuse(thread):
    raise RuntimeError("can't start new thread")

async def fetch():
    async with FaultServer([answer(LARGE)]) as server, client(server.url) as zai:
        path = await zai.download(server.url, {f"{tmp_path}/new/"!r})
        print(path.read_bytes() == LARGE)

threading.Thread.start = refuse
asyncio.run(fetch())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


async def test_what_may_wait_for_ever_is_not_done_in_place(no_threads, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"cannot start another thread.*pipe"):
        await BinaryReply(content=b"sound").save(tmp_path / "pipe")


async def test_what_was_refused_is_not_done_later(no_threads):
    pool, done = DaemonThreads(1), []
    with pytest.raises(OSError, match="cannot start another thread"):
        await abandonable(lambda: done.append("refused"), pool)
    no_threads[0] = 0
    await abandonable(lambda: done.append("later"), pool)
    assert done == ["later"]


async def test_threads_that_live_do_what_there_is(no_threads):
    pool, go = DaemonThreads(2), threading.Event()
    no_threads[0] = 0
    first = abandonable(go.wait, pool)
    no_threads[0] = 1
    second = abandonable(lambda: "done", pool)
    go.set()
    assert await first
    assert await second == "done"


async def test_a_name_is_looked_up_when_threads_are_free_again(no_threads):
    no_threads[0] = 2
    async with FaultServer([answer(BODY)]) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with client(url, retry=RetryPolicy(), clock=FakeClock()) as zai:
            reply = await ask(zai)
    assert [attempt.error for attempt in reply.attempts] == [*["LocalResourceError"] * 2, None]


def test_the_client_without_await_says_so_and_works_afterwards(no_threads):
    zai = Zai(api_key="k.s", base_url="http://127.0.0.1:9", retry=RetryPolicy(retries=0))
    for _ in range(2):
        with pytest.raises(LocalResourceError, match="thread"):
            zai.chat.completions.create(**ASK)
    no_threads[0] = 0
    with pytest.raises(ZaiError) as caught:
        zai.chat.completions.create(**ASK)
    assert "thread" not in str(caught.value)
    zai.close()


# Memory


@pytest.mark.parametrize("place", ["add", "join", "parse"])
async def test_an_answer_that_memory_does_not_hold_is_not_asked_for_again(monkeypatch, place):
    def fail(*_, **__):
        raise MemoryError

    if place == "add":
        monkeypatch.setattr("zai_async.session.bodies.len", fail, raising=False)
    elif place == "join":
        monkeypatch.setattr("zai_async.session.bodies.abandonable", fail)
    else:
        monkeypatch.setattr("zai_async.session.manager.parse_reply", fail)
    body = [answer(LARGE)[:-9], 0.01, LARGE[-9:]]
    async with FaultServer(body) as server:
        async with client(server.url, retry=RetryPolicy(), max_response_bytes=2**23) as zai:
            with pytest.raises(LocalResourceError, match="memory") as caught:
                await ask(zai)
        assert len(server.requests) == 1
    assert caught.value.request_sent
    assert not caught.value.retryable


# Open files


async def test_no_open_file_is_left_for_an_upload(monkeypatch, sound):
    opened, failures = sources.open_at_once, [1, 1]

    def fail(path, flags):
        if failures:
            failures.pop()
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, flags)

    monkeypatch.setattr(sources, "open_at_once", fail)
    async with FaultServer([answer(b'{"text": "hello"}')]) as server:
        async with client(server.url, retry=RetryPolicy(), clock=FakeClock()) as zai:
            assert (await transcribe(zai, sound)).text == "hello"
        failures[:] = [1]
        async with client(server.url) as zai:
            with pytest.raises(LocalResourceError, match="Too many open files") as caught:
                await transcribe(zai, sound)
    assert "ulimit" in caught.value.hint


# Room on the disk


class Full:
    """A file on a disk without room."""

    def write(self, _):
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        pass


async def fill(path):
    async with PartialFile(path) as file:
        file._file.close()
        file._file = Full()
        await file.write(b"piece")


async def test_a_disk_without_room_says_for_which_file(tmp_path):
    with pytest.raises(OSError, match=f"No space left.*{tmp_path}/film.mp4"):
        await fill(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has one")
async def test_a_device_without_room_says_so():
    with pytest.raises(OSError, match=r"No space left.*/dev/full"):
        await BinaryReply(content=b"sound").save("/dev/full")


async def test_an_error_keeps_the_file_that_it_names(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        async with OutputFile(tmp_path):
            pass
    assert caught.value.filename == str(tmp_path) or caught.value.filename == tmp_path


def test_a_manifest_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = Journal(str(tmp_path / "out"), lambda _: None, lambda: None)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left.*out\.run\.json"):
        journal.save()
    assert list(tmp_path.iterdir()) == []


async def test_progress_is_told_although_the_manifest_cannot_be_written(
    tmp_path, monkeypatch, caplog
):
    from zai_async.batch import engine

    monkeypatch.setattr(engine, "_PROGRESS", 0)
    monkeypatch.setattr(engine, "_SAVES", 1)
    save, told, enough = Journal.save, [], asyncio.Event()

    def fail(journal):
        if told and not enough.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        save(journal)

    def show(progress):
        told.append(progress)
        if len(told) > 4:
            enough.set()

    monkeypatch.setattr(Journal, "save", fail)
    zai, _ = batch_client(FakeReply(delay=1e6), limits="off")
    run = zai.batch.run(rows(1), out=tmp_path / "out", model="glm-5.3", on_progress=show)
    reader = asyncio.create_task(collect(run))
    await enough.wait()
    await run.aclose()
    await reader
    assert "the manifest cannot be written" in caplog.text
