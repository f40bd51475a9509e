"""Runs of batches: what is sent, handed out and written down, and how runs end and go on."""

import asyncio
import errno
import gc
import json
import os
import signal
import threading
import wave
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from tests.batches import asked, client, collect, completion, echo, lines_of, refusal, rows
from tests.calls import FakeClock
from zai_async import (
    Budget,
    CallOptions,
    ClientClosedError,
    ConfigurationError,
    Limits,
    Price,
    RetryPolicy,
)
from zai_async.batch import BatchProgress, Failed, Ok, RowError
from zai_async.batch.calls import CallBackend
from zai_async.batch.engine import Engine
from zai_async.batch.journal import Manifest, manifest_path
from zai_async.batch.outbox import Outbox
from zai_async.batch.progress import Meter
from zai_async.ledger import Ledger
from zai_async.limiter import Snapshot, WindowKey
from zai_async.testing import FakeReply

# The platform's messages are in the time of Beijing.
IN_AN_HOUR = f"{datetime.now(UTC) + timedelta(hours=9):%Y-%m-%d %H:%M:%S}"
MODEL = {"model": "glm-5.3"}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "answers.jsonl"


def sent(transport):
    return [body["messages"][-1]["content"] for body in transport.bodies]


async def test_every_row_has_its_answer_and_its_line(out):
    zai, transport = client()
    results = await collect(zai.batch.run(rows(200), out=out, **MODEL))
    assert results.keys() == {f"row-{n}" for n in range(200)}
    assert all(isinstance(each, Ok) for each in results.values())
    assert (results["row-7"].text, results["row-7"].usage.total_tokens) == ("You said: Say 7.", 7)
    assert results["row-7"].row == {"custom_id": "row-7", "prompt": "Say 7."}
    assert results["row-7"].completion.model == "glm-5.3"
    lines = lines_of(out)
    assert {line["custom_id"] for line in lines} == results.keys()
    assert all(next(iter(line)) == "custom_id" and line["error"] is None for line in lines)
    assert lines[0]["response"]["body"] == completion(f"You said: Say {lines[0]['custom_id'][4:]}.")
    assert len(transport.requests) == 200


async def test_rows_of_every_kind_in_one_input(out):
    zai, _ = client()
    given = ["Hello.", b'{"custom_id":"line","prompt":"Hi."}', {"body": completion()}, b"{", 7]
    results = await collect(zai.batch.run(given, out=out, **MODEL))
    kinds = Counter(type(each).__name__ for each in results.values())
    assert kinds == {"Ok": 2, "Failed": 3}
    assert {each.kind for each in results.values() if isinstance(each, Failed)} == {"input"}
    report = await zai.batch.status(out)
    assert (report.done, report.failed, report.failures) == (2, {"input": 3}, 3)
    assert (report.state, report.exit_code) == ("finished", 5)
    # What cannot be read is told again, and not written down again.
    again = await collect(zai.batch.run(given, out=out, **MODEL))
    assert len(again) == 3
    assert len(lines_of(out)) == 5


LONG = b"9" * 5000


UNREADABLE = {
    "prompt": b'{"custom_id":"a","prompt":1e999}',
    "id": b'{"custom_id":1e999,"prompt":"x"}',
    "field": b'{"prompt":"x","temperature":1e999}',
    "digits": b'{"prompt":"x","seed":%b}' % LONG,
    "digits of a body": b'{"body":{"model":"m","messages":"x","seed":%b}}' % LONG,
    "model": b'{"messages":"x","model":1e999}',
    "integer": {"prompt": "x", "seed": 10**5000},
    "integer as id": {"custom_id": 10**5000, "prompt": "x"},
    "surrogate as id": {"custom_id": "\ud800", "prompt": "x"},
    "surrogate": {"custom_id": "a", "prompt": "\ud800"},
    "bytes": {"custom_id": "a", "body": b'{"model":"m\xff","messages":"x"}'},
    "url": {"url": "\ud800", "body": completion()},
    "no row": 10**5000,
}


