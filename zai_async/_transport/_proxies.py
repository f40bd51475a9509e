"""Which proxy an address is reached through, as the caller or the environment says."""

import importlib.util
import os
import re
import sys
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from zai_async._secrets import Secret
from zai_async.errors import ConfigurationError

if TYPE_CHECKING:
    import yarl

__all__ = [
    "NamedProxy",
    "Proxies",
    "is_excepted",
    "is_ip_address",
    "proxy_passwords",
    "usable_proxy",
]

_HTTP: Final = frozenset({"http", "https"})
_SOCKS: Final = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_ENTRY: Final = re.compile(
    r"(?P<host>\[[^\]]*\](?:/\d+)?|[^:]*|.*:.*:.*?)(?::(?P<port>\d{1,5}))?\Z"
)


class NamedProxy(NamedTuple):
    """A proxy, and what named it: an argument or an environment variable."""

    address: Secret
    name: str

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, which aiohttp does not."""
        return scheme_of(self.address) in _SOCKS

    @property
    def hint(self) -> str:
        """What to say where it fails; its address may hold a password."""
        return f"{self.name} names a {scheme_of(self.address)}:// proxy."


def usable_proxy(address: Secret, name: str = "proxy") -> Secret:
    """Return the address of a proxy, with ``http://`` before one that has no scheme.

    Args:
        address: What was given.
        name: The argument or the environment variable it was given by, for messages.

    Raises:
        ConfigurationError: The proxy URL is invalid, or nobody here speaks its protocol.
    """
    whole = address if "://" in address.reveal() else Secret(f"http://{address.reveal()}")
    scheme = scheme_of(whole)
    if scheme in _SOCKS and importlib.util.find_spec("aiohttp_socks") is None:
        raise ConfigurationError(
            f"{name} names a {scheme}:// proxy, for which another package is needed",
            hint="Install it (pip install 'zai-async[socks]'), or set an http:// proxy.",
        )
    if scheme not in _HTTP | _SOCKS:
        known = ", ".join(f"{each}://" for each in sorted(_HTTP | _SOCKS))
        given = f", not {scheme}://" if scheme else ""
        raise ConfigurationError(f"{name} must be the address of a proxy ({known}){given}")
    return whole


def scheme_of(address: Secret) -> str:
    """Return the scheme of an address, nothing if the rest of it is invalid.

    Its parts stay in this frame, which is in no traceback.
    """
    try:
        parts = urlsplit(address.reveal())
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return ""
    return parts.scheme if usable else ""


def proxy_passwords(fixed: Secret | None, *, trust_env: bool) -> tuple[Secret, ...]:
    """Return what a proxy may repeat that must not be told: passwords, alone and with the user."""
    given = [fixed] if fixed is not None else []
    if fixed is None and trust_env:
        named = (value for name, value in os.environ.items() if name.lower().endswith("_proxy"))
        given = [Secret(value if "://" in value else f"http://{value}") for value in named]
    found: list[Secret] = []
    for address in given:
        with suppress(ValueError):  # no address
            parts = urlsplit(address.reveal())
            if parts.password:
                user, password = unquote(parts.username or ""), unquote(parts.password)
                # As it goes out in Proxy-Authorization, and as it may be quoted.
                found += map(Secret, (f"{user}:{password}", password, parts.password))
    return tuple(found)


class Proxies:
    """Finds the proxy of an address."""

    def __init__(self, fixed: Secret | None, *, trust_env: bool) -> None:
        self._fixed = None if fixed is None else NamedProxy(fixed, "proxy")
        self._trust_env = trust_env

    def find(self, url: "yarl.URL") -> NamedProxy | None:
        """Return the proxy for an address, None for a direct connection.

        Raises:
            ConfigurationError: The environment names one that cannot be used.
        """
        if self._fixed is not None or not self._trust_env:
            return self._fixed
        return from_environment(url)


def from_environment(url: "yarl.URL") -> NamedProxy | None:
    """Return the proxy that the environment, or else the system, names for an address."""
    host, port = url.host or "", url.port
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if exceptions is not None and is_excepted(exceptions, host, port):
        return None
    # A lower-case name comes first. Servers hand a client's "Proxy" header to CGI scripts as
    # HTTP_PROXY, which must not count there (CVE-2016-1000110).
    for lower in (f"{url.scheme}_proxy", "all_proxy"):
        for name in (lower, lower.upper()):
            forged = name == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ
            if os.environ.get(name) and not forged:
                return NamedProxy(usable_proxy(Secret(os.environ[name]), name), name)
    # Elsewhere there are no settings beside the environment.
    if sys.platform not in {"win32", "darwin"}:
        return None
    # It loads a client for HTTP and all that reads mail.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

    if proxy_bypass(host):
        return None
    name = "the proxy of the system settings"
    settings = {scheme: Secret(address) for scheme, address in getproxies().items()}
    found = settings.get(url.scheme) or settings.get("all")
    return NamedProxy(usable_proxy(found, name), name) if found else None


def is_excepted(exceptions: str, host: str, port: int | None) -> bool:
    """Tell whether ``NO_PROXY`` names a host: by name, domain, address or network, with a port.

    An entry that is none of these is skipped; the others still count.
    """
    wanted = host.rstrip(".").lower()
    address = _address(wanted)
    for entry in exceptions.replace(",", " ").lower().split():
        # A list of names, domains, addresses and networks, as curl and Go read it.
        if entry == "*":
            return True
        found = _ENTRY.match(entry)
        if found is None or (found["port"] and int(found["port"]) != port):
            continue
        name = found["host"].replace("[", "").replace("]", "").rstrip(".")
        if address is not None:
            try:
                if address in ip_network(name, strict=False):
                    return True
            except ValueError:
                continue
        else:
            name = name.removeprefix("*").removeprefix(".")
            if name and (wanted == name or wanted.endswith(f".{name}")):
                return True
    return False


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    # ::ffff:10.0.0.1 is 10.0.0.1, seen by a socket of the other kind.
    return getattr(address, "ipv4_mapped", None) or address


def is_ip_address(host: str) -> bool:
    """Tell whether a host is an address already, with nothing to resolve."""
    return _address(host) is not None
