"""The transport on real sockets: what breaks, and what is used again."""

import asyncio
import gzip
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadHttpMessage

from tests.calls import BODY, KEY, ask, client, raw_request
from tests.effort import times
from tests.fault_server import FaultServer, answer
from tests.ways import send_by
from zai_async import (
    APIError,
    AuthenticationError,
    CallOptions,
    ClientClosedError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    RequestTimeoutError,
    ResponseError,
    RetryPolicy,
    Timeout,
    TLSError,
)
from zai_async._secrets import Secret
from zai_async._transport import (
    NetworkSettings,
    _client,
    _connections,
    _direct,
    _internals,
    open_transport,
)
from zai_async._transport._direct import WriteCoalescer
from zai_async._transport._errors import translate
from zai_async._transport._internals import ReceivedResponse
from zai_async.testing import Emulator

OK = answer(BODY)
PLACE = ConnectionKey("api.invalid", 443, True, True, None, None, None)
NO_NAME = socket.gaierror(-2, "Name or service not known")


async def body_of(response):
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


@pytest.fixture(autouse=True, params=["direct", "client", "public"])
def way(request, monkeypatch):
    """Send past aiohttp's client, through it, and by nothing but its public parts."""
    send_by(request.param, monkeypatch)
    return request.param


# By public means alone no connection is kept: nothing tells whether it could be used again.
keeps_connections = pytest.mark.parametrize("way", ["direct", "client"], indirect=True)


@pytest.fixture
async def transport():
    transport = open_transport(NetworkSettings(trust_env=False))
    yield transport
    await transport.aclose()


# The two ways, and their end


@pytest.mark.parametrize("at_once", [True, False])
async def test_closing_wakes_those_who_wait(transport, at_once):
    async with FaultServer([OK[:-3], "hang"], ["hang"]) as server:
        response = await transport.send(raw_request(server.url))
        assert await response.read() == BODY[:-3]
        server.arrived.clear()
        waiting = [response.read(), transport.send(raw_request(server.url))]
        tasks = [asyncio.create_task(wait) for wait in waiting]
        await server.arrived.wait()
        if at_once:
            transport.close_now()
        else:
            await transport.aclose()
        for task in tasks:
            with pytest.raises(ConnectionLostError):
                await task
        response.close()


async def read_late(transport, way):
    """Read what came before a connection broke; aiohttp's own reader forgets it."""
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    async with FaultServer([chunk, "fin"]) as server:
        response = await transport.send(raw_request(server.url))
        await server.all_closed()
        if way != "public":
            assert await response.read() == b"ab"
        with pytest.raises(ConnectionLostError):
            await response.read()
        response.close()


async def test_what_came_before_the_connection_broke_is_not_lost(transport, way):
    await read_late(transport, way)


async def test_nor_is_it_over_a_session_of_the_callers(way):
    async with aiohttp.ClientSession() as session:
        await read_late(open_transport(NetworkSettings(session=session)), way)


async def test_a_conversation_of_two_mebibytes_is_sent_without_a_warning():
    """aiohttp warns of large bodies in one piece, and warnings are errors here."""
    prompt = "x" * 2**21
    async with (
        FaultServer([answer(BODY)]) as server,
        client(server.url) as zai,
    ):
        await ask(zai, messages=prompt)
        assert prompt.encode() in server.requests[0].body


async def test_a_large_compressed_answer_that_is_read_late(transport):
    body = bytes(range(256)) * 8000
    packed = answer(gzip.compress(body), "Content-Encoding: gzip")
    async with FaultServer([packed]) as server:
        response = await transport.send(raw_request(server.url))
        await asyncio.sleep(0.1)
        assert await body_of(response) == body
        assert response.at_end()


@keeps_connections
async def test_what_was_closed_is_not_used_again_whatever_still_comes(transport):
    async with FaultServer([OK[:-3], "hang"], [OK]) as server:
        response = await transport.send(raw_request(server.url))
        content = response._content
        response.close()
        content.feed_eof()
        assert await body_of(await transport.send(raw_request(server.url))) == BODY
    assert server.connections == 2


@keeps_connections
async def test_an_answer_without_a_body(transport):
    async with FaultServer([b"HTTP/1.1 204 No Content\r\n\r\n"]) as server:
        for _ in range(2):
            response = await transport.send(raw_request(server.url))
            assert (response.status, response.at_end()) == (204, True)
            assert await response.read() == await response.read() == b""
            response.close()
    assert server.connections == 1