@pytest.mark.parametrize("row", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("schema", [None, int])
async def test_no_row_ends_the_run(out, row, schema):
    zai, transport = client(FakeReply.json(completion("7")))
    results = [each async for each in zai.batch.run([row, "x"], out=out, schema=schema, **MODEL)]
    assert {type(each): getattr(each, "kind", None) for each in results} == {
        Failed: "input",
        Ok: None,
    }
    # It ends no later run either, and is told again.
    again = [each async for each in zai.batch.run([row, "x"], out=out, schema=schema, **MODEL)]
    assert [each.kind for each in again] == ["input"]
    assert (len(transport.requests), len(lines_of(out))) == (1, 2)


async def test_the_same_call_goes_on(out):
    zai, transport = client()
    assert (await zai.batch.run(rows(5), out=out, **MODEL)).done == 5
    # What is inserted or in another order is known by its key, never by its place.
    later = [*rows(3, start=7), *reversed(rows(7))]
    seen = await collect(zai.batch.run(later, out=out, **MODEL))
    assert seen.keys() == {"row-5", "row-6", "row-7", "row-8", "row-9"}
    assert len(transport.requests) == 10


async def test_rows_without_id_are_known_by_what_they_ask(out):
    zai, transport = client()
    await zai.batch.run(["a", "b", "a"], out=out, **MODEL)
    assert sorted(sent(transport)) == ["a", "a", "b"]
    again = await collect(zai.batch.run(["c", "a", "a", "a", "b"], out=out, **MODEL))
    assert len(again) == 2
    assert sorted(sent(transport)[3:]) == ["a", "c"]


async def test_an_id_that_is_used_twice_loses_nothing(out):
    zai, _ = client()
    given = [*rows(1), {"custom_id": "row-0"}, {"custom_id": "row-0", "prompt": "Other."}]
    results = await collect(zai.batch.run(given, out=out, **MODEL))
    assert isinstance(results["row-0"], Ok)
    assert "more than once" in results["row-0#2"].error.message
    assert "this row is 'row-0#3'" in results["row-0#3"].error.message
    assert await collect(zai.batch.run(rows(1), out=out, **MODEL)) == {}


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
async def test_no_repeated_row_gets_the_answer_of_one_that_is_called_like_it(out, order):
    zai, _ = client()
    given = [{"custom_id": key, "prompt": "Hi."} for key in ("row-0#2", "row-0", "row-0")]
    for again in (given, [given[place] for place in order]):
        results = await collect(zai.batch.run(again, out=out, replay=True, **MODEL))
        assert {key: type(each) for key, each in results.items()} == {
            "row-0#2": Ok,
            "row-0": Ok,
            "row-0#3": Failed,
        }


async def test_failures_are_rows_and_are_tried_again(out):
    bad = {"Say 1.": refusal("1301"), "Say 3.": refusal("1210")}
    zai, transport = client(lambda request: bad.get(asked(request)) or echo(request))
    results = await collect(zai.batch.run(rows(5), out=out, **MODEL))
    failed = {key: each.kind for key, each in results.items() if isinstance(each, Failed)}
    assert failed == {"row-1": "content", "row-3": "request"}
    assert results["row-1"].error.code == "1301"
    bad.clear()
    assert await collect(zai.batch.run(rows(5), out=out, resume="missing", **MODEL)) == {}
    again = await collect(zai.batch.run(rows(7), out=out, resume="failed", **MODEL))
    assert again.keys() == failed.keys()
    assert len(transport.requests) == 7
    assert (await zai.batch.run(rows(7), out=out, **MODEL)).exit_code == 0


async def test_what_there_is_of_an_answer_is_kept(out):
    answer = completion("Half an")
    answer["choices"][0]["finish_reason"] = "network_error"
    zai, _ = client(FakeReply.json(answer))
    results = await collect(zai.batch.run(rows(1), out=out, **MODEL))
    assert results["row-0"].error.code == "network_error"
    assert json.loads(results["row-0"].partial)["choices"][0]["message"]["content"] == "Half an"
    assert lines_of(out)[0]["response"]["body"] is not None


@pytest.mark.parametrize(
    ("reply", "reason", "code"),
    [
        (refusal("1113", 429), "billing", 3),
        (refusal("1000", 401), "auth", 3),
        (refusal("1112", 403), "account", 3),
        (refusal("1308", 429, f"Your limit will reset at {IN_AN_HOUR}"), "quota", 4),
    ],
)
async def test_what_hits_all_rows_pauses_the_run(out, reply, reason, code):
    broken = True

    def script(request):
        return reply if broken and asked(request) == "Say 10." else echo(request)

    zai, transport = client(script)
    endless = ({"custom_id": str(n), "prompt": f"Say {n}."} for n in range(10**9))
    results = await collect(zai.batch.run(endless, out=out, concurrency=4, **MODEL))
    assert all(isinstance(each, Ok) for each in results.values())
    assert len(transport.requests) <= 11 + 4
    report = await zai.batch.status(out)
    assert (report.state, report.reason, report.exit_code) == ("paused", reason, code)
    assert report.message
    assert (report.retry_at is not None) == (reason == "quota")
    assert report.done == len(results) == len(lines_of(out))
    broken = False
    assert (await zai.batch.run(rows(0), out=out, **MODEL)).exit_code == 0
    assert (await zai.batch.status(out)).reason is None


async def test_a_budget_pauses_the_run(out):
    zai, transport = client(prices={"glm-5.3": Price(prompt=1e6, completion=0)})
    budget = Budget(tokens=70)
    run = zai.batch.run(rows(50), out=out, budget=budget, concurrency=1, **MODEL)
    report = await run
    assert (report.state, report.reason, report.exit_code) == ("paused", "budget", 3)
    assert (report.tokens, report.cost, len(transport.requests)) == (70, 30, 10)
    # What earlier runs have used is not forgotten.
    report = await zai.batch.run(rows(11), out=out, **MODEL)
    assert (report.tokens, report.cost) == (77, 33)


async def test_a_client_that_closes_pauses_the_run(out):
    zai, _ = client()
    async with zai.batch.run(rows(10**4), out=out, concurrency=2, **MODEL) as run:
        await anext(run)
        await zai.aclose()
        await collect(run)
    report = await run.report()
    assert (report.state, report.reason) == ("paused", "client")
    with pytest.raises(ClientClosedError):
        await zai.chat.completions.create(messages="Hello.", **MODEL)


async def test_no_more_is_read_than_is_worked_on(out):
    read = []

    def endless():
        for number in range(10**9):
            read.append(number)
            yield {"custom_id": str(number), "prompt": f"Say {number}."}

    zai, transport = client(limits=8)
    results = []
    async with zai.batch.run(endless(), out=out, concurrency=10, **MODEL) as run:
        async for each in run:
            results.append(each)
            if len(results) == 100:
                break
    most = 100 + 2 * 64 + 10
    assert len(transport.requests) <= len(read) <= most
    # Whatever was paid for is written down.
    assert len(lines_of(out)) == len(transport.requests)
    assert (await run.report()).state == "stopped"


async def test_results_come_in_the_order_of_rows(out):
    held, release = [], asyncio.Event()

    async def slow(request):
        if asked(request) == "Say 0.":
            await release.wait()
        held.append(asked(request))

    zai, transport = client(limits="off")
    send = transport.send

    async def hold(request):
        await slow(request)
        return await send(request)

    transport.send = hold
    run = zai.batch.run(rows(1000), out=out, ordered=True, **MODEL)
    first = asyncio.create_task(anext(run))
    while len(held) < 200:
        await anyio.lowlevel.checkpoint()
        await asyncio.wait([first], timeout=0.01)
    assert not first.done()
    release.set()
    assert (await first).key == "row-0"
    assert [each.key async for each in run] == [f"row-{n}" for n in range(1, 1000)]
    # The first row held the others up only so far.
    assert held.index("Say 0.") < 700


async def test_whoever_goes_away_stops_the_run(out):
    zai, transport = client()
    endless = ({"custom_id": str(n), "prompt": f"Say {n}."} for n in range(10**9))
    async for _ in zai.batch.run(endless, out=out, concurrency=2, **MODEL):
        break
    gc.collect()
    while (await zai.batch.status(out)).active:
        await anyio.lowlevel.checkpoint()
    report = await zai.batch.status(out)
    assert (report.state, report.reason) == ("stopped", "caller")
    assert report.done == len(transport.requests)


async def test_a_run_that_is_stopped_comes_to_its_end(out):
    zai, _ = client()
    endless = ({"custom_id": str(n), "prompt": f"Say {n}."} for n in range(10**9))
    run = zai.batch.run(endless, out=out, **MODEL)
    assert run.progress is None
    await anext(run)
    run.stop()
    rest = await collect(run)
    assert run.progress.done == len(rest) + 1
    assert (await run.report()).exit_code == 130
    await run.aclose()


async def test_a_run_that_is_stopped_before_it_begins_reads_nothing(out):
    zai, transport = client()
    run = zai.batch.run(rows(3), out=out, **MODEL)
    run.stop()
    assert await collect(run) == {}
    assert transport.requests == []
    untouched = zai.batch.run(rows(3), out=out, **MODEL)
    async with untouched:
        pass
    await untouched.aclose()


async def test_a_run_that_is_closed_ends_at_once(out):
    zai, _ = client(FakeReply(delay=1e6))
    run = zai.batch.run(rows(3), out=out, **MODEL)
    reader = asyncio.create_task(collect(run))
    while not (run.progress and run.progress.in_flight):
        await anyio.lowlevel.checkpoint()
    await run.aclose()
    assert await reader == {}
    report = await run.report()
    assert (report.state, report.reason, report.done) == ("stopped", "caller", 0)


async def awaited(run):
    """Return a task that awaits a run, of which a row is in flight."""

    async def wait():
        return await run

    waiting = asyncio.create_task(wait())
    while not (run.progress and run.progress.in_flight):
        await anyio.lowlevel.checkpoint()
    return waiting


async def test_who_awaits_a_run_may_be_cancelled(out):
    zai, _ = client(FakeReply(delay=1e6))
    run = zai.batch.run(rows(3), out=out, **MODEL)

    waiting = await awaited(run)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await run.report()).state == "stopped"


