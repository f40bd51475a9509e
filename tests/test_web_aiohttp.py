"""A relay in an application of aiohttp; test_web_servers.py shows it in processes of its own."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests import chat_wire
from tests.test_examples import served_by_aiohttp
from tests.test_web_encoders import kinds
from tests.test_web_relay import END, Script, posted, text_in, without_numbers
from zai_async.errors import ClientDrainingError
from zai_async.web import Relay, aiohttp_app, aiohttp_respond, openai_router

JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def serving(app):
    """A server as `web.run_app` sets it up, which is patient."""
    runner = web.AppRunner(app, shutdown_timeout=1000)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0]
    await runner.cleanup()


@asynccontextmanager
async def site(app, relay):
    async def opened(_):
        async with relay:
            yield

    app.cleanup_ctx.append(opened)
    async with served_by_aiohttp(app) as url, aiohttp.ClientSession(url) as session:
        yield session


@pytest.fixture
async def zai():
    async with chat_wire.client() as zai:
        yield zai


@pytest.mark.parametrize("path", ["/my/chats", "/my/chats/"])
async def test_relay_is_mounted(zai, path):
    script = Script()
    script.say("Good day", END)
    relay, app = Relay(zai, answer=lambda _: script), web.Application()
    app.add_subapp("/my/chats", aiohttp_app(relay))
    async with site(app, relay) as session:
        async with session.post(path, data=posted(chat="a/b%c"), headers=JSON) as answer:
            assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
            frames = await answer.read()
        async with session.get("/my/chats/a%2Fb%25c/stream") as answer:
            assert await answer.read() == frames
        async with session.get("/my/chats/status") as answer:
            assert (await answer.json())["answers"] == 0
        async with session.get("/my/chats/nothing/stream") as answer:
            assert (answer.status, await answer.read()) == (204, b"")
        async with session.post(path, data=b"{", headers=JSON) as answer:
            assert answer.status == 400
        async with session.get("/my/elsewhere") as answer:
            assert answer.status == 404
    assert text_in(frames) == "Good day"


async def test_relay_is_an_application_by_itself(zai):
    relay = Relay(zai)
    async with site(aiohttp_app(relay), relay) as session, session.get("/status") as answer:
        assert answer.status == 200


async def test_router_is_mounted(zai):
    app = web.Application()
    app.add_subapp("/v1", aiohttp_app(openai_router(zai, models=["glm-5.3"])))
    async with served_by_aiohttp(app) as url, aiohttp.ClientSession(url) as session:
        async with session.get("/v1/models") as answer:
            assert (await answer.json())["data"][0]["id"] == "glm-5.3"
        async with session.head("/v1/models") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_handlers_of_ones_own_start_and_resume(zai):
    script, relay, app = Script(), Relay(zai, coalesce=0), web.Application()

    async def ask(request):
        return await aiohttp_respond(request, await relay.start("chat", script))

    async def read(request):
        return await aiohttp_respond(request, await relay.resume("chat"))

    app.router.add_post("/ask", ask)
    app.router.add_get("/read", read)
    script.say("Good ")
    async with site(app, relay) as session:
        async with session.post("/ask") as answer:
            first = await answer.content.readany()
        tabs = [await session.get("/read") for _ in range(2)]
        script.say("day", END)
        frames = [await tab.read() for tab in tabs]
    assert frames[0] == frames[1]
    assert frames[0].startswith(first)
    assert text_in(frames[0]) == "Good day"


async def test_who_may_touch_a_chat_is_said_by_the_request(zai):
    is_alice = web.RequestKey("is_alice", bool)
    relay = Relay(zai, authorize=lambda scope, _: scope["aiohttp.request"][is_alice])

    @web.middleware
    async def named(request, handler):
        request[is_alice] = request.headers.get("X-User") == "alice"
        return await handler(request)

    app = web.Application(middlewares=[named])
    app.add_subapp("/chats", aiohttp_app(relay))
    async with site(app, relay) as session:
        for user, status in [("alice", 204), ("bob", 404)]:
            async with session.get("/chats/c/stream", headers={"X-User": user}) as answer:
                assert answer.status == status


async def test_sender_who_leaves_amid_the_body_is_not_answered(zai):
    """By the usual setting of aiohttp, which cancels no handler for that."""
    ended = asyncio.get_running_loop().create_future()

    @web.middleware
    async def watched(request, handler):
        response = await handler(request)
        ended.set_result(response.prepared)
        return response

    app = web.Application(middlewares=[watched])
    app.add_subapp("/chats", aiohttp_app(Relay(zai)))
    async with serving(app) as address:
        _, writer = await asyncio.open_connection(*address)
        head = b"POST /chats/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        writer.write(head + b"Content-Type: application/json\r\n\r\n{")
        writer.close()
        assert not await ended


async def test_server_that_stops_ends_open_answers(zai):
    """Without a signal, as in a thread, and before its own wait for open responses."""
    script = Script()
    relay, app = Relay(zai, answer=lambda _: script, coalesce=0, grace=0.01), web.Application()
    app.add_subapp("/chats", aiohttp_app(relay))
    script.say("Half")
    ended = asyncio.Event()

    async def serve():
        async with serving(app) as address:
            served.set_result("http://{}:{}".format(*address))
            await ended.wait()

    served = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve())
    async with (
        aiohttp.ClientSession(await served) as session,
        session.post("/chats", data=posted(), headers=JSON) as answer,
    ):
        first = await answer.content.readany()
        ended.set()
        frames = first + await answer.read()
    await server
    assert kinds(without_numbers(frames))[-2:] == ["abort", "[DONE]"]
    assert script.closed
    with pytest.raises(ClientDrainingError):
        await relay.start("chat", Script())
    await relay.aclose()
