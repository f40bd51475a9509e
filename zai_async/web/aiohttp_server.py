"""An answer as the response of ``aiohttp.web``."""

import asyncio
from contextlib import aclosing
from typing import Final

import anyio
from aiohttp import web

from zai_async.errors import ZaiError
from zai_async.web.encoders import AnswerEncoder, Protocol
from zai_async.web.responses import EventResponse, RelaySettings, encoder_of, refusal_of
from zai_async.web.source import Relayable

__all__ = ["aiohttp_response"]

# aiohttp tells a handler that nobody reads any more at its next write, unless it runs with
# `handler_cancellation=True`: until then the connection is looked at this often.
_LOOK_EVERY: Final = 0.25


async def aiohttp_response(
    request: web.Request,
    answer: Relayable,
    *,
    protocol: Protocol = "ui-message-v1",
    message_id: str | None = None,
    encoder: AnswerEncoder | None = None,
    heartbeat: float | None = 15.0,
    coalesce: float = 0.025,
    prime: float = 10.0,
) -> web.StreamResponse:
    """Relay an answer to the reader of a request; return the response when it is over.

    What ``sse_response`` is for ASGI, with the same arguments.

    Raises:
        ValueError: There is no such protocol, or a time is out of range.
        TypeError: The answer has nothing that can be relayed.
    """
    settings = RelaySettings(heartbeat=heartbeat, coalesce=coalesce, prime=prime)
    relayed = EventResponse(answer, encoder or encoder_of(answer, protocol, message_id), settings)
    response = web.StreamResponse(headers=relayed.headers)
    with anyio.CancelScope() as reading:

        async def watch() -> None:
            # aiohttp tells nobody that the reader has gone while nothing is sent.
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                await anyio.sleep(_LOOK_EVERY)
            reading.cancel()

        watcher = asyncio.ensure_future(watch())
        try:
            return await _respond(request, response, relayed)
        except ConnectionResetError:
            pass  # nobody reads any more
        finally:
            watcher.cancel()
            await relayed.aclose()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({watcher})
    return response


async def _respond(
    request: web.Request, response: web.StreamResponse, relayed: EventResponse
) -> web.StreamResponse:
    source, encoder = relayed.source, relayed.encoder
    try:
        await source.prime(relayed.settings.prime)
    except ZaiError as error:
        accepts_json = "application/json" in request.headers.get("Accept", "")
        status, headers, body = refusal_of(error, encoder, accepts_json)
        return web.Response(status=status, headers=headers, body=body)
    await response.prepare(request)
    if encoder.heartbeat and not source.has_begun:
        await response.write(encoder.heartbeat)
    async with aclosing(relayed.frames()) as frames:
        async for frame in frames:
            await response.write(frame)
    if encoder.is_cut and request.transport is not None:
        request.transport.abort()  # which is all that plain text can say of a failure
    return response