async def test_who_leaves_a_run_may_be_cancelled(out):
    """While it waits for the rows in flight, which nobody would be left to stop."""
    zai, transport = client(echo, FakeReply(delay=1e6))
    run, leaving = zai.batch.run(rows(30), out=out, **MODEL), asyncio.Event()

    async def work():
        async with run:
            await anext(run)
            leaving.set()

    working = asyncio.create_task(work())
    await leaving.wait()
    await anyio.lowlevel.checkpoint()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    report = await run.report()
    assert (report.state, report.active, transport.open_responses) == ("stopped", False, 0)


async def test_an_error_of_the_reader_ends_the_run_at_once(out):
    async def fail(run):
        async with run:
            await anext(run)
            raise LookupError

    zai, transport = client(echo, FakeReply(delay=1e6))
    run = zai.batch.run(rows(30), out=out, **MODEL)
    with pytest.raises(LookupError):
        await fail(run)
    assert ((await run.report()).state, transport.open_responses) == ("stopped", 0)


def test_a_loop_that_ends_takes_the_run_along(out):
    async def main():
        zai, _ = client(FakeReply(delay=1e6))
        run = zai.batch.run(rows(3), out=out, **MODEL)
        reader = asyncio.create_task(collect(run))
        while not (run.progress and run.progress.in_flight):
            await anyio.lowlevel.checkpoint()
        return zai, reader

    zai, reader = asyncio.run(main())
    assert reader.cancelled()
    report = asyncio.run(zai.batch.status(out))
    assert (report.state, report.reason, report.active) == ("stopped", "cancelled", False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_lets_the_run_come_to_its_end(out, number):
    before = signal.getsignal(number)
    zai, transport = client()
    endless = ({"custom_id": str(n), "prompt": f"Say {n}."} for n in range(10**9))
    run = zai.batch.run(endless, out=out, handle_signals=True, concurrency=2, **MODEL)
    await anext(run)
    os.kill(os.getpid(), number)
    await collect(run)
    report = await run.report()
    assert (report.reason, report.message) == ("signal", f"stopped by {number.name}")
    assert report.done == len(transport.requests)
    assert signal.getsignal(number) == before


async def test_a_second_signal_stops_at_once(out):
    zai, _ = client(FakeReply(delay=1e6))
    run = zai.batch.run(rows(3), out=out, handle_signals=True, **MODEL)
    reader = asyncio.create_task(collect(run))
    while not (run.progress and run.progress.in_flight):
        await anyio.lowlevel.checkpoint()
    os.kill(os.getpid(), signal.SIGINT)
    while run._engine.stopped is None:
        await anyio.lowlevel.checkpoint()
    assert not reader.done()
    os.kill(os.getpid(), signal.SIGINT)
    assert await reader == {}
    assert (await run.report()).reason == "signal"


def test_other_threads_get_no_signals(out):
    reports = []

    async def main():
        zai, _ = client()
        reports.append(await zai.batch.run(rows(2), out=out, handle_signals=True, **MODEL))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert reports[0].done == 2


async def test_equal_rows_share_an_answer_if_asked_to(out):
    zai, transport = client()
    results = await collect(zai.batch.run(["Hi."] * 100, out=out, dedupe=True, **MODEL))
    assert (len(results), len(transport.requests), len(lines_of(out))) == (100, 1, 100)
    copies = [each for each in results.values() if each.source == "duplicate"]
    assert len(copies) == 99
    first = next(key for key, each in results.items() if each.source == "call")
    assert {each.deduplicated_from for each in copies} == {first}
    assert {each.attempts for each in copies} == {0}
    # Answers of earlier runs count as well; whatever differs does not.
    other = {"custom_id": "x", "messages": "Hi.", "temperature": 0}
    more = [*["Hi."] * 101, {"custom_id": "y", "prompt": "Hi."}, other]
    again = await collect(zai.batch.run(more, out=out, dedupe=True, **MODEL))
    assert {key: each.source for key, each in again.items() if each.key in "xy"} == {
        "x": "call",
        "y": "duplicate",
    }
    assert len(transport.requests) == 2


async def test_failures_are_shared_by_nobody(out):
    script = [refusal("1301"), echo]
    zai, transport = client(*script)
    results = await collect(zai.batch.run(["Hi."] * 5, out=out, dedupe=True, **MODEL))
    kinds = Counter(type(each).__name__ for each in results.values())
    assert kinds == {"Failed": 1, "Ok": 4}
    assert len(transport.requests) == 2


async def test_answers_that_are_not_whole_are_shared_by_nobody(out, tmp_path):
    answer = completion("Too lo")
    answer["choices"][0]["finish_reason"] = "length"
    zai, transport = client(FakeReply.json(answer))
    await zai.batch.run(["Hi."] * 3, out=out, dedupe=True, cache=tmp_path / "cache", **MODEL)
    assert len(transport.requests) == 3
    assert not (tmp_path / "cache").exists()


async def test_a_cache_is_shared_by_runs(out, tmp_path):
    zai, transport = client()
    cache = tmp_path / "cache"
    await zai.batch.run(rows(5), out=out, cache=cache, **MODEL)
    results = await collect(zai.batch.run(rows(6), out=tmp_path / "other", cache=cache, **MODEL))
    assert Counter(each.source for each in results.values()) == {"cache": 5, "call": 1}
    assert results["row-0"].text == "You said: Say 0."
    assert len(transport.requests) == 6
    # A file that is spoilt is a miss.
    for file in cache.glob("*/*.json"):
        file.write_bytes(b"{")
    await zai.batch.run(rows(6), out=tmp_path / "third", cache=cache, **MODEL)
    assert len(transport.requests) == 12


async def test_a_cache_that_cannot_be_written_costs_no_row(out, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file")
    zai, _ = client()
    report = await zai.batch.run(rows(2), out=out, cache=tmp_path / "cache", **MODEL)
    assert (report.done, report.failures) == (2, 0)
    assert "cache" in caplog.text
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1  # not one for every row


async def test_a_cache_on_a_full_disk_keeps_no_halves(out, tmp_path, caplog, monkeypatch):
    def fill(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    zai, _ = client()
    cache = tmp_path / "cache"
    report = await zai.batch.run(rows(2), out=out, cache=cache, **MODEL)
    assert report.done == 2
    assert not [each for each in cache.rglob("*") if each.is_file()]
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert str(cache) in record.getMessage()


async def test_another_model_is_asked_when_one_is_busy(out):
    busy = {"glm-5.3": refusal("1305", 429), "glm-5.2": refusal("1308", 429)}

    def script(request):
        return busy.get(json.loads(request.body)["model"]) or echo(request)

    zai, transport = client(script, limits="off")
    fallbacks = ("glm-5.3", "glm-5.2", "glm-4.7")
    options = {"retry": RetryPolicy(retries=0), "fallbacks": fallbacks}
    results = await collect(zai.batch.run(rows(1), out=out, **options, **MODEL))
    assert results["row-0"].text == "You said: Say 0."
    models = [body["model"] for body in transport.bodies]
    assert models == ["glm-5.3", "glm-5.2", "glm-4.7"]
    # What is wrong with the row is wrong for all models.
    busy["glm-5.2"] = refusal("1301")
    results = await collect(zai.batch.run(rows(2), out=out, **options, **MODEL))
    assert results["row-1"].kind == "content"
    busy["glm-4.7"] = busy["glm-5.2"] = refusal("1305", 429)
    results = await collect(zai.batch.run(rows(3, start=2), out=out, **options, **MODEL))
    assert {each.kind for each in results.values()} == {"overload"}


async def test_answers_of_earlier_runs_are_handed_out_if_asked_for(out):
    zai, _ = client()
    await zai.batch.run(rows(3), out=out, **MODEL)
    run = zai.batch.run(rows(5), out=out, replay=True, ordered=True, **MODEL)
    found = [(each.key, each.source, each.text) async for each in run]
    assert [key for key, _, _ in found] == [f"row-{n}" for n in range(5)]
    assert [source for _, source, _ in found] == ["output"] * 3 + ["call"] * 2
    assert found[1][2] == "You said: Say 1."


async def test_a_raw_body_is_sent_byte_for_byte(out):
    body = b'{"messages" : [{"role":"user","content":"Hi"}], "x":1.0, "model":"glm-5.3"}'
    zai, transport = client()
    await zai.batch.run([b'{"custom_id":"a","body":' + body + b"}"], out=out)
    assert transport.requests[0].body == body


async def test_other_operations(out, tmp_path, zai_emulator):
    from zai_async import AsyncZai

    sound = tmp_path / "a.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    given = [
        {"custom_id": "e", "url": "/v4/embeddings", "body": {"model": "embedding-3", "input": "x"}},
        {
            "custom_id": "i",
            "url": "/v4/images/generations",
            "body": {"model": "cogview-4", "prompt": "x"},
        },
        {
            "custom_id": "t",
            "url": "/v4/audio/transcriptions",
            "body": {"model": "glm-asr-2512", "file": str(sound)},
        },
        {
            "custom_id": "n",
            "url": "/v4/audio/transcriptions",
            "body": {"model": "glm-asr-2512", "file": str(tmp_path / "none.wav")},
        },
        {
            "custom_id": "u",
            "url": "/v4/audio/transcriptions",
            "body": {"model": "glm-asr-2512", "file": str(sound), "unknown": 1},
        },
        {
            "custom_id": "b",
            "url": "/v4/audio/transcriptions",
            "body": {"model": "glm-asr-2512", "file_base64": ""},
        },
    ]
    async with AsyncZai(base_url=zai_emulator.url, api_key="test") as zai:
        results = await collect(zai.batch.run(given, out=out))
        assert {key: type(each).__name__ for key, each in results.items()} == {
            "e": "Ok",
            "i": "Ok",
            "t": "Ok",
            "n": "Failed",
            "u": "Failed",
            "b": "Failed",
        }
        again = await collect(zai.batch.run(given[:3], out=out, replay=True))
    assert again["t"].text == results["t"].text
    assert again["e"].answer.data == results["e"].answer.data


async def test_answers_in_another_form_become_plain_json(out):
    pretty = json.dumps(completion("Fine."), indent=2).encode()
    events = FakeReply.sse(
        {"choices": [{"delta": {"content": "Fine."}, "finish_reason": "stop", "index": 0}]}
    )
    headers = {"Content-Type": "application/json"}
    enveloped = FakeReply.json({"result": {"data": [{"embedding": [1.0], "index": 0}]}})
    for number, reply in enumerate((FakeReply(headers=headers, steps=(pretty,)), events)):
        zai, _ = client(reply)
        await zai.batch.run(rows(1, start=number), out=out, **MODEL)
    texts = [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines_of(out)]
    assert texts == ["Fine.", "Fine."]
    zai, _ = client(enveloped)
    given = [{"custom_id": "e", "url": "/v4/embeddings", "body": {"model": "e", "input": "x"}}]
    await zai.batch.run(given, out=out, force_resume=True)
    assert lines_of(out)[-1]["response"]["body"]["data"][0]["embedding"] == [1.0]
    zai, _ = client(FakeReply.json({"data": [{"embedding": [1.0], "index": "first"}]}))
    await zai.batch.run([given[0] | {"custom_id": "f"}], out=out, force_resume=True)
    assert lines_of(out)[-1]["response"]["body"]["data"][0]["embedding"] == [1.0]


async def test_gateways_with_words_of_their_own(out):
    gateway = {"provider": "lowcodeapi", "api_key": "at_1234567"}
    zai, transport = client(FakeReply.json({"data": completion("Fine.")}), **gateway)
    results = await collect(zai.batch.run(["Hi."], out=out, **MODEL))
    assert [each.text for each in results.values()] == ["Fine."]
    assert lines_of(out)[0]["response"]["body"]["choices"]
    zai, transport = client(FakeReply.json({"data": {"token_count": 3}}), **gateway)
    count = {"url": "/v4/tokenizer", "body": {"model": "m", "messages": "Hi."}}
    assert (await zai.batch.run([count], out=out, **MODEL)).done == 2
    assert transport.bodies == [{"model": "m", "input": "Hi."}]


async def test_settings_are_written_down_before_anything_is_asked(out):
    sent = asyncio.Event()

    def reply(_):
        sent.set()
        return FakeReply(delay=1e6)

    zai, _ = client(reply)

    async def work():
        await zai.batch.run(rows(1), out=out, **MODEL)

    running = asyncio.create_task(work())
    await sent.wait()
    kept = json.loads(manifest_path(out).read_bytes())
    running.cancel()
    await asyncio.wait([running])
    assert kept["config"]


async def test_progress_is_told(out):
    told = []
    zai, _ = client()

    async def show(progress):
        told.append(progress)

    await zai.batch.run(rows(10), out=out, on_progress=show, **MODEL)
    await zai.batch.run(rows(12), out=out, on_progress=told.append, **MODEL)
    first, second = told[0], told[-1]
    assert isinstance(first, BatchProgress)
    assert (first.total, first.done, first.skipped, first.failures, first.in_flight) == (
        *(10, 10, 0),
        *(0, 0),
    )
    assert (second.total, second.done, second.skipped, second.tokens) == (12, 12, 10, 14)
    assert second.limit >= 2


async def test_progress_is_told_while_nothing_comes(out, monkeypatch):
    from zai_async.batch import engine

    monkeypatch.setattr(engine, "_PROGRESS", 0)
    monkeypatch.setattr(engine, "_SAVES", 2)
    told, enough = [], asyncio.Event()

    def show(progress):
        told.append(progress)
        if len(told) > 2:
            enough.set()

    zai, _ = client(FakeReply(delay=1e6), limits="off")
    run = zai.batch.run(rows(3), out=out, on_progress=show, **MODEL)
    reader = asyncio.create_task(collect(run))
    await enough.wait()
    assert told[-1].limit is None
    await run.aclose()
    await reader


async def test_a_bar_that_breaks_costs_nothing(out, caplog):
    def show(_):
        raise RuntimeError("no terminal")

    zai, _ = client()
    report = await zai.batch.run(rows(3), out=out, on_progress=show, **MODEL)
    assert report.done == 3
    assert "on_progress failed" in caplog.text


def test_rates_are_those_of_the_last_half_minute():
    clock = FakeClock()
    meter = Meter(clock, Ledger())
    assert meter.progress(total=None, in_flight=0, limit=None).rows_per_second == 0
    meter.start()
    for _ in range(20):
        clock.now += 5
        meter.failed["overload"] += 10
        shown = meter.progress(total=1000, in_flight=0, limit=None)
    assert (shown.rows_per_second, shown.eta, shown.elapsed) == (2, 400, 100)
    assert shown.failed == {"overload": 200}


def test_rates_are_those_since_the_beginning_and_forget_it_later():
    clock = FakeClock()
    meter = Meter(clock, Ledger())
    meter.start()
    shown = []
    for failures in [10] * 2 + [50] * 10:
        clock.now += 5
        meter.failed["overload"] += failures
        shown.append(meter.progress(total=None, in_flight=0, limit=None).rows_per_second)
    assert shown[:2] == [2, 2]
    assert shown[-1] == 10


def test_only_rows_that_were_asked_for_are_known_to_the_backend():
    """What could not be read has no request that an equal row could be answered by."""
    failed = Failed(key="row-0", error=RowError(kind="input", message="No."), row={})
    request, told = SimpleNamespace(model="glm-5.3"), []
    engine = SimpleNamespace(
        _backend=SimpleNamespace(
            delivered=lambda result, asked: told.append(asked), notice=lambda: None
        ),
        meter=SimpleNamespace(count=lambda *_: None),
        outbox=SimpleNamespace(put=lambda *_: None),
    )
    Engine._deliver(engine, [(0, failed, None), (1, failed, request)])
    assert told == [request]


async def test_a_bug_takes_no_more_rows(out):
    """The first failure ends the run; what it has pulled until then is all that it pulls."""
    pulled = []

    async def endless():
        while len(pulled) < 500:
            pulled.append(1)
            yield {"custom_id": f"row-{len(pulled)}", "prompt": "Hi."}
            await asyncio.sleep(0)

    def bug(_):
        raise LookupError("a bug")

    zai, _ = client(bug, limits="off")
    with pytest.raises(LookupError, match="a bug"):
        await zai.batch.run(endless(), out=out, concurrency=1, **MODEL)
    assert len(pulled) < 500


@pytest.mark.parametrize("ordered", [True, False])
async def test_what_is_left_in_the_outbox_comes_at_the_end(ordered):
    box = Outbox(ordered=ordered)
    box.put(0, None)
    box.put(1, "b")
    box.put(4, None)
    box.put(3, "c")
    box.end()
    assert [await box.get(), await box.get()] == ["b", "c"]
    with pytest.raises(StopAsyncIteration):
        await box.get()
    box.discard()
    box.put(5, "d")
    assert box.backlog == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": "4"},
        {"concurrency": True},
        {"resume": "all"},
        {"resume": []},
        {"backend": "mainframe"},
        {"url": "/nothing"},
        {"ordered": "no"},
        {"handle_signals": 1},
        {"fallbacks": "glm-5.2"},
        {"fallbacks": 5},
        {"fallbacks": ["glm-5.2", ""]},
        {"fallbacks": [5]},
        {"on_progress": 5},
        {"retry": 0},
    ],
    ids=str,
)
def test_arguments_that_are_wrong(wrong):
    zai, _ = client()
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        zai.batch.run(["Hi."], out="out", **wrong)


