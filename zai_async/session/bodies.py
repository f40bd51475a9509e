"""Reading what comes back, never more than the client is set to hold."""

from collections.abc import Callable, Iterable
from typing import NoReturn

from zai_async._secrets import Secret
from zai_async._transport import Response
from zai_async._wire import error_in_body, not_the_api, open_envelope
from zai_async.errors import LimitError, TransportError
from zai_async.session.settings import Settings

__all__ = ["is_event_stream", "raise_body", "raise_error", "read_body"]


async def read_body(response: Response, settings: Settings, arrived: Callable[[], None]) -> bytes:
    """Read a body, within the limit for answers or for errors; ``arrived`` hears of each piece.

    Raises:
        LimitError: The answer is larger than the client accepts.
    """
    failed = response.status >= 400
    limit = settings.max_error_bytes if failed else settings.max_response_bytes
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := await _piece(response, failed=failed)):
        pieces.append(piece)
        size += len(piece)
        if response.at_end():
            break
        arrived()
    if size > limit:
        response.close()
        if not failed:
            raise LimitError(f"the answer is larger than {limit} bytes", limit=limit)
    return b"".join(pieces)[:limit]


async def _piece(response: Response, *, failed: bool) -> bytes:
    try:
        return await response.read()
    except TransportError:
        # The status alone says more about a refused request than how its text broke off.
        if failed:
            return b""
        raise


def is_event_stream(response: Response) -> bool:
    """Tell whether events follow; relays write many things into the header."""
    kind = response.headers.get("Content-Type", "").lower()
    return response.status < 300 and not ("json" in kind or "html" in kind)


async def raise_body(
    response: Response,
    settings: Settings,
    secrets: Iterable[Secret],
    arrived: Callable[[], None],
) -> NoReturn:
    """Read what came in place of an event stream, and raise what it is."""
    body = await read_body(response, settings, arrived)
    raise_error(response, body, settings, secrets)
    raise not_the_api(body, status=response.status, headers=response.headers, secrets=secrets)


def raise_error(
    response: Response, body: bytes, settings: Settings, secrets: Iterable[Secret]
) -> None:
    """Raise the error that came in place of a stream or of bytes, if one did."""
    kind = response.headers.get("Content-Type", "").lower()
    if response.status < 300 and "json" not in kind:
        return
    error = error_in_body(
        open_envelope(settings.provider, dict, body),
        status=response.status,
        headers=response.headers,
        now=settings.clock.wall(),
        secrets=secrets,
    )
    if error is not None:
        raise error
