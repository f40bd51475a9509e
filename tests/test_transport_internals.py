"""What is used of aiohttp's and asyncio's inside still means what is assumed, not its names only.

When one of these fails after an upgrade, read what changed there before anything here is changed;
meanwhile ``ClientTransport`` works by public means.
"""

import asyncio
import re
import sys
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest
import yarl
from aiohttp import http_writer
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

import zai_async
from tests.calls import BODY, raw_request
from tests.fault_server import FaultServer, answer
from tests.test_transport_framing import Wire
from zai_async import ConfigurationError, ConnectionLostError
from zai_async._transport import NetworkSettings, _internals, open_transport
from zai_async._transport._client import ClientTransport, SessionResponse
from zai_async._transport._direct import DirectTransport, Origin, WriteCoalescer
from zai_async._transport._internals import (
    BodyReader,
    PooledConnection,
    PooledConnector,
    ReceivedResponse,
    serialize_head,
)
from zai_async._transport._tls import TLS_RECORD

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = answer(BODY)


async def plain():
    """Return a connection of aiohttp's own, without a socket."""
    connection = ResponseHandler(asyncio.get_running_loop())
    connection.connection_made(Wire())
    connection.set_response_params(read_until_eof=True)
    return connection


async def ours():
    connection = PooledConnection(asyncio.get_running_loop(), bytearray(TLS_RECORD))
    connection.connection_made(Wire())
    connection.set_response_params(read_until_eof=True)
    return connection


# The private names, and their meaning


def test_private_names_stand_in_two_files_only():
    """Those of aiohttp, and of asyncio's TLS; what else begins with an underscore is our own."""
    names = re.compile(
        r"\._(buffer|eof|exception|waiter|payload|parser|protocol|sslobj|incoming|ssl_protocol"
        r"|reading_paused|high_water|loop|size|request|get|close|default_headers)\b(?!\()"
    )
    home = Path(zai_async.__file__).parent
    for path in [*home.glob("_transport/*.py"), *home.glob("downloads/*.py")]:
        text = path.read_text().replace("self._", "self.")
        if path.name not in {"_internals.py", "_tls.py"}:
            assert (path.name, names.findall(text)) == (path.name, [])


def test_they_hold():
    assert _internals.hold()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(aiohttp.TCPConnector, "_get"), (http_writer, "_serialize_headers")],
    ids=["method", "function"],
)
def test_a_name_that_is_gone_is_noticed(monkeypatch, owner, name):
    if owner is aiohttp.TCPConnector:
        owner = aiohttp.BaseConnector
    monkeypatch.delattr(owner, name)
    assert not _internals.hold()


async def test_without_the_inside_the_public_client_sends(monkeypatch):
    assert isinstance(open_transport(NetworkSettings()), DirectTransport)
    monkeypatch.setattr(_internals, "hold", lambda: False)
    assert type(open_transport(NetworkSettings())) is ClientTransport
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "zai_async._transport._direct", None)
    assert type(open_transport(NetworkSettings())) is ClientTransport


async def test_the_queue_hands_out_messages_before_its_exception():
    connection = await plain()
    connection.data_received(OK)
    connection.set_exception(HttpProcessingError(message="x"))
    message, _ = await connection.read()
    assert message.code == 200
    with pytest.raises(HttpProcessingError):
        await connection.read()


@pytest.mark.parametrize("way", ["close", "abort"])
async def test_either_way_to_end_a_connection_wakes_whoever_reads(way):
    """By aiohttp itself the reader waits for ever; should that change, a part of ours can go."""
    for connection in (await plain(), await ours()):
        connection.data_received(HEAD + b"2\r\nab\r\n")
        _, content = await connection.read()
        assert await content.readany() == b"ab"
        reading = asyncio.create_task(content.readany())
        await asyncio.sleep(0)
        getattr(connection, way)()
        await asyncio.sleep(0)
        assert connection.transport is None
        if isinstance(connection, PooledConnection):
            with pytest.raises(aiohttp.ClientConnectionError, match=r"^closed$"):
                await reading
        else:
            assert not reading.done()
            reading.cancel()


@pytest.mark.parametrize("way", ["close", "abort"])
async def test_what_was_read_to_its_end_stays_whole_when_the_connection_ends(way):
    connection = await ours()
    connection.data_received(OK)
    _, content = await connection.read()
    getattr(connection, way)()
    assert content.exception() is None
    assert await content.read() == BODY


async def test_aiohttp_forgets_the_reader_of_a_broken_body():
    """Should that change one day, a part of ours can go."""
    connection = await plain()
    connection.data_received(HEAD + b"2\r\nab\r\n")
    _, content = await connection.read()
    connection.data_received(b"zz\r\n")
    assert connection.transport.closed
    assert content.exception() is None
    connection = await ours()
    connection.data_received(HEAD + b"2\r\nab\r\n")
    _, content = await connection.read()
    connection.data_received(b"zz\r\n")
    assert isinstance(content.exception(), aiohttp.ClientPayloadError)


async def test_the_payload_is_that_of_the_last_message_and_none_before_one():
    connection = await ours()
    assert connection._payload is None
    connection.data_received(HEAD[:10])
    assert (connection._payload, connection.head) == (None, HEAD[:10])
    connection.data_received(HEAD[10:])
    _, content = await connection.read()
    assert connection._payload is content
    assert HEAD[:10] not in connection.head


