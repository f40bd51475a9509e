"""TLS of asyncio, made leaner: the same bytes however they are cut, the same end, less memory."""

import asyncio
import contextlib
import functools
import ssl
from asyncio import sslproto

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import BODY, raw_request
from tests.certificates import certify, needs_openssl, serving
from tests.fault_server import FaultServer, Listener, Proxy, answer
from zai_async import ProxyError, RequestTimeoutError, TLSError, ZaiError
from zai_async._secrets import Secret
from zai_async._transport import NetworkSettings, _internals, _tls, open_transport
from zai_async._transport._internals import PooledConnection
from zai_async._transport._tls import TLS_RECORD, RecordReader, slim_tls

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


class Wire(asyncio.Transport):
    """Keeps what a client writes for a server that has no socket either."""

    def __init__(self, sent):
        super().__init__()
        self.sent = sent
        self.closed = False

    def write(self, data):
        self.sent.write(bytes(data))

    def writelines(self, pieces):
        self.write(b"".join(pieces))

    def close(self):
        self.closed = True

    abort = close

    def _force_close(self, error):
        self.closed = True


class App(asyncio.Protocol):
    """Keeps what arrives."""

    def __init__(self, *, slimmed):
        self.slimmed = slimmed
        self.buffer = bytearray(2**14)
        self.received = []
        self.ended = False

    def connection_made(self, transport):
        if self.slimmed:
            slim_tls(transport._ssl_protocol, self.buffer)

    def data_received(self, data):
        self.received.append(data)

    def eof_received(self):
        self.ended = True


class Pair:
    """A client of asyncio and a server, joined by hand."""

    def __init__(self, certificate, *, slimmed=True):
        to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = serving(certificate).wrap_bio(to_server, self.to_client, server_side=True)
        self.app, self.wire = App(slimmed=slimmed), Wire(to_server)
        context = ssl.create_default_context(cafile=certificate)
        loop = asyncio.get_running_loop()
        self.tls = sslproto.SSLProtocol(
            loop, self.app, context, loop.create_future(), server_hostname="127.0.0.1"
        )
        self.tls.connection_made(self.wire)
        while self.tls._state is sslproto.SSLProtocolState.DO_HANDSHAKE:
            self._step()
        self._step()  # what the server says after the handshake

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls._app_transport.abort()
        self.tls.connection_lost(None)

    def _step(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.server.do_handshake()
        self.deliver(self.to_client.read())

    def deliver(self, data):
        """Hand bytes of the wire over as a loop does."""
        while data:
            room = self.tls.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self.tls.buffer_updated(size)
            data = data[size:]

    def cut(self, pieces, cuts):
        """Write these pieces, a record for each, and hand them over cut at these places."""
        for piece in pieces:
            self.server.write(piece)
        data = self.to_client.read()
        places = sorted(cut % (len(data) + 1) for cut in cuts)
        for begin, end in zip([0, *places], [*places, len(data)], strict=True):
            self.deliver(data[begin:end])


PIECES = st.lists(st.binary(min_size=1, max_size=300), max_size=6)
CUTS = st.lists(st.integers(0, 3000), max_size=6)


@given(PIECES, CUTS)
def test_what_was_sent_arrives_however_it_is_cut(certificate, pieces, cuts):
    async def work():
        with Pair(certificate) as pair:
            assert type(pair.tls) is RecordReader
            pair.cut(pieces, cuts)
        return b"".join(pair.app.received), pair.app.ended, all(pair.app.received)

    assert asyncio.run(work()) == (b"".join(pieces), False, True)


@pytest.mark.parametrize("slimmed", [True, False])
def test_records_of_one_read_come_in_one_piece_and_the_end_after_them(certificate, slimmed):
    async def work():
        with Pair(certificate, slimmed=slimmed) as pair:
            pair.server.write(b"one, ")
            pair.server.write(b"two")
            with pytest.raises(ssl.SSLWantReadError):
                pair.server.unwrap()
            pair.deliver(pair.to_client.read())
        return pair.app.received, pair.app.ended

    assert asyncio.run(work()) == ([b"one, two"], True)


def test_a_record_that_was_forged_ends_the_connection(certificate):
    async def work():
        with Pair(certificate) as pair:
            pair.server.write(b"text")
            record = bytearray(pair.to_client.read())
            record[-1] ^= 1
            pair.deliver(bytes(record))
        return pair.app.received, pair.wire.closed

    assert asyncio.run(work()) == ([], True)


async def test_connections_share_one_buffer_and_lose_nothing(certificate):
    """Larger than the buffer of asyncio, and than ours, by a part of a piece."""
    large = bytes(range(256)) * 5000 + b"end"
    settings = NetworkSettings(ssl=ssl.create_default_context(cafile=certificate), trust_env=False)
    transport = open_transport(settings)

    async def received():
        response = await transport.send(raw_request(server.url))
        tls = response._owner.transport._ssl_protocol
        body = bytearray()
        while piece := await response.read():
            body += piece
        return bytes(body), tls

    async with FaultServer([answer(large)], tls=serving(certificate)) as server:
        (one, first), (two, second) = await asyncio.gather(received(), received())
        await transport.aclose()
    assert one == two == large
    assert first is not second
    assert first._ssl_buffer is second._ssl_buffer
    assert len(first._ssl_buffer) == 2**14


class Silent(Listener):
    """Let a handshake begin and not end: with a script in place of TLS."""

    def __init__(self, *script):
        super().__init__()
        self.script = script
        self.begun = asyncio.Event()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}/api/paas/v4"

    async def serve(self, reader, writer):
        await reader.read(1)
        self.begun.set()
        for step in self.script:
            if step == "rst":
                writer.transport.abort()
            else:
                writer.write(step)
        await reader.read()


