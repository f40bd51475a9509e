"""Rows that batches of the platform answer, behind the same call."""

import asyncio
import json
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest

from tests.batches import collect, lines_of, rows
from tests.calls import FakeClock
from zai_async import (
    AsyncZai,
    Budget,
    CallOptions,
    ConfigurationError,
    Hooks,
    TaskFailedError,
)
from zai_async import _operations as ep
from zai_async._threads import to_the_end
from zai_async.batch import Failed, Ok, server
from zai_async.batch.journal import Manifest, ServerPart, manifest_path
from zai_async.batch.server_lines import results_of
from zai_async.batch.settings import RunSettings
from zai_async.models import Batch, Page

SERVER = {"model": "glm-5.3", "backend": "server"}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "answers.jsonl"


@pytest.fixture
async def zai(zai_emulator):
    # The pauses between polls are skipped.
    async with AsyncZai(
        base_url=zai_emulator.url, api_key="test", provider="bigmodel", clock=FakeClock()
    ) as client:
        yield client


def created(emulator):
    return [each for each in emulator.requests if each.operation == "batches.create"]


def leftovers(out):
    return [path.name for path in out.parent.glob("*.part-*")]


async def test_the_platform_answers_the_rows(zai, zai_emulator, out):
    zai_emulator.chat.reply("First.")
    results = await collect(zai.batch.run(rows(3), out=out, **SERVER))
    assert {key: type(each) for key, each in results.items()} == dict.fromkeys(
        ["row-0", "row-1", "row-2"], Ok
    )
    assert results["row-0"].text == "First."
    assert {line["custom_id"] for line in lines_of(out)} == results.keys()
    assert len(created(zai_emulator)) == 1
    assert leftovers(out) == []
    assert json.loads(manifest_path(out).read_bytes())["parts"] == []
    # The same output, whichever way its rows are answered.
    report = await zai.batch.run(rows(4), out=out, model="glm-5.3")
    assert (report.done, report.exit_code) == (4, 0)


async def test_rows_that_fail_are_rows(zai, zai_emulator, out):
    zai_emulator.chat.reply("", finish_reason="network_error")
    bad = {"custom_id": "bad", "body": {"model": "nobody", "messages": "Hi."}}
    other = {"custom_id": "other", "url": "/v4/tokenizer", "body": {"messages": "Hi."}}
    given = [*rows(2), bad, other, {"custom_id": "none"}]
    results = await collect(zai.batch.run(given, out=out, **SERVER))
    kinds = {key: each.kind for key, each in results.items() if isinstance(each, Failed)}
    assert kinds == {"row-0": "stream", "bad": "request", "other": "input", "none": "input"}
    assert (await zai.batch.status(out)).failures == 4
    assert await collect(zai.batch.run(rows(2)[1:], out=out, **SERVER)) == {}


async def test_large_inputs_are_several_batches(zai, zai_emulator, out, monkeypatch):
    monkeypatch.setattr(server, "_MOST_ROWS", 3)
    report = await zai.batch.run(rows(10), out=out, concurrency=2, **SERVER)
    assert report.done == 10
    assert len(created(zai_emulator)) == 4


async def test_no_batch_gets_the_files_of_one_before(zai, out, monkeypatch):
    """Those are removed after it is noted that it is over."""
    names, write = [], server._write
    monkeypatch.setattr(server, "_MOST_ROWS", 3)
    monkeypatch.setattr(
        server, "_write", lambda path, lines: names.append(path.name) or write(path, lines)
    )
    await zai.batch.run(rows(10), out=out, concurrency=1, **SERVER)
    assert len(names) == len(set(names)) == 8
    assert leftovers(out) == []


