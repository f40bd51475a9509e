"""How connections are made: by sockets that notice a silent network, guarded, or through SOCKS."""

import importlib
import socket
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from zai_async._secrets import Secret
from zai_async._transport import Request
from zai_async._transport._proxies import NamedProxy, is_ip_address
from zai_async.errors import ConfigurationError, ResponseError

__all__ = [
    "USED_CONNECTIONS",
    "guarded_session",
    "keepalive_socket",
    "socks_connector",
    "was_closed",
]

# NAT gateways forget silent connections after some minutes, and models think for longer.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}


USED_CONNECTIONS: ContextVar[list[Any] | None] = ContextVar("zai_async_connections", default=None)
"""Where the pool writes down which connection the request of this context got."""


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that asks silent networks whether they are still there."""
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def was_closed(tls: Any) -> bool:
    """Tell whether the end of a connection, which has come, is one that the server has meant.

    TLS has an alert for that (RFC 8446 section 6.1): without it anybody may have cut the wire.
    ``tls`` is its SSLObject, None without TLS.
    """
    try:
        return tls is None or not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False


class GuardedResolver(AbstractResolver):
    """Resolves names, and leaves out the addresses that must not be connected to.

    What was checked is what is connected to: a name that resolves otherwise the next time (DNS
    rebinding) gains nothing.
    """

    def __init__(self, guard: Callable[[str], bool]) -> None:
        self._guard = guard
        self._resolver = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host that are allowed."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if self._guard(each["host"])]
        if not allowed:
            raise not_allowed(host)
        return allowed

    async def close(self) -> None:
        """Close what resolves."""
        await self._resolver.close()


def not_allowed(host: str) -> ResponseError:
    """Return the error for a host whose addresses were all refused."""
    return ResponseError(f"the address of {host} is not allowed")


def guarded_session(
    request: Request, url: yarl.URL, proxy: NamedProxy | None
) -> aiohttp.ClientSession:
    """Return a session for one request that connects only to addresses that are allowed.

    Raises:
        ConfigurationError: A proxy would resolve the name, which nobody here could check.
        ResponseError: The host is an address that is not allowed.
    """
    if proxy is not None:
        text = "addresses cannot be checked through a proxy: leave out 'allow' or the proxy"
        raise ConfigurationError(text, hint=proxy.hint)
    guard = request.guard or bool
    host = url.host or ""
    # Nobody is asked to resolve what is an address already.
    if (":" in host or is_ip_address(host)) and not guard(host):
        raise not_allowed(host)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=GuardedResolver(guard),
            force_close=True,
            use_dns_cache=False,
            socket_factory=keepalive_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
    )


def socks_connector(
    proxy: Secret, arguments: Mapping[str, Any], *pools: type[aiohttp.TCPConnector]
) -> aiohttp.BaseConnector:
    """Make a pool of connections, of a kind of ours if need be, through a SOCKS proxy."""
    socks = importlib.import_module("aiohttp_socks")
    parts = urlsplit(proxy.reveal())
    kind = socks.ProxyType.SOCKS4 if parts.scheme.startswith("socks4") else socks.ProxyType.SOCKS5
    # The methods of ours come first, the way of connecting is the other's.
    both: Any = type("SocksConnector", (*pools, socks.ProxyConnector), {})
    connector: aiohttp.BaseConnector = both(
        **arguments,
        host=parts.hostname,
        port=parts.port or 1080,
        proxy_type=kind,
        username=unquote(parts.username or "") or None,
        password=unquote(parts.password or "") or None,
    )
    return connector
