"""Answers as responses: statuses, heartbeats, readers who leave, and every framework's own way."""

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web as aiohttp_web

from tests import chat_wire
from tests.chat_wire import GOOD, GOOD_TEXT, body, last, texts
from tests.test_examples import served_by_aiohttp, served_by_uvicorn
from tests.test_web_encoders import assert_balanced, kinds, parts
from tests.virtual_loop import run
from zai_async import (
    AsyncZai,
    Finished,
    RetryPolicy,
    StreamConsumedError,
    StreamStalledError,
    TextDelta,
)
from zai_async.models import ChatCompletion
from zai_async.streams.combinators import steady
from zai_async.testing import FakeReply
from zai_async.web import (
    DataPart,
    TextEncoder,
    UIMessageEncoder,
    aiohttp_response,
    sse_response,
)
from zai_async.web.pump import with_silences

END = Finished("completed", "stop", ChatCompletion())
BUSY = FakeReply.json({"error": {"code": "1302", "message": "acme"}}, status=429, Retry_After="7")


class Reader:
    """Somebody at the other end of an ASGI application, who may leave."""

    def __init__(self, accept: str = "*/*") -> None:
        self.scope = {"type": "http", "headers": [(b"accept", accept.encode())]}
        self.sent: list[dict] = []
        self.gone = asyncio.Event()
        self.leaves_after: int | None = None
        self.times: list[float] = []

    async def receive(self) -> dict:
        if not self.sent and not hasattr(self, "asked"):
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        self.sent.append(message)
        self.times.append(asyncio.get_running_loop().time())
        if len(self.sent) == self.leaves_after:
            self.gone.set()
        await asyncio.sleep(0)

    async def reads(self, response) -> "Reader":
        await response(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:]]

    @property
    def body(self) -> bytes:
        return b"".join(self.bodies)

    @property
    def is_complete(self) -> bool:
        return not self.sent[-1].get("more_body", True)


async def told(*events, delay=0.0):
    for event in events:
        if delay:
            await asyncio.sleep(delay)
        yield event


# The ASGI application


@pytest.mark.parametrize(("coalesce", "deltas"), [(0, 3), (5, 1)])
async def test_answer_is_relayed_whole(coalesce, deltas):
    async with chat_wire.client(GOOD) as zai:
        reader = await Reader().reads(
            sse_response(chat_wire.stream(zai), message_id="m1", coalesce=coalesce)
        )
    assert reader.status == 200
    assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reader.headers["cache-control"] == "no-cache, no-transform"
    assert reader.headers["x-accel-buffering"] == "no"
    assert reader.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert_balanced(reader.body)
    pieces = [part["delta"] for part in parts(reader.body)[:-1] if part["type"] == "text-delta"]
    assert ("".join(pieces), len(pieces)) == (GOOD_TEXT, deltas)
    assert reader.is_complete


@pytest.mark.parametrize(
    ("protocol", "accept", "kind", "says"),
    [
        ("ui-message-v1", "*/*", "text/plain; charset=utf-8", b"Too many requests"),
        ("ui-message-v1", "application/json", "application/json", b'"throttle"'),
        ("text", "*/*", "text/plain; charset=utf-8", b"Too many requests"),
        ("openai", "*/*", "application/json", b'"throttle"'),
    ],
)
async def test_refusal_has_a_status_of_its_own(protocol, accept, kind, says):
    async with chat_wire.client(BUSY) as zai:
        response = sse_response(chat_wire.stream(zai), protocol=protocol)
        reader = await Reader(accept).reads(response)
    assert (reader.status, reader.headers["retry-after"]) == (429, "7")
    assert reader.headers["content-type"] == kind
    assert says in reader.body
    assert b"acme" not in reader.body
    assert int(reader.headers["content-length"]) == len(reader.body)


async def test_error_in_place_of_the_first_event_is_a_refusal_too():
    async with chat_wire.client(body([{"error": {"code": "1305"}}])) as zai:
        reader = await Reader().reads(sse_response(chat_wire.stream(zai)))
    assert reader.status == 503


