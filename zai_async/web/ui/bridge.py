"""ASGI responses inside an ``aiohttp.web`` application."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from aiohttp import web

from zai_async.web.asgi import Receive, Scope, Send

__all__ = ["respond"]

_Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


async def respond(request: web.Request, application: _Application) -> web.StreamResponse:
    """Answer a request, whose body has been read, by an ASGI response.

    The server must run with ``handler_cancellation=True``: a reader who leaves ends this by a
    cancellation, so ``receive`` has nothing to tell.
    """
    response = web.StreamResponse()

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError  # pragma: no cover - nobody sets it

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.set_status(message["status"])
            for name, value in message["headers"]:
                response.headers[name.decode()] = value.decode()
            await response.prepare(request)
        elif message["body"]:
            await response.write(message["body"])

    headers = [(name.lower(), value) for name, value in request.raw_headers]
    await application({"type": "http", "headers": headers}, receive, send)
    return response