async def test_a_read_that_was_cancelled_loses_nothing(transport):
    chunks = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\na\r\n1\r\nb\r\n",
        b"0\r\n\r\n",
    )
    async with FaultServer([chunks[0], 0.05, chunks[1], 0.05, chunks[2]]) as server:
        response = await transport.send(raw_request(server.url))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), 0.01)
        assert await body_of(response) == b"ab"


class Tap:
    """The side of a connection that a reader knows."""

    def __init__(self):
        self.connected, self.told, self._reading_paused = True, [], False

    def pause_reading(self):
        self._reading_paused = True
        self.told.append("pause")

    def resume_reading(self, **_):
        self._reading_paused = False
        self.told.append("resume")


@pytest.mark.parametrize("pieces", [[b"xx"] * 5, [b"x" * 100] * 2, [b"x" * 9]])
async def test_who_does_not_read_is_sent_no_more(pieces, monkeypatch):
    """Neither many bytes nor many pieces, each of which costs more than a byte."""
    monkeypatch.setattr("zai_async._transport._internals._MOST_PIECES", 4)
    tap = Tap()
    content = aiohttp.StreamReader(tap, 50, loop=asyncio.get_running_loop())
    response = ReceivedResponse(None, 200, {}, content, connection_reused=False)
    for piece in [b"", *pieces]:
        content.feed_data(piece)
    few = len(pieces) == 1
    assert tap.told == ([] if few else ["pause"])
    assert await response.read() == b"".join(pieces)
    content.feed_data(b"y")
    assert await response.read() == b"y"
    assert tap.told == ([] if few else ["pause", "resume"])


@keeps_connections
async def test_requests_of_many_tasks_all_arrive(transport):
    async with FaultServer([OK]) as server:
        for _ in range(2):  # on new connections, and on those of the pool
            sends = [transport.send(raw_request(server.url)) for _ in range(5)]
            answers = await asyncio.gather(*sends)
            assert [await body_of(answer) for answer in answers] == [BODY] * 5
    assert (len(server.requests), server.connections) == (10, 5)


async def test_what_is_closed_before_it_leaves_never_leaves():
    class Line:
        def __init__(self):
            self.closed, self.written = False, []
            self.is_closing, self.write = lambda: self.closed, self.written.append

    box, lines = WriteCoalescer(), [Line() for _ in range(3)]
    for line in lines:
        box.waiting += 1
        box.put(line, b"request")
    assert [line.written for line in lines] == [[b"request"], [], []]
    lines[1].closed = True
    await asyncio.sleep(0)
    assert [line.written for line in lines] == [[b"request"], [], [b"request"]]


async def test_nothing_is_sent_after_the_end(transport):
    await transport.aclose()
    async with FaultServer([OK]) as server:
        with pytest.raises(ClientClosedError):
            await transport.send(raw_request(server.url))
    assert server.requests == []


@pytest.mark.parametrize("address", ["http://a..b/", "http://user@127.0.0.1:9/"])
async def test_addresses_of_all_kinds(transport, address):
    with pytest.raises(ConnectError):
        await transport.send(raw_request(address))


async def test_a_session_that_raises_for_its_owner_does_not_for_us():
    refused = answer(b'{"error": {"code": "1001"}}', status="401 Unauthorized")
    async with (
        FaultServer([refused]) as server,
        aiohttp.ClientSession(raise_for_status=True) as session,
        client(server.url, session=session) as zai,
    ):
        with pytest.raises(AuthenticationError):
            await ask(zai)


@keeps_connections
async def test_no_more_origins_are_remembered_than_needed(transport, monkeypatch):
    monkeypatch.setattr(_direct, "_MOST_ORIGINS", 1)
    monkeypatch.setattr("zai_async._transport._direct._MOST_HEADS", 1)
    async with FaultServer([OK]) as server, FaultServer([OK]) as other:
        for patience, each in enumerate((server, other, server, other), 1):
            request = raw_request(each.url, connect_timeout=float(patience))
            assert await body_of(await transport.send(request)) == BODY
    assert (server.connections, other.connections) == (1, 1)


async def test_informational_answers_are_skipped(transport):
    async with FaultServer([b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK]) as server:
        response = await transport.send(raw_request(server.url))
        assert (response.status, await body_of(response)) == (200, BODY)


