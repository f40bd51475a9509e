"""A backend for the tests of real servers: `python web_site.py SERVER PORT`, or `web_site:app`.

Answers come from the platform that ZAI_BASE_URL names.
"""

import asyncio
import os
import sys
from pathlib import Path

from zai_async import AsyncZai
from zai_async.web import (
    MemoryReplay,
    RedisReplay,
    Relay,
    aiohttp_app,
    aiohttp_response,
    sse_response,
)

PROTOCOL = os.environ.get("PROTOCOL", "ui-message-v1")
REDIS = os.environ.get("REDIS")
GRACE = float(os.environ.get("GRACE", "0.1"))


class Site:
    """An ASGI application: `/direct` relays to one reader, `/chats` is the relay."""

    def __init__(self) -> None:
        self._stack = None

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/direct":
            stream = self.zai.chat.completions.stream(model="glm-5.3", messages="Hi")
            await sse_response(stream, protocol=PROTOCOL, prime=0.1)(scope, receive, send)
        elif scope["type"] == "http":
            await self.relay({**scope, "root_path": "/chats"}, receive, send)

    def make(self) -> None:
        replay = RedisReplay(REDIS) if REDIS else MemoryReplay()
        self.zai = AsyncZai()
        self.relay = Relay(self.zai, grace=GRACE, replay=replay)

    async def _live(self, receive, send) -> None:
        await receive()
        self.make()
        async with self.zai, self.relay:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


app = Site()


def with_uvicorn(port: int, loop: str) -> None:
    import uvicorn

    uvicorn.run(app, port=port, loop=loop, log_level="warning")


def with_uvicorn_workers(port: int, loop: str) -> None:
    import uvicorn

    uvicorn.run("web_site:app", port=port, loop=loop, workers=2, log_level="warning")


def with_hypercorn(port: int, loop: str) -> None:
    from hypercorn.config import Config
    from hypercorn.run import run

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.application_path = "web_site:app"
    config.worker_class = loop
    run(config)


def with_hypercorn_serve(port: int, loop: str) -> None:
    import signal

    import uvloop
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]

    async def main() -> None:
        ended = asyncio.Event()

        def end() -> None:
            app.relay.begin_shutdown()
            ended.set()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        await serve(app, config, shutdown_trigger=ended.wait)

    asyncio.run(main()) if loop == "asyncio" else uvloop.run(main())


def with_granian(port: int, loop: str) -> None:
    from granian import Granian

    Granian("web_site:app", port=port, interface="asgi", loop=loop).serve()


def with_aiohttp(port: int, loop: str) -> None:
    from aiohttp import web

    async def direct(request):
        stream = app.zai.chat.completions.stream(model="glm-5.3", messages="Hi")
        return await aiohttp_response(request, stream, protocol=PROTOCOL, prime=0.1)

    async def opened(_):
        async with app.zai, app.relay:
            yield

    async def make() -> web.Application:
        app.make()
        made = web.Application()
        made.router.add_get("/direct", direct)
        made.add_subapp("/chats", aiohttp_app(app.relay))
        made.cleanup_ctx.append(opened)
        return made

    if loop == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    web.run_app(make(), host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    sys.path.insert(0, ".")
    globals()[f"with_{sys.argv[1]}"](int(sys.argv[2]), sys.argv[3])
