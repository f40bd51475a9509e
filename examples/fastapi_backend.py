"""A FastAPI backend that streams answers to a page and stops paying when the reader leaves.

pip install . fastapi uvicorn        # in a clone of zai-async
python examples/fastapi_backend.py --emulate            # no key needed
ZAI_API_KEY=... python examples/fastapi_backend.py      # then open http://127.0.0.1:8000

Behind a domain of your own, name it in ALLOWED_HOSTS.
"""

import argparse
import asyncio
import base64
import hashlib
import os
import re
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zai_async import AsyncZai, CallOptions, ZaiError
from zai_async.web import sse_response

MODEL = os.environ.get("MODEL", "glm-5.3")
HOSTS = frozenset(os.environ.get("ALLOWED_HOSTS", "").split())
PAGE = Path(__file__).with_name("fastapi_page.html").read_text(encoding="utf-8")
# What a stranger may ask for.
MAX_QUESTION = 20_000  # characters
MAX_BODY = 100_000  # bytes
BODY_TIMEOUT = 10  # seconds
MAX_TOKENS = 8_000
DEADLINE = 300  # seconds for an answer
MAX_READERS = 100


def hashes(tag: str) -> str:
    """Allow the scripts or styles that stand in the page, and no others."""
    texts = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", PAGE, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in texts)
    return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)


SECURITY = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Keep out what our own page does not send, before anything is read or asked."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        async def receive_some() -> Message:
            nonlocal left
            # After the body comes the news that the reader has gone, for which anyone may wait.
            try:
                async with asyncio.timeout(None if left is None else BODY_TIMEOUT):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408) from None
            if left is not None and message["type"] == "http.request":
                left -= len(message.get("body", b""))
                if left < 0:
                    raise HTTPException(413)
                if not message.get("more_body"):
                    left = None
            return message

        left: int | None = MAX_BODY
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif not is_ours(Headers(scope=scope)):
            await JSONResponse({"kind": "request"}, 403)(scope, receive, send_safely)
        else:
            await self.app(scope, receive_some, send_safely)


def is_ours(headers: Headers) -> bool:
    """Refuse other sites' pages, also when their domain leads to this machine (DNS rebinding).

    Such a page has a domain, which has a dot; a name without one, or an address, is no domain.
    """
    host, origin = headers.get("Host", ""), headers.get("Origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name not in HOSTS and "." in name:
            ip_address(name)
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:
        return False


class State(TypedDict):
    zai: AsyncZai


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[State, None]:
    """Open one client for the life of the process; its connections are shared by all requests."""
    async with AsyncZai() as zai:
        yield {"zai": zai}


app = FastAPI(lifespan=lifespan)
app.add_middleware(Guard)


class Question(BaseModel):
    text: str = Field(min_length=1, max_length=MAX_QUESTION)


@app.post("/chat")
async def chat(question: Question, request: Request) -> Any:
    """Answer with events; with a status where the platform refuses before the first of them.

    The response listens for its reader to leave from the beginning, and ends the generation then.
    """
    zai: AsyncZai = request.state.zai
    stream = zai.chat.completions.stream(
        model=MODEL,
        messages=question.text,
        max_tokens=MAX_TOKENS,
        options=CallOptions(deadline=DEADLINE),
    )
    return sse_response(stream, protocol="ui-message-v1")


@app.exception_handler(ZaiError)
async def refuse(_: Request, error: ZaiError) -> JSONResponse:
    """Say what a stranger may know: messages and hints of errors may speak of the account."""
    status, headers, body = error.to_http()
    return JSONResponse(body, status, headers)


@app.exception_handler(RequestValidationError)
async def refuse_input(_: Request, _error: RequestValidationError) -> JSONResponse:
    """Say nothing of what came: FastAPI's own answer repeats it, and fails if it cannot."""
    return JSONResponse({"kind": "request"}, 422)


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Stream answers to a page.")
    parser.add_argument("--emulate", action="store_true", help="answer without key and network")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.emulate:
            from zai_async.testing import Emulator  # noqa: PLC0415 - not for production

            emulator = stack.enter_context(Emulator(pace=1))
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        uvicorn.run(app, port=arguments.port, limit_concurrency=MAX_READERS)


if __name__ == "__main__":
    main()
