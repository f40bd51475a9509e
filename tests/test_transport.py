"""The transport on real sockets: what breaks, what is reused, what is never followed."""

import asyncio
import gzip
import socket
import ssl
import tracemalloc
import zlib
from contextlib import contextmanager
from itertools import repeat

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadHttpMessage

from tests.calls import BODY, KEY, ask, client
from tests.fault_server import FaultServer, answer
from zai_async import (
    APIError,
    CallOptions,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    LimitError,
    ProxyError,
    RequestTimeoutError,
    ResponseError,
    RetryPolicy,
    Timeout,
    TLSError,
)
from zai_async._secrets import Secret
from zai_async._transport import NetworkSettings, Request, open_transport
from zai_async._transport import _aiohttp as room
from zai_async.testing import Emulator

OK = answer(BODY)
PLACE = ConnectionKey("api.invalid", 443, True, True, None, None, None)
NO_NAME = socket.gaierror(-2, "Name or service not known")


def request(url, **changes):
    fields = {"operation": "test", "method": "POST", "url": url, "headers": {}, "body": b"{}"}
    return Request(**fields | changes)


async def body_of(response):
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


@pytest.fixture
async def transport():
    transport = open_transport(NetworkSettings(trust_env=False))
    yield transport
    await transport.aclose()


# The translation of failures


