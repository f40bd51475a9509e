"""The output as a journal: its lines, its repair at every byte, and what it refuses to touch."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import client, collect, completion, lines_of, rows
from tests.effort import THOROUGH, sample
from zai_async import AsyncZai, ZaiError
from zai_async._operations import CHAT, EMBEDDINGS
from zai_async.batch import Failed, JournalError, Ok, RowError, runs
from zai_async.batch.journal import Journal, Manifest, manifest_path
from zai_async.batch.keys import KeyIndex, KeyState, digest_of
from zai_async.batch.lines import (
    LineHead,
    encode_failed,
    encode_ok,
    error_kind,
    head_of,
    parse_line,
    whole_json,
)
from zai_async.batch.recovery import Recovery
from zai_async.models import ChatCompletion

BODY = json.dumps(completion("Grüße\n☃"), ensure_ascii=False, indent=1).encode()


def ok(key="a", body=BODY, **facts):
    answer = msgspec.json.decode(body, type=ChatCompletion)
    return Ok(key=key, answer=answer, body=body, **facts)


def failed(key="a", **facts):
    error = RowError(kind="overload", message="busy", code="1305", status_code=429)
    return Failed(key=key, error=error, attempts=3, **facts)


@pytest.mark.parametrize("key", ["a", 'say "x"', "Ü\\", "line\nfeed", "\u2028", ""])
def test_a_line_says_what_became_of_its_row(key):
    for result in (
        ok(key, attempts=2, deduplicated_from="b"),
        failed(key),
        failed(key, partial=BODY),
    ):
        is_bad = isinstance(result, Failed)
        line = encode_failed(result) if is_bad else encode_ok(result, CHAT)
        assert line.count(b"\n") == 1 == line.endswith(b"\n")
        assert line.startswith(b'{"custom_id":')
        head = head_of(line)
        assert head is not None
        assert (head.key, head.failed) == (key, is_bad)
        assert head == head_of(line.rstrip())
        again = parse_line(line)
        assert (type(again), again.key, again.attempts) == (type(result), key, result.attempts)
        if isinstance(again, Ok):
            assert (again.text, again.source) == ("Grüße\n☃", "output")
            assert again.deduplicated_from == "b"
        else:
            assert again.error == result.error


def test_a_line_of_another_operation_says_so():
    body = b'{"object":"list","data":[{"index":0,"embedding":[0.5]}],"model":"e"}'
    result = Ok(key="a", answer=EMBEDDINGS.decoder.decode(body), body=body)
    again = parse_line(encode_ok(result, EMBEDDINGS))
    assert again.answer.data[0].embedding == [0.5]
    assert again.completion is None


def test_lines_of_other_batches_are_understood():
    theirs = b'{"id":"1","custom_id":"a","response":{"status_code":200,"body":{}},"error":null}'
    assert head_of(theirs).failed is False
    assert head_of(theirs.replace(b',"error":null', b"")).failed is False


REFUSED = b'{"error":{"code":"1301","message":"No."}}'


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (b'"response":null,"error":"bad"', RowError(kind="server", message="bad")),
        (b'"response":null', RowError(kind="protocol", message="the line holds no answer")),
        (b'"error":null', RowError(kind="protocol", message="the line holds no answer")),
        (
            b'"response":{"status_code":"200","body":[]}',
            RowError(kind="protocol", message="the line holds no answer"),
        ),
        (
            b'"response":null,"error":{"code":"batch_expired","message":"Late."}',
            RowError(kind="server", message="Late.", code="batch_expired"),
        ),
        (
            b'"response":{"status_code":429,"body":{}},"error":{}',
            RowError(kind="throttle", message="the row was refused", status_code=429),
        ),
        (
            b'"error":null,"response":{"status_code":400,"body":%b}' % REFUSED,
            RowError(kind="content", message="No.", code="1301", status_code=400),
        ),
    ],
)
def test_failures_of_other_batches_are_failures(rest, error):
    line = b'{"custom_id":"a",%b}' % rest
    assert head_of(line) == LineHead("a", failed=True)
    assert parse_line(line).error == error
    assert error_kind(line) == error.kind


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"prose\n",
        b"[1]\n",
        b'{"custom_id":"a"}\n',
        b'{"custom_id":"a","method":"POST","url":"/v4/chat/completions","body":{}}\n',
        b'{"custom_id":"\xff","error":null,"response":{}}\n',
        b'{"custom_id":7,"error":null}\n',
        b'{"custom_id":"a","error":null,"response":{"body":{"a":"\xff"}}}\n',
        b'{"custom_id":"a","error":null,"response":{"body":{"a":"\0"}}}\n',
        b'{"custom_id":"a","error":null,"response":{"body":{"a":\0\0}}}\n',
        b'{"custom_id":"a","error":null,"response":{"body":{}},"url":"/v4/nothing"}\n',
        b'{"custom_id":"a","error":null,"response":{"body":%b}}\n' % (b"[" * 10_000),
    ],
)
def test_other_lines_are_none(line):
    assert head_of(line) is None


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b'{"a":1}', True),
        (b"[1]", False),
        (b'{"a":', False),
        (b'{"a":"\xff"}', False),
        (b"", False),
    ],
)
def test_only_whole_json_is_embedded(data, whole):
    assert whole_json(data) is whole


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())))
def test_the_last_line_of_a_key_counts(lines):
    index, expected = KeyIndex(), {}
    for position, (key, bad) in enumerate(lines):
        index.record(digest_of(key), position, failed=bad)
        expected[key] = (bad, position)
    for key in "abcdef":
        known = index.get(digest_of(key))
        bad, position = expected.get(key, (None, None))
        assert (known and (known.failed, known.position)) == (
            bad if bad is None else (bad, position)
        )
        assert known is None or (known.done is not known.failed and not known.seen)
    assert index.failed == sum(bad for bad, _ in expected.values())
    assert index.done == len(expected) - index.failed


def test_keys_are_seen_once():
    index = KeyIndex()
    assert index.see(digest_of("a")) is None
    index.record(digest_of("a"), 5, failed=False)
    assert index.see(digest_of("a")).seen
    index.record(digest_of("b"), 7, failed=True)
    assert not index.see(digest_of("b")).seen
    again = index.get(digest_of("b"))
    assert (again.seen, again.failed, again.position) == (True, True, 7)


def test_digests_that_lie_across_records_do_not_match():
    index = KeyIndex()
    first, second = bytes(16), bytes(8) + b"\x01" * 8
    index.record(first, 0, failed=False)
    bucket, _ = index._find(first)
    bucket[:] = bytes(8) + second + bytes(24)
    assert index.get(second) is None


def test_digests_that_differ_in_one_byte_are_two():
    index = KeyIndex(positions=False)
    for place in range(15):
        assert index.see(bytes(place) + b"\x10" + bytes(15 - place)) is None
    assert index.see(bytes(16)) is None
    assert index.see(b"\x10" + bytes(15)).seen


def test_an_index_may_do_without_positions():
    index = KeyIndex(positions=False)
    for key in "ab":
        index.record(digest_of(key), 7, failed=key == "b")
        index.see(digest_of(key))
    index.record(digest_of("b"), 9, failed=False)
    assert index.get(digest_of("a")) == index.get(digest_of("b")) == KeyState(True, False, True, 0)
    assert (index.done, index.failed) == (2, 0)


def test_keys_take_little_memory():
    index = KeyIndex()
    for number in range(20_000):
        index.record(digest_of(str(number)), number, failed=False)
    used = sys.getsizeof(index._buckets) + sum(map(sys.getsizeof, index._buckets))
    # What grows is what a key takes; what does not is there once.
    empty = sum(map(sys.getsizeof, KeyIndex()._buckets)) + sys.getsizeof(index._buckets)
    assert (used - empty) * 10 + empty <= 8 * 2**20


WHOLE = [encode_ok(ok("a"), CHAT), encode_failed(failed("b")), encode_ok(ok("ü"), CHAT)]


def recovered(path, *, known=True):
    if known:
        manifest_path(path).write_bytes(msgspec.json.encode(Manifest(config="x")))
    journal = Journal(str(path), print, print)
    journal.open(None, "x", force=False)
    journal.close()
    return journal.recovery


@pytest.mark.parametrize(
    "cut", sorted({*sample(range(len(b"".join(WHOLE)) + 1), 60), len(WHOLE[0]) - 1})
)
@pytest.mark.parametrize("known", [True, False])
def test_a_torn_end_is_repaired_at_every_byte(tmp_path, cut, known):
    out, data = tmp_path / "out", b"".join(WHOLE)[:cut]
    out.write_bytes(data)
    first_line = cut < len(WHOLE[0]) - 1
    if first_line and cut and not known:
        # Nothing says that this was ever ours.
        with pytest.raises(JournalError):
            recovered(out, known=False)
        assert out.read_bytes() == data
        return
    index = recovered(out, known=known).index
    expected = b""
    for line in WHOLE:
        if cut >= len(expected) + len(line) - 1:  # only its end is missing: it is kept
            expected += line
        else:
            break
    assert out.read_bytes() == expected
    kept = expected.count(b"\n")
    assert (index.done, index.failed) == (kept - (kept >= 2), int(kept >= 2))


@given(st.binary(max_size=30).filter(lambda tail: b"\n" not in tail))
def test_any_torn_end_is_cut(tail):
    recovery = Recovery(known=True)
    heads = [head for head, _, _ in recovery.read(iter([*WHOLE, tail] if tail else WHOLE))]
    assert [head.key for head in heads] == ["a", "b", "ü"]
    assert (recovery.end, recovery.lacks_line_end) == (sum(map(len, WHOLE)), False)


def test_a_spoilt_line_costs_its_row_alone(tmp_path):
    out = tmp_path / "out"
    out.write_bytes(WHOLE[0] + bytes(20) + b"\n" + WHOLE[2])
    recovery = recovered(out)
    assert (recovery.index.done, recovery.damaged) == (2, 1)
    assert out.stat().st_size == recovery.end


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_line_that_is_spoilt_amid_is_not_done(tmp_path, place):
    """A block of zeros is what a disk leaves after a crash; its row is bought again."""
    out, line = tmp_path / "out", WHOLE[2]
    at = int(len(line) * place)
    out.write_bytes(WHOLE[0] + line[:at] + bytes(9) + line[at + 9 :])
    recovery = recovered(out)
    assert (recovery.index.done, recovery.damaged) == (1, 1)
    # Also the first one, which says of all others whose they are.
    out.write_bytes(out.read_bytes()[len(WHOLE[0]) :] + WHOLE[0])
    recovery = recovered(out, known=False)
    assert (recovery.index.done, recovery.damaged) == (1, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary,\n",
        b"Dear diary, without an end",
        b"\n",
        b'{"custom_id":"a","method":"POST","url":"/v4/chat/completions","body":{}}\n',
        b'{"custom_id":"a","method":"POST","url":"/v4/chat/completions","body":{}}',
        b'{"prompt":"x"}\n',
        WHOLE[0] + b'{"prompt":"x"}\n',
        b"\x89PNG\r\n\x1a\n",
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_what_is_not_ours_stays_as_it_is(tmp_path, content, known):
    out = tmp_path / "out"
    out.write_bytes(content)
    if not content.endswith(b"\n"):
        known = False  # beside a manifest this may be a line that a crash has torn
    with pytest.raises(JournalError) as caught:
        recovered(out, known=known)
    assert caught.value.reason == "foreign"
    assert out.read_bytes() == content


async def refused(out, source=None, text=""):
    zai, transport = client()
    with pytest.raises(JournalError, match=text) as caught:
        await zai.batch.run(source or ["Hello."], out=out, model="glm-5.3")
    assert transport.requests == []
    return caught.value


async def test_the_input_is_no_output(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"prompt":"x"}\n')
    link = tmp_path / "link"
    link.symlink_to(source)
    for out in (source, link):
        assert (await refused(out, source, "is the input")).reason == "foreign"
    assert source.read_text() == '{"prompt":"x"}\n'


async def test_directories_pipes_and_devices_are_no_output(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for out in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        assert (await refused(out, text="no regular file")).reason == "foreign"
    await refused(tmp_path / "nowhere" / "out", text="cannot be written: No such file")
    await refused("a\0b", text="cannot be written: .*embedded null")


async def test_somebody_elses_lock_is_respected(tmp_path):
    out = tmp_path / "out"
    zai, _ = client()
    endless = ({"custom_id": str(n), "prompt": "Hi."} for n in range(10**9))
    async with zai.batch.run(endless, out=out, model="glm-5.3") as run:
        await anext(run)
        assert (await zai.batch.status(out)).active
        error = await refused(out, text="another run")
        assert error.reason == "locked"
    assert not (await zai.batch.status(out)).active


@pytest.mark.parametrize("place", [(runs, "open_rows"), (Journal, "open")], ids=["input", "output"])
async def test_what_was_opened_for_a_run_that_is_cancelled_is_closed(tmp_path, monkeypatch, place):
    """It takes long where the output has millions of lines, or the input is a pipe."""
    out, source, opened = tmp_path / "out", tmp_path / "rows", []
    source.write_bytes(b'{"prompt":"Hi."}\n')
    zai, transport = client()
    loop, opening, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    really = getattr(*place)

    def slowly(*given, **named):
        opened.append(really(*given, **named))
        loop.call_soon_threadsafe(opening.set)
        goes_on.wait()
        return opened[0]

    with monkeypatch.context() as patch:
        patch.setattr(*place, slowly)
        reading = asyncio.ensure_future(zai.batch.run(source, out=out, model="glm-5.3"))
        await opening.wait()
    reading.cancel()
    loop.call_later(0, goes_on.set)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert all(each._raw.closed for each in opened if each is not None)
    assert transport.requests == []
    assert (await zai.batch.run(source, out=out, model="glm-5.3")).done == 1


async def test_a_manifest_that_is_none_is_refused(tmp_path):
    out = tmp_path / "out"
    manifest_path(out).write_text("prose")
    await refused(out, text=r"run\.json")
    assert manifest_path(out).read_text() == "prose"
    with pytest.raises(JournalError, match=r"run\.json"):
        await client()[0].batch.status(out)


async def test_other_settings_are_refused_and_may_be_forced(tmp_path):
    out = tmp_path / "out"
    zai, transport = client()
    await zai.batch.run(rows(2), out=out, model="glm-5.3")
    before = out.read_bytes()
    for changed in ({"model": "glm-5.2"}, {"system": "Be brief."}, {"params": {"seed": 1}}):
        with pytest.raises(JournalError, match="force_resume") as caught:
            await zai.batch.run(rows(3), out=out, **{"model": "glm-5.3", **changed})
        assert caught.value.reason == "changed"
    assert out.read_bytes() == before
    run = zai.batch.run(rows(3), out=out, model="glm-5.2", force_resume=True, concurrency=1)
    assert (await run).done == 3
    assert len(transport.requests) == 3
    # How fast it goes changes no answer.
    assert (await zai.batch.run(rows(4), out=out, model="glm-5.2", concurrency=9)).done == 4


async def test_a_disk_that_is_full_ends_the_run(tmp_path, monkeypatch):
    def write(_, data):
        raise OSError(28, "No space left on device")

    zai, _ = client()
    run = zai.batch.run(rows(200), out=tmp_path / "out", model="glm-5.3", concurrency=2)
    await anext(run)
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left"):
        await collect(run)
    monkeypatch.undo()
    assert (await zai.batch.status(tmp_path / "out")).state == "stopped"


async def test_what_comes_together_is_written_together(tmp_path, monkeypatch):
    syncs = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    zai, _ = client(limits="off")
    await zai.batch.run(rows(640), out=tmp_path / "out", model="glm-5.3")
    assert len(lines_of(tmp_path / "out")) == 640
    assert len(syncs) <= 64


async def test_a_half_written_piece_is_written_on(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    zai, _ = client()
    await zai.batch.run(rows(3), out=tmp_path / "out", model="glm-5.3")
    monkeypatch.undo()
    assert {line["custom_id"] for line in lines_of(tmp_path / "out")} == {"row-0", "row-1", "row-2"}


async def test_an_output_that_is_emptied_meanwhile_ends_the_run(tmp_path):
    out = tmp_path / "out"
    zai, transport = client()
    await zai.batch.run(rows(2), out=out, model="glm-5.3")

    def emptying():
        os.truncate(out, 0)
        yield from rows(2)

    with pytest.raises(JournalError, match="holds no result"):
        await collect(zai.batch.run(emptying(), out=out, model="glm-5.3", replay=True))
    assert len(transport.requests) == 2


CHILD = """
import asyncio, os, sys
from zai_async import AsyncZai