async def test_a_bug_is_raised_and_not_a_row(out, monkeypatch):
    from zai_async.batch import answers

    def broken(*_):
        raise AssertionError("a bug")

    monkeypatch.setattr(answers, "whole_json", broken)
    zai, _ = client()
    run = zai.batch.run(rows(5), out=out, **MODEL)
    with pytest.raises(AssertionError, match="a bug"):
        await collect(run)
    assert (await run.report()).reason == "AssertionError"


async def test_an_input_that_raises_ends_the_run(out):
    async def broken():
        yield "Hi."
        raise LookupError("no more")

    zai, _ = client()
    run = zai.batch.run(broken(), out=out, **MODEL)
    with pytest.raises(LookupError, match="no more"):
        await collect(run)
    assert (await run.report()).done == 1


async def test_a_call_may_be_counted_under_a_tag(out):
    zai, _ = client()
    await zai.batch.run(rows(2), out=out, options=CallOptions(tag="nightly"), **MODEL)
    assert zai.usage.by_tag()["nightly"].calls == 2


async def test_status_of_what_is_no_output(tmp_path):
    zai, _ = client()
    with pytest.raises(ConfigurationError, match="No such file"):
        await zai.batch.status(tmp_path / "none")


async def test_rows_that_are_passed_over_let_others_have_their_turn(out, monkeypatch):
    from zai_async.batch import calls

    monkeypatch.setattr(calls, "_IN_ONE_GO", 2)
    monkeypatch.setattr(calls, "_MOST_READY", 2)
    zai, transport = client()
    await zai.batch.run(rows(20), out=out, **MODEL)
    # A row that was answered stays so, although it cannot be read any more.
    given = [{"custom_id": "row-0"}, *rows(20)[1:], *({"custom_id": f"bad-{n}"} for n in range(9))]
    run = zai.batch.run(given, out=out, replay=True, dedupe=True, **MODEL)
    results = [each async for each in run]
    assert Counter(type(each) for each in results) == {Ok: 20, Failed: 9}
    assert len(transport.requests) == 20


