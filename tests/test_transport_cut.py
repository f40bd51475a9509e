"""Bodies that end with their connection: one that is cut is no end, and no answer is lost to it."""

import aiohttp
import pytest

from tests.calls import ASK, BODY, client
from tests.certificates import certify, needs_openssl
from tests.chat_wire import body, last, texts
from tests.fault_server import FaultServer
from tests.test_transport_framing import run, secured  # noqa: F401 - fixtures
from tests.ways import send_by
from zai_async import ConnectionLostError, ResponseError, StreamTruncatedError

pytestmark = needs_openssl

SOUND = b"ID3" + bytes(range(256)) * 20
EVENTS = body([*texts("Hi ", "there"), last()])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("cut"), "IP:127.0.0.1")


@pytest.fixture(params=["direct", "client", "session", "public"], autouse=True)
def way(request, monkeypatch):
    send_by(request.param, monkeypatch)
    return request.param


def until_closed(content, *ends, kind="application/json"):
    """Return a body without a length, and how its connection ends."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n"
    return [head.encode() + content, 0.02, *ends]


async def outcome_of(script, work, way, contexts):
    """Return what a piece of work comes to, over a session of the caller's if that is the way."""
    served, trusted = contexts
    own = aiohttp.ClientSession() if way == "session" else None
    async with FaultServer(script, tls=served) as server:
        extra = {} if own is None else {"session": own}
        try:
            async with client(server.url, ssl=trusted, **extra) as zai:
                return await work(zai, server)
        finally:
            if own is not None:
                await own.close()


async def speak(zai, _):
    return (await zai.audio.speech.create(model="glm-tts", input="x", voice="v")).content


async def ask(zai, _):
    return (await zai.chat.completions.create(**ASK)).text


async def stream(zai, _):
    async with zai.chat.completions.stream(**ASK) as answered:
        return (await answered.completion()).text


def test_a_proper_end_is_one(run, secured, way):  # noqa: F811
    async def test():
        script = until_closed(SOUND, "fin", kind="audio/mpeg")
        assert await outcome_of(script, speak, way, secured) == SOUND

    run(test())


def test_sound_that_was_cut_is_not_taken_for_whole(run, secured, way):  # noqa: F811
    async def test():
        for end in ["rst"] if secured[0] is None else ["rst", "cut"]:
            script = until_closed(SOUND[:2000], end, kind="audio/mpeg")
            with pytest.raises(ConnectionLostError) as caught:
                await outcome_of(script, speak, way, secured)
            assert caught.value.request_sent

    run(test())


def test_a_download_that_was_cut_leaves_no_file(run, secured, way, tmp_path):  # noqa: F811
    to = tmp_path / "film.mp4"

    async def download(zai, server):
        return await zai.download(server.url + "/film.mp4", to)

    async def test():
        script = until_closed(SOUND, "rst" if secured[0] is None else "cut", kind="video/mp4")
        with pytest.raises(ConnectionLostError):
            await outcome_of(script, download, way, secured)

    run(test())
    assert list(tmp_path.iterdir()) == []


def test_what_says_itself_where_it_ends_is_not_lost(run, secured, way):  # noqa: F811
    """It is paid, and nothing of it is missing."""

    async def test():
        for end in ("rst", "cut"):
            assert await outcome_of(until_closed(BODY, end), ask, way, secured) == "Hi"
            assert await outcome_of(until_closed(BODY, end), stream, way, secured) == "Hi"
            for work in ask, stream:
                script = until_closed(EVENTS, end, kind="text/event-stream")
                assert await outcome_of(script, work, way, secured) == "Hi there"
            script = until_closed(BODY[:-9], end)
            with pytest.raises((ConnectionLostError, ResponseError)):
                await outcome_of(script, ask, way, secured)
            with pytest.raises((ConnectionLostError, ResponseError, StreamTruncatedError)):
                await outcome_of(script, stream, way, secured)
            script = until_closed(EVENTS[: EVENTS.index(b"there")], end, kind="text/event-stream")
            for work in ask, stream:
                with pytest.raises((ConnectionLostError, StreamTruncatedError)):
                    await outcome_of(script, work, way, secured)

    run(test())