async def main():
    rows = ({"custom_id": f"row-{n}", "prompt": f"Say {n}."} for n in range(int(sys.argv[3])))
    async with AsyncZai(base_url=sys.argv[1], api_key="test", limits=20) as zai:
        async for row in zai.batch.run(rows, out=sys.argv[2], model="glm-5.3", concurrency=20):
            print(row.key, flush=True)

asyncio.run(main())
"""


async def test_a_killed_run_costs_what_was_in_flight(tmp_path, zai_emulator):
    """A real SIGKILL, again and again, with a tail that is torn besides."""
    out, (count, kills) = tmp_path / "out", (1000, 12) if THOROUGH else (100, 2)
    command = [sys.executable, "-c", CHILD, zai_emulator.url, str(out), str(count)]
    for round_ in range(kills):
        child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        for _ in range(3 + round_):  # it is killed when so many rows were handed out
            assert await child.stdout.readline()
        child.kill()
        await child.wait()
        child._transport.close()
        if round_ % 2:
            data = out.read_bytes()
            out.write_bytes(data[: len(data) - 7 * round_])
    async with AsyncZai(base_url=zai_emulator.url, api_key="test") as zai:
        report = await zai.batch.run(rows(count), out=out, model="glm-5.3")
    assert (report.done, report.state) == (count, "finished")
    keys = [line["custom_id"] for line in lines_of(out)]
    assert sorted(keys) == sorted(f"row-{n}" for n in range(count))
    # Each torn tail has taken the last line, which was whole, along.
    assert len(zai_emulator.requests) <= count + 20 * kills + kills // 2


async def test_errors_keep_what_is_worth_keeping():
    error = ZaiError("No.", kind="content", code="1301", status_code=400, request_id="r", hint="h")
    kept = RowError.of(error)
    assert (kept.kind, kept.code, kept.status_code, kept.request_id) == (
        "content",
        "1301",
        400,
        "r",
    )