async def test_a_run_may_be_closed_by_somebody_else(out):
    zai, _ = client(FakeReply(delay=1e6))
    run = zai.batch.run(rows(3), out=out, **MODEL)

    waiting = await awaited(run)
    await run.aclose()
    assert (await waiting).state == "stopped"
    early = zai.batch.run(rows(3), out=out, **MODEL)
    early.stop()
    await early.aclose()
    assert (await early.report()).state == "stopped"


@pytest.mark.parametrize(
    ("limits", "begins"),
    [(None, 20), (Limits(most=9), 9), (Limits(start=30), 30), (7, 7), ("off", None)],
)
async def test_a_run_begins_with_half_of_what_was_found(out, limits, begins):
    manifest_path(out).write_text('{"limits": {"glm-5.3": 40, "glm-4.7": 3}}')
    zai, _ = client(limits=limits)
    run = zai.batch.run(rows(1), out=out, **MODEL)
    await collect(run)
    assert run.progress.limit == begins
    # It was not found out again in so few rows, and what is known of other models stays.
    kept = json.loads(manifest_path(out).read_bytes())["limits"]
    assert kept == {"glm-5.3": 40, "glm-4.7": 3}


async def assert_begins(given, out, number, **settings):
    """Begin a run, to which no answer comes and no time passes: the window stays as it is."""
    zai, transport = client(FakeReply(delay=1e6), clock=FakeClock(), **settings)
    run = zai.batch.run(given, out=out, **MODEL)
    waiting = await awaited(run)
    while len(transport.requests) < number:
        await anyio.lowlevel.checkpoint()
    assert run.progress.limit == number
    await run.aclose()
    await waiting


