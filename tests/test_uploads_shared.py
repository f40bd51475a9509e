"""Files that several calls use at once, that change, or that do not answer."""

import asyncio
import base64
import copy
import errno
import io
import json
import os
import pickle
import threading
import time

import anyio
import pytest

from tests.calls import BODY, FakeClock, client
from tests.fault_server import FaultServer, answer
from tests.test_uploads import ANY, PNG, Pipe, parse, pieces, sent
from zai_async import (
    CallOptions,
    ConfigurationError,
    DeadlineError,
    Hooks,
    InvalidFileError,
    LocalResourceError,
    RetryPolicy,
    audio_part,
    image,
)
from zai_async._threads import FILE_THREADS, DaemonThreads, abandonable
from zai_async.uploads import JSONBody, Media, MultipartBody
from zai_async.uploads.sources import ThreadedFile, open_source

OK = answer(BODY)
FILE = answer(json.dumps({"id": "f1", "object": "file", "filename": "a"}).encode())
PICTURE = PNG + bytes(range(256)) * 2000


def asked(part):
    return {"model": "glm-5.3v", "messages": [{"role": "user", "content": [part]}]}


def pictures(server):
    for seen in server.requests:
        url = json.loads(seen.body)["messages"][0]["content"][0]["image_url"]["url"]
        yield base64.b64decode(url.rpartition(",")[2])


def opened(kind, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PICTURE)
    if kind == "open file":
        return path.open("rb")
    if kind == "without a weak reference":

        class Slotted(io.BytesIO):
            __slots__ = ()
            __hash__ = None

        return Slotted(PICTURE)
    return io.BytesIO(PICTURE)


KINDS = ["open file", "bytes in a file", "without a weak reference"]


@pytest.mark.parametrize("kind", KINDS)
async def test_one_part_may_be_used_by_many_calls_at_once(kind, tmp_path):
    with opened(kind, tmp_path) as file:
        part = image(file)
        async with FaultServer([OK]) as server, client(server.url) as zai:
            calls = [zai.chat.completions.create(**asked(part)) for _ in range(8)]
            await asyncio.gather(*calls)
        assert [*pictures(server)] == [PICTURE] * 8
        # Whoever comes later finds the file where it was.
        assert file.tell() == 0


@pytest.mark.parametrize("kind", KINDS[:2])
async def test_one_open_file_may_be_given_to_many_calls(kind, tmp_path):
    with opened(kind, tmp_path) as file:
        async with FaultServer([FILE]) as server, client(server.url) as zai:

            async def upload():
                await zai.files.create(file=("a.png", file), purpose="agent")

            await asyncio.gather(*(upload() for _ in range(6)))
            await upload()
        assert [PICTURE in seen.body for seen in server.requests] == [True] * 7


async def test_a_file_that_is_being_read_is_found_at_its_start():
    file = io.BytesIO(b"skipped" + PICTURE)
    file.seek(7)
    first = open_source(file)
    with first._position.lock:
        file.seek(1000)  # as a thread does that reads
        second = open_source(file)
        file.seek(7)
    for source in (first, second):
        assert b"".join([piece async for piece in source.pieces(999)]) == PICTURE


@pytest.mark.parametrize("hashable", [True, False])
async def test_a_file_that_is_read_by_await_may_be_shared_too(tmp_path, hashable):
    (tmp_path / "a.bin").write_bytes(PICTURE)
    async with await anyio.open_file(tmp_path / "a.bin", "rb") as file:
        if not hashable:
            file.__class__ = type("Unhashable", (type(file),), {"__hash__": None})
        sources = [open_source(file) for _ in range(4 if hashable else 1)]

        async def read(source):
            assert (await source.inspect())[0] == len(PICTURE)
            return b"".join([piece async for piece in source.pieces(100_000)])

        assert await asyncio.gather(*map(read, sources)) == [PICTURE] * len(sources)


async def test_one_call_may_write_an_image_otherwise_and_another_not():
    part = image(PNG)["image_url"]["url"]
    one, other = (JSONBody(b'"%b"' % part.encode(), [part]) for _ in range(2))
    await sent(one)
    assert one.alternate()
    plain = base64.b64encode(PNG)
    assert await sent(one) == b'"%b"' % plain
    assert await sent(other) == b'"data:image/png;base64,%b"' % plain


@pytest.mark.parametrize(
    "make", [lambda: pieces(PICTURE), lambda: Pipe(PICTURE)], ids=["pieces", "pipe"]
)
async def test_what_can_be_read_once_is_refused_to_a_second_call(make):
    part = image(make())["image_url"]["url"]
    one, other = (JSONBody(part.encode(), [part]) for _ in range(2))
    assert base64.b64decode((await sent(one)).partition(b",")[2]) == PICTURE
    with pytest.raises(ConfigurationError, match="only once"):
        await other.prepare()


