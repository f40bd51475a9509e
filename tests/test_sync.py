"""The client without ``await``: every name, threads, forks, and what it does not leave behind."""

import asyncio
import inspect
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path

import httpx
import pytest

from tests.calls import ASK, KEY, PROMPT
from tests.effort import THOROUGH
from zai_async import (
    AsyncZai,
    ClientClosedError,
    ConfigurationError,
    Hooks,
    NotFoundError,
    tool,
)
from zai_async.sync import Zai
from zai_async.sync.client import GROUPS, HANDLES, STREAMS
from zai_async.sync.mirrors import RENAMED, Mirror
from zai_async.sync.portal import LoopThread, Worker
from zai_async.testing import Emulator

pytestmark = pytest.mark.usefixtures("children_unmeasured")
thorough = pytest.mark.skipif(not THOROUGH, reason="a part of the thorough run")
ROOT = Path(__file__).parent.parent


@pytest.fixture
def zai(zai_emulator):
    with Zai(base_url=zai_emulator.url, api_key=KEY, trust_env=False) as zai:
        yield zai


# Names and signatures


@pytest.mark.parametrize("original", [AsyncZai, *GROUPS, *STREAMS, *HANDLES])
def test_every_name_is_there_with_its_signature(original):
    mirror = Mirror.kinds[original]
    for name in dir(original):
        if name.startswith("_"):
            continue
        theirs = inspect.getattr_static(original, name)
        ours = inspect.getattr_static(mirror, RENAMED.get(name, name))
        assert inspect.getdoc(ours)
        assert not inspect.iscoroutinefunction(ours)
        if isinstance(theirs, property):
            assert isinstance(ours, property)
        elif name != "aclose":
            assert inspect.signature(ours) == inspect.signature(theirs)


@thorough
def test_the_stub_is_that_of_the_signatures():
    pytest.importorskip("ruff")  # of the group lint: `make test-thorough` alone has none
    from tests.sync_stub import STUB, stub

    assert STUB.read_text(encoding="utf-8") == stub(), "run python -m tests.sync_stub"


# Calls


def test_a_call(zai, zai_emulator):
    zai_emulator.chat.reply("Hello")
    assert zai.chat.completions.create(**ASK).text == "Hello"
    assert zai.usage.total.calls == 1
    assert KEY not in repr(zai)
    with pytest.raises(NotFoundError):
        zai.chat.completions.create(model="nope", messages=PROMPT)
    assert zai.with_options(timeout=5).chat.completions.create(**ASK).text


def test_handles(zai, tmp_path):
    task = zai.videos.submit(model="cogvideox-3", prompt="a lighthouse")
    assert zai.videos.task(task.id).id == task.id
    assert zai.attach(task).id == task.id
    states = [state.task_status for state in task.updates(interval=0.01)]
    assert states[-1] == "SUCCESS"
    assert task.wait().url
    listing = zai.models.list()
    assert [model.id for model in listing] == [model.id for model in listing.page().data]
    run = zai.batch.run([{"prompt": "one"}], out=tmp_path / "out.jsonl", model="glm-5.3")
    assert [row.text for row in run]
    assert zai.batch.run([], out=tmp_path / "none.jsonl").wait().done == 0
    assert zai.batch.status(tmp_path / "out.jsonl").done == 1


def test_a_run_with_tools(zai, zai_emulator):
    @tool
    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    zai_emulator.chat.reply(tool_calls=[{"name": "double", "arguments": {"number": 2}}])
    zai_emulator.chat.reply("4")
    with zai.chat.completions.run_tools(**ASK, tools=[double]) as run:
        names = [type(event).__name__ for event in run.events]
    assert names[-1] == "RunFinished"
    assert run.messages[-1].text == "4"


# Streams


def test_a_stream_is_an_iterator(zai, zai_emulator):
    zai_emulator.chat.reply("Hello", thinking="Hm.", chunk_size=2)
    with zai.chat.completions.stream(**ASK) as stream:
        assert "".join(stream.text) == "Hello"
        assert stream.completion().text == "Hello"
        assert stream.outcome == "completed"
        assert stream.usage.total_tokens
    zai_emulator.chat.reply("Hello", chunk_size=2)
    assert [chunk.id for chunk in zai.chat.completions.create(**ASK, stream=True)]
    stream = zai.chat.completions.stream(**ASK)
    assert stream.prime() is stream
    stream.close()


@pytest.mark.parametrize("view", ["chunks", "text", "events"])
def test_leaving_the_loop_closes_the_connection(view):
    with Emulator(pace=1.0) as platform, Zai(base_url=platform.url, api_key=KEY) as zai:
        platform.chat.reply("word " * 1000)
        stream = zai.chat.completions.stream(**ASK)
        for _ in stream if view == "chunks" else getattr(stream, view):
            break
        platform.wait_disconnected(1).result()
        assert stream.outcome is None


