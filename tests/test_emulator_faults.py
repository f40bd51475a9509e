"""Each fault of the emulator, proved on the wire."""

import asyncio
import json
import math
import socket
from contextlib import asynccontextmanager, suppress
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async.testing import Emulator, Fault
from zai_async.testing.emulator.connection import Peer
from zai_async.testing.emulator.delivery import Pause, plan
from zai_async.testing.emulator.reply import STREAM_TYPE, PlannedReply

CHAT = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = CHAT | {"stream": True}


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        emulator.chat.reply("abcdef", chunk_size=2, times=None)
        yield emulator


class Wire:
    """A client that sees every byte."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, body=STREAM, path="/api/paas/v4/chat/completions"):
        data = json.dumps(body).encode()
        self.writer.write(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data)
        )

    async def head(self):
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        return int(status.split()[1]), headers

    async def chunk(self):
        """Read one chunk of the transfer encoding: one write of the server; b"" is the end."""
        size = int((await self.reader.readuntil(b"\r\n")), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def chunks(self):
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return chunks

    async def answer(self, body=STREAM):
        """Send a request, read the whole answer: status, headers, body."""
        self.send(body)
        status, headers = await self.head()
        if "Content-Length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["Content-Length"]))
        return status, headers, b"".join(await self.chunks())

    async def frames(self):
        _, _, body = await self.answer()
        return body.decode().split("\n\n")[:-1]


@asynccontextmanager
async def connect(emulator):
    port = emulator.url.split(":")[2].split("/")[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):  # a reset connection says so once more
            await writer.wait_closed()


@pytest.fixture
async def wire(emulator):
    async with connect(emulator) as wire:
        yield wire


def content(frames):
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames if "[DONE]" not in frame]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if "choices" in chunk]
    return "".join(delta.get("content", "") for delta in deltas)


# Instead of the real reply


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"status": 429, "code": "1302"}, 429, "1302"),
        ({"code": "1305"}, 429, "1305"),
        ({"code": "1113", "status": 400}, 400, "1113"),
        ({"status": 429}, 429, "1302"),
        ({"status": 500}, 500, "500"),
        ({"code": "9999"}, 400, "9999"),
        ({"code": "1305", "http_200": True}, 200, "1305"),
    ],
)
async def test_an_error_reply(emulator, wire, fields, status, code):
    fault = emulator.fault(**fields)
    answer = await wire.answer()
    assert answer[0] == emulator.requests[0].status == status
    assert answer[1]["Content-Type"] == "application/json;charset=UTF-8"
    assert len(answer[1]["X-Log-Id"]) == 30
    error = json.loads(answer[2])["error"]
    assert error["code"] == code
    assert error["message"]
    assert fault.seen == 1


async def test_an_own_message(emulator, wire):
    emulator.fault(code="1308", message="back at 2026-09-19 12:14:43")
    _, _, body = await wire.answer()
    assert json.loads(body)["error"]["message"] == "back at 2026-09-19 12:14:43"


async def test_a_gateway_answers_in_html(emulator, wire):
    emulator.fault(status=502)
    status, headers, body = await wire.answer()
    assert (status, headers["Content-Type"]) == (502, "text/html")
    assert b"502" in body
    emulator.fault(http_200=True, status=504, code="1234")
    assert (await wire.answer())[0] == 200


async def test_raw_bodies(emulator, wire):
    emulator.fault(body=b"\xff\x00")
    status, headers, body = await wire.answer()
    assert (status, body) == (200, b"\xff\x00")
    assert headers["Content-Type"] == "application/json;charset=UTF-8"
    emulator.fault(body=b"<p>", content_type="text/html", status=413)
    status, headers, body = await wire.answer()
    assert (status, headers["Content-Type"], body) == (413, "text/html", b"<p>")


async def test_raw_frames(emulator, wire):
    emulator.fault(raw_frames=["data: 你\n\n", b"data: \xff\n\n"])
    _, headers, body = await wire.answer()
    assert headers["Content-Type"].startswith("text/event-stream")
    assert body == "data: 你\n\n".encode() + b"data: \xff\n\n"


async def test_hanging_never_answers(emulator, wire):
    emulator.fault(hang=True)
    wire.send()
    await emulator.wait_requests()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(1), 0.02)


async def test_dropping_resets_without_a_byte(emulator, wire):
    emulator.fault(drop=True)
    wire.send()
    with pytest.raises(ConnectionResetError):
        await wire.reader.read(1)
    await emulator.wait_until(lambda: not emulator.in_flight)
    assert emulator.requests[0].disconnected_at is None
    assert emulator.requests[0].status is None


async def test_dropping_in_order(emulator, wire):
    emulator.fault(drop=True, how="fin")
    wire.send()
    assert await wire.reader.read() == b""


async def test_dropping_only_reused_connections(emulator, wire):
    fault = emulator.fault(drop_reused=True)
    assert (await wire.answer())[0] == 200
    assert fault.seen == 0
    wire.send()
    with pytest.raises(ConnectionResetError):
        await wire.reader.read(1)
    assert fault.seen == 1


# Which requests


async def test_times_and_order(emulator, wire):
    emulator.fault(status=429, times=2)
    emulator.fault(status=500)
    assert [(await wire.answer())[0] for _ in range(4)] == [429, 429, 500, 200]
    always = emulator.fault(status=503, times=None)
    assert [(await wire.answer())[0] for _ in range(3)] == [503] * 3
    assert always.seen == 3


@pytest.mark.parametrize(("path", "hit"), [("chat.", True), ("v4/chat", True), ("images", False)])
async def test_only_some_paths(emulator, wire, path, hit):
    emulator.fault(status=503, path=path)
    assert (await wire.answer())[0] == (503 if hit else 200)


@pytest.mark.parametrize(
    "fields", [{"no_done": True}, {"error_in_stream": "1234"}, {"restart_at": (0, 0)}]
)
async def test_stream_faults_wait_for_a_stream(emulator, wire, fields):
    fault = emulator.fault(**fields)
    assert (await wire.answer(CHAT))[0] == 200
    assert fault.seen == 0
    await wire.answer()
    assert fault.seen == 1


async def test_a_refused_stream_stays_what_it_is(emulator, wire):
    emulator.fault(no_done=True)
    status, _, body = await wire.answer(STREAM | {"model": "?"})
    assert (status, json.loads(body)["error"]["code"]) == (400, "1211")


def test_senseless_faults_are_refused():
    with pytest.raises(ValueError, match="how"):
        Fault(how="gently")
    with pytest.raises(ValueError, match="write_size"):
        Fault(write_size=0)
    with pytest.raises(TypeError):
        Fault(unknown=1)


def test_the_method_shows_the_documentation_of_the_fault():
    assert "cut_after" in Emulator.fault.__doc__


# Changes to a stream


async def test_an_error_in_the_stream(emulator, wire):
    emulator.fault(error_in_stream="1234", after=2)
    *deltas, error = await wire.frames()
    assert content(deltas) == "abcd"
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "1234"


async def test_an_error_event_in_the_stream(emulator, wire):
    emulator.fault(error_in_stream="1302", event_error=True, message="slow down")
    (error,) = await wire.frames()
    assert error == 'event: error\ndata: {"error":{"code":"1302","message":"slow down"}}'


async def test_no_done(emulator, wire):
    emulator.fault(no_done=True)
    frames = await wire.frames()
    assert content(frames) == "abcdef"
    assert "finish_reason" in frames[-1]


async def test_a_second_generation_glued_into_the_first(emulator, wire):
    emulator.fault(restart_at=(1, 30))
    first, glued, *rest = await wire.frames()
    broken, _, second = glued.removeprefix("data: ").partition("data: ")
    old, new = json.loads(first.removeprefix("data: ")), json.loads(second)
    assert old["id"].startswith(broken.removeprefix('{"id":"'))
    assert old["id"] != new["id"] == json.loads(rest[0].removeprefix("data: "))["id"]
    assert new["choices"][0]["delta"]["content"] + content(rest) == "abcdef"
    assert rest[-1] == "data: [DONE]"


async def test_a_late_end(emulator, wire):
    emulator.fault(late_end=math.inf)
    wire.send()
    await wire.head()
    data = b""
    while not data.endswith(b"[DONE]\n\n"):
        data += await wire.chunk()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.chunk(), 0.02)
    wire.writer.close()
    await emulator.wait_disconnected()


# How the bytes travel


async def test_more_headers_and_a_real_body(emulator, wire):
    emulator.fault(headers={"Retry-After": "3", "Server": "cloud"})
    status, headers, body = await wire.answer(CHAT)
    assert (status, headers["Retry-After"], headers["Server"]) == (200, "3", "cloud")
    assert json.loads(body)["choices"][0]["message"]["content"] == "abcdef"


@pytest.mark.parametrize("fields", [{"status": 500}, {"drop": True, "how": "fin"}])
async def test_a_delay_before_everything(emulator, wire, fields):
    emulator.fault(delay=0.03, **fields)
    clock = asyncio.get_running_loop().time
    start = clock()
    wire.send()
    await wire.reader.read(1)
    assert clock() - start >= 0.03


async def test_a_cut_with_a_reset(emulator, wire):
    emulator.fault(cut_after=20)
    wire.send()
    await wire.head()
    assert len(await wire.chunk()) == 20
    with pytest.raises(ConnectionResetError):
        await wire.reader.read(1)


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_cut_with_an_orderly_close(emulator, wire, body):
    emulator.fault(cut_after=20, how="fin")
    wire.send(body)
    _, headers = await wire.head()
    rest = await wire.reader.read()
    if body is STREAM:
        assert rest.startswith(b"14\r\n")
        assert not rest.endswith(b"0\r\n\r\n")
    else:
        assert len(rest) == 20 < int(headers["Content-Length"])


async def test_a_reset_waits_for_what_was_written():
    transport = Mock()
    transport.get_write_buffer_size.side_effect = [7, 0]
    transport.get_extra_info.return_value = Mock(spec=socket.socket)
    await Peer(1, transport).drop("rst")
    order = [call[0] for call in transport.method_calls]
    assert order == ["get_write_buffer_size"] * 2 + ["get_extra_info", "abort"]


async def test_a_cut_after_a_large_body_loses_nothing(emulator, wire):
    emulator.chat.reset()
    size = 8_000_000
    emulator.chat.reply("x" * size, chunk_size=size)
    emulator.fault(cut_after=size)
    wire.send(CHAT)
    await wire.head()
    assert len(await wire.reader.readexactly(size)) == size
    with pytest.raises(ConnectionResetError):
        await wire.reader.read(1)


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_clean_end_too_early(emulator, wire, body):
    emulator.fault(eof_after=20)
    _, headers, data = await wire.answer(body)
    assert len(data) == 20
    assert headers["Transfer-Encoding"] == "chunked"
    assert (await wire.answer())[0] == 200


async def test_small_writes(emulator, wire):
    emulator.fault(write_size=7)
    wire.send()
    await wire.head()
    *chunks, last = await wire.chunks()
    assert {len(chunk) for chunk in chunks} == {7}
    assert (b"".join(chunks) + last).endswith(b"data: [DONE]\n\n")


async def test_silence_after_some_bytes(emulator, wire):
    emulator.fault(silence_after=(10, math.inf))
    wire.send()
    await wire.head()
    assert len(await wire.chunk()) == 10
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.chunk(), 0.02)


async def test_comments_while_silent(emulator, wire):
    emulator.fault(silence_after=(0, 0.05), comments_every=0.01)
    wire.send()
    await wire.head()
    chunks = await wire.chunks()
    assert chunks[:3] == [b": keep-alive\n\n"] * 3
    assert chunks[-1].endswith(b"data: [DONE]\n\n")


async def test_comments_never_break_a_frame(emulator, wire):
    emulator.fault(silence_after=(10, 0.03), comments_every=0.01)
    _, _, body = await wire.answer()
    assert b"keep-alive" not in body


# The plan of writes


FRAMES = st.lists(st.binary(min_size=1, max_size=12), max_size=8).map(tuple)


def laid_out(pieces, fault, pace=0.0):
    reply = PlannedReply(pieces=pieces, log_id="", content_type=STREAM_TYPE, pause=1.0)
    return list(plan(reply, fault, pace))


def written(steps):
    return b"".join(step for step in steps if isinstance(step, bytes))


@given(FRAMES, st.integers(1, 9), st.floats(0, 1))
def test_splitting_changes_no_byte(pieces, size, pace):
    steps = laid_out(pieces, Fault(write_size=size), pace)
    assert written(steps) == b"".join(pieces)
    assert all(len(step) <= size for step in steps if isinstance(step, bytes))
    assert len([step for step in steps if isinstance(step, Pause)]) == len(pieces) * (pace > 0)


@given(FRAMES, st.integers(0, 100), st.sampled_from(["cut_after", "eof_after"]))
def test_a_limit_keeps_exactly_the_first_bytes(pieces, limit, name):
    steps = laid_out(pieces, Fault(**{name: limit}), 0.5)
    assert written(steps) == b"".join(pieces)[:limit]


@given(FRAMES, st.integers(0, 100))
def test_silence_comes_once_and_after_the_bytes_before_it(pieces, offset):
    steps = laid_out(pieces, Fault(silence_after=(offset, 7.5)))
    place = steps.index(Pause(7.5))
    body = b"".join(pieces)
    assert written(steps) == body
    assert written(steps[:place]) == body[:offset]
    assert steps.count(Pause(7.5)) == 1