@pytest.mark.parametrize(
    ("surplus", "begun"), [(b"", False), (b"\r\n", False), (b"H", True), (OK[:40], True)]
)
async def test_the_parser_tells_whether_a_message_has_begun(surplus, begun):
    connection = await plain()
    connection.data_received(OK + surplus)
    assert (connection._parser.feed_eof() is not None) is begun
    assert len(connection._buffer) == 1


async def test_a_pool_hands_out_by_get_what_was_released():
    connector = PooledConnector(force_close=False, keepalive=15.0)
    loop = asyncio.get_running_loop()
    async with FaultServer([OK]) as server:
        origin = Origin.of(yarl.URL(f"http://127.0.0.1:{server.port}"), loop, True)
        assert await connector.idle(origin.key, []) is None
        lent = await connector.connect(origin.request, [], aiohttp.ClientTimeout())
        connection = lent.protocol
        connection.set_response_params(read_until_eof=True)
        connection.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        _, content = await connection.read()
        content.on_eof(lent.release)
        again = await connector.idle(origin.key, [])
        assert (again.protocol, connection.reused) == (connection, True)
        again.release()
        # A parser that fails to say anything is not at rest.
        connection._parser = Mock(feed_eof=Mock(side_effect=ValueError))
        assert await connector.idle(origin.key, []) is None
        assert connection.transport is None
    await connector.close()


async def test_end_of_body_is_told_once_and_at_once_where_it_has_come():
    content = aiohttp.StreamReader(Mock(), 2**16, loop=asyncio.get_running_loop())
    told = []
    content.on_eof(lambda: told.append("late"))
    content.feed_eof()
    content.on_eof(lambda: told.append("at once"))
    assert told == ["late", "at once"]


async def test_a_reader_becomes_ours_with_what_it_holds():
    content = aiohttp.StreamReader(
        Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop()
    )
    content.feed_data(b"ab")
    response = ReceivedResponse(None, 200, {}, content, connection_reused=False)
    assert type(content) is BodyReader
    content.feed_data(b"cd")
    assert await response.read() == b"abcd"
    # A read that was cancelled leaves a future that is done.
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    content.feed_data(b"ef")
    assert await response.read() == b"ef"
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    reading.cancel()
    content.set_exception(aiohttp.ClientPayloadError())
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(ConnectionLostError):
        await response.read()


def test_heads_are_written_as_http_wants_them():
    written = serialize_head("GET / HTTP/1.1", {"Host": "h", "X-Text": "é"})
    assert written == "GET / HTTP/1.1\r\nHost: h\r\nX-Text: é\r\n\r\n".encode()
    with pytest.raises(ValueError, match="header"):
        serialize_head("GET / HTTP/1.1", {"X": "a\r\nb"})


async def test_a_head_that_cannot_be_written_is_no_fault_of_the_network():
    transport = open_transport(NetworkSettings(trust_env=False))
    async with FaultServer([OK]) as server:
        with pytest.raises(ConfigurationError, match="line break"):
            await transport.send(raw_request(server.url, headers={"X": "a\r\nb"}))
        assert server.requests == []
    await transport.aclose()


async def test_empty_lines_before_an_answer_whose_body_breaks():
    """Lines that end no head are no heads."""
    connection = await ours()
    connection.data_received(b"\r\n\r\n" + HEAD + b"2\r\nab\r\nzz\r\n")
    message, content = await connection.read()
    response = ReceivedResponse(None, message.code, {}, content, connection_reused=False)
    assert await response.read() == b"ab"
    with pytest.raises(ConnectionLostError):
        await response.read()


async def test_an_informational_head_that_is_followed_by_no_http():
    connection = await ours()
    connection.data_received(b"HTTP/1.1 103 Early Hints\r\n\r\n<html>\r\n\r\n")
    message, _ = await connection.read()
    assert message.code == 103
    with pytest.raises(HttpProcessingError):
        await connection.read()


# What is left


async def test_a_connection_that_closes_before_the_write_is_not_written_to():
    line, box = Mock(), WriteCoalescer()
    line.is_closing.return_value = True
    box.put(line, b"request")
    line.write.assert_not_called()


async def test_a_cancelled_wait_for_the_end_of_a_connection_is_no_failure():
    content = aiohttp.StreamReader(Mock(), 2**16, loop=asyncio.get_running_loop())
    response = SessionResponse(Mock(content=content, connection=None, headers={}), None)
    closed = asyncio.get_running_loop().create_future()
    closed.cancel()
    response.lost(closed)
    with pytest.raises(ConnectionLostError):
        await response.read()


async def test_a_fault_keeps_the_place_where_it_was_raised(monkeypatch):
    """But not the frames, whose variables hold the key."""

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(aiohttp.ClientSession, "request", broken)
    transport = open_transport(NetworkSettings(trust_env=False))
    with pytest.raises(ZeroDivisionError) as caught:
        await transport.send(raw_request("http://127.0.0.1:9"))
    assert re.search(
        r"raised in .*broken, .*test_transport_internals\.py", caught.value.__notes__[0]
    )
    await transport.aclose()


async def test_a_hint_alone_before_what_is_no_http():
    connection = await ours()
    connection.data_received(b"HTTP/1.1 103 Early Hints\r\n\r\n<html>")
    message, _ = await connection.read()
    assert message.code == 103
    with pytest.raises(HttpProcessingError):
        await connection.read()
