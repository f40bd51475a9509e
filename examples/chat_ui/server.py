"""A chat page: plain ES modules in front, aiohttp.web and zai-async behind.

    pip install .       # in a clone of zai-async
    python examples/chat_ui/server.py --emulate             # no key needed
    ZAI_API_KEY=... python examples/chat_ui/server.py       # then open http://127.0.0.1:8080

The page keeps the conversation and sends it whole with every question, so the server has no state.
"""

import argparse
import json
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from zai_async import AsyncZai, ChatEvent, Finished, TextDelta, ThinkingDelta, ZaiError

MODEL = os.environ.get("MODEL", "glm-5.3")
PAGE = Path(__file__).with_name("page")
ZAI = web.AppKey("zai", AsyncZai)


async def client(app: web.Application) -> AsyncIterator[None]:
    """Open one client for the life of the process; its connections are shared by all requests."""
    async with AsyncZai() as zai:
        app[ZAI] = zai
        yield


async def chat(request: web.Request) -> web.StreamResponse:
    """Pass an answer on while it is written.

    When the reader presses stop or closes the page, aiohttp cancels this handler; leaving the
    stream's context then closes the connection to the platform, which ends the generation.
    """
    messages = (await request.json())["messages"]
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    zai = request.app[ZAI]
    try:
        async with zai.chat.completions.stream(model=MODEL, messages=messages) as stream:
            await response.prepare(request)
            async for event in stream.events:
                if data := told(event):
                    await response.write(frame(data))
    except ZaiError as error:
        if not response.prepared:
            return web.json_response(facts(error), status=502)
        await response.write(frame(facts(error)))
    return response


def told(event: ChatEvent) -> dict[str, Any] | None:
    """Choose what the page shows; the finished message goes back to the model as it came."""
    match event:
        case ThinkingDelta(text):
            return {"type": "thinking", "text": text}
        case TextDelta(text):
            return {"type": "text", "text": text}
        case Finished(outcome=outcome, completion=whole):
            message = msgspec.to_builtins(whole.message)
            tokens = whole.usage.completion_tokens
            return {"type": "finished", "outcome": outcome, "tokens": tokens, "message": message}
        case _:
            return None


def facts(error: ZaiError) -> dict[str, Any]:
    """Choose what a stranger may see: messages and hints may speak of the account."""
    return {"type": "error", "kind": error.kind, "request_id": error.request_id}


def frame(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


async def index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "index.html")


def make_app() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(client)
    app.router.add_post("/chat", chat)
    app.router.add_get("/", index)
    app.router.add_static("/page", PAGE)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a chat page.")
    parser.add_argument("--emulate", action="store_true", help="answer without key and network")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.emulate:
            from zai_async.testing import Emulator  # noqa: PLC0415 - not for production

            emulator = stack.enter_context(Emulator(pace=1))
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        # Without handler_cancellation a handler learns of a lost reader only when it writes.
        web.run_app(make_app(), host="127.0.0.1", port=arguments.port, handler_cancellation=True)


if __name__ == "__main__":
    main()
