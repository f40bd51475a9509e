"""Rows of Ray Data, without Ray and with it: each answered once, at one limit for all actors."""

import asyncio
import json
import os
import re
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests import arrow
from zai_async.errors import ConfigurationError
from zai_async.integrations import ray as integration
from zai_async.integrations.ray import ChatSpec, cluster_limits, map_chat
from zai_async.integrations.ray_actors import ChatActor, SlotsActor
from zai_async.limiter import Limits, WindowEvent, WindowReport

ROOT = Path(__file__).parents[1]
COLUMNS = {"answer_text", "answer_error_kind", "answer_custom_id", "answer_response"}


class Remote:
    """A method of an actor."""

    def __init__(self, method, fails=None):
        self._method = method
        self.fails = fails

    def remote(self, *args):
        async def call():
            if self.fails is not None:
                raise self.fails
            return self._method(*args)

        return call()


class Handle:
    """An actor that lives in this process."""

    def __init__(self, actor):
        self.actor = actor
        self.exchange = Remote(actor.exchange)
        self.figures = Remote(actor.figures)


class Cluster(ModuleType):
    """As much of Ray as there is to it for us."""

    def __init__(self):
        super().__init__("ray")
        self.actors = {}
        self.options = None
        self.data = ModuleType("ray.data")
        self.data.ActorPoolStrategy = lambda size: ("pool", size)

    def remote(self, kind):
        def options(**options):
            self.options = options

            def make():
                name = options["name"], options["namespace"]
                return self.actors.setdefault(name, Handle(kind()))

            return SimpleNamespace(remote=make)

        return SimpleNamespace(options=options)

    def get_actor(self, name, namespace):
        if (name, namespace) not in self.actors:
            raise ValueError("there is no such actor")
        return self.actors[name, namespace]

    def get(self, awaitable):
        return asyncio.run(awaitable)

    def get_runtime_context(self):
        return SimpleNamespace(get_actor_id=lambda: "actor", get_node_id=lambda: "0123456789")


class Dataset:
    """Remembers how it was mapped."""

    def map_batches(self, actor, **options):
        self.actor, self.options = actor, options
        return self


@pytest.fixture
def cluster(monkeypatch):
    cluster = Cluster()
    monkeypatch.setitem(sys.modules, "ray", cluster)
    monkeypatch.setitem(sys.modules, "ray.data", cluster.data)
    arrow.install(monkeypatch)
    return cluster


@pytest.fixture
async def made(cluster, zai_emulator, tmp_path, monkeypatch):
    """Make an actor as Ray would, and close it as Ray would not."""
    monkeypatch.setenv("ZAI_API_KEY", "id.secret")
    actors = []

    def make(limit=None):
        spec = ChatSpec(model="glm-4.6", base_url=zai_emulator.url)
        mapped = map_chat(Dataset(), spec, out=str(tmp_path), limit=limit)
        actors.append(mapped.actor(**mapped.options["fn_constructor_kwargs"]))
        return actors[-1]

    # As in Ray, where the event loop runs in another thread and only later.
    yield partial(asyncio.to_thread, make)
    for actor in actors:
        await actor.aclose()


async def answers(actor, *rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = arrow.Table({name: [row.get(name) for row in rows] for name in names})
    return (await actor(table)).to_pylist()


def prompts(emulator):
    return [request.json["messages"][-1]["content"] for request in emulator.requests]


# What the dataset is told


def test_batches_are_such_that_the_limit_is_kept_busy(cluster):
    spec = ChatSpec(model="glm-4.6")
    mapped = map_chat(Dataset(), spec, out="out", limit=100, actors=5)
    assert mapped.actor is ChatActor
    assert mapped.options["batch_size"] == 5
    assert mapped.options["compute"] == ("pool", 5)
    assert map_chat(Dataset(), spec, out="out").options["batch_size"] == 16
    assert map_chat(Dataset(), spec, out="out", batch_size=7).options["batch_size"] == 7
    json.dumps(mapped.options["fn_constructor_kwargs"])  # small plain data
    assert cluster.options["lifetime"] == "detached"
    assert cluster.options["num_cpus"] == 0


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ({"url": "/v4/dance"}, {}),
        ({"template": "{"}, {}),
        ({}, {"actors": 0}),
        ({}, {"limit": -1}),
    ],
)
@pytest.mark.usefixtures("cluster")
def test_what_cannot_be_meant_is_refused_before_anything_starts(spec, options):
    with pytest.raises(ConfigurationError):
        map_chat(Dataset(), ChatSpec(**spec), out="out", **options)


def test_it_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"zai-async\[ray\]"):
        map_chat(Dataset(), ChatSpec(), out="out")


# What an actor does


async def test_rows_get_columns(made):
    rows = await answers(await made(), {"prompt": "One", "n": 1}, {"prompt": None, "n": 2})
    assert [row["n"] for row in rows] == [1, 2]
    assert set(rows[0]) >= COLUMNS
    assert rows[0]["answer_text"]
    assert rows[1]["answer_error_kind"] == "input"
    again = arrow.Table({name: [rows[0][name]] for name in rows[0]})
    assert len((await (await made())(again)).column_names) == len(rows[0])