async def test_error_after_text_ends_the_message():
    async with chat_wire.client(body(texts("Half"), done=False)) as zai:
        reader = await Reader().reads(sse_response(chat_wire.stream(zai)))
    assert reader.status == 200
    assert kinds(reader.body)[-2:] == ["error", "[DONE]"]
    assert reader.is_complete


@pytest.mark.parametrize(
    ("wire", "complete"), [(GOOD, True), (body(texts("Ha"), done=False), False)]
)
async def test_text_that_is_cut_breaks_the_connection_off(wire, complete):
    async with chat_wire.client(wire) as zai:
        reader = await Reader().reads(sse_response(chat_wire.stream(zai), protocol="text"))
    assert reader.headers["content-type"] == "text/plain; charset=utf-8"
    assert GOOD_TEXT.startswith(reader.body.decode()) or reader.body == b"Ha"
    assert reader.is_complete is complete


@pytest.mark.parametrize("leaves_after", [1, 2, 3])
async def test_reader_who_leaves_closes_the_stream(leaves_after):
    wire = body([*texts(*"abcdefgh"), last()])
    async with chat_wire.client(wire) as zai:
        reader = Reader()
        reader.leaves_after = leaves_after
        stream = chat_wire.stream(zai)
        await reader.reads(sse_response(stream, coalesce=0))
        assert not reader.is_complete
        with pytest.raises(StreamConsumedError):
            await stream.completion()
        assert not any(window.in_flight for window in zai.limits.snapshot().values())


async def test_reader_who_leaves_before_the_first_byte_stops_the_platform(zai_emulator):
    zai_emulator.fault(delay=60)
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        reader = Reader()
        stream = zai.chat.completions.stream(model="glm-5.3", messages="Hi")
        reading = asyncio.ensure_future(reader.reads(sse_response(stream)))
        while not zai_emulator.requests:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        reader.gone.set()
        await reading
        assert reader.sent == []
        await zai_emulator.wait_disconnected(timeout=100)
        assert not any(window.in_flight for window in zai.limits.snapshot().values())


async def test_server_that_raises_for_a_lost_reader_is_told_nothing_more():
    async with chat_wire.client(GOOD) as zai:
        stream = chat_wire.stream(zai)
        reader, sent = Reader(), []

        async def send(message):
            sent.append(message)
            if len(sent) == 2:
                raise ConnectionResetError

        await sse_response(stream)(reader.scope, reader.receive, send)
        assert len(sent) == 2
        assert stream._reader._response is None


async def test_receive_that_fails_is_a_reader_who_has_gone():
    async with chat_wire.client(GOOD) as zai:

        async def receive():
            raise RuntimeError("closed")

        reader = Reader()
        await sse_response(chat_wire.stream(zai))(reader.scope, receive, reader.send)
        assert not reader.sent or not reader.is_complete


async def test_request_that_is_cancelled_closes_the_stream():
    async with chat_wire.client(GOOD) as zai:
        stream = chat_wire.stream(zai)
        reader = Reader()

        async def send(message):
            await asyncio.Event().wait()

        serving = asyncio.ensure_future(sse_response(stream)(reader.scope, reader.receive, send))
        while stream._reader._response is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert stream._reader._response is None


def test_silence_is_filled_with_heartbeats_between_events():
    async def main():
        reader = Reader()
        response = sse_response(told(TextDelta("a"), END, delay=40), heartbeat=15, prime=5)
        return await reader.reads(response)

    reader = run(main())
    beats = [
        at
        for at, text in zip(reader.times[1:], reader.bodies, strict=True)
        if text == b": heartbeat\n\n"
    ]
    assert beats == [5, 20, 35, 55, 70]
    assert kinds(reader.body.replace(b": heartbeat\n\n", b""))[-2:] == ["finish", "[DONE]"]