class Reads:
    """Can be read, and no more."""

    def __init__(self, data):
        self.inner = io.BytesIO(data)

    def read(self, size=-1):
        return self.inner.read(size)


class Awaited(Reads):
    async def read(self, size=-1):
        await asyncio.sleep(0)
        return self.inner.read(size)


class Slotted:
    """Knows no weak reference, and equals nothing that can be looked up."""

    __slots__ = ("inner",)
    __hash__ = None
    __init__, read = Reads.__init__, Reads.read


ONCE_KINDS = {"pieces": pieces, "pipe": Pipe, "read": Reads, "await": Awaited, "slots": Slotted}


@pytest.mark.parametrize("make", ONCE_KINDS.values(), ids=ONCE_KINDS)
@pytest.mark.parametrize("shared", ["object", "part"])
async def test_what_can_be_read_once_is_sent_whole_by_one_of_many_calls(make, shared):
    content = make(PICTURE)
    part = image(content)
    parts = [part if shared == "part" else image(content) for _ in range(3)]
    urls = [each["image_url"]["url"] for each in parts]
    calls = [sent(JSONBody(url.encode(), [url])) for url in urls]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    (whole,) = [end for end in ends if isinstance(end, bytes)]
    assert base64.b64decode(whole.partition(b",")[2]) == PICTURE
    refused = [str(end) for end in ends if isinstance(end, ConfigurationError)]
    assert len(refused) == 2
    assert all("only once" in each for each in refused)


async def test_what_another_call_has_begun_is_refused_also_when_that_is_gone():
    file = Reads(PICTURE)
    assert (await open_source(file).inspect())[1] == PICTURE[:4096]
    with pytest.raises(ConfigurationError, match="only once"):
        await open_source(file).inspect()


async def test_what_was_being_read_when_its_call_was_cancelled_may_lack_something():
    class Stuck:
        async def read(self, size=-1):
            await asyncio.Event().wait()

    source = open_source(Stuck())
    reading = asyncio.ensure_future(source.inspect())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    with pytest.raises(ConfigurationError, match="only once"):
        await source.inspect()


async def test_what_is_read_once_by_await_is_refused_to_a_second_call():
    class Reader:
        inner = io.BytesIO(PICTURE)

        async def read(self, size=-1):
            return self.inner.read(size)

    source = open_source(Reader())
    await source.inspect()
    assert b"".join([piece async for piece in source.pieces(999)]) == PICTURE
    with pytest.raises(ConfigurationError, match="only once"):
        await source.inspect()


# Copies