def test_a_call_inside_a_stream_does_not_wait_for_its_own_permit(zai_emulator):
    own = {"base_url": zai_emulator.url, "api_key": KEY, "limits": 1}
    with Zai(**own) as zai, zai.chat.completions.stream(**ASK) as stream:
        next(iter(stream.text))
        assert zai.chat.completions.create(**ASK).text


# Threads, loops and what a caller has of its own


def test_many_threads(zai):
    with ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(lambda _: zai.chat.completions.create(**ASK).text, range(16)))
    assert all(texts)
    assert zai.usage.total.calls == 16


NOTEBOOK = """\
import asyncio
from zai_async.sync import Zai

zai = Zai()

async def cell():
    asked = {"model": "glm-5.3", "messages": "Hi"}
    return zai.chat.completions.create(**asked).text, [*zai.chat.completions.stream(**asked).text]

whole, pieces = asyncio.run(cell())
print(bool(whole and pieces))
"""


def test_a_thread_whose_loop_runs_as_that_of_a_notebook(zai_emulator):
    assert run(NOTEBOOK, zai_emulator) == "True\n"


def test_a_call_in_the_loop_of_the_client_is_refused(zai_emulator):
    failures = []

    def call(event):
        try:
            zai.chat.completions.create(**ASK)
        except ConfigurationError as error:
            failures.append(error)

    hooks = Hooks(on_start=call)
    with Zai(base_url=zai_emulator.url, api_key=KEY, trust_env=False, hooks=hooks) as zai:
        assert zai.chat.completions.create(**ASK).text
    assert "wait for ever" in str(failures[0])


def test_context_variables_are_the_callers(zai_emulator):
    variable, seen = ContextVar("variable"), []

    def note(_):
        seen.append(variable.get())
        variable.set("theirs")

    hooks = Hooks(on_start=note)
    with Zai(base_url=zai_emulator.url, api_key=KEY, trust_env=False, hooks=hooks) as zai:
        variable.set("mine")
        zai.chat.completions.create(**ASK)
    assert (seen, variable.get()) == (["mine"], "theirs")


INTERRUPTED = """
import sys
from zai_async.sync import Zai

with Zai(base_url=sys.argv[1], api_key="key", trust_env=False) as zai:
    try:
        zai.chat.completions.create(model="glm-5.3", messages="Hi")
    except KeyboardInterrupt:
        print("interrupted,", zai.chat.completions.create(model="glm-5.3", messages="Hi").text)
"""