@pytest.mark.parametrize("protocol", ["ui-message-v1", "text"])
def test_no_heartbeat_where_none_is_wanted_or_possible(protocol):
    async def main():
        events = told(TextDelta("a"), END, delay=40)
        heartbeat = 15 if protocol == "text" else None
        return await Reader().reads(
            sse_response(events, protocol=protocol, heartbeat=heartbeat, prime=100)
        )

    assert b"heartbeat" not in run(main()).body


def test_request_that_is_cancelled_in_the_moment_of_a_heartbeat_is_cancelled():
    async def silent():
        await asyncio.sleep(1000)
        yield ""

    async def main():
        silences = with_silences(steady(silent()), 5)
        assert await anext(silences) is None
        reading = asyncio.ensure_future(anext(silences))
        asyncio.get_running_loop().call_later(5, reading.cancel)
        await asyncio.wait({reading})
        assert reading.cancelled()
        await silences.aclose()

    run(main())


async def test_error_that_is_a_timeout_is_no_heartbeat():
    async def stalled():
        yield TextDelta("a")
        raise StreamStalledError("no data received")

    reader = await Reader().reads(sse_response(stalled()))
    assert kinds(reader.body)[-2:] == ["error", "[DONE]"]


async def test_fault_of_the_server_is_told_to_both_sides():
    async def broken():
        yield TextDelta("a")
        raise ZeroDivisionError("secret")

    reader = Reader()
    with pytest.raises(ZeroDivisionError):
        await reader.reads(sse_response(broken()))
    assert kinds(reader.body)[-2:] == ["error", "[DONE]"]
    assert b"secret" not in reader.body


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: told("Hel", "lo"), ["Hello"]),
        (lambda: told(DataPart("x", 1), TextDelta("Hello"), END), ["Hello"]),
        (lambda: SimpleNamespace(events=told(TextDelta("Hello"), END)), ["Hello"]),
        (told, []),
    ],
)
async def test_whatever_has_events_or_texts_is_relayed(answer, says):
    reader = await Reader().reads(sse_response(answer(), coalesce=1))
    frames = reader.body.removeprefix(b": heartbeat\n\n")  # before an answer without a first event
    assert_balanced(frames)
    found = "".join(part.get("delta", "") for part in parts(frames)[:-1])
    assert [found] * bool(found) == says
    assert ("finish" in kinds(frames)) == bool(says)


async def test_streams_beside_chat_are_relayed_as_text(zai_emulator):
    zai_emulator.audio.transcribe(b"RIFF0000WAVE", "Hello there")
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        stream = zai.audio.transcriptions.stream(model="glm-asr-2512", file=b"RIFF0000WAVE")
        reader = await Reader().reads(sse_response(stream, protocol="text"))
    assert reader.body == b"Hello there"


async def test_what_has_no_text_is_refused(zai_emulator):
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        speech = zai.audio.speech.stream(model="glm-tts", input="Hi", voice="tongtong")
        with pytest.raises(TypeError, match="speech has no text"):
            sse_response(speech)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"protocol": "grpc"}, "'grpc' is no protocol"),
        ({"heartbeat": 0}, "heartbeat must be positive"),
        ({"heartbeat": float("nan")}, "heartbeat must be positive"),
        ({"coalesce": -1}, "must not be negative"),
        ({"prime": float("nan")}, "must not be negative"),
    ],
)
def test_settings_are_checked(wrong, says):
    with pytest.raises(ValueError, match=says):
        sse_response(told(), **wrong)


async def test_encoder_of_ones_own_is_used():
    encoder = UIMessageEncoder("mine", reasoning=False)
    reader = await Reader().reads(sse_response(told("x"), encoder=encoder))
    assert parts(reader.body)[0]["messageId"] == "mine"


async def test_task_of_the_framework_runs_after_the_response():
    ran = []
    response = sse_response(told("x"))

    async def background():
        ran.append(True)

    response.background = background
    await Reader().reads(response)
    assert ran == [True]


