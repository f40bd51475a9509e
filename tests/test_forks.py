"""What the child of a fork has of its parent: neither its threads nor its sockets nor its locks."""

import asyncio
import gc
import os
import sys
import threading
import warnings

import pytest

from tests.calls import ASK, BODY, client
from tests.certificates import certify, needs_openssl, serving
from tests.chat_wire import DONE, frame, last, texts
from tests.fault_server import FaultServer, Listener, answer
from zai_async import _threads
from zai_async._threads import DaemonThreads
from zai_async._transport import _connections, _internals
from zai_async.ledger import Ledger

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.usefixtures("children_unmeasured"),
]
FIRST, REST = frame(texts("Hel")[0]), b"".join([*map(frame, [*texts("lo"), last()]), DONE])
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Halting(Listener):
    """Sends half of a stream, and the rest of it when it is asked for anything else."""

    def __init__(self, tls=None):
        super().__init__(tls)
        self.go_on = asyncio.Event()

    async def serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            writer.write(answer(b'{"data": []}'))
            self.go_on.set()
            return
        writer.write(HEAD + FIRST)
        await writer.drain()
        await self.go_on.wait()
        writer.write(REST)
        await writer.drain()


STREAMING = """
import asyncio, gc, os, sys
from zai_async import AsyncZai
from zai_async._transport import _internals

url, certificate, way = sys.argv[1:]
if way == "public":
    _internals.hold = lambda: False
zai = AsyncZai(api_key="test", base_url=url, trust_env=False, ca_file=certificate or None)
stream = zai.chat.completions.stream(model="glm-5.3", messages="Hi")

async def begin():
    await stream.__aenter__()
    await anext(stream)

async def rest():
    await zai.models.list()
    completion = await stream.completion()
    await zai.aclose()
    return completion.text

with asyncio.Runner() as runner:
    runner.run(begin())
    child = os.fork()
    if child == 0:
        CHILD
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(runner.run(rest()))
"""


@pytest.mark.parametrize("child", ["del stream", "del stream, zai", "asyncio.run(stream.aclose())"])
@pytest.mark.parametrize("way", ["direct", "public"])
async def test_a_child_leaves_the_streams_of_its_parent_alone(child, way):
    async with Halting() as server:
        assert await streamed(server, child, way=way) == "Hello"


@needs_openssl
async def test_a_child_does_not_end_the_tls_of_its_parent(tmp_path):
    certificate = certify(tmp_path, "IP:127.0.0.1")
    async with Halting(serving(certificate)) as server:
        assert await streamed(server, "del stream", certificate=certificate) == "Hello"


async def streamed(server, child, way="direct", certificate=""):
    """Return what the parent has read, and fail if anything was said on the way."""
    url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.port}/api/paas/v4"
    return await output(STREAMING.replace("CHILD", child), url, str(certificate), way)


async def output(script, *arguments):
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    said, complaints = await process.communicate()
    assert (process.returncode, complaints.decode()) == (0, "")
    return said.decode().strip()


THREADED = """
import asyncio, os, sys, time
from zai_async import AsyncZai
from zai_async._threads import FILE_THREADS

zai = AsyncZai(api_key="test", base_url=sys.argv[1], trust_env=False)

async def transcribe():
    file = sys.argv[2]
    print((await zai.audio.transcriptions.create(model="glm-asr-2512", file=file)).text, flush=True)
    await asyncio.sleep(0)

asyncio.run(transcribe())
while not FILE_THREADS._waiting:  # now it is said to be ready for work
    time.sleep(0.001)
child = os.fork()
if child == 0:
    asyncio.run(transcribe())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run(transcribe())
"""


async def test_a_child_uploads_with_threads_of_its_own(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100))
    async with FaultServer([answer(b'{"text": "Hello"}', "Connection: close")]) as server:
        assert await output(THREADED, server.url, str(file)) == "Hello\nHello\nHello"


# In this process, which is its own child then


@pytest.fixture
def fork(monkeypatch):
    """Return what makes another process of this one, and back."""
    own, process = os.getpid(), [os.getpid()]
    monkeypatch.setattr(os, "getpid", lambda: process[0])

    def switch():
        process[0] = own if process[0] != own else -1

    return switch


def test_work_that_was_promised_to_a_thread_of_the_parent_waits_for_nobody(fork):
    pool, done = DaemonThreads(1), threading.Event()
    pool._waiting.append(None)
    fork()
    pool.submit(done.set)
    assert done.wait()
    assert pool._process == _threads.os.getpid()


def test_a_lock_that_a_thread_of_the_parent_held_is_not_held_in_the_child(fork):
    ledger = Ledger()
    taken, end = threading.Event(), threading.Event()

    def hold():
        with ledger._lock:
            taken.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    fork()
    ledger.record("glm-5.3", None, attempts=1)
    assert ledger.total.calls == 1
    end.set()
    thread.join()


@pytest.mark.parametrize("way", ["direct", "public"])
async def test_a_forgotten_stream_is_kept_for_the_parent(way, fork, monkeypatch):
    monkeypatch.setattr(_connections, "INHERITED", [])
    if way == "public":
        monkeypatch.setattr(_internals, "hold", lambda: False)
    async with Halting() as server, client(url_of(server)) as zai:
        stream = zai.chat.completions.stream(**ASK)
        await stream.__aenter__()
        await anext(stream)
        (call,) = zai._manager.sessions.calls.inside
        fork()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del stream
            gc.collect()
        fork()
        assert call in zai._manager.sessions.calls.inside
        call.leave()


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_connection_of_the_parent_stays_open(how, fork):
    async with FaultServer([answer(BODY)]) as server, client(server.url) as zai:
        await zai.chat.completions.create(**ASK)
        session = await zai._manager.sessions.current()
        (pool,) = session.transport._connectors.values()
        ((idle,),) = pool._conns.values()
        connection = idle[0]
        fork()
        getattr(connection, how)()
        assert not connection.transport.is_closing()
        fork()
        getattr(connection, how)()
        assert connection.transport is None or connection.transport.is_closing()


def url_of(server):
    return f"http://127.0.0.1:{server.port}/api/paas/v4"
