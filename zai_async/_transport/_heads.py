"""The heads of HTTP requests, written once for all requests that share their fields.

What holds revealed secrets must not be kept in a variable: a traceback with local variables, as
error trackers send it, shows whatever a variable holds.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import yarl
from aiohttp import http_writer
from multidict import CIMultiDict

from zai_async._secrets import Secret
from zai_async._transport import Request
from zai_async._transport._pool import Door

__all__ = ["Heads", "fields_of", "serialize", "url_of"]

# With C where there is a compiler; it refuses what would end a field.
serialize: Any = getattr(http_writer, "_serialize_headers", None)
_MOST_HEADS: Final = 64


class _Head(NamedTuple):
    """Holds a head in a closure, so that nothing that prints attributes shows its secrets."""

    fields: Mapping[str, str]
    secrets: Mapping[str, Secret]
    reveal: Callable[[], bytes]


class Heads:
    """Remembers heads by address; one is valid for the very same fields only."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, yarl.URL], _Head] = {}

    def of(self, request: Request, url: yarl.URL, door: Door) -> bytes:
        """Return the bytes of a request before the length of its body."""
        known = self._known.get((request.method, url))
        if (
            known is None
            or known.fields is not request.headers
            or known.secrets is not request.secret_headers
            or request.secret_query
        ):
            known = self._write(request, url, door)
        return known.reveal()

    def _write(self, request: Request, url: yarl.URL, door: Door) -> _Head:
        head = _Head(request.headers, request.secret_headers, _written(request, url, door))
        place = request.method, url
        if place in self._known or len(self._known) < _MOST_HEADS:
            self._known[place] = head
        return head


def _written(request: Request, url: yarl.URL, door: Door) -> Callable[[], bytes]:
    own = door.request.headers
    head = CIMultiDict({"Host": own["Host"]})
    head.update(fields_of(request))
    head.setdefault("Accept-Encoding", own["Accept-Encoding"])
    line = f"{request.method} {url_of(request, url).raw_path_qs} HTTP/1.1"
    written: bytes = serialize(line, head).removesuffix(b"\r\n")
    return lambda: written


def url_of(request: Request, url: yarl.URL) -> yarl.URL:
    """Return the address with its secrets; not to be kept in a variable."""
    if not request.secret_query:
        return url
    return url.update_query({name: one.reveal() for name, one in request.secret_query.items()})


def fields_of(request: Request) -> dict[str, str]:
    """Return all header fields that were set, secrets revealed; not to be kept in a variable."""
    size = getattr(request.body, "size", None)
    # Without it aiohttp would send a body that it cannot measure in chunks.
    length = {} if size is None else {"Content-Length": str(size)}
    secrets = {name: secret.reveal() for name, secret in request.secret_headers.items()}
    return {**request.headers, **length, **secrets}
