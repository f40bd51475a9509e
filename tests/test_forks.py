"""What the child of a fork has of its parent: neither its threads nor its sockets nor its locks."""

import asyncio
import os
import sys
import threading
from contextlib import AsyncExitStack, contextmanager

import aiohttp
import pytest

from tests.calls import ASK, KEY, client
from tests.certificates import certify, needs_openssl, serving
from tests.chat_wire import DONE, frame, last, texts
from tests.fault_server import FaultServer, Listener, answer
from zai_async import AsyncZai, ConfigurationError, StreamConsumedError, _threads
from zai_async._threads import DaemonThreads
from zai_async._transport import NetworkSettings, _forks, _internals, open_transport
from zai_async.ledger import Ledger
from zai_async.session import manager
from zai_async.testing import FakeReply, FakeTransport

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


INSIDE = """
import asyncio, multiprocessing, os, signal, sys
import aiohttp
from zai_async import AsyncZai, ZaiError
from zai_async._transport import _internals

url, certificate, way, kind, *ends = sys.argv[1:]

if way == "public":
    _internals.hold = lambda: False

def tell(error):
    print(type(error).__name__, error, flush=True)

async def tried(work):
    try:
        tell(await work())
    except Exception as error:
        tell(error)

async def leave(zai, stream):
    sys.exit()

async def fail(zai, stream):
    raise KeyError

async def close(zai, stream):
    await stream.aclose()
    sys.exit()

async def read(zai, stream):
    await tried(lambda: anext(stream))
    os._exit(0)

async def read_all(zai, stream):
    await tried(stream.completion)
    sys.exit()

async def read_in_another_loop(zai, stream):
    asyncio.run(tried(lambda: anext(stream)))
    os._exit(0)

async def read_in_a_process(zai, stream):
    work = lambda: asyncio.run(tried(lambda: anext(stream)))
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    os._exit(process.exitcode)

async def call(zai, stream):
    asyncio.run(tried(zai.models.list))
    os._exit(0)

async def main():
    own = aiohttp.ClientSession() if way == "session" else None
    zai = AsyncZai(
        api_key="test", base_url=url, trust_env=False, ca_file=certificate or None, session=own
    )
    stream = await zai.chat.completions.stream(model="glm-5.3", messages="Hi").open()
    await anext(stream)
    for name, end in ends.items():
        child = os.fork()
        if child == 0:
            signal.alarm(100)  # none stays behind, whatever happens
            await end(zai, stream)
        status = os.waitpid(child, 0)[1]
        # What is loaded of libuv may crash when a forked child of it ends by itself.
        assert status == 0 or kind == "uvloop", (name, status)
    await zai.models.list()
    completion = await stream.completion()
    await asyncio.to_thread(print, completion.text)
    await zai.aclose()
    if own is not None:
        await own.close()

def factory():
    return __import__(kind).new_event_loop()

parent, ends = os.getpid(), {name: globals()[name] for name in ends}
try:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
except KeyError:
    assert os.getpid() != parent
"""
FORKED = "StreamConsumedError the stream belongs to the process that opened it"
ENDS = {
    "leave": "",
    "fail": "",
    "close": "",
    "read": FORKED,
    "read_all": FORKED,
    "read_in_another_loop": FORKED,
    "read_in_a_process": FORKED,
}


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("way", ["direct", "public", "session"])
async def test_children_of_a_running_loop_leave_the_streams_of_their_parent_alone(way, kind):
    pytest.importorskip(kind)
    async with Halting() as server:
        said = await output(INSIDE, url_of(server), "", way, kind, *ENDS)
    told = [line.partition(",")[0] for line in said.splitlines()]
    assert told == [*filter(None, ENDS.values()), "Hello"]


