"""The network through aiohttp."""

import socket
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yarl
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from zai_async._secrets import Secret
from zai_async._transport import NetworkSettings, Request, usable_proxy
from zai_async.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    RequestTimeoutError,
    ResponseError,
    TLSError,
    ZaiError,
)

__all__ = ["AiohttpResponse", "AiohttpTransport"]

# A consumer that stops reading holds this much, and twice as much at most, instead of a megabyte.
_READ_BUFFER: Final = 2**16
_DNS_CACHE_SECONDS: Final = 300
# NAT gateways forget silent connections after some minutes, and models think for longer.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}
_REDIRECTS: Final = frozenset({307, 308})
_MOST_REDIRECTS: Final = 3

# The first match counts.
_TRANSLATION: Final[tuple[tuple[type[BaseException], type[ZaiError], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, TLSError, "the certificate is not trusted"),
    (aiohttp.ClientSSLError, TLSError, "the TLS handshake failed"),
    (aiohttp.ServerFingerprintMismatch, TLSError, "the certificate has another fingerprint"),
    (aiohttp.ClientProxyConnectionError, ProxyError, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, ProxyError, "the proxy refused the connection"),
    (aiohttp.ConnectionTimeoutError, ConnectTimeoutError, "connecting took too long"),
    (aiohttp.ClientConnectorDNSError, ConnectError, "the host name cannot be resolved"),
    (aiohttp.ClientConnectorError, ConnectError, "the connection was refused"),
    (aiohttp.ClientResponseError, ResponseError, "the answer is not HTTP"),
    (HttpProcessingError, ResponseError, "the answer is not HTTP"),
    (aiohttp.ClientPayloadError, ConnectionLostError, "the answer broke off"),
    (ssl.SSLError, ConnectionLostError, "the TLS connection broke"),
    (TimeoutError, RequestTimeoutError, "the network took too long"),
    (aiohttp.ClientError, ConnectionLostError, "the connection broke"),
    (OSError, ConnectionLostError, "the connection broke"),
)
_TALKATIVE: Final = (aiohttp.ClientResponseError, aiohttp.ServerTimeoutError)
_FOREIGN: tuple[type[BaseException], ...] = tuple(row[0] for row in _TRANSLATION)


def translate(error: BaseException) -> ZaiError:
    """Return our word for an exception of aiohttp; addresses with secrets are not repeated."""
    ours, sentence = next(
        (ours, sentence) for foreign, ours, sentence in _TRANSLATION if isinstance(error, foreign)
    )
    detail = str(getattr(error, "strerror", None) or "")
    return ours(f"{sentence}: {detail}" if detail else sentence)


def _failure(error: BaseException, note: "_Note") -> ZaiError:
    """Translate, and tell whether an idle connection had simply been closed by the other side."""
    ours = translate(error)
    if isinstance(ours, ConnectionLostError) and note.reused:
        ours.stale = note.protocol is not None and not note.protocol.begun
    return ours


def _presentable(error: BaseException) -> BaseException | None:
    """Return what a traceback may show: some texts hold whole addresses, secrets included."""
    return None if isinstance(error, _TALKATIVE) else error


class _Protocol(ResponseHandler):
    """A connection that knows whether it has been used, and whether an answer has begun."""

    used = False
    begun = False

    def data_received(self, data: bytes) -> None:
        """Note that there is an answer, and read it."""
        self.begun = True
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading if that was paused; aiohttp asks after each piece that is taken out."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Note:
    """What the pool tells about the connection of the current request."""

    __slots__ = ("protocol", "reused")

    def __init__(self) -> None:
        self.protocol: _Protocol | None = None
        self.reused: bool | None = None


_NOTE: ContextVar[_Note] = ContextVar("zai_async_connection")


class Connector(aiohttp.TCPConnector):
    """A connection pool that tells used connections from new ones."""

    def __init__(self, *, force_close: bool, keepalive: float | None) -> None:
        # The two exclude each other, and aiohttp tells "absent" from None.
        idle: dict[str, Any] = {} if force_close else {"keepalive_timeout": keepalive}
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - loosely typed over there
            limit=0,
            force_close=force_close,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            socket_factory=_keepalive_socket,
            **idle,
        )
        self._factory: Any = partial(_Protocol, loop=self._loop)

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Hand out a connection and note whether it is a used one."""
        connection: Any = await super().connect(*args, **kwargs)
        protocol: _Protocol = connection.protocol
        note = _NOTE.get()
        note.protocol, note.reused = protocol, protocol.used
        protocol.used, protocol.begun = True, False
        return connection

    def close_now(self) -> None:
        """Close without waiting for the other side; the public method is a coroutine."""
        self._close(abort_ssl=True)


def _keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


class AiohttpResponse:
    """An answer, read piece by piece."""

    __slots__ = ("__weakref__", "_content", "_response", "connection_reused", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, connection_reused: bool | None) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.connection_reused = connection_reused

    async def read(self) -> bytes:
        """Return the next piece of the body, ``b""`` at its end."""
        try:
            return await self._content.readany()
        except _FOREIGN as error:
            raise translate(error) from error

    def at_end(self) -> bool:
        """Tell whether the body has been read to its end."""
        return self._content.at_eof()

    def close(self) -> None:
        """Drop the connection unless the body has been read to its end."""
        self._response.close()


class AiohttpTransport:
    """Sends requests through sessions that live as long as one event loop."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings
        self._ssl = True if settings.ssl is None else settings.ssl
        self._pools: dict[bool, aiohttp.ClientSession] = {}
        self._proxies: dict[str, Secret | None] = {}

    async def send(self, request: Request) -> AiohttpResponse:
        """Send a request; follow redirects within its own origin only."""
        url = yarl.URL(request.url)
        for _ in range(1 + _MOST_REDIRECTS):
            response = await self._send(request, url)
            target = _redirect(response, url)
            if target is None or not getattr(request.body, "replayable", True):
                return response
            response.close()
            url = target
        raise ResponseError("the address redirects in circles")

    async def _send(self, request: Request, url: yarl.URL) -> AiohttpResponse:
        proxy = self._proxy(url)
        note = _Note()
        token = _NOTE.set(note)
        try:
            response = await self._session(request).request(
                request.method,
                _with_secrets(request, url),
                headers=_with_secret_headers(request),
                data=request.body,
                proxy=proxy.reveal() if proxy else None,
                ssl=self._ssl,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(connect=request.connect_timeout),
                read_bufsize=_READ_BUFFER,
            )
        except _FOREIGN as error:
            raise _failure(error, note) from _presentable(error)
        finally:
            _NOTE.reset(token)
        return AiohttpResponse(response, note.reused)

    def _session(self, request: Request) -> aiohttp.ClientSession:
        if self._settings.session is not None:
            return self._settings.session  # type: ignore[no-any-return]
        pool = self._pools.get(request.fresh)
        if pool is None:
            pool = self._pools[request.fresh] = self._open(fresh=request.fresh)
        return pool

    def _open(self, *, fresh: bool) -> aiohttp.ClientSession:
        """Open a session; a fresh one never takes a connection a second time."""
        return aiohttp.ClientSession(
            connector=Connector(force_close=fresh, keepalive=self._settings.keepalive),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
        )

    def _proxy(self, url: yarl.URL) -> Secret | None:
        """Return the proxy for an address; aiohttp itself would ask a thread at each request."""
        if self._settings.proxy is not None:
            return self._settings.proxy
        if not self._settings.trust_env:
            return None
        origin = str(url.origin())
        if origin not in self._proxies:
            found = _environment_proxy(url)
            self._proxies[origin] = usable_proxy(found) if found else None
        return self._proxies[origin]

    def close_now(self) -> None:
        """Close all connections without waiting for anything."""
        for pool in self._pools.values():
            connector: Any = pool.connector
            connector.close_now()
            pool.detach()
        self._pools.clear()

    async def aclose(self) -> None:
        """Close all connections."""
        pools = tuple(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.close()


def _environment_proxy(url: yarl.URL) -> Secret | None:
    if proxy_bypass(url.host or "") or proxy_bypass(url.host_port_subcomponent or ""):
        return None
    proxies = {name: Secret(address) for name, address in getproxies().items()}
    return proxies.get(url.scheme) or proxies.get("all")


def _with_secrets(request: Request, url: yarl.URL) -> yarl.URL:
    query = {name: secret.reveal() for name, secret in request.secret_query.items()}
    return url.update_query(query) if query else url


def _with_secret_headers(request: Request) -> dict[str, str]:
    secrets = {name: secret.reveal() for name, secret in request.secret_headers.items()}
    size = getattr(request.body, "size", None)
    # Without it aiohttp would send a body that it cannot measure in chunks.
    length = {} if size is None else {"Content-Length": str(size)}
    return {**request.headers, **length, **secrets}


def _redirect(response: AiohttpResponse, url: yarl.URL) -> yarl.URL | None:
    """Return where a redirect leads if that is the same origin: secrets go nowhere else."""
    if response.status not in _REDIRECTS or "Location" not in response.headers:
        return None
    try:
        target = url.join(yarl.URL(response.headers["Location"]))
        return target if target.origin() == url.origin() else None
    except ValueError:  # not an address, or not one that has an origin
        return None


# glibc maps and unmaps memory on each of asyncio's 256 KiB reads until a larger block has been
# freed once; benchmarks/ shows what that costs per token.
bytes(2**20)
