"""A contestant in another process does the same work, is measured there, and never hangs."""

import asyncio
import itertools
import os
import sys
from types import SimpleNamespace

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks read /proc", allow_module_level=True)
pytest.importorskip("uvloop", reason="the server of the benchmarks runs on uvloop")

from benchmarks import __main__ as benchmarks
from benchmarks.contestants import contestant, missing
from benchmarks.node import process
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.work import Server, Work

NODE = ["node_openai", "node_eventsource_parser"]
OBEDIENT = """
import sys, time
say = lambda *words: print(*words, flush=True)
say("ready")
for line in sys.stdin:
    command, number, *figures = line.split()
    until = time.process_time() + 0.1
    while command == "ask" and time.process_time() < until: pass
    if command == "stream":
        say("seen", number, 3)
        say("seen", number, 4)
    say("done", number)
"""
FAILING = "print('ready', flush=True); input(); raise ValueError('a broken script')"
SILENT = "print('ready', flush=True); input(); import time; time.sleep(600)"
NEVER_READY = "import time; time.sleep(600)"
BABBLING = "print('good morning', flush=True); input()"


def standing_in(script, **attributes):
    attributes["command"] = [sys.executable, "-c", script]
    return type("StandIn", (process.ProcessContestant,), attributes)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_events_are_counted_and_the_process_is_ended():
    seen = itertools.count()
    async with standing_in(OBEDIENT)("http://server") as client:
        await client.stream(seen.__next__)
        await client.stream(seen.__next__)
        assert is_alive(client.pid)
    assert next(seen) == 14
    assert not is_alive(client.pid)


@pytest.mark.parametrize(
    ("script", "patience", "error"),
    [
        (FAILING, 60, ChildProcessError),
        (SILENT, 0.1, TimeoutError),
        (NEVER_READY, 0.1, TimeoutError),
        (BABBLING, 60, ValueError),
    ],
)
async def test_what_fails_ends_and_raises(script, patience, error, capfd):
    client = standing_in(script, patience=patience)("http://server")
    with pytest.raises(ExceptionGroup) as caught:
        async with client:
            await client.stream(int)
    assert caught.group_contains(error)
    assert not is_alive(client.pid)
    assert ("a broken script" in capfd.readouterr().err) == (script == FAILING)


async def test_whoever_waits_for_something_else_is_told_too():
    with pytest.raises(ExceptionGroup):
        await ask_and_wait_for_something_else()


async def ask_and_wait_for_something_else():
    async with standing_in(FAILING)("http://server") as client, asyncio.TaskGroup() as group:
        group.create_task(client.ask())
        await asyncio.Event().wait()


async def test_the_cpu_is_that_of_the_process():
    server = SimpleNamespace(url=str, cpu=float)
    work = Work(standing_in(OBEDIENT), server, 1.0)
    async with work.client("answer") as client:
        with work.measured():
            await client.ask()
    assert work.cpu >= 0.1


@pytest.mark.parametrize(("attributes", "times"), [({}, 1), ({"practice": 3}, 4)])
def test_practice_precedes_what_counts(attributes, times):
    assert len(Work(standing_in("", **attributes), None, 1.0).times()) == times


def test_without_node_or_its_packages_the_lack_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(process.shutil, "which", {"node": "/usr/bin/node"}.get)
    monkeypatch.setattr(process, "FOLDER", tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        process.program("openai.mjs", package="openai")
    assert caught.value.name == "npm:openai"
    monkeypatch.setattr(process.shutil, "which", {}.get)
    with pytest.raises(ModuleNotFoundError) as caught:
        process.program("openai.mjs", package="openai")
    assert caught.value.name == "node"


@pytest.fixture(params=NODE)
def name(request):
    if module := missing(request.param):
        pytest.skip(f"there is no module {module}")
    return request.param


def test_node_takes_part_where_the_worker_is_not_what_is_measured(name):
    able = [key for key in SCENARIOS if benchmarks.takes_part(key, name)]
    assert able == ["burst", "step", "unary1", "unary100", "unary1000"]


async def test_node_sees_as_many_events_as_we_do(name):
    bench = benchmarks.Bench(0.01, "")
    with bench.server():
        server = Server(int(bench._ports.split(",")[0]))
        counts = [await events(kind, server) for kind in (name, "ours")]
        server.close()
    assert counts == [201, 201]


async def events(name, server):
    seen = itertools.count()
    async with contestant(name)(server.url("burst")) as client:
        await client.stream(seen.__next__)
    return next(seen)


@pytest.mark.parametrize("scenario", ["step", "unary100"])
def test_node_is_measured(name, scenario, tmp_path, capfd):
    results = tmp_path / "results.json"
    chosen = ["--size", "0.001", "--rounds", "1", "--contestants", name, "--only", scenario]
    benchmarks.main([*chosen, "--results", str(results)])
    assert f"| {name} |" in capfd.readouterr().out