@pytest.mark.parametrize(
    ("error", "ours", "sent"),
    [
        (aiohttp.ClientConnectorCertificateError(PLACE, ssl.SSLError()), TLSError, False),
        (aiohttp.ClientConnectorSSLError(PLACE, ssl.SSLError(1, "alert")), TLSError, False),
        (aiohttp.ServerFingerprintMismatch(b"1", b"2", "api.invalid", 443), TLSError, False),
        (aiohttp.ClientProxyConnectionError(PLACE, OSError(111, "refused")), ProxyError, False),
        (aiohttp.ClientHttpProxyError(None, (), status=407), ProxyError, False),
        (aiohttp.ConnectionTimeoutError(), ConnectTimeoutError, False),
        (aiohttp.ClientConnectorDNSError(PLACE, NO_NAME), ConnectError, False),
        (aiohttp.ClientConnectorError(PLACE, OSError(111, "refused")), ConnectError, False),
        (aiohttp.ClientResponseError(None, ()), ResponseError, None),
        (BadHttpMessage("bad"), ResponseError, None),
        (aiohttp.ClientPayloadError(), ConnectionLostError, True),
        (ssl.SSLError(1, "bad record"), ConnectionLostError, True),
        (aiohttp.SocketTimeoutError(), RequestTimeoutError, True),
        (aiohttp.ServerDisconnectedError(), ConnectionLostError, True),
        (ConnectionResetError(104, "reset"), ConnectionLostError, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_failure_has_a_name_of_ours(error, ours, sent):
    translated = room.translate(error)
    assert type(translated) is ours
    assert getattr(translated, "request_sent", None) is sent
    assert "api.invalid" not in str(translated)


async def test_a_refused_connection():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        zai = client(f"http://127.0.0.1:{taken.getsockname()[1]}/api/paas/v4")
        async with zai:
            with pytest.raises(ConnectError) as caught:
                await ask(zai)
    (attempt,) = caught.value.attempts
    assert (attempt.error, attempt.maybe_billed) == ("ConnectError", False)


async def test_connecting_has_a_clock_of_its_own():
    """Nobody accepts: the queue of a listening socket is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        zai = client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=Timeout(connect=0.02))
        async with zai:
            with pytest.raises(ConnectTimeoutError) as caught:
                await ask(zai)
        for filler in fillers:
            filler.close()
    assert not caught.value.attempts[0].maybe_billed


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x00\x00\r\n\r\n"],
)
async def test_what_is_not_http(garbage):
    async with FaultServer([garbage, "fin"]) as server, client(server.url) as zai:
        with pytest.raises(ResponseError, match="not HTTP"):
            await ask(zai)


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("sent", [b"", OK[:20], OK[:-5]])
async def test_a_connection_that_breaks(how, sent):
    async with FaultServer([sent, 0.01, how]) as server, client(server.url) as zai:
        with pytest.raises(ConnectionLostError) as caught:
            await ask(zai)
        assert len(server.requests) == 1
    assert caught.value.attempts[0].maybe_billed
    assert not caught.value.stale


async def test_a_broken_chunk():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with FaultServer([head + b"zz\r\n"]) as server, client(server.url) as zai:
        with pytest.raises((ConnectionLostError, ResponseError)):
            await ask(zai)


async def test_an_error_whose_text_breaks_off_keeps_its_status():
    broken = answer(b'{"error": {"code": "1302"', status="429 Too Many")[:-5]
    async with FaultServer([broken, "rst"]) as server, client(server.url) as zai:
        with pytest.raises(APIError) as caught:
            await ask(zai)
    assert caught.value.status_code == 429


# Connections that are used again


async def test_answers_share_a_connection():
    async with FaultServer([OK]) as server, client(server.url) as zai:
        replies = [await ask(zai) for _ in range(3)]
        assert server.connections == 1
    assert [reply.attempts[0].connection_reused for reply in replies] == [False, True, True]


async def test_an_idle_connection_that_was_closed_is_no_failure():
    """Each second request meets a reset; all succeed, and the ledger says how."""
    async with Emulator() as emulator, client(emulator.url, retry=RetryPolicy()) as zai:
        emulator.fault(drop_reused=True, times=None)
        replies = [await ask(zai) for _ in range(200)]
        assert len(emulator.requests) == sum(len(reply.attempts) for reply in replies) == 300
    first, second = replies[0].attempts, replies[1].attempts
    assert [attempt.error for attempt in first] == [None]
    assert [attempt.error for attempt in second] == ["ConnectionLostError", None]
    assert [attempt.connection_reused for attempt in second] == [True, False]
    assert [attempt.wait for attempt in second] == [0.0, 0.0]
    assert [attempt.number for attempt in second] == [1, 2]


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("begun", [b"H", OK[:20], OK[:-5]])
async def test_an_answer_that_had_begun_is_not_asked_for_again_at_once(how, begun):
    async with FaultServer([OK], [begun, 0.01, how], [OK]) as server, client(server.url) as zai:
        await ask(zai)
        with pytest.raises(ConnectionLostError) as caught:
            await ask(zai)
        assert len(server.requests) == 2
    assert not caught.value.stale


@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_without_retries_exactly_one_request_is_sent(how):
    async with FaultServer([OK], [how]) as server, client(server.url) as zai:
        await ask(zai)
        with pytest.raises(ConnectionLostError) as caught:
            await ask(zai, options=CallOptions(retries=0))
        assert len(server.requests) == 2
    assert caught.value.stale
    assert caught.value.attempts[0].connection_reused


async def test_keep_alive_asks_silent_networks(transport):
    sockets = []
    make = room._keepalive_socket

    def record(address):
        sockets.append(make(address))
        return sockets[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_keepalive_socket", record)
        async with FaultServer([OK]) as server:
            await body_of(await transport.send(request(server.url)))
            (sock,) = sockets
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for name, value in room._KEEPALIVE.items():
                assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


async def test_a_platform_without_the_options_still_connects(transport, monkeypatch):
    monkeypatch.setattr(room, "_KEEPALIVE", {"TCP_KEEPUNKNOWN": 1})
    async with FaultServer([OK]) as server:
        response = await transport.send(request(server.url))
        assert await body_of(response) == BODY


async def test_a_fresh_request_takes_no_connection_from_the_pool(transport):
    async with FaultServer([OK]) as server:
        for fresh in (False, False, True, True):
            response = await transport.send(request(server.url, fresh=fresh))
            await body_of(response)
            assert response.at_end()
        assert server.connections == 3


async def test_closing_an_unread_answer_drops_its_connection(transport):
    async with FaultServer([OK[:-5], "hang"]) as server:
        response = await transport.send(request(server.url))
        assert not response.at_end()
        response.close()
        with pytest.raises(ConnectionLostError):
            await body_of(response)


async def test_cookies_are_not_kept():
    cookie = answer(BODY, "Set-Cookie: id=1; Path=/")
    async with FaultServer([cookie]) as server, client(server.url) as zai:
        await ask(zai)
        await ask(zai)
        assert server.requests[1].header("Cookie") is None


async def test_a_session_of_the_callers_is_used_and_left_open():
    jar = aiohttp.CookieJar(unsafe=True)
    async with FaultServer([OK], ["rst"]) as server, aiohttp.ClientSession(cookie_jar=jar) as own:
        async with client(server.url, session=own, retry=RetryPolicy()) as zai:
            reply = await ask(zai)
            with pytest.raises(ConnectionLostError) as caught:
                await ask(zai, options=CallOptions(retries=0))
        assert not own.closed
        assert reply.attempts[0].connection_reused is None
        assert not caught.value.stale
        async with client(server.url, session=own) as other:
            del other
        assert not own.closed


async def test_a_key_may_travel_in_the_query(transport):
    async with FaultServer([OK]) as server:
        secret = {"api_token": Secret(KEY)}
        await body_of(await transport.send(request(f"{server.url}?a=1", secret_query=secret)))
        assert server.requests[0].target.endswith(f"?a=1&api_token={KEY}")


# Redirects


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("relative", [True, False])
async def test_a_redirect_within_the_origin_is_followed_with_the_key(status, relative):
    async with FaultServer() as server, client(server.url) as zai:
        where = "/moved" if relative else f"http://127.0.0.1:{server.port}/moved"
        server.script = [[answer(b"", f"Location: {where}", status=f"{status} Moved")], [OK]]
        await ask(zai)
        first, second = server.requests
    assert (second.target, second.body) == ("/moved", first.body)
    assert second.header("Authorization") == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_leaves_the_origin(status):
    async with FaultServer([OK]) as other, FaultServer() as server, client(server.url) as zai:
        where = f"Location: http://127.0.0.1:{other.port}/"
        server.script = [[answer(b"", where, status=f"{status} Moved")]]
        with pytest.raises(ResponseError, match=f"HTTP {status}"):
            await ask(zai)
        assert (len(server.requests), other.requests) == (1, [])


@pytest.mark.parametrize(
    "location", [[], ["Location: http://[::1/"], ["Location: http://h:99999/"], ["Location: x:y"]]
)
async def test_a_redirect_to_nowhere_is_an_answer(location):
    async with FaultServer([answer(b"", *location, status="307 Moved")]) as server:
        async with client(server.url) as zai:
            with pytest.raises(ResponseError, match="HTTP 307"):
                await ask(zai)
        assert len(server.requests) == 1


class Pieces:
    """A body that is read while it is sent."""

    content_type = "text/plain"

    def __init__(self, *pieces, size=None, replayable=True):
        self.pieces, self.size, self.replayable = pieces, size, replayable

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


@pytest.mark.parametrize(("replayable", "status", "sent"), [(True, 200, 2), (False, 307, 1)])
async def test_a_body_is_sent_again_only_if_it_can_be_read_again(
    transport, replayable, status, sent
):
    body = Pieces(b"one", b"two", size=6, replayable=replayable)
    async with FaultServer([answer(b"", "Location: /b", status="307 Moved")], [OK]) as server:
        response = await transport.send(request(server.url, body=body))
        response.close()
        assert [seen.body for seen in server.requests] == [b"onetwo"] * sent
        assert server.requests[0].header("Content-Length") == "6"
    assert response.status == status


async def test_circles_end():
    moved = answer(b"", "Location: /x", status="308 Moved")
    async with FaultServer([moved]) as server, client(server.url) as zai:
        with pytest.raises(ResponseError, match="circles"):
            await ask(zai)
        assert len(server.requests) == 4


# Bodies


async def test_compressed_answers():
    packed = gzip.compress(BODY)
    script = [answer(packed, "Content-Encoding: gzip")]
    async with FaultServer(script) as server, client(server.url) as zai:
        assert (await ask(zai)).text == "Hi"


async def test_an_answer_without_a_length_ends_with_its_connection():
    old = b"HTTP/1.0 200 OK\r\ncontent-TYPE: application/json\r\nx-LOG-id: 77\r\n\r\n" + BODY
    async with FaultServer([old, "fin"]) as server, client(server.url) as zai:
        first, second = await ask(zai), await ask(zai)
        assert server.connections == 2
    assert first.attempts[0].request_id == second.attempts[0].request_id == "77"


async def test_a_decompression_bomb_is_left_unread():
    """64 MiB of spaces in 64 KiB."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([packer.compress(b" " * 2**20) for _ in range(64)]) + packer.flush()
    script = [answer(bomb, "Content-Encoding: gzip")]
    async with FaultServer(script) as server, client(server.url, max_response_bytes=2**20) as zai:
        with pytest.raises(LimitError) as caught, held_at_most(16 * 2**20):
            await ask(zai)
    assert caught.value.limit == 2**20


@contextmanager
def held_at_most(size):
    """Look at the memory that is in use at once."""
    tracemalloc.start()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < size


ENDLESS = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b" " * 2**16 + b"\r\n"


async def test_an_endless_answer_is_cut_off():
    script = [b"HTTP/1.1 200 OK\r\n" + ENDLESS, repeat(CHUNK)]
    async with FaultServer(script) as server, client(server.url, max_response_bytes=2**20) as zai:
        with (
            pytest.raises(LimitError, match="larger than 1048576 bytes"),
            held_at_most(8 * 2**20),
        ):
            await ask(zai)
        assert server.written < 16 * 2**20


async def test_of_an_endless_error_the_beginning_is_read():
    script = [b"HTTP/1.1 502 Bad Gateway\r\n" + ENDLESS, repeat(CHUNK)]
    async with FaultServer(script) as server, client(server.url) as zai:
        with pytest.raises(APIError) as caught, held_at_most(8 * 2**20):
            await ask(zai)
        assert server.written < 16 * 2**20
    assert caught.value.status_code == 502
    assert len(caught.value.body) <= 2000


async def test_closing_at_once_leaves_nothing_open():
    transport = open_transport(NetworkSettings(trust_env=False))
    async with FaultServer([OK]) as server:
        await body_of(await transport.send(request(server.url)))
        await body_of(await transport.send(request(server.url, fresh=True)))
        transport.close_now()
        transport.close_now()
        await transport.aclose()


async def test_a_session_of_the_callers_is_not_closed_at_once_either():
    async with FaultServer([OK]) as server, aiohttp.ClientSession() as own:
        transport = open_transport(NetworkSettings(session=own, trust_env=False))
        await body_of(await transport.send(request(server.url)))
        transport.close_now()
        assert not own.closed


async def test_waiting_for_headers_can_be_cancelled(transport):
    async with FaultServer(["hang"]) as server:
        task = asyncio.create_task(transport.send(request(server.url)))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
