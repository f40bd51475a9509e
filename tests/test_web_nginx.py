"""Answers through a real nginx with its own settings: nothing is held back, and leaving is noticed.

The next piece is said when the last one has arrived: a proxy that collects would wait for ever.
"""

import asyncio
import zlib
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.nginx import needs_nginx, nginx_before
from tests.test_examples import served_by_uvicorn
from tests.test_web_relay import END, Script, posted
from zai_async.web import Relay, sse_response

pytestmark = [needs_nginx, pytest.mark.usefixtures("children_unmeasured")]
# As nginx is installed, with HTTP/1.1 to the server, and with compression of everything.
SETTINGS = {
    "as installed": "",
    "kept open": 'proxy_http_version 1.1; proxy_set_header Connection "";',
    "compressing": "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;",
}


@asynccontextmanager
async def proxied(answer, settings, folder):
    """Yield a session with nginx: `/direct` relays to one reader, everything else is a relay."""
    async with Relay(None, answer=lambda _: answer, coalesce=0) as relay:

        async def app(scope, receive, send):
            if scope["path"] == "/direct":
                await sse_response(answer, coalesce=0)(scope, receive, send)
            else:
                await relay(scope, receive, send)

        async with (
            # The other parser sends chunks to HTTP/1.0, which nginx passes on in any case.
            served_by_uvicorn(app, http="h11") as upstream,
            nginx_before(upstream, folder, settings) as url,
            aiohttp.ClientSession(url, auto_decompress=False) as session,
        ):
            yield session


@pytest.mark.parametrize("path", ["/direct", "/"])
@pytest.mark.parametrize("settings", SETTINGS)
async def test_every_piece_passes_before_the_next_is_said(settings, path, tmp_path):
    script = Script()
    script.say("piece 0;")
    headers = {"Accept-Encoding": "gzip", "Content-Type": "application/json"}
    async with (
        proxied(script, SETTINGS[settings], tmp_path) as session,
        session.post(path, data=posted(), headers=headers) as answer,
    ):
        assert answer.headers.get("Content-Encoding") == (
            "gzip" if settings == "compressing" else None
        )
        read = zlib.decompressobj(31).decompress if settings == "compressing" else bytes
        seen = b""
        for number in range(1, 6):
            while b"piece %d;" % (number - 1) not in seen:
                seen += read(await answer.content.readany())
            script.say(f"piece {number};")
        script.say(END)
        seen += read(await answer.content.read())
    assert seen.endswith(b"data: [DONE]\n\n")


async def test_reader_who_leaves_nginx_leaves_the_answer(tmp_path):
    script = Script()
    script.say("Half")
    async with proxied(script, "", tmp_path) as session:
        async with session.post("/direct") as answer:
            await answer.content.readany()
            answer.close()
        while not script.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_reader_comes_back_through_nginx(tmp_path):
    script = Script()
    script.say("Half ")
    headers = {"Content-Type": "application/json"}
    async with proxied(script, "", tmp_path) as session:
        async with session.post("/", data=posted(), headers=headers) as answer:
            await answer.content.readany()
            answer.close()
        script.say("and half", END)
        async with session.get("/chat-1/stream") as answer:
            frames = await answer.read()
    assert frames.count(b'"Half "') == frames.count(b'"and half"') == 1
    assert frames.endswith(b"data: [DONE]\n\n")