def trusting(certificate):
    context = ssl.create_default_context(cafile=certificate)
    return open_transport(NetworkSettings(ssl=context, trust_env=False))


async def test_no_handshake_reserves_the_room_of_asyncio(certificate, monkeypatch):
    kinds = []
    monkeypatch.setattr(_internals, "slim_tls", lambda tls, _: kinds.append(type(tls)))
    transport = trusting(certificate)
    async with FaultServer([answer(BODY)], tls=serving(certificate)) as server:
        await (await transport.send(raw_request(server.url))).read()
        await transport.aclose()
    assert kinds == [RecordReader]


@pytest.mark.parametrize("gone", ["_incoming", "_do_read__copied"])
async def test_without_the_inside_of_asyncio_it_shakes_hands_itself(certificate, monkeypatch, gone):
    monkeypatch.setattr(_tls, "_FOUND", _tls._FOUND - {gone})
    kinds = []
    monkeypatch.setattr(_internals, "slim_tls", lambda tls, _: kinds.append(type(tls)))
    transport = trusting(certificate)
    async with FaultServer([answer(BODY)], tls=serving(certificate)) as server:
        response = await transport.send(raw_request(server.url))
        assert await response.read() == BODY
        await transport.aclose()
    assert kinds == [sslproto.SSLProtocol]


@pytest.mark.parametrize(
    ("script", "expected"),
    [([b"HTTP/1.1 400 Bad Request\r\n\r\n"], TLSError), (["rst"], ConnectionError)],
    ids=["no TLS", "reset"],
)
async def test_a_handshake_that_fails(certificate, script, expected):
    transport = trusting(certificate)
    async with Silent(*script) as server:
        with pytest.raises(expected) as caught:
            await transport.send(raw_request(server.url))
        await transport.aclose()
    assert isinstance(caught.value, ZaiError)


async def test_a_handshake_that_fails_with_a_proxy(certificate):
    context = ssl.create_default_context(cafile=certificate)
    async with Silent("rst") as proxy:
        settings = NetworkSettings(ssl=context, trust_env=False, proxy=Secret(proxy.url))
        transport = open_transport(settings)
        with pytest.raises(ProxyError):
            await transport.send(raw_request("https://api.invalid/v4"))
        await transport.aclose()


async def test_a_handshake_that_does_not_end_is_part_of_connecting(certificate):
    transport = trusting(certificate)
    async with Silent() as server:
        with pytest.raises(RequestTimeoutError, match="connect"):
            await transport.send(raw_request(server.url, connect_timeout=0.05))
        await transport.aclose()


async def test_a_handshake_that_is_cancelled_closes_its_connection(certificate):
    transport = trusting(certificate)
    async with Silent() as server:
        sending = asyncio.create_task(transport.send(raw_request(server.url)))
        await server.begun.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await transport.aclose()


async def test_without_tls_less_is_read_at_a_time_than_asyncio_would():
    loop = asyncio.get_running_loop()
    async with FaultServer([answer(BODY)]) as server:
        make = functools.partial(PooledConnection, loop, bytearray(TLS_RECORD))
        transport, connection = await loop.create_connection(make, "127.0.0.1", server.port)
        assert transport.max_size == 2**16
        connection.close()


async def test_tls_within_the_tls_of_a_proxy(certificate):
    large = bytes(range(256)) * 5000 + b"end"
    context = ssl.create_default_context(cafile=certificate)
    tls = serving(certificate)
    async with FaultServer([answer(large)], tls=tls) as server, Proxy(tls=tls) as proxy:
        settings = NetworkSettings(ssl=context, trust_env=False, proxy=Secret(proxy.url))
        transport = open_transport(settings)
        response = await transport.send(raw_request(server.url))
        body = bytearray()
        while piece := await response.read():
            body += piece
        await transport.aclose()
    assert body == large
    assert proxy.tunnels == 1


async def test_a_body_that_ends_with_its_connection(certificate):
    settings = NetworkSettings(ssl=ssl.create_default_context(cafile=certificate), trust_env=False)
    transport = open_transport(settings)
    whole = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY
    async with FaultServer([[whole, "fin"]], tls=serving(certificate)) as server:
        response = await transport.send(raw_request(server.url))
        body = b""
        while piece := await response.read():
            body += piece
        await transport.aclose()
    assert body == BODY


@pytest.mark.parametrize("other", [None, object()])
def test_other_loops_keep_their_own_buffers(other):
    before = repr(other)
    slim_tls(other, bytearray())
    assert repr(other) == before