async def sent(transport, server, **changes):
    server.requests.clear()
    always = {"User-Agent": "a", "Accept": "b", "Content-Type": "c"}
    headers = always | changes.pop("headers", {})
    await body_of(await transport.send(raw_request(server.url, headers=headers, **changes)))
    [seen] = server.requests
    return seen


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "GET", "body": None},
        {"method": "DELETE", "body": None},
        {"body": b""},
        {"body": b"x" * 70_000},
        {"headers": {"accept-encoding": "identity", "X-Text": "\u00e9"}},
        {"headers": {"HOST": "other.invalid"}},
        {
            "secret_headers": {"Authorization": Secret("Bearer k")},
            "secret_query": {"q": Secret("&")},
        },
    ],
    ids=["post", "get", "delete", "empty", "large", "own headers", "host", "secrets"],
)
async def test_both_ways_send_the_same(changes, monkeypatch):
    async with FaultServer([OK]) as server:
        short = open_transport(NetworkSettings(trust_env=False))
        first = await sent(short, server, **changes)
        await short.aclose()
        long = open_transport(NetworkSettings(trust_env=False))
        monkeypatch.setattr(_direct, "is_watched", lambda session: True)
        second = await sent(long, server, **changes)
        await long.aclose()
    assert first.body == second.body
    assert sorted(first.head.split("\r\n")) == sorted(second.head.split("\r\n"))


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
    translated = translate(error)
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
        with pytest.raises(ResponseError, match="not valid HTTP"):
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


@keeps_connections
async def test_answers_share_a_connection():
    async with FaultServer([OK]) as server, client(server.url) as zai:
        replies = [await ask(zai) for _ in range(3)]
        assert server.connections == 1
    assert [reply.attempts[0].connection_reused for reply in replies] == [False, True, True]


@keeps_connections
async def test_an_idle_connection_that_was_closed_is_no_failure():
    """Each second request meets a reset; all succeed, and the ledger says how."""
    async with Emulator() as emulator, client(emulator.url, retry=RetryPolicy()) as zai:
        emulator.fault(drop_reused=True, times=None)
        replies = [await ask(zai) for _ in range(times(200, 40))]
        sent = len(replies) * 3 // 2
        assert len(emulator.requests) == sum(len(reply.attempts) for reply in replies) == sent
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


@keeps_connections
@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_without_retries_a_fresh_connection_is_tried_once(how):
    async with FaultServer([OK], [how]) as server, client(server.url) as zai:
        await ask(zai)
        with pytest.raises(ConnectionLostError) as caught:
            await ask(zai, options=CallOptions(retries=0))
        assert len(server.requests) == 3
    assert not caught.value.stale
    assert [attempt.connection_reused for attempt in caught.value.attempts] == [True, None]


async def test_keep_alive_asks_silent_networks(transport):
    sockets = []
    make = _connections.keepalive_socket

    def record(address):
        sockets.append(make(address))
        return sockets[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_client, "keepalive_socket", record)
        patch.setattr(_internals, "keepalive_socket", record)
        async with FaultServer([OK]) as server:
            await body_of(await transport.send(raw_request(server.url)))
            (sock,) = sockets
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for name, value in _connections._KEEPALIVE.items():
                assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


async def test_a_platform_without_the_options_still_connects(transport, monkeypatch):
    monkeypatch.setattr(_connections, "_KEEPALIVE", {"TCP_KEEPUNKNOWN": 1})
    async with FaultServer([OK]) as server:
        response = await transport.send(raw_request(server.url))
        assert await body_of(response) == BODY


@keeps_connections
async def test_a_fresh_request_takes_no_connection_from_the_pool(transport):
    async with FaultServer([OK]) as server:
        for fresh in (False, False, True, True):
            response = await transport.send(raw_request(server.url, fresh=fresh))
            await body_of(response)
            assert response.at_end()
        assert server.connections == 3


async def test_closing_an_unread_answer_drops_its_connection(transport):
    async with FaultServer([OK[:-5], "hang"]) as server:
        response = await transport.send(raw_request(server.url))
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
        await body_of(await transport.send(raw_request(f"{server.url}?a=1", secret_query=secret)))
        assert server.requests[0].target.endswith(f"?a=1&api_token={KEY}")


# Closing


async def test_closing_at_once_leaves_nothing_open():
    transport = open_transport(NetworkSettings(trust_env=False))
    async with FaultServer([OK]) as server:
        await body_of(await transport.send(raw_request(server.url)))
        await body_of(await transport.send(raw_request(server.url, fresh=True)))
        transport.close_now()
        transport.close_now()
        await transport.aclose()


async def test_a_session_of_the_callers_is_not_closed_at_once_either():
    async with FaultServer([OK]) as server, aiohttp.ClientSession() as own:
        transport = open_transport(NetworkSettings(session=own, trust_env=False))
        await body_of(await transport.send(raw_request(server.url)))
        transport.close_now()
        assert not own.closed


async def test_waiting_for_headers_can_be_cancelled(transport):
    async with FaultServer(["hang"]) as server:
        task = asyncio.create_task(transport.send(raw_request(server.url)))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