@pytest.mark.parametrize(
    ("given", "settings", "begins"),
    [
        (rows(3000), {}, 15),
        (rows(10_000), {}, 32),
        (rows(100), {}, 2),
        (rows(3000), {"limits": Limits(most=9)}, 9),
        (iter(rows(3000)), {}, 2),
    ],
    ids=["some", "many", "few", "with a ceiling", "nobody knows how many"],
)
async def test_a_run_of_many_rows_begins_with_some(out, given, settings, begins):
    await assert_begins(given, out, begins, **settings)


async def test_the_rows_of_a_file_are_guessed_by_its_size(out, tmp_path):
    given = tmp_path / "in.jsonl"
    given.write_text("".join(f"{json.dumps(row)}\n" for row in rows(1200, start=1000)))
    await assert_begins(given, out, 6)


@pytest.mark.parametrize(("found", "begins"), [({"glm-5.3": 8}, 4), ({"other": 8}, 15)])
async def test_what_was_found_is_better_known_than_how_many_rows_come(out, found, begins):
    manifest_path(out).write_text(json.dumps({"limits": found}))
    await assert_begins(rows(3000), out, begins)


def test_what_a_run_has_found_out():
    windows = {"a": (12, 3), "b": (50, 0), "off": (None, 0), "other": (7, 1)}
    figures = {"in_flight": 0, "waiting": 0, "paused_until": None}
    snapshot = {
        WindowKey("https://a", key, model): Snapshot(limit=limit, rejected=rejected, **figures)
        for model, (limit, rejected) in windows.items()
        for key in ("first", "second")
    }
    snapshot[WindowKey("https://a", "third", "a")] = Snapshot(limit=9, rejected=1, **figures)
    queues = SimpleNamespace(snapshot=lambda: snapshot)
    engine = SimpleNamespace(
        manager=SimpleNamespace(sessions=SimpleNamespace(queues=queues)),
        journal=SimpleNamespace(manifest=Manifest(limits={"a": 40, "b": 60})),
    )
    backend = CallBackend.__new__(CallBackend)
    backend._engine, backend._models = engine, {"a", "b", "off"}
    # Refusals tell that less is possible now; without any, it was not tried.
    assert backend.limits == {"a": 9, "b": 60}