@pytest.mark.parametrize("content", [PNG, bytearray(PNG), memoryview(PNG)])
async def test_media_survive_pickle_and_copy(content, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    messages = [{"role": "user", "content": [image(content), image(path), audio_part(content)]}]
    for again in (
        copy.deepcopy(messages),
        copy.copy(messages),
        pickle.loads(pickle.dumps(messages)),
    ):
        first, second, third = again[0]["content"]
        for media in (
            first["image_url"]["url"],
            second["image_url"]["url"],
            third["input_audio"]["data"],
        ):
            assert isinstance(media, Media)
            assert (await media.source.inspect())[1] == PNG
        assert third["input_audio"]["data"].encoding == "raw"
        assert first["image_url"]["url"].limits.max_bytes == 5 * 2**20
    assert copy.copy(first["image_url"]["url"]) is first["image_url"]["url"]


@pytest.mark.parametrize("content", [io.BytesIO(PNG), Pipe(PNG)], ids=["memory", "pipe"])
def test_a_file_that_cannot_be_pickled_says_what_can(content):
    with pytest.raises(TypeError, match="give its path or its bytes"):
        pickle.dumps(image(content))


# Files that change


@pytest.mark.parametrize("change", [-1, -200_000, 1, 200_000])
@pytest.mark.parametrize("form", ["form", "json"])
async def test_a_file_that_changes_while_it_is_sent(tmp_path, monkeypatch, change, form):
    close, closed = ThreadedFile.close, []
    monkeypatch.setattr(ThreadedFile, "close", lambda file: close(file) or closed.append(file))
    path = tmp_path / "a.png"
    path.write_bytes(PICTURE)
    if form == "form":
        body = MultipartBody({}, ("file", path), ANY)
    else:
        media = Media(path)
        body = JSONBody(b'"%b"' % media.encode(), [media])
    await body.prepare()
    os.truncate(path, len(PICTURE) + change)
    with pytest.raises(InvalidFileError, match="has changed while it was sent") as caught:
        assert [piece async for piece in body]
    assert body.failure is caught.value
    assert not body.sent_whole
    assert len(closed) == 2  # it was looked at before


@pytest.mark.parametrize("size", [1_000, 6_000_000])
async def test_a_change_is_told_at_once_and_nothing_is_a_success(tmp_path, size):
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-" + bytes(3_000_000))

    class Slow(FaultServer):
        async def serve(self, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1000)
            with path.open("r+b") as file:
                file.truncate(size)
            while await reader.read(2**16):
                pass

    async with Slow([]) as server, client(server.url) as zai:
        with pytest.raises(InvalidFileError, match="has changed"):
            await zai.files.create(file=path, purpose="agent", options=CallOptions(deadline=5))


# Files that do not answer


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe.pdf"
    os.mkfifo(path)
    return path


async def test_a_named_pipe_is_sent_as_it_comes(pipe):
    def write():
        with pipe.open("wb") as file:
            for _ in range(20):
                file.write(b"%PDF-" + bytes(50_000))

    writer = threading.Thread(target=write)
    writer.start()
    async with FaultServer([FILE]) as server, client(server.url) as zai:
        # The test server knows bodies with a length only.
        body = MultipartBody({}, ("file", pipe), ANY)
        await body.prepare()  # what was read to look at it is kept
        [(_, content, _)] = parse(body, await sent(body))
        assert (len(content), body.size, body.replayable) == (20 * 50_005, None, False)
        with pytest.raises(ConfigurationError, match="only once"):
            await body.prepare()
        del zai
    writer.join()


async def test_a_named_pipe_is_sent_by_one_of_those_who_have_looked_at_it(pipe):
    writer = threading.Thread(target=pipe.write_bytes, args=[PICTURE])
    writer.start()
    part = image(pipe)["image_url"]["url"]
    one, other = (JSONBody(part.encode(), [part]) for _ in range(2))
    await one.prepare()
    await other.prepare()
    assert base64.b64decode(b"".join([each async for each in one]).partition(b",")[2]) == PICTURE
    with pytest.raises(ConfigurationError, match="only once"):
        await anext(each async for each in other if len(each) > 99)
    writer.join()


async def test_pipes_on_which_nothing_comes_stop_nobody(tmp_path):
    """Nor names from being looked up: that is done by the default executor of the loop."""
    paths = [tmp_path / f"{number}.pdf" for number in range(40)]
    for path in paths:
        os.mkfifo(path)
    whole = tmp_path / "whole.pdf"
    whole.write_bytes(b"%PDF-" + bytes(100_000))
    async with FaultServer([FILE]) as server, client(server.url) as zai:
        waiting = [
            asyncio.create_task(zai.files.create(file=path, purpose="agent")) for path in paths
        ]
        while working(FILE_THREADS) < len(paths):  # noqa: ASYNC110 - threads have no event
            await asyncio.sleep(0.001)
        await zai.files.create(file=whole, purpose="agent")
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        for task in waiting:
            task.cancel()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}


async def test_a_deadline_ends_the_wait_for_a_pipe(pipe, monkeypatch):
    close, closed = ThreadedFile.close, []
    monkeypatch.setattr(ThreadedFile, "close", lambda file: close(file) or closed.append(file))
    async with FaultServer([FILE]) as server, client(server.url) as zai:
        with pytest.raises(DeadlineError):
            await zai.files.create(file=pipe, purpose="agent", options=CallOptions(deadline=0.1))
        assert server.requests == []
    assert len(closed) == 1  # or a thread would wait for ever


async def test_a_thread_that_was_left_behind_closes_the_file(pipe, monkeypatch):
    file = ThreadedFile(pipe)
    reading = asyncio.create_task(file.read(10))
    while file._file is None:  # noqa: ASYNC110 - a thread opens it
        await asyncio.sleep(0.001)
    reading.cancel()
    given = []
    monkeypatch.setattr(FILE_THREADS, "submit", lambda work, **_: given.append(work))
    file.close()
    assert not given  # no other thread closes what one still reads
    with pytest.raises(asyncio.CancelledError):
        await reading
    while not file._file.closed:  # noqa: ASYNC110 - a thread does it
        await asyncio.sleep(0.01)
    file.close()


async def test_a_file_that_nobody_reads_is_closed_at_once(tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(b"abc")
    file = ThreadedFile(tmp_path / "a.bin")
    assert await file.read(1) == b"a"
    monkeypatch.setattr(FILE_THREADS, "submit", lambda work, **_: work())
    file.close()
    assert file._file.closed


async def test_a_pipe_without_poll_is_read_all_the_same(monkeypatch, pipe):
    monkeypatch.delattr("select.poll")
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"x" * 10))
    number = os.open(pipe, os.O_RDWR)  # so that nobody waits for the other end
    writer.start()
    writer.join()
    file = ThreadedFile(pipe)
    assert await file.read(100) == b"x" * 10
    assert await file.read(100) == b""  # nothing yet: it is not waited for
    os.close(number)
    file.close()