@pytest.mark.parametrize("known", ["written", "uploaded", "created"])
async def test_a_run_that_was_killed_goes_on_with_its_batches(zai, zai_emulator, out, known):
    zai_emulator.tasks.polls = 10**9
    run = zai.batch.run(rows(3), out=out, **SERVER)
    reader = asyncio.create_task(collect(run))
    while "batches.retrieve" not in {each.operation for each in zai_emulator.requests}:
        await anyio.lowlevel.checkpoint()
    assert run.progress.in_flight == 3
    assert run.progress.limit is None
    await run.aclose()
    await reader
    manifest = json.loads(manifest_path(out).read_bytes())
    part = manifest["parts"][0]
    assert part["batch_id"].startswith("batch_")
    assert len(leftovers(out)) == 2
    # What a kill at an earlier moment would have left behind.
    if known != "created":
        part["batch_id"] = None
    if known == "written":
        part["file_id"] = None
    manifest_path(out).write_text(json.dumps(manifest))
    zai_emulator.tasks.polls = 2
    report = await zai.batch.run(rows(4), out=out, **SERVER)
    assert report.done == 4
    # One batch for the rows of the first run, unless nothing says that there is one; one for the
    # row that is new.
    assert len(created(zai_emulator)) == 2 + (known == "written")
    assert leftovers(out) == []


async def test_refusals_pause_the_run(zai, zai_emulator, out):
    zai_emulator.fault(status=429, code="1113")
    report = await zai.batch.run(rows(2), out=out, **SERVER)
    assert (report.state, report.reason, report.exit_code) == ("paused", "billing", 3)
    assert (await zai.batch.run(rows(2), out=out, **SERVER)).done == 2


async def test_a_batch_that_is_cancelled_leaves_rows_without_answer(zai, zai_emulator, out):
    zai_emulator.tasks.polls = 10**9
    run = zai.batch.run(rows(2), out=out, **SERVER)
    reader = asyncio.create_task(collect(run))
    while "batches.retrieve" not in {each.operation for each in zai_emulator.requests}:
        await anyio.lowlevel.checkpoint()
    page = await zai.batches.list()
    await zai.batches.cancel(page.data[0].id)
    results = await reader
    assert {each.kind for each in results.values()} == {"task"}
    assert "cancelled" in results["row-0"].error.message


async def test_a_batch_that_is_not_found_again_is_made(zai, zai_emulator, out, monkeypatch):
    lines = out.with_name(f"{out.name}.part-1.jsonl")
    out.with_name(f"{out.name}.part-1.keys").touch()
    lines.write_text(
        '{"custom_id":"row-xyz","method":"POST","url":"/v4/chat/completions","body":'
        '{"model":"glm-5.3","messages":[{"role":"user","content":"Hi."}]}}\n'
    )
    file = await zai.files.create(file=lines, purpose="batch")
    part = ServerPart(number=1, rows=1, file_id=file.id)
    manifest_path(out).write_bytes(server.msgspec.json.encode(Manifest(parts=[part])))
    assert (await zai.batch.run([], out=out, **SERVER)).state == "finished"
    assert len(created(zai_emulator)) == 1


async def test_a_run_that_is_stopped_before_it_begins(zai, zai_emulator, out):
    run = zai.batch.run(rows(2), out=out, **SERVER)
    run.stop()
    assert await collect(run) == {}
    assert created(zai_emulator) == []


async def test_an_input_that_raises_ends_the_run(zai, out):
    def broken():
        raise LookupError
        yield

    with pytest.raises(LookupError):
        await zai.batch.run(broken(), out=out, **SERVER)


async def test_what_is_noted_before_each_step(zai, zai_emulator, out):
    """Whenever the process ends, the next run finds what has been paid for."""
    notes = []

    async def look(event):
        if event.operation in {"files.create", "batches.create", "batches.retrieve"}:
            [part] = json.loads(await to_the_end(manifest_path(out).read_bytes))["parts"]
            note = event.operation, bool(part["file_id"]), bool(part["batch_id"])
            notes.append(note)

    watched = zai.with_options(hooks=Hooks(on_start=look))
    await watched.batch.run(rows(2), out=out, **SERVER)
    assert list(dict.fromkeys(notes)) == [
        ("files.create", False, False),
        ("batches.create", True, False),
        ("batches.retrieve", True, True),
    ]


