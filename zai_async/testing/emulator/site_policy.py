"""Which sites may talk to the emulator: it accepts any key, so a browser must not be its client.

A page that a developer opens can send requests to loopback. By a name of its own that resolves to
127.0.0.1 (DNS rebinding) it could even read the answers: files that were uploaded, conversations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

ANY_ADDRESS = "*"  # no character of a name
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class SitePolicy:
    """Refuse hosts of foreign names, and requests that a page of another site sends.

    Names in ``allowed`` are accepted besides loopback's own and the one listened on.
    """

    def __init__(self, host: str, allowed: Iterable[str] = ()) -> None:
        self._names = {"localhost", host.lower(), *(name.lower() for name in allowed)}

    def refusal(self, method: str, headers: Mapping[str, str]) -> str | None:
        """Return why a request is refused, ``None`` when it is not."""
        host = headers.get("Host", "")
        # HTTP/1.0 needs no Host; every browser sends one.
        if host and not self.knows(host):
            return f"Host {host!r} is not a name of this emulator; allow it with allowed_hosts"
        # Without CORS headers a page cannot read an answer, so only what changes something
        # matters. Programs send neither header.
        if method in _READING:
            return None
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "none")
        # Browsers send `Origin` with every request that is not a plain read.
        if origin is not None and urlsplit_netloc(origin) != host.lower():
            return f"Origin {origin!r} is another site"
        # `none` is what a user typed; `same-site` is another port of this machine.
        if site not in {"none", "same-origin"}:
            return f"Sec-Fetch-Site {site!r} is another site"
        return None

    def knows(self, host: str) -> bool:
        """Whether a host is a name of this emulator, or any address."""
        name = name_of(host)
        # Rebinding needs a name: nobody can make an address mean another machine.
        return name == ANY_ADDRESS or name in self._names or name.endswith(".localhost")


@lru_cache(maxsize=64)
def name_of(host: str) -> str:
    """Return the name in a ``Host`` header: empty for a damaged one, one word for all addresses."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""
    try:
        ip_address(name)
    except ValueError:
        return name
    return ANY_ADDRESS


def urlsplit_netloc(origin: str) -> str | None:
    """Return host and port of an origin, ``None`` when it has none (``null``, or damaged)."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