async def test_no_row_is_bought_twice(made, zai_emulator):
    actor = await made()
    rows = [{"custom_id": "a", "prompt": "One"}, {"prompt": "Two"}, {"prompt": "Two"}]
    first = await answers(actor, *rows)
    assert sorted(prompts(zai_emulator)) == ["One", "Two"]
    assert first[1]["answer_custom_id"] == first[2]["answer_custom_id"]
    # Ray repeats a batch: on the same actor, and on one that was started again.
    assert await answers(actor, *rows) == first
    assert await answers(await made(), *rows) == first
    assert len(zai_emulator.requests) == 2


async def test_failed_rows_are_columns_and_tried_by_the_next_run(made, zai_emulator):
    zai_emulator.fault(code="1301")
    (row,) = await answers(await made(), {"prompt": "One"})
    assert (row["answer_error_code"], row["answer_text"]) == ("1301", None)
    (row,) = await answers(await made(), {"prompt": "One"})
    assert row["answer_text"]


async def test_what_hits_every_row_stops_the_others(made, zai_emulator):
    zai_emulator.account.balance(0)
    actor = await made(limit=1)
    rows = await answers(actor, *({"prompt": f"{n}"} for n in range(30)))
    assert {row["answer_error_kind"] for row in rows} == {"billing"}
    (row,) = await answers(actor, {"prompt": "another"})
    assert row["answer_error_kind"] == "billing"
    assert len(zai_emulator.requests) < 20
    zai_emulator.account.balance(10)
    assert all(row["answer_text"] for row in await answers(await made(), *({"prompt": "1"},)))


async def test_nothing_is_raised_when_the_limits_are_lost(cluster, made):
    actor = await made()
    handle = cluster.get_actor(integration._SLOTS, integration._NAMESPACE)
    handle.exchange.fails = RuntimeError("the actor died")
    (row,) = await answers(actor, {"prompt": "One"})
    assert row["answer_error_kind"] == "internal"
    assert "the actor died" in row["answer_error_message"]


# What they share


async def test_actors_share_one_limit(made, zai_emulator):
    zai_emulator.account.limit(concurrency=3)
    two = [await made(limit=3), await made(limit=3)]
    rows = [{"prompt": f"{n}"} for n in range(40)]
    await asyncio.gather(answers(two[0], *rows[:20]), answers(two[1], *rows[20:]))
    assert zai_emulator.peak_in_flight <= 3
    assert [request.status for request in zai_emulator.requests] == [200] * 40


def test_what_was_found_out_is_plain_data(cluster):
    with pytest.raises(ValueError, match="no such actor"):
        cluster_limits()
    map_chat(Dataset(), ChatSpec(), out="out")
    assert cluster_limits() == {}


def test_an_actor_that_begins_anew_gives_back_what_it_had():
    slots = SlotsActor()

    def exchange(actor, life, number, *events):
        report = WindowReport(
            member="m", limits=Limits.of(1), number=number, complete=True, events=events
        )
        return slots.exchange("window", report, actor, life)

    ask = WindowEvent(1, "asked")
    assert exchange("a", "first", 1, ask).granted == (1,)
    assert exchange("b", "only", 1, ask).granted == ()
    assert exchange("b", "only", 2).granted == ()
    exchange("a", "second", 1)
    assert exchange("b", "only", 3).granted == (1,)
    (figures,) = slots.figures().values()
    assert (figures["in_flight"], figures["limit"]) == (1, 1)


# On Ray itself


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("ray") is None, reason="there is no module ray")
def test_two_actors_of_which_one_is_killed_in_the_middle():
    program = str(Path(__file__).with_name("ray_cluster.py"))
    answer = subprocess.check_output([sys.executable, program, "600"], text=True)
    figures = json.loads(answer.splitlines()[-1])
    assert figures["rows"] == figures["answered"] == figures["distinct"] == 600
    assert figures["errors"] == 0
    assert figures["killed"] == 1
    # Of what was written when an actor died nothing was asked again, and of the rest what flew.
    assert figures["written_and_asked_again"] == 0
    assert figures["asked"] <= 600 + figures["most_in_flight"]


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("ray") is None, reason="there is no module ray")
@pytest.mark.parametrize(
    ("page", "said", "rows"),
    [("cluster.md", "Name the number", 20), ("integrations/ray.md", "good", 3)],
)
def test_the_pages_run_as_they_are_shown(tmp_path, zai_emulator, page, said, rows):
    zai_emulator.chat.reply("good", times=None)
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    own = {"PYTHONPATH": str(ROOT), "ZAI_API_KEY": "id.secret", "ZAI_BASE_URL": zai_emulator.url}
    command = [sys.executable, "-c", source]
    output = subprocess.check_output(command, cwd=tmp_path, env=os.environ | own, text=True)
    assert output.count(said) >= rows
    assert len(zai_emulator.requests) == rows


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("ray") is None, reason="there is no module ray")
def test_the_example_buys_nothing_twice():
    command = [sys.executable, ROOT / "examples/ray_dataset.py", "--emulate"]
    own = {"PYTHONPATH": str(ROOT)}
    output = subprocess.check_output(command, env=os.environ | own, text=True)
    assert output.count("run: 40 of 40 rows are answered") == 2
    assert "40 requests were sent" in output