async def test_there_is_no_order(zai, out):
    with pytest.raises(ConfigurationError, match="no order"):
        await zai.batch.run(rows(2), out=out, ordered=True, **SERVER)


@pytest.mark.parametrize(
    "given", [{"dedupe": True}, {"cache": "cache"}, {"fallbacks": ["glm-4.7"]}]
)
async def test_what_batches_of_the_platform_do_not_do_is_refused(zai, zai_emulator, out, given):
    with pytest.raises(ConfigurationError, match=f"know no {next(iter(given))}="):
        await zai.batch.run(rows(2), out=out, **given, **SERVER)
    assert zai_emulator.requests == []


async def test_answers_of_earlier_runs_are_handed_out_if_asked_for(zai, out, monkeypatch):
    async def begun():
        run = zai.batch.run(rows(9), out=out, replay=True, **SERVER)
        first = await anext(run)
        while run._engine.outbox.backlog < 2:
            await anyio.lowlevel.checkpoint()
        # No more are read than are taken.
        assert run.progress.skipped == 3
        return run, first

    monkeypatch.setattr(server, "_MOST_READY", 2)
    await zai.batch.run(rows(8), out=out, **SERVER)
    run, first = await begun()
    assert (first.key, first.source) == ("row-0", "output")
    found = {each.key: each.source async for each in run}
    assert list(found.values()) == ["output"] * 7 + ["call"]
    # Whoever wants no more of them does not hold the others up.
    run, _ = await begun()
    assert (await run).done == 9


@pytest.mark.parametrize("whose", ["run", "client"])
async def test_a_budget_is_charged_and_ends_the_run(zai, zai_emulator, out, monkeypatch, whose):
    monkeypatch.setattr(server, "_MOST_ROWS", 2)
    budget = Budget(tokens=1)
    given = SERVER if whose == "client" else {**SERVER, "budget": budget}
    paying = zai.with_options(budget=budget) if whose == "client" else zai
    options = CallOptions(tag="nightly")
    report = await paying.batch.run(rows(6), out=out, concurrency=1, options=options, **given)
    assert (report.state, report.reason, report.done) == ("paused", "budget", 2)
    assert report.tokens == budget.tokens_spent == zai.usage.total.tokens > 0
    assert zai.usage.by_tag()["nightly"].calls == 2
    assert len(created(zai_emulator)) == 1
    assert (await zai.batch.run(rows(6), out=out, **SERVER)).done == 6


async def test_a_budget_in_money_needs_prices(zai, out):
    budget = Budget(cost=1)
    results = await collect(zai.batch.run(rows(1), out=out, budget=budget, **SERVER))
    assert results["row-0"].kind == "config"
    assert "needs the price of 'glm-5.3'" in results["row-0"].error.message


def test_a_line_that_says_nothing():
    (failed,) = told(b'{"custom_id":"a"}')
    assert (failed.kind, failed.error.message) == ("stream", "the response has no answer")


def told(line, operation=ep.CHAT):
    return results_of(line, {"a": "row-1"}, operation)


@pytest.mark.parametrize(
    ("line", "kind", "message", "code"),
    [
        (b'"error":{"code":1301,"message":"No."}', "content", "No.", "1301"),
        (b'"error":{}', "stream", "the row was refused", None),
        (
            b'"response":{"status_code":200,"body":{"error":{"code":"1113","message":"Pay."}}}',
            "billing",
            "Pay.",
            "1113",
        ),
        (b'"response":{"status_code":"x","body":[]}', "stream", "the response has no answer", None),
        (b'"response":{"status_code":500,"body":null}', "stream", "the row was refused", None),
        (
            b'"response":{"status_code":500,"body":{"error":{"message":"Oh."}}}',
            "server",
            "Oh.",
            None,
        ),
    ],
)
def test_lines_of_refusals(line, kind, message, code):
    (failed,) = told(b'{"custom_id":"a",%b}' % line)
    assert (failed.key, failed.kind, failed.error.message) == ("row-1", kind, message)
    assert (failed.error.code, failed.attempts) == (code, 1)


