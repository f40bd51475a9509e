"""A chat page: plain ES modules in front, aiohttp.web and zai-async behind.

    pip install .       # in a clone of zai-async
    python examples/chat_ui/server.py --emulate             # no key needed
    ZAI_API_KEY=... python examples/chat_ui/server.py       # then open http://127.0.0.1:8080

The page keeps the conversation and sends it whole with every question, so the server has no state.
Behind a domain of your own, name it in ALLOWED_HOSTS.
"""

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from zai_async import (
    AsyncZai,
    CallOptions,
    ChatEvent,
    Finished,
    TextDelta,
    ThinkingDelta,
    ZaiError,
)

MODEL = os.environ.get("MODEL", "glm-5.3")
HOSTS = frozenset(os.environ.get("ALLOWED_HOSTS", "").split())
PAGE = Path(__file__).with_name("page")
ZAI = web.AppKey("zai", AsyncZai)
SLOTS = web.AppKey("slots", asyncio.Semaphore)
# What a stranger may ask for.
MAX_BODY = 1_000_000  # bytes
BODY_TIMEOUT = 10  # seconds
MAX_TOKENS = 8_000
DEADLINE = 300  # seconds for an answer
MAX_READERS = 100
# Whatever is not listed is between this server and the platform: 502.
STATUSES = {"request": 400, "content": 422, "throttle": 503, "overload": 503, "timeout": 504}
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Turn(msgspec.Struct, omit_defaults=True):
    """A message as the page may send it: instructions and tools are not for strangers."""

    role: Literal["user", "assistant"]
    content: Annotated[str, msgspec.Meta(max_length=100_000)]
    reasoning_content: Annotated[str, msgspec.Meta(max_length=200_000)] | None = None


class Conversation(msgspec.Struct):
    """What the page sends with a question."""

    messages: Annotated[list[Turn], msgspec.Meta(min_length=1, max_length=200)]


async def client(app: web.Application) -> AsyncIterator[None]:
    """Open one client for the life of the process; its connections are shared by all requests."""
    async with AsyncZai() as zai:
        app[ZAI] = zai
        app[SLOTS] = asyncio.Semaphore(MAX_READERS)
        yield


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse other sites' pages, also when their domain leads to this machine (DNS rebinding).

    Such a page has a domain, which has a dot; a name without one, or an address, is no domain.
    """
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name not in HOSTS and "." in name:
            ip_address(name)
        ours = origin is None or urlsplit(origin).netloc == host
    except ValueError:
        ours = False
    return await handler(request) if ours else refusal(403)


async def secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY)


def refusal(status: int) -> web.Response:
    return web.json_response({"type": "error", "kind": "request"}, status=status)


async def read_conversation(request: web.Request) -> list[Any]:
    """Read what the page sends, and nothing else.

    Raises:
        HTTPException: It is not what the page sends.
    """
    # A page of another site can send a form or plain text without asking first, but no JSON.
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await request.read()
        sent = msgspec.json.decode(body, type=Conversation)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise web.HTTPUnprocessableEntity from None
    return [msgspec.to_builtins(turn) for turn in sent.messages]


async def chat(request: web.Request) -> web.StreamResponse:
    """Pass an answer on while it is written.

    When the reader presses stop or closes the page, aiohttp cancels this handler; leaving the
    stream's context then closes the connection to the platform, which ends the generation.
    """
    try:
        messages = await read_conversation(request)
    except web.HTTPException as error:
        return refusal(error.status)
    if request.app[SLOTS].locked():
        return refusal(503)

    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    stream = request.app[ZAI].chat.completions.stream(
        model=MODEL,
        messages=messages,
        max_tokens=MAX_TOKENS,
        options=CallOptions(deadline=DEADLINE),
    )
    try:
        async with request.app[SLOTS], stream:
            await response.prepare(request)
            async for event in stream.events:
                if data := told(event):
                    await response.write(frame(data))
    except ZaiError as error:
        if not response.prepared:
            return web.json_response(facts(error), status=STATUSES.get(error.kind, 502))
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
            message = whole.message.to_dict()
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
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    app.cleanup_ctx.append(client)
    app.on_response_prepare.append(secure)
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
