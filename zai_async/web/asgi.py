"""What every ASGI response of ours does: send whole answers, and notice that the reader leaves."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.lowlevel

from zai_async.errors import InvalidBodyError
from zai_async.models.counting import LARGE, counted_values

__all__ = [
    "BODY",
    "Receive",
    "Scope",
    "Send",
    "for_framework",
    "read_json",
    "send_answer",
    "send_start",
    "while_read",
]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")
BODY = "http.response.body"

_MOST_VALUES = 2**18
_classes: dict[tuple[type, type], type] = {}


async def send_start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Send the status and the header fields."""
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def send_answer(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Send a whole answer."""
    sized = headers if status == 204 else {**headers, "Content-Length": str(len(body))}
    await send_start(send, status, sized)
    await send({"type": BODY, "body": body, "more_body": False})


def _refusal(message: str, status: int) -> InvalidBodyError:
    error = InvalidBodyError(message)
    error.http_status = status
    return error


async def read_json(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """Return the body of a request; None if its sender has left.

    Raises:
        InvalidBodyError: It is not called JSON, or is larger than allowed, or holds so much that
            decoding it would stop the loop.
    """
    # A form of another site cannot send this type.
    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise _refusal("the body must be application/json", 415)
    received = bytearray()
    while (message := await receive())["type"] != "http.disconnect":
        received += message.get("body", b"")
        if len(received) > max_bytes:
            raise _refusal(f"the body is larger than {max_bytes} bytes", 413)
        if not message.get("more_body"):
            break
    else:
        return None
    body = bytes(received)
    if len(body) > LARGE:
        for count in counted_values(body):
            if count > _MOST_VALUES:
                raise _refusal(f"the body holds more than {_MOST_VALUES} values", 413)
            await anyio.lowlevel.checkpoint()
    return body
    return None


async def while_read(
    receive: Receive,
    send: Send,
    respond: Callable[[Send], Awaitable[None]],
    close: Callable[[], Awaitable[None]],
) -> None:
    """Respond for as long as somebody reads, and close in any case.

    No server raises for a reader who has gone while nothing is sent, so this listens for it from
    the first moment on.
    """
    with anyio.CancelScope() as reading:

        async def listen() -> None:
            # A server may say by an error that the reader has gone, too.
            with suppress(Exception):
                while (await receive())["type"] != "http.disconnect":
                    pass
            reading.cancel()

        async def deliver(message: MutableMapping[str, Any]) -> None:
            # Newer servers raise where nobody reads.
            try:
                await send(message)
            except OSError:
                reading.cancel()
                await anyio.lowlevel.checkpoint()

        watcher = asyncio.ensure_future(listen())
        try:
            await respond(deliver)
        finally:
            watcher.cancel()
            with anyio.CancelScope(shield=True):
                # Shielded, as the reader has gone, and the place in the limiter has to be free
                # again.
                await close()
                await asyncio.wait({watcher})


def for_framework(cls: type[T]) -> type[T]:
    """Return a class of responses as the framework at hand wants it.

    FastAPI takes whatever is no ``Response`` of Starlette for data, and writes its attributes down
    as JSON. Who uses it has imported it.
    """
    starlette = sys.modules.get("starlette.responses")
    if starlette is None:
        return cls
    base: type = starlette.Response
    if (cls, base) not in _classes:
        _classes[cls, base] = type(cls.__name__, (cls, base), {})
    return _classes[cls, base]