@pytest.mark.usefixtures("children_unmeasured")
def test_ctrl_c_cancels_the_call(zai_emulator):
    """In a process of its own: the signal would end one that is not waiting just then."""
    zai_emulator.fault(delay=3600)
    command = [sys.executable, "-c", INTERRUPTED, zai_emulator.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        zai_emulator.wait_requests(1).result()
        child.send_signal(signal.SIGINT)
        zai_emulator.wait_disconnected(1).result()
        told, _ = child.communicate()
    assert told.startswith("interrupted, ")
    assert child.returncode == 0


def test_an_interrupted_call_is_cancelled(monkeypatch):
    portal, begun, ends = LoopThread(), threading.Event(), []

    async def hang():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("hang")

    class Interrupted(threading.Event):
        waits = 0

        def wait(self, timeout=None):
            Interrupted.waits += 1
            if Interrupted.waits == 1:
                begun.wait()
                raise KeyboardInterrupt
            return super().wait(timeout)

    portal.run(lambda: asyncio.sleep(0))
    monkeypatch.setattr("zai_async.sync.portal.threading.Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.run(hang)
    monkeypatch.undo()
    portal.close()
    assert ends == ["hang"]


def test_closing_ends_the_thread_and_another_call_begins_one(zai_emulator):
    others = threading.enumerate()  # what models of LangChain share lasts as long as the process

    def running():
        return [
            each
            for each in threading.enumerate()
            if each.name == "zai-async-loop" and each not in others
        ]

    zai = Zai(base_url=zai_emulator.url, api_key=KEY, trust_env=False)
    assert not running()
    zai.close()
    zai.chat.completions.create(**ASK)
    assert len(running()) == 1
    zai.close()
    zai.close()
    assert not running()


def test_closing_ends_what_is_left(zai_emulator):
    portal, ends = LoopThread(), []

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("task")

    async def items():
        try:
            yield 1
        finally:
            ends.append("iterator")

    async def begin():
        tasks.append(asyncio.create_task(hang()))
        await anext(iterator)

    tasks, iterator = [], items()
    portal.run(begin)
    portal.close()
    assert sorted(ends) == ["iterator", "task"]


async def answer():
    return 42


@pytest.fixture
def portal():
    portal = LoopThread()
    yield portal
    portal.close()


def test_a_call_that_begins_while_another_thread_closes_is_told(portal, monkeypatch):
    started = portal._started

    def closed_meanwhile():
        monkeypatch.undo()
        loop = started()
        portal.close()
        return loop

    monkeypatch.setattr(portal, "_started", closed_meanwhile)
    with pytest.raises(ClientClosedError, match="is closed"):
        portal.run(answer)


def test_two_may_close_at_once(portal, monkeypatch):
    portal.run(answer)
    refuse = portal._refuse_own_thread

    def closed_meanwhile():
        monkeypatch.undo()
        portal.close()
        refuse()

    monkeypatch.setattr(portal, "_refuse_own_thread", closed_meanwhile)
    portal.close()
    assert portal.loop is None


@pytest.mark.parametrize("make", [Worker, lambda: None], ids=["worker", "task"])
def test_a_call_under_way_ends_with_the_client(portal, make):
    worker, begun = make(), threading.Event()

    async def hang():
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(portal.run, hang, worker)
        begun.wait()
        portal.close()
        with pytest.raises(ClientClosedError, match="during this call"):
            call.result()
    if worker is not None:
        with pytest.raises(ClientClosedError, match="since this was opened"):
            portal.run(answer, worker)
    assert portal.run(answer) == 42


def test_what_a_call_has_posted_before_the_client_closes_is_ended(portal, monkeypatch):
    """The loop is held meanwhile, so that nothing of the call has begun."""
    held, posted, release = threading.Event(), threading.Event(), threading.Event()
    post = portal._post

    def hold():
        held.set()
        release.wait()

    def tell(callback, loop):
        post(callback, loop)
        posted.set()

    portal.run(answer)
    portal.loop.call_soon_threadsafe(hold)
    held.wait()
    monkeypatch.setattr(portal, "_post", tell)
    with ThreadPoolExecutor(2) as threads:
        call = threads.submit(portal.run, asyncio.Event().wait)
        posted.wait()
        closing = threads.submit(portal.close)
        release.set()
        closing.result()
        with pytest.raises(ClientClosedError, match="during this call"):
            call.result()


def test_a_cancellation_of_its_own_is_that_of_a_call(portal):
    async def stop():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        portal.run(stop)


def test_closing_in_the_loop_itself_is_refused(portal):
    async def close():
        portal.close()

    with pytest.raises(ConfigurationError, match="wait for ever"):
        portal.run(close)


def test_what_is_ended_while_its_loop_is_closed_ends_with_it(portal):
    begun, seen, ends = threading.Event(), [], []

    async def hang():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            # In the loop that is being closed, where the garbage collector may run as well.
            seen.append(portal.loop)
            portal.finish(end, loop)

    async def end():
        ends.append("never")

    portal.run(answer)
    loop = portal.loop
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(portal.run, hang)
        begun.wait()
        portal.close()
        assert isinstance(call.exception(), ClientClosedError)
    assert (seen, ends) == ([None], [])


def test_what_is_forgotten_is_closed():
    with Emulator(pace=1.0) as platform, Zai(base_url=platform.url, api_key=KEY) as zai:
        platform.chat.reply("word " * 1000)
        iterators = [iter(zai.chat.completions.stream(**ASK))]
        next(iterators[0])

        async def forget():
            iterators.clear()

        # In the thread of the loop, where the garbage collector may run as well.
        zai._portal.run(forget)
        platform.wait_disconnected(1).result()


async def test_a_worker_does_one_thing_after_the_other():
    worker, begun = Worker(), asyncio.Event()
    has_begun_again, release = asyncio.Event(), asyncio.Event()

    async def again():
        has_begun_again.set()
        await release.wait()
        return 43

    async def fail():
        raise LookupError

    async def hang():
        begun.set()
        await asyncio.Event().wait()

    async def stop():
        raise asyncio.CancelledError

    await worker.end()
    with pytest.raises(LookupError):
        await worker.do(fail)
    with pytest.raises(asyncio.CancelledError):
        await worker.do(stop)
    hanging = asyncio.create_task(worker.do(hang))
    await begun.wait()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await worker.do(answer) == 42
    busy, queued = (asyncio.create_task(worker.do(each)) for each in (again, fail))
    await has_begun_again.wait()
    queued.cancel()
    await asyncio.wait([queued])
    release.set()
    assert await busy == 43
    late = asyncio.create_task(worker.do(answer))
    await asyncio.wait([late])
    assert late.result() == 42
    await worker.end()


def test_what_a_fork_has_inherited_is_left_alone(zai):
    """The same as below, where the figures of coverage can see it."""
    portal = zai._portal
    stream = zai.chat.completions.stream(**ASK)
    iterator = iter(stream.text)
    next(iterator)
    thread, loop, lock = portal._thread, portal._loop, portal._lock
    portal._owner = 0
    assert portal.loop is None
    iterator.close()
    portal.finish(zai._target.aclose, None)
    assert zai.chat.completions.create(**ASK).text
    assert portal._lock is not lock
    assert not loop.is_closed()

    async def end():
        """Do what the parent would do with its own."""
        await stream._target.aclose()
        await zai._target.aclose()
        await asyncio.sleep(0)  # transports tell of their end

    asyncio.run_coroutine_threadsafe(end(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_portal_that_has_not_begun_is_left_alone_by_a_fork():
    portal = LoopThread()
    portal._owner = 0
    assert portal.run(answer) == 42
    portal.close()


# Processes that fork


FORKING = """\
import os, signal
from zai_async.sync import Zai

signal.alarm(120)  # a hang, never a slow machine
zai = Zai()
ask = lambda: zai.chat.completions.create(model="glm-5.3", messages="Hi").text
assert ask()
stream = iter(zai.chat.completions.stream(model="glm-5.3", messages="Hi").text)
next(stream)
child = os.fork()
if not child:
    signal.alarm(120)
    assert ask()
    del stream
    zai.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert "".join(stream)
assert ask()
zai.close()
print("done")
"""


def run(program, zai_emulator, *, cwd=ROOT):
    own = {"ZAI_BASE_URL": zai_emulator.url, "ZAI_API_KEY": "test", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    return subprocess.check_output(command, env=os.environ | own, cwd=cwd, text=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parent_and_child_go_on_after_a_fork(zai_emulator):
    assert run(FORKING, zai_emulator) == "done\n"


GUNICORN = """\
from zai_async.sync import Zai

zai = Zai()
zai.models.list().page()  # before the workers are forked

def app(environ, start_response):
    text = zai.chat.completions.create(model="glm-5.3", messages="Hi").text
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode()]
"""
CELERY = """\
from celery import Celery
from zai_async.sync import Zai

app = Celery("jobs", broker="filesystem://", backend="file://results")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}
zai = Zai()
zai.models.list().page()  # before the workers are forked

@app.task
def ask(question):
    return zai.chat.completions.create(model="glm-5.3", messages=question).text
"""


def environment(zai_emulator):
    return os.environ | {
        "ZAI_BASE_URL": zai_emulator.url,
        "ZAI_API_KEY": "test",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


@thorough
def test_gunicorn_that_loads_the_application_before_it_forks(zai_emulator, tmp_path):
    pytest.importorskip("gunicorn")
    zai_emulator.chat.reply("Hello", times=None)
    (tmp_path / "site_of_mine.py").write_text(GUNICORN)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        listening.set_inheritable(True)
        command = [
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"),
            *("--bind", f"fd://{listening.fileno()}", "site_of_mine:app"),
        ]
        own = environment(zai_emulator)
        descriptor = [listening.fileno()]
        with subprocess.Popen(
            command, cwd=tmp_path, env=own, pass_fds=descriptor, stderr=subprocess.DEVNULL
        ) as server:
            try:
                # It listens already: who connects now waits until a worker is ready.
                for _ in range(4):
                    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=60).text == "Hello"
            finally:
                server.terminate()


@thorough
def test_celery_whose_workers_are_forked(zai_emulator, tmp_path):
    pytest.importorskip("celery")
    zai_emulator.chat.reply("Hello", times=None)
    (tmp_path / "jobs.py").write_text(CELERY)
    (tmp_path / "queue").mkdir()
    (tmp_path / "results").mkdir()
    own = environment(zai_emulator)
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "jobs",
        "worker",
        "--pool",
        "prefork",
        "-c",
        "2",
    ]
    ask = "from jobs import ask; print([ask.delay('Hi').get(timeout=60) for _ in range(3)])"
    with subprocess.Popen(
        command, cwd=tmp_path, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as workers:
        try:
            told = subprocess.check_output(
                [sys.executable, "-c", ask], cwd=tmp_path, env=own, text=True
            )
        finally:
            workers.terminate()
    assert told == "['Hello', 'Hello', 'Hello']\n"


XDIST = """\
import pytest
from zai_async.sync import Zai

@pytest.fixture(scope="session")
def zai():
    with Zai() as zai:
        yield zai

@pytest.mark.parametrize("number", range(4))
def test_answer(zai, number):
    assert zai.chat.completions.create(model="glm-5.3", messages="Hi").text
"""


@thorough
def test_pytest_xdist_with_a_client_for_each_worker(zai_emulator, pytester, monkeypatch):
    for name, value in environment(zai_emulator).items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(XDIST)
    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:randomly")
    result.assert_outcomes(passed=4)


@thorough
def test_the_example(zai_emulator):
    program = [sys.executable, ROOT / "examples/sync_client.py"]
    own = environment(zai_emulator)
    assert subprocess.check_output(program, env=own, text=True).count("\n") >= 3