@needs_openssl
@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
async def test_a_child_that_ends_a_running_loop_does_not_end_its_tls(tmp_path, kind):
    pytest.importorskip(kind)
    certificate = certify(tmp_path, "IP:127.0.0.1")
    async with Halting(serving(certificate)) as server:
        url = url_of(server).replace("http:", "https:")
        assert await output(INSIDE, url, str(certificate), "direct", kind, "leave") == "Hello"


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("direct", "Page"),
        ("session", "ConfigurationError the aiohttp session of this client belongs to the process"),
    ],
)
async def test_a_call_of_a_child_is_its_own_or_says_why_not(way, told):
    async with Halting() as server:
        said = await output(INSIDE, url_of(server), "", way, "asyncio", "call")
    first, last = said.splitlines()
    assert first.startswith(told)
    assert last == "Hello"


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


@pytest.mark.parametrize("way", ["direct", "public", "session"])
async def test_a_child_gets_dead_sockets_and_its_stream_ends(way, fork, monkeypatch):
    if way == "public":
        monkeypatch.setattr(_internals, "hold", lambda: False)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Halting())
        own = await stack.enter_async_context(aiohttp.ClientSession()) if way == "session" else None
        zai = await stack.enter_async_context(client(url_of(server), session=own))
        stream = await zai.chat.completions.stream(**ASK).open()
        assert (await anext(stream)).choices[0].delta.content == "Hel"
        (call,) = zai._manager.sessions.calls.inside
        session = await zai._manager.sessions.current()
        wire, *_ = session.transport.connections()
        fork()
        with dead_copies(wire):
            _forks.leave_to_parent()
            with pytest.raises(StreamConsumedError, match="forked"):
                await anext(stream)
            await stream.aclose()
            with pytest.raises(StreamConsumedError, match="make the call again here"):
                await stream.completion()
        fork()
        assert call in zai._manager.sessions.calls.inside
        call.leave()
        # The loop has a list of its own now, and works as before.
        assert await asyncio.to_thread(lambda: 7) == 7


@contextmanager
def dead_copies(wire):
    """Let a fork have its way with a descriptor, and put back what was under it."""
    number = wire.get_extra_info("socket").fileno()
    kept = os.dup(number)
    try:
        yield
    finally:
        os.dup2(kept, number, inheritable=False)
        os.close(kept)


async def test_a_child_that_closes_the_loop_of_its_parent_leaves_the_transport(fork, monkeypatch):
    monkeypatch.setattr(manager, "_INHERITED", inherited := [])
    transport = FakeTransport(FakeReply.json({"data": []}))
    async with AsyncZai(api_key=KEY, transport=transport) as zai:
        await zai.models.list()
        session = await zai._manager.sessions.current()
        fork()
        await session.aclose()
        fork()
        assert (inherited, transport.closed) == ([session], False)
        await transport.aclose()


async def test_the_session_of_a_parent_is_refused_with_what_to_do():
    async with aiohttp.ClientSession() as own:
        with pytest.raises(
            ConfigurationError, match="belongs to the process that was forked"
        ) as info:
            open_transport(NetworkSettings(session=own, process=-1))
    assert "Make a session and a client in this process" in info.value.hint


async def test_a_stream_that_is_being_opened_elsewhere_is_not_waited_for():
    transport = FakeTransport(FakeReply(delay=1e6))
    async with AsyncZai(api_key=KEY, transport=transport) as zai:
        stream = zai.chat.completions.stream(**ASK)
        opening = asyncio.create_task(stream.open())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])

        def elsewhere():
            with pytest.raises(StreamConsumedError, match="by another task"):
                asyncio.run(stream.open())

        await asyncio.to_thread(elsewhere)
        await stream.aclose()


def test_a_child_may_close_the_uvloop_of_its_parent():
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        _forks.isolate(loop, [])
        assert runner.run(asyncio.sleep(0, 7)) == 7


def test_what_is_no_loop_of_ours_is_left_alone():
    class Wire:
        def get_extra_info(self, name):
            assert name == "socket"

    class Loop:
        closed = False

        def is_closed(self):
            return self.closed

    loop = Loop()
    _forks.isolate(loop, [None, Wire()])
    loop.closed = True
    _forks.isolate(loop, None)


def url_of(server):
    return f"http://127.0.0.1:{server.port}/api/paas/v4"