async def test_frames_can_be_iterated_over_and_left():
    async with chat_wire.client(GOOD, GOOD) as zai:
        whole = sse_response(chat_wire.stream(zai), protocol="text")
        assert b"".join([frame async for frame in whole]).decode() == GOOD_TEXT
        stream = chat_wire.stream(zai)
        frames = aiter(sse_response(stream))
        await anext(frames)
        await frames.aclose()
        assert stream._reader._response is None


# Frameworks, each with its own way to return a response


def fastapi_app(answer):
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.post("/chat")
    async def chat(request: Request):
        await request.json()
        return sse_response(answer())

    return app


def starlette_app(answer):
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Route

    async def chat(request):
        await request.json()
        return sse_response(answer())

    async def passes(request, call_next):
        return await call_next(request)

    middleware = [Middleware(BaseHTTPMiddleware, dispatch=passes), Middleware(GZipMiddleware)]
    return Starlette(routes=[Route("/chat", chat, methods=["POST"])], middleware=middleware)


def litestar_app(answer):
    litestar = pytest.importorskip("litestar")
    from litestar.types import ASGIApp

    @litestar.post("/chat")
    async def chat(request: litestar.Request) -> ASGIApp:
        await request.json()
        return sse_response(answer())

    return litestar.Litestar([chat], openapi_config=None)


def quart_app(answer):
    quart = pytest.importorskip("quart")
    app = quart.Quart(__name__)

    @app.post("/chat")
    async def chat():
        await quart.request.get_json()
        relayed = sse_response(answer())
        response = quart.Response(relayed, headers=dict(relayed.headers))
        response.timeout = None
        return response

    return app


def plain_app(answer):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await receive()
        await sse_response(answer())(scope, receive, send)

    return app


def aiohttp_app(answer):
    async def chat(request):
        await request.json()
        return await aiohttp_response(request, answer())

    app = aiohttp_web.Application()
    app.router.add_post("/chat", chat)
    return app


APPS = {
    "asgi": plain_app,
    "fastapi": fastapi_app,
    "starlette": starlette_app,
    "litestar": litestar_app,
    "quart": quart_app,
    "aiohttp": aiohttp_app,
}


@asynccontextmanager
async def site(name, answer):
    app = APPS[name](answer)
    served = served_by_aiohttp if name == "aiohttp" else served_by_uvicorn
    async with served(app) as url, aiohttp.ClientSession(url) as session:
        yield session


def question(zai):
    return lambda: zai.chat.completions.stream(model="glm-5.3", messages="Hi")


