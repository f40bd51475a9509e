"""Addresses and heads of HTTP requests; heads are written once for all requests that share them.

What holds revealed secrets must not be kept in a variable: a traceback with local variables, as
error trackers send it, shows whatever a variable holds.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

import yarl
from multidict import CIMultiDict

from zai_async._secrets import Secret
from zai_async._transport import Request
from zai_async._transport._internals import Origin, serialize_head
from zai_async.errors import ConfigurationError

__all__ = ["HeaderCache", "all_fields", "as_written", "with_secrets"]

_MOST_HEADS: Final = 64
# All that an address may hold as it is (RFC 3986, appendix A), "%" included.
_PLAIN_URL: Final = re.compile(r"[A-Za-z0-9%:/?#\[\]@!$&'()*+,;=._~-]*\Z")
_SAFE: Final = "%:/?#[]@!$&'()*+,;=._~-"


def as_written(url: str) -> yarl.URL:
    """Return an address that is asked for exactly as it was written.

    Signatures cover the escapes, too: ``%2F`` and ``/`` are the same file and different texts.

    Raises:
        ValueError: It is not an address.
    """
    if _PLAIN_URL.match(url):
        return yarl.URL(url, encoded=True)
    parts = urlsplit(url)
    # Only what no address may hold is escaped; the host has rules of its own (IDNA).
    place = yarl.URL(f"{parts.scheme}://{parts.netloc}").raw_authority
    rest = quote(
        url.partition("://")[2].removeprefix(parts.netloc), safe=_SAFE, errors="surrogateescape"
    )
    return yarl.URL(f"{parts.scheme}://{place}{rest}", encoded=True)


def with_secrets(request: Request, url: yarl.URL) -> yarl.URL:
    """Return the address with its secrets; not to be kept in a variable."""
    if not request.secret_query:
        return url
    return yarl.URL(
        f"{url}{'&' if url.raw_query_string else '?'}"
        + "&".join(
            f"{quote_plus(name)}={quote_plus(secret.reveal())}"
            for name, secret in request.secret_query.items()
        ),
        encoded=True,
    )


def all_fields(request: Request) -> dict[str, str]:
    """Return all header fields that were set, secrets revealed; not to be kept in a variable."""
    size = getattr(request.body, "size", None)
    # Without it aiohttp would send a body that it cannot measure in chunks.
    length = {} if size is None else {"Content-Length": str(size)}
    secrets = {name: secret.reveal() for name, secret in request.secret_headers.items()}
    return {**request.headers, **length, **secrets}


class KnownHead(NamedTuple):
    """Holds a head in a closure, so that nothing that prints attributes shows its secrets."""

    fields: Mapping[str, str]
    secrets: Mapping[str, Secret]
    reveal: Callable[[], bytes]


class HeaderCache:
    """Remembers heads by address; one is valid for the very same fields only."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, yarl.URL], KnownHead] = {}

    def reveal(self, request: Request, url: yarl.URL, origin: Origin) -> bytes:
        """Return the bytes of a request before the length of its body.

        Raises:
            ConfigurationError: A header field holds a line break.
        """
        place = request.method, url
        known = self._known.get(place)
        # Compared by identity: the fields of one client are one object, made once.
        if (
            known is None
            or known.fields is not request.headers
            or known.secrets is not request.secret_headers
            or request.secret_query
        ):
            written = written_head(request, url, origin)
            if written is None:
                raise ConfigurationError("a header field holds a line break")
            known = KnownHead(request.headers, request.secret_headers, written)
            if place in self._known or len(self._known) < _MOST_HEADS:
                self._known[place] = known
        return known.reveal()


def written_head(request: Request, url: yarl.URL, origin: Origin) -> Callable[[], bytes] | None:
    """Write a head; None if it cannot be: an exception would carry this frame, and the secrets."""
    # Host and Accept-Encoding as aiohttp writes them, so that both ways send the same.
    own = origin.request.headers
    try:
        head = CIMultiDict({"Host": own["Host"]})
        head.update(all_fields(request))
        head.setdefault("Accept-Encoding", own["Accept-Encoding"])
        line = f"{request.method} {with_secrets(request, url).raw_path_qs} HTTP/1.1"
        written = serialize_head(line, head).removesuffix(b"\r\n")
    except ValueError:
        return None
    return lambda: written
