"""Answers whose HTTP framing breaks: the read ends at once, and alike however TCP cut the bytes."""

import asyncio
import re
import ssl
import zlib

import pytest

from tests.calls import ASK, client, raw_request
from tests.certificates import certify, needs_openssl, serving
from tests.chat_wire import frame, texts
from tests.fault_server import FaultServer
from zai_async import ConnectionLostError, ResponseError, StreamTruncatedError
from zai_async._transport import NetworkSettings, _direct, open_transport
from zai_async._transport._internals import PooledConnection, ReceivedResponse
from zai_async._transport._tls import TLS_RECORD

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
GOOD = b"data: one\n\n"
PACKER = zlib.compressobj()
PACKED = PACKER.compress(GOOD) + PACKER.flush(zlib.Z_SYNC_FLUSH)


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


# What is sent before the damage, and the damage.
BREAKAGES = {
    "bad size": (GOOD, b"zz\r\n"),
    "html": (GOOD, b"<html><body>502 Bad Gateway</body></html>"),
    "response head": (GOOD, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
    "40 digits": (GOOD, b"f" * 40 + b"\r\n"),
    "size with a sign": (GOOD, b"-5\r\nhello\r\n"),
    "no end of chunk": (GOOD, b"3\r\nabcXX"),
    "trailer without a name": (GOOD, b"0\r\n: value\r\n\r\n"),
    "trailer of one word": (GOOD, b"0\r\nword word\r\n\r\n"),
    "truncated deflate": (PACKED, b"0\r\n\r\n"),
    "damaged deflate": (PACKED, chunk(b"\xff" * 30)),  # a kind of block that there is not
}

# What is whole before the damage, where that is not just the one event.
RECEIVED = {"no end of chunk": GOOD + b"abc"}


def script(name, cut):
    before, damage = BREAKAGES[name]
    fields = b"Content-Encoding: deflate\r\n" if "deflate" in name else b""
    parts = [HEAD + fields + b"\r\n", chunk(before), damage]
    if cut == "one read":
        parts = [b"".join(parts)]
    elif cut == "head apart":
        parts = [parts[0], parts[1] + parts[2]]
    elif cut == "within the head":
        parts = [parts[0][:-3], parts[0][-3:] + parts[1] + parts[2]]
    elif cut == "damage apart":
        parts = [parts[0] + parts[1], parts[2]]
    steps = []
    for part in parts:
        steps += [part, 0.02]
    return [*steps, "hang"]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a test in a loop of one kind or the other."""
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def work(test):
        async def limited():
            await asyncio.wait_for(test, 1000)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(limited())

    return work


@pytest.fixture(params=["direct", "client"], autouse=True)
def way(request, monkeypatch):
    if request.param == "client":
        monkeypatch.setattr(_direct, "is_watched", lambda session: True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("framing"), "IP:127.0.0.1")


@pytest.fixture(params=["plain", pytest.param("tls", marks=needs_openssl)])
def secured(request):
    """Return the contexts of server and client."""
    if request.param == "plain":
        return None, None
    certificate = request.getfixturevalue("certificate")
    return serving(certificate), ssl.create_default_context(cafile=certificate)


CUTS = ["one read", "head apart", "within the head", "damage apart", "each apart"]


async def end_of(transport, server):
    """Read an answer, and return what came and how it ended."""
    response = await transport.send(raw_request(server.url))
    received = b""
    try:
        while piece := await response.read():
            received += piece
    except ConnectionLostError as error:
        with pytest.raises(ConnectionLostError):
            await response.read()
        response.close()
        return received, error
    return received, None


@pytest.mark.parametrize("cut", CUTS)
def test_a_read_ends_at_once_and_with_one_error(run, secured, cut):
    tls, context = secured

    async def test():
        transport = open_transport(NetworkSettings(ssl=context, trust_env=False))
        for name in BREAKAGES:
            async with FaultServer(script(name, cut), tls=tls) as server:
                received, error = await asyncio.wait_for(end_of(transport, server), 1000)
            # What was whole before the damage is not lost, and nothing is made up.
            assert (name, received) == (name, RECEIVED.get(name, GOOD))
            assert type(error) is ConnectionLostError
            assert re.search(r"broke off: \w+", str(error))
            assert error.request_sent
        await transport.aclose()

    run(test())


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["html", "40 digits", "trailer of one word"])
def test_a_stream_ends_at_once_with_what_came(name, cut, monkeypatch):
    event = frame(texts("Hello")[0])
    monkeypatch.setitem(BREAKAGES, name, (event, BREAKAGES[name][1]))

    async def test():
        async with FaultServer(script(name, cut)) as server, client(server.url) as zai:
            async with zai.chat.completions.stream(**ASK) as stream:
                with pytest.raises(StreamTruncatedError) as caught:
                    await stream.completion()
            assert caught.value.partial.text == "Hello"

    asyncio.run(asyncio.wait_for(test(), 1000))


@pytest.mark.parametrize("apart", [True, False])
def test_headers_that_contradict_each_other_are_named(run, apart):
    """Two lengths: some proxies add one; which of them counts is how requests are smuggled."""
    head = HEAD + b"Content-Length: 99\r\n\r\n"
    steps = [head, 0.02, chunk(GOOD)] if apart else [head + chunk(GOOD)]

    async def test():
        transport = open_transport(NetworkSettings(trust_env=False))
        async with FaultServer([*steps, "hang"]) as server:
            with pytest.raises(ResponseError, match=r"(?i)content-length"):
                await transport.send(raw_request(server.url))
            await transport.aclose()

    run(test())


def test_informational_heads_before_a_damaged_body(run):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"

    async def test():
        transport = open_transport(NetworkSettings(trust_env=False))
        async with FaultServer(
            [early + HEAD + b"\r\n" + chunk(GOOD) + b"zz\r\n", "hang"]
        ) as server:
            response = await transport.send(raw_request(server.url))
            assert await response.read() == GOOD
            with pytest.raises(ConnectionLostError, match="broke off"):
                await response.read()
            response.close()
            await transport.aclose()

    run(test())


@pytest.mark.parametrize("dead", [True, False])
def test_closing_an_answer_wakes_its_reader(run, secured, dead):
    """By itself: when the connection is gone, aiohttp has forgotten who reads."""
    tls, context = secured

    async def test():
        transport = open_transport(NetworkSettings(ssl=context, trust_env=False))
        async with FaultServer([HEAD + b"\r\n" + chunk(GOOD), "hang"], tls=tls) as server:
            response = await transport.send(raw_request(server.url))
            assert await response.read() == GOOD
            reading = asyncio.create_task(response.read())
            await asyncio.sleep(0)  # now it waits
            if dead:
                response._content._protocol._payload = None
            response.close()
            with pytest.raises(ConnectionLostError):
                await asyncio.wait_for(reading, 1000)
            await transport.aclose()

    run(test())


def test_no_error_repeats_what_was_received(run):
    async def test():
        transport = open_transport(NetworkSettings(trust_env=False))
        async with FaultServer([HEAD + b"\r\n" + b"canary-of-mine\r\n", "hang"]) as server:
            response = await transport.send(raw_request(server.url))
            with pytest.raises(ConnectionLostError) as caught:
                await response.read()
            response.close()
            assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"
            await transport.aclose()

    run(test())


class Wire(asyncio.Transport):
    """Goes nowhere."""

    closed = False

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed


@pytest.mark.parametrize("name", BREAKAGES)
async def test_wherever_it_is_cut_the_end_is_the_same(name, way):
    fields = b"Content-Encoding: deflate\r\n" if "deflate" in name else b""
    before, damage = BREAKAGES[name]
    whole = HEAD + fields + b"\r\n" + chunk(before) + damage
    ends = set()
    for cut in range(len(whole)):
        connection = PooledConnection(asyncio.get_running_loop(), bytearray(TLS_RECORD))
        connection.connection_made(Wire())
        connection.set_response_params(read_until_eof=True, read_bufsize=2**16)
        for piece in (whole[:cut], whole[cut:]):
            connection.data_received(piece)
        message, content = await connection.read()
        response = ReceivedResponse(None, message.code, {}, content, connection_reused=False)
        received, error = b"", None
        while error is None:
            try:
                received += await response.read()
            except ConnectionLostError as raised:
                error = raised
        ends.add((received, type(error), str(error)))
    assert len(ends) == 1
