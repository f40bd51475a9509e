"""Connections of the pool: none is used on which anything waits that nobody asked for."""

import asyncio
import itertools
import json
import select
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from tests.calls import BODY, raw_request
from tests.certificates import certify
from tests.effort import sample
from tests.fault_server import FaultServer, answer
from tests.test_transport_framing import run, secured  # noqa: F401 - fixtures
from zai_async import ConnectionLostError
from zai_async._transport import NetworkSettings, _direct, open_transport
from zai_async._transport._internals import is_readable

OK = answer(BODY)
SURPLUS = answer(b'{"error": {"code": "500", "message": "too late"}}', status="500 Late")
PIECES = {
    "an answer": SURPLUS,
    "two answers": SURPLUS * 2,
    "a part of one": SURPLUS[:30],
    "its first byte": SURPLUS[:1],
    "an early hint": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "a hint and a half": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200",
}
PAUSES = {"together": None, "after it": 0.0, "late": 0.002}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("pool"), "IP:127.0.0.1")


@pytest.fixture(params=["direct", "client", "session"], autouse=True)
def way(request, monkeypatch):
    if request.param == "client":
        monkeypatch.setattr(_direct, "is_watched", lambda session: True)
    return request.param


@asynccontextmanager
async def opened(way, **settings):
    """Open a transport, on a session of the caller's if that is the way."""
    async with AsyncExitStack() as sessions:
        if way == "session":
            own = aiohttp.ClientSession()
            settings["session"] = await sessions.enter_async_context(own)
        transport = open_transport(NetworkSettings(trust_env=False, **settings))
        yield transport
        await transport.aclose()


async def body_of(response):
    body = b""
    while piece := await response.read():
        body += piece
    return body


class Numbering(FaultServer):
    """Answers each request with what it says, and writes something more from time to time."""

    def __init__(self, every, surplus, *, pause, tls=None):
        super().__init__([], tls=tls)
        self.every, self.surplus, self.pause = every, surplus, pause
        self.answered = 0

    async def serve(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            told = await reader.readexactly(length)
            self.answered += 1
            more = b"" if self.answered % self.every else self.surplus
            if self.pause is None:
                writer.write(answer(told) + more)
                continue
            writer.write(answer(told))
            await asyncio.sleep(self.pause)
            if more:
                writer.write(more)


@pytest.mark.parametrize(
    ("name", "pause"),
    [
        pytest.param(name, pause, id=f"{name} {when}")
        for name, (when, pause) in sample(itertools.product(PIECES, PAUSES.items()), 9)
    ],
)
def test_no_request_gets_the_answer_of_another(run, secured, way, name, pause):  # noqa: F811
    tls, context = secured

    async def test():
        async with (
            opened(way, ssl=context) as transport,
            Numbering(3, PIECES[name], pause=pause, tls=tls) as server,
        ):
            for number in range(7):
                sent = json.dumps({"number": number}).encode()
                response = await transport.send(raw_request(server.url, body=sent))
                assert (response.status, await body_of(response)) == (200, sent)
                await asyncio.sleep(0.01)
        assert 2 <= server.connections <= 5

    run(test())


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_what_was_closed_while_it_idled_is_not_used(run, way, how):  # noqa: F811
    async def test():
        async with opened(way) as transport, FaultServer([OK, 0.01, how], [OK]) as server:
            await body_of(await transport.send(raw_request(server.url)))
            await server.all_closed()
            response = await transport.send(raw_request(server.url))
            assert await body_of(response) == BODY
            assert server.connections == 2
            # Of a pool that is not ours nobody knows.
            assert response.connection_reused is (None if way == "session" else False)

    run(test())


async def test_bytes_that_the_loop_has_not_seen_yet_are_found(way):
    """The request is sent in the very turn of the loop in which they arrive."""
    async with opened(way) as transport, FaultServer([OK]) as server:
        response = await transport.send(raw_request(server.url))
        connection = response._content._protocol
        await body_of(response)
        inner = connection.transport.get_extra_info("socket")
        assert not is_readable(connection.transport)
        # Write from the other side, and ask before the loop turns.
        [writer] = server.writers
        writer.transport.get_extra_info("socket")._sock.send(SURPLUS)
        assert is_readable(connection.transport)
        again = await transport.send(raw_request(server.url))
        assert await body_of(again) == BODY
        assert inner.fileno() == -1 or server.connections == 2


async def test_stale_is_told_only_before_the_first_byte():
    transport = open_transport(NetworkSettings(trust_env=False))
    async with FaultServer([OK], ["rst"], [OK], [b"H", 0.01, "rst"], ["rst"]) as server:
        stale = []
        for _ in range(5):
            try:
                await body_of(await transport.send(raw_request(server.url)))
            except ConnectionLostError as error:
                stale.append(error.stale)
        # The last one befell a new connection.
        assert stale == [True, False, False]
        await transport.aclose()


@pytest.mark.parametrize("poll", [True, False], ids=["poll", "select"])
def test_readable_with_and_without_poll(monkeypatch, poll):
    if not poll:
        monkeypatch.delattr(select, "poll")

    class Connection:
        def __init__(self, sock):
            self.sock = sock

        def get_extra_info(self, name):
            return self.sock

    near, far = socket.socketpair()
    assert not is_readable(Connection(near))
    far.send(b"x")
    assert is_readable(Connection(near))
    near.recv(1)
    assert not is_readable(Connection(near))
    far.close()
    assert is_readable(Connection(near))
    near.close()
    assert is_readable(Connection(near))
    assert is_readable(Connection(None))


@pytest.mark.parametrize("size", [10, 200_000])
async def test_continue_and_an_early_refusal(size):
    """A server may say 100, whatever was asked, and refuse before it has read the body."""
    refusal = answer(b'{"error": {"code": "1210"}}', "Connection: close", status="413 Too Large")

    class Early(FaultServer):
        async def serve(self, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(refusal)
            await writer.drain()

    transport = open_transport(NetworkSettings(trust_env=False))
    async with Early([]) as server:
        for _ in range(5):
            response = await transport.send(raw_request(server.url, body=b"x" * size))
            assert (response.status, await body_of(response)) == (
                413,
                b'{"error": {"code": "1210"}}',
            )
            response.close()
    await transport.aclose()