@pytest.mark.parametrize("name", APPS)
async def test_framework_relays(name, zai_emulator):
    zai_emulator.chat.reply("Hello", thinking="Hm.", chunk_size=2)
    async with (
        AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai,
        site(name, question(zai)) as session,
        session.post("/chat", json={}) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        frames = await answer.read()
    assert_balanced(frames)
    said = [part.get("delta", "") for part in parts(frames)[:-1] if part["type"] == "text-delta"]
    assert "".join(said) == "Hello"


@pytest.mark.parametrize("name", sorted(APPS.keys() - {"quart"}))  # which sends the status at once
async def test_framework_answers_with_a_real_status(name, zai_emulator):
    zai_emulator.fault(status=429, code="1302", times=None)
    settings = {"retry": RetryPolicy(retries=0)}
    async with (
        AsyncZai(base_url=zai_emulator.url, api_key="k.s", **settings) as zai,
        site(name, question(zai)) as session,
        session.post("/chat", json={}) as answer,
    ):
        assert (answer.status, answer.content_type) == (429, "text/plain")
        assert (await answer.text()).startswith("Too many requests")


@pytest.mark.parametrize("name", APPS)
async def test_framework_stops_the_platform_when_the_reader_leaves(name, zai_emulator):
    """After the first byte; that it stops also before it is shown for the application itself."""
    zai_emulator.fault(silence_after=(1000, 600))
    async with (
        AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai,
        site(name, question(zai)) as session,
    ):
        async with session.post("/chat", json={}) as answer:
            await answer.content.readany()
        await zai_emulator.wait_disconnected(timeout=100)
        while any(w.in_flight for w in zai.limits.snapshot().values()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


# aiohttp


@pytest.mark.parametrize("silent", [True, False])
async def test_aiohttp_reader_who_leaves_before_the_first_byte(zai_emulator, silent):
    zai_emulator.fault(delay=60)
    answered = []

    async def chat(request):
        answered.append(
            await aiohttp_response(request, question(zai)(), prime=60 if silent else 0.01)
        )
        return answered[0]

    app = aiohttp_web.Application()
    app.router.add_post("/chat", chat)
    async with (
        AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai,
        served_by_aiohttp(app) as url,
    ):
        async with aiohttp.ClientSession(url) as session:
            asking = asyncio.ensure_future(session.post("/chat", json={}))
            while not zai_emulator.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            if not silent:
                reply = await asking
                assert await reply.content.readany() == b": heartbeat\n\n"
                reply.close()
            asking.cancel()
            await asyncio.wait({asking})
        await zai_emulator.wait_disconnected(timeout=100)


@pytest.mark.parametrize("silent", [True, False])
async def test_aiohttp_that_tells_nobody_is_looked_at(zai_emulator, silent):
    """Its usual setting: a handler goes on when the reader has gone."""
    zai_emulator.fault(delay=60)
    ended = asyncio.Event()

    async def chat(request):
        answer = question(zai)() if silent else told(*["x" * 2**16] * 10_000)
        response = await aiohttp_response(request, answer, coalesce=0)
        ended.set()
        return response

    app = aiohttp_web.Application()
    app.router.add_post("/chat", chat)
    runner = aiohttp_web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await aiohttp_web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0])
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        async with aiohttp.ClientSession(url) as session:
            asking = asyncio.ensure_future(session.post("/chat", json={}))
            if silent:
                while not zai_emulator.requests:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            else:
                answer = await asking
                await answer.content.readany()
                answer.close()
            asking.cancel()
            await asyncio.wait({asking})
        await ended.wait()
        await runner.cleanup()


async def test_aiohttp_text_that_is_cut_breaks_the_connection_off():
    async with chat_wire.client(body(texts("Ha"), done=False)) as zai:

        async def chat(request):
            return await aiohttp_response(request, chat_wire.stream(zai), encoder=TextEncoder())

        app = aiohttp_web.Application()
        app.router.add_post("/chat", chat)
        async with (
            served_by_aiohttp(app) as url,
            aiohttp.ClientSession(url) as session,
            session.post("/chat") as answer,
        ):
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()


async def test_aiohttp_refusal_as_json_where_it_is_wanted():
    async with chat_wire.client(BUSY) as zai:

        async def chat(request):
            return await aiohttp_response(request, chat_wire.stream(zai))

        app = aiohttp_web.Application()
        app.router.add_post("/chat", chat)
        async with (
            served_by_aiohttp(app) as url,
            aiohttp.ClientSession(url) as session,
            session.post("/chat", headers={"Accept": "application/json"}) as answer,
        ):
            assert answer.status == 429
            assert json.loads(await answer.read())["error"]["type"] == "throttle"


async def test_aiohttp_answer_without_a_first_event_begins_with_a_heartbeat():
    async def chat(request):
        return await aiohttp_response(request, told())

    app = aiohttp_web.Application()
    app.router.add_post("/chat", chat)
    async with (
        served_by_aiohttp(app) as url,
        aiohttp.ClientSession(url) as session,
        session.post("/chat") as answer,
    ):
        frames = await answer.read()
    assert frames.startswith(b": heartbeat\n\n")
    assert kinds(frames.removeprefix(b": heartbeat\n\n")) == ["error", "[DONE]"]
