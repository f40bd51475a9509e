"""The network through aiohttp."""

from typing import Final, NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yarl

from zai_async._secrets import Secret
from zai_async._transport import NetworkSettings, Request, usable_proxy
from zai_async._transport._answer import FOREIGN, Answer, EagerAnswer, Reader, failure, presentable
from zai_async._transport._exchange import Exchanger, is_possible, is_simple
from zai_async._transport._heads import fields_of, url_of
from zai_async._transport._pool import NOTE, Connector, Note
from zai_async.errors import ClientClosedError, ResponseError

__all__ = ["AiohttpTransport"]

# A consumer that stops reading holds this much, and twice as much at most, instead of a megabyte.
_READ_BUFFER: Final = 2**16
_REDIRECTS: Final = frozenset({307, 308})
_MOST_REDIRECTS: Final = 3


class ClientAnswer(Answer):
    """An answer that came by aiohttp's client."""

    __slots__ = ("_response",)

    def __init__(self, response: aiohttp.ClientResponse, reused: bool | None) -> None:
        own = response.status, response.headers, response.content
        super().__init__(*own, connection_reused=reused)
        self._response = response

    def close(self) -> None:
        """Drop the connection unless the body has been read to its end."""
        self._response.close()


class ClientStream(EagerAnswer, ClientAnswer):
    """One that has a body."""

    __slots__ = ()


def _answer(response: aiohttp.ClientResponse, reused: bool | None) -> ClientAnswer:
    if type(response.content) is not aiohttp.StreamReader or not is_possible():
        return ClientAnswer(response, reused)
    Reader.adopt(response.content)
    return ClientStream(response, reused)


class _Pool(NamedTuple):
    """Connections, and the two ways over them."""

    connector: Connector
    client: aiohttp.ClientSession
    exchanger: Exchanger | None


class AiohttpTransport:
    """Sends requests through connections that live as long as one event loop."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings
        self._ssl = True if settings.ssl is None else settings.ssl
        self._pools: dict[bool, _Pool] = {}
        self._proxies: dict[tuple[str, str], Secret | None] = {}
        self._closed = False

    async def send(self, request: Request) -> Answer:
        """Send a request; follow redirects within its own origin only."""
        url = yarl.URL(request.url)
        for _ in range(1 + _MOST_REDIRECTS):
            response = await self._send(request, url)
            if response.status not in _REDIRECTS:
                return response
            target = _redirect(response, url)
            if target is None or not getattr(request.body, "replayable", True):
                return response
            response.close()
            url = target
        raise ResponseError("the address redirects in circles")

    async def _send(self, request: Request, url: yarl.URL) -> Answer:
        proxy = self._proxy(url)
        note = Note()
        try:
            if proxy is None and is_simple(request, url) and (way := self._short_way()):
                return await way.send(request, url, note)
            return await self._request(request, url, proxy, note)
        except FOREIGN as error:
            own: Exception | None = getattr(request.body, "failure", None)
            if own is not None:
                raise own from None  # the body could not be made; nothing is wrong with the network
            raise failure(error, note) from presentable(error)

    def _short_way(self) -> Exchanger | None:
        """Return the way past aiohttp's client; None if the client is the caller's own."""
        return None if self._settings.session is not None else self._pool(fresh=False).exchanger

    async def _request(
        self, request: Request, url: yarl.URL, proxy: Secret | None, note: Note
    ) -> ClientAnswer:
        """Let aiohttp's client do it, which knows about proxies and large bodies."""
        token = NOTE.set(note)
        try:
            response = await self._client(request).request(
                request.method,
                url_of(request, url),
                headers=fields_of(request),
                data=request.body,
                proxy=proxy.reveal() if proxy else None,
                ssl=self._ssl,
                allow_redirects=False,
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(connect=request.connect_timeout),
                read_bufsize=_READ_BUFFER,
            )
        finally:
            NOTE.reset(token)
        return _answer(response, note.reused)

    def _client(self, request: Request) -> aiohttp.ClientSession:
        own: aiohttp.ClientSession | None = self._settings.session
        return self._pool(fresh=request.fresh).client if own is None else own

    def _pool(self, *, fresh: bool) -> _Pool:
        if self._closed:
            raise ClientClosedError("the client is closed")
        pool = self._pools.get(fresh)
        if pool is None:
            pool = self._pools[fresh] = self._open(fresh=fresh)
        return pool

    def _open(self, *, fresh: bool) -> _Pool:
        """Open a pool; a fresh one never takes a connection a second time."""
        connector = Connector(force_close=fresh, keepalive=self._settings.keepalive)
        client = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
        )
        exchanger = Exchanger(connector, self._ssl, _READ_BUFFER) if is_possible() else None
        return _Pool(connector, client, exchanger)

    def _proxy(self, url: yarl.URL) -> Secret | None:
        """Return the proxy for an address; aiohttp itself would ask a thread at each request."""
        if self._settings.proxy is not None:
            return self._settings.proxy
        if not self._settings.trust_env:
            return None
        origin = url.scheme, url.raw_authority
        if origin not in self._proxies:
            found = _environment_proxy(url)
            self._proxies[origin] = usable_proxy(found) if found else None
        return self._proxies[origin]

    def close_now(self) -> None:
        """Close all connections without waiting for anything."""
        self._closed = True
        for pool in self._pools.values():
            pool.connector.close_now()
            pool.client.detach()
        self._pools.clear()

    async def aclose(self) -> None:
        """Close all connections; whoever waits for one of them learns that it broke."""
        self._closed = True
        pools = tuple(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.client.close()


def _environment_proxy(url: yarl.URL) -> Secret | None:
    if proxy_bypass(url.host or "") or proxy_bypass(url.host_port_subcomponent or ""):
        return None
    proxies = {name: Secret(address) for name, address in getproxies().items()}
    return proxies.get(url.scheme) or proxies.get("all")


def _redirect(response: Answer, url: yarl.URL) -> yarl.URL | None:
    """Return where a redirect leads if that is the same origin: secrets go nowhere else."""
    if "Location" not in response.headers:
        return None
    try:
        target = url.join(yarl.URL(response.headers["Location"]))
        return target if target.origin() == url.origin() else None
    except ValueError:  # not an address, or not one that has an origin
        return None