# Threads


async def test_what_fails_in_a_thread_is_raised_where_it_is_awaited():
    with pytest.raises(ZeroDivisionError):
        await abandonable(lambda: 1 / 0)


def test_a_loop_that_was_closed_is_told_nothing():
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        go.wait()
        done.set()

    async def start():
        waiting = abandonable(work)
        await asyncio.to_thread(begun.wait)
        waiting.cancel()

    asyncio.run(start())
    go.set()
    assert done.wait()


def test_threads_are_bounded_and_used_again_and_go_when_they_idle():
    pool, gate, done = DaemonThreads(2, idle_seconds=0.05), threading.Event(), []
    for number in range(5):
        pool.submit(lambda number=number: (gate.wait(), done.append(number)))
    assert len(pool._threads) == 2
    gate.set()
    while len(done) < 5:
        time.sleep(0.005)
    assert sorted(done) == [0, 1, 2, 3, 4]
    pool.submit(lambda: done.append(5))
    while any(thread.is_alive() for thread in pool._threads):
        time.sleep(0.01)
    assert done[-1] == 5
    again = threading.Event()
    pool.submit(again.set)
    assert again.wait()


def working(threads):
    return sum(thread.is_alive() for thread in threads._threads) - len(threads._waiting)


def test_a_token_that_is_taken_as_its_thread_gives_up_is_honoured():
    """The thread has waited for long enough, and at that moment work is promised to it."""
    pool, done = DaemonThreads(1, idle_seconds=0.01), threading.Event()
    taken = []

    class Tokens(type(pool._waiting)):
        def pop(self):
            if not taken:
                taken.append(super().pop())
                pool._work.put(done.set)
                raise IndexError
            return super().pop()

    pool._waiting = Tokens()
    pool.submit(lambda: None)
    assert done.wait()


# A shortage of open files


@pytest.mark.parametrize("moment", ["inspected", "sent"])
async def test_an_upload_waits_while_too_many_files_are_open(tmp_path, monkeypatch, moment):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100))
    failures = {"inspected": [True, True], "sent": [False, True]}[moment]
    genuine = ThreadedFile.read

    async def read(self, length):
        if failures and failures.pop(0):
            raise OSError(errno.EMFILE, "Too many open files")
        return await genuine(self, length)

    monkeypatch.setattr(ThreadedFile, "read", read)
    heard = []
    async with FaultServer([answer(b'{"text": "Hello"}')]) as server:
        settings = {
            "retry": RetryPolicy(),
            "clock": FakeClock(),
            "hooks": Hooks(on_retry=heard.append),
        }
        async with client(server.url, **settings) as zai:
            answered = await zai.audio.transcriptions.create(model="glm-asr-2512", file=path)
    assert answered.text == "Hello"
    assert {type(event.error) for event in heard} == {LocalResourceError}
    assert all("ulimit" in event.error.hint for event in heard)


# Fields of forms


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", b"text"),
        (True, b"true"),
        (7, b"7"),
        (0.5, b"0.5"),
        ({"k": True, "n": None}, b'{"k":true,"n":null}'),
        ([{"a": 1}], b'{"a":1}'),
        ([[1, "b"]], b'[1,"b"]'),
    ],
)
async def test_fields_are_text_numbers_or_json(value, written):
    body = MultipartBody({"field": value}, None, ANY)
    [(name, content, _)] = parse(body, await sent(body))
    assert (name, content) == ("field", written)


@pytest.mark.parametrize("value", [b"x", object(), {1, 2}, float("nan"), {"k": b"x"}, [1j]])
def test_a_field_that_json_does_not_know_is_refused_by_name(value):
    with pytest.raises(ConfigurationError, match="field"):
        MultipartBody({"field": value}, None, ANY)


@pytest.mark.parametrize(
    "kind", ["text/plain\r\nX-Evil: 1", "text", "", "text/plain; a=b\nc", "te xt/plain", 7, "a/b/c"]
)
def test_a_media_type_cannot_break_the_form(kind):
    with pytest.raises(ConfigurationError, match="media type"):
        MultipartBody({}, ("file", ("a.txt", b"x", kind)), ANY)


@pytest.mark.parametrize("kind", ["text/plain", 'text/plain; charset="utf-8"', "image/svg+xml"])
async def test_media_types_are_sent_as_they_are(kind):
    body = MultipartBody({}, ("file", ("a.txt", b"x", kind)), ANY)
    assert f"Content-Type: {kind}\r\n".encode() in await sent(body)


def test_a_name_must_be_text():
    with pytest.raises(ConfigurationError, match="the name of a file must be text"):
        MultipartBody({}, ("file", (b"a.txt", b"x")), ANY)
