"""What came back in place of an event stream or of bytes: the error that it is."""

from collections.abc import Iterable
from typing import NoReturn

from zai_async._secrets import Secret
from zai_async._transport import Response
from zai_async._wire import error_in_body, not_the_api, open_envelope
from zai_async.session.settings import Settings

__all__ = ["raise_error", "raise_no_stream"]


def raise_no_stream(
    response: Response, body: bytes, settings: Settings, secrets: Iterable[Secret]
) -> NoReturn:
    """Raise what came in place of an event stream."""
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
