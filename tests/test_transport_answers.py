"""Answers on real sockets: redirects, and bodies that are packed, endless or cut."""

import gzip
import tracemalloc
import zlib
from contextlib import contextmanager
from itertools import repeat

import pytest

from tests.calls import BODY, KEY, ask, client, raw_request
from tests.fault_server import FaultServer, answer
from zai_async import (
    APIError,
    LimitError,
    ResponseError,
)
from zai_async._transport import NetworkSettings, open_transport

OK = answer(BODY)


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


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x y%2F?q=a b%27", "/x%20y%2F?q=a%20b%27"),
        ("\u00e9?a://b", "/api/paas/v4/chat/%C3%A9?a://b"),
        ("//127.0.0.1:PORT/{x}", "/%7Bx%7D"),
    ],
)
async def test_a_relative_redirect_is_escaped_where_no_address_may_hold_it(location, target):
    async with FaultServer() as server, client(server.url) as zai:
        where = location.replace("PORT", str(server.port)).encode()
        moved = answer(b"", "Location: WHERE", status="307 Moved").replace(b"WHERE", where)
        server.script = [[moved], [OK]]
        await ask(zai)
        assert server.requests[-1].target == target


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
async def test_a_body_is_sent_again_only_if_it_can_be_read_again(replayable, status, sent):
    transport = open_transport(NetworkSettings(trust_env=False))
    body = Pieces(b"one", b"two", size=6, replayable=replayable)
    async with FaultServer([answer(b"", "Location: /b", status="307 Moved")], [OK]) as server:
        response = await transport.send(raw_request(server.url, body=body))
        await transport.aclose()
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