def test_lines_that_are_of_no_row():
    assert told(b'{\n"7"\n{"custom_id":"b"}\n\xff\n') == []


def test_a_batch_of_vectors_without_vectors():
    line = b'{"custom_id":"a","response":{"status_code":200,"body":{"data":[]}}}'
    (failed,) = told(line, ep.EMBEDDINGS)
    assert failed.kind == "stream"


async def test_embeddings_and_images_are_batches_of_their_own(zai, zai_emulator, out):
    embed = {"url": "/v1/embeddings", "body": {"model": "embedding-3", "input": "Hi."}}
    paint = {"url": "/v4/images/generations", "body": {"model": "cogview-4", "prompt": "A cat."}}
    given = [*rows(2), {"custom_id": "e", **embed}, {"custom_id": "i", **paint}]
    results = await collect(zai.batch.run(given, out=out, **SERVER))
    assert results["row-0"].text
    assert len(results["e"].answer.data[0].embedding) == 2048
    assert results["i"].answer.data[0].url.startswith("http")
    asked = [json.loads(each.body)["endpoint"] for each in created(zai_emulator)]
    assert asked == ["/v4/chat/completions", "/v4/embeddings", "/v4/images/generations"]
    urls = {line["custom_id"]: line.get("url") for line in lines_of(out)}
    assert urls["e"] == "/paas/v4/embeddings"
    # Read again they are what they were.
    again = await collect(zai.batch.run(given, out=out, replay=True, model="glm-5.3"))
    assert {key: each.answer for key, each in again.items()} == {
        key: each.answer for key, each in results.items()
    }


async def test_a_batch_is_looked_for_on_every_page():
    asked = []

    class Manager:
        settings = SimpleNamespace(budget=None, tag=None)

        async def call(self, operation, params):
            asked.append(params)
            number = len(asked)
            batches = [Batch(id=f"batch-{number}", input_file_id=f"file-{number}")]
            return Page(data=batches, has_more=number < 3)

    settings = RunSettings(out="out", backend="server")
    backend = server.ServerBackend(SimpleNamespace(settings=settings, manager=Manager()))
    assert await backend._find("file-3") == "batch-3"
    assert asked == [{}, {"after": "batch-1"}, {"after": "batch-2"}]


async def test_a_batch_that_nobody_knows_any_more_pauses_the_run(zai, out, monkeypatch):
    async def gone(self):
        raise TaskFailedError("gone")

    monkeypatch.setattr(server.Task, "wait", gone)
    report = await zai.batch.run(rows(1), out=out, **SERVER)
    assert (report.state, report.reason) == ("paused", "task")


async def test_a_part_that_fails_ends_the_run_at_once(zai, out, monkeypatch):
    """The batches of the others go on, some of them for hours, and the next run waits for them."""
    begun = asyncio.Event()

    async def wait_for(self, part):
        if part.number == 2:
            await begun.wait()
            raise OSError(28, "No space left on device")
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "_MOST_ROWS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(server.ServerBackend, "_wait_for", wait_for)
        run = zai.batch.run(rows(9), out=out, concurrency=2, **SERVER)
        with pytest.raises(OSError, match="No space left"):
            await collect(run)
    assert ((await run.report()).reason, run.progress.in_flight) == ("OSError", 0)
    assert len(json.loads(manifest_path(out).read_bytes())["parts"]) == 2
    assert (await zai.batch.run(rows(9), out=out, **SERVER)).done == 9
