"""Requests through aiohttp's public client: files, proxies, and whatever watches that client.

Only documented parts of aiohttp are used here. Where its inside is not what ``_internals`` knows,
this is all there is.

What holds revealed secrets must not be kept in a variable: a traceback with local variables, as
error trackers send it, shows whatever a variable holds.
"""

import io
import os
import re
from asyncio import Future
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus, urlsplit
from weakref import WeakSet

import aiohttp
import yarl

from zai_async._secrets import Secret
from zai_async._transport import NetworkSettings, Request, Response
from zai_async._transport._codings import unpacking
from zai_async._transport._connections import (
    USED_CONNECTIONS,
    guarded_session,
    keepalive_socket,
    socks_connector,
    was_closed,
)
from zai_async._transport._errors import (
    AIOHTTP_ERRORS,
    CutBodyError,
    behind_proxy,
    presentable,
    translate,
)
from zai_async._transport._proxies import NamedProxy, Proxies
from zai_async.errors import (
    ClientClosedError,
    ConfigurationError,
    LocalResourceError,
    ResponseError,
)

__all__ = [
    "READ_BUFFER",
    "ClientTransport",
    "SessionResponse",
    "all_fields",
    "as_written",
    "is_measured",
    "with_secrets",
]

READ_BUFFER: Final = 2**14
"""A consumer that stops reading holds this much, and twice as much at most, not a megabyte."""
# The other statuses would turn a POST into a GET without its body (RFC 9110, section 15.4).
_REDIRECTS: Final = frozenset({307, 308})
_LARGE: Final = 2**20
_MOST_REDIRECTS: Final = 3
# All that an address may hold as it is (RFC 3986, appendix A), "%" included.
_PLAIN_URL: Final = re.compile(r"[A-Za-z0-9%:/?#\[\]@!$&'()*+,;=._~-]*\Z")
_SAFE: Final = "%:/?#[]@!$&'()*+,;=._~-"


class SessionResponse:
    """An answer that came by a client of aiohttp."""

    def __init__(self, response: aiohttp.ClientResponse, connection_reused: bool | None) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers
        self.connection_reused = connection_reused
        # What broke the framing of a body closed the connection too, which is told in any case.
        connection = response.connection
        closed = getattr(getattr(connection, "protocol", None), "closed", None)
        if closed is not None:
            closed.add_done_callback(self.lost)
        self._end: Any = None if is_measured(response) else closed
        """Where the body ends with its connection: the end of that."""
        # Asked for at once, as a transport that is gone has forgotten it.
        wire = getattr(connection, "transport", None)
        self._tls: Any = None if wire is None else wire.get_extra_info("ssl_object")

    def lost(self, closed: Future[None]) -> None:
        """Wake whoever reads although the connection is gone; aiohttp does not always do so."""
        if not closed.cancelled():
            closed.exception()  # has been seen
        self.wake()

    def wake(self) -> None:
        """End a read that waits, unless the body has come to its end."""
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientConnectionError("closed"))

    async def read(self) -> bytes:
        """Return the next piece of the body, ``b""`` at its end."""
        try:
            piece = await self._response.content.readany()
            if piece or not self._was_cut():
                return piece
            failure = translate(CutBodyError())
        except AIOHTTP_ERRORS as error:
            failure = translate(error)
        raise failure

    def _was_cut(self) -> bool:
        """Tell whether a body that ends with its connection has come to another end than that."""
        end = self._end
        if end is None:
            return False
        broke = end.done() and not end.cancelled() and end.exception() is not None
        return broke or not was_closed(self._tls)

    def at_end(self) -> bool:
        """Tell whether the body has been read to its end, where that is known before it is read."""
        return self._end is None and self._response.content.at_eof()

    def on_complete(self, callback: Callable[[], None]) -> None:
        """Call back when all of the body has arrived, whether or not it has been read."""
        self._response.content.on_eof(callback)

    def wire(self) -> Any:
        """Return what its bytes come by, None when they have all come."""
        return getattr(self._response.connection, "transport", None)

    def close(self) -> None:
        """Wake whoever reads, and drop the connection unless the body has come to its end."""
        self.wake()
        self._response.close()


class _Opened(NamedTuple):
    """A session, and what had made it."""

    session: aiohttp.ClientSession
    kind: type[aiohttp.ClientSession]
    maker: Callable[..., None]


class ClientTransport:
    """Sends requests through connections that live as long as one event loop."""

    def __init__(self, settings: NetworkSettings) -> None:
        if settings.session is not None and settings.process != os.getpid():
            text = "the aiohttp session of this client belongs to the process that was forked"
            hint = "Make a session and a client in this process, or leave out session=."
            raise ConfigurationError(text, hint=hint)
        self._settings = settings
        self._tls = True if settings.ssl is None else settings.ssl
        # aiohttp would look into the environment at each request.
        self._found: dict[tuple[str, str], NamedProxy | None] = {}
        self._proxies = Proxies(settings.proxy, trust_env=settings.trust_env)
        self._connectors: dict[tuple[bool, Secret | None], aiohttp.BaseConnector] = {}
        self._sessions: dict[tuple[bool, Secret | None, bool], _Opened] = {}
        self._replaced: list[aiohttp.ClientSession] = []
        # aiohttp forgets those who read when a pool is closed under them.
        self._unread: WeakSet[SessionResponse] = WeakSet()
        self._closed = False

    async def send(self, request: Request) -> Response:
        """Send a request; follow redirects within its own origin only."""
        url = as_written(request.url)
        try:
            response = await self.exchange(request, url)
        except LocalResourceError:
            self.close_idle()  # who tries again may need what they hold
            raise
        redirects = 0
        while response.status in _REDIRECTS:
            target = redirect_target(response, url)
            # What came from a pipe went to the first address, and is gone.
            if target is None or not getattr(request.body, "replayable", True):
                break
            response.close()
            redirects += 1
            if redirects > _MOST_REDIRECTS:
                raise ResponseError("the address redirects in circles")
            url = target
            response = await self.exchange(request, url)
        return unpacking(response, request) if "Content-Encoding" in response.headers else response

    async def exchange(self, request: Request, url: yarl.URL) -> Response:
        """Send a request to an address, and return its answer."""
        place = url.scheme, url.raw_authority
        if place not in self._found:
            self._found[place] = self._proxies.find(url)
        proxy = self._found[place]
        session = self.session_for(request, proxy)
        receive = self.received
        if guarded := request.guard is not None:
            session = guarded_session(request, url, proxy)
            receive = partial(ClientTransport.received, self)
        # aiohttp warns of more than a mebibyte in one piece, as of a conversation with pictures.
        content: Any = request.body
        is_large = isinstance(content, bytes) and len(content) > _LARGE
        # The pool of ours puts the connection in; that of others, which cannot be asked, does not.
        used: list[Any] = []
        token = USED_CONNECTIONS.set(used)
        try:
            return receive(
                await session.request(
                    request.method,
                    with_secrets(request, url),
                    headers=all_fields(request),
                    data=io.BytesIO(content) if is_large else content,
                    proxy=None if proxy is None or proxy.is_socks else proxy.address.reveal(),
                    ssl=self._tls,
                    # send() follows redirects: aiohttp would take the key along to anybody.
                    allow_redirects=False,
                    # Whatever a session of the caller's does for its owner: a status is an answer.
                    raise_for_status=False,
                    auto_decompress=not request.unpacked,
                    # How long the answer may take is for the call to say, which has a deadline.
                    timeout=aiohttp.ClientTimeout(connect=request.connect_timeout),
                    read_bufsize=READ_BUFFER,
                ),
                used[0].reused if used else None,
            )
        except BaseException as error:  # noqa: BLE001 - its frames hold secrets, whatever it is
            stale = bool(used) and used[0].reused and not used[0].head
            failure = presentable(error, request.body, stale=stale)
            if proxy is not None:
                # A pool of ours that has lent no connection has sent nothing but CONNECT.
                unsent = not used and hasattr(session.connector, "idle")
                failure = behind_proxy(failure, proxy.hint, unsent=unsent)
            # A coroutine that is thrown away may not wait for anything any more.
            body = request.body
            if not isinstance(body, bytes | None) and not isinstance(error, GeneratorExit):
                await body.aclose()
        finally:
            USED_CONNECTIONS.reset(token)
            if guarded:
                session.detach()  # its connection closes after the answer
        raise failure

    def received(self, response: aiohttp.ClientResponse, reused: bool | None) -> Response:
        """Return the answer that a response of aiohttp's client is."""
        if reused is None and self._settings.session is None:
            reused = False  # none is kept
        answer = SessionResponse(response, reused)
        self._unread.add(answer)
        return answer

    def session_for(self, request: Request, proxy: NamedProxy | None) -> aiohttp.ClientSession:
        """Return the session for a request: the caller's, or one of ours.

        Raises:
            ClientClosedError: The transport has been closed.
        """
        own: aiohttp.ClientSession | None = self._settings.session
        if own is not None and not request.bare:
            return own
        if self._closed:
            raise ClientClosedError("the client is closed")
        connector_place = request.fresh, proxy.address if proxy and proxy.is_socks else None
        place = *connector_place, own is not None
        opened = self._sessions.get(place)
        # A tracer that is installed later wraps the constructor, or takes the place of the class:
        # what it did not see being made, it does not see at all.
        kind = aiohttp.ClientSession
        if opened is None or opened.kind is not kind or opened.maker is not kind.__init__:
            connector = None if own is None else own.connector
            if connector is None:
                connector = self._connectors.get(connector_place)
            if connector is None:
                connector = self._connectors[connector_place] = self.connector(*connector_place)
            session = kind(
                connector=connector,
                connector_owner=False,
                # A cookie would carry the state of one call, or of one user, into the next.
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),
            )
            if opened is not None:  # somebody may still be on the way through it
                self._replaced.append(opened.session)
            opened = self._sessions[place] = _Opened(session, kind, kind.__init__)
        return opened.session

    def connector(self, fresh: bool, socks: Secret | None) -> aiohttp.BaseConnector:
        """Make a pool of connections.

        Nothing public tells whether something waits on a kept connection: none is kept.
        """
        del fresh
        if socks is not None:
            return socks_connector(socks, {"limit": 0, "force_close": True})
        return aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=keepalive_socket)

    def connections(self) -> Iterator[Any]:
        """Return the transports of asyncio that are open, as far as they are known."""
        for response in tuple(self._unread):
            yield response.wire()

    def close_idle(self) -> None:
        """Close the connections that nobody uses: by public means, none is kept."""

    def close_now(self) -> None:
        """Close all connections without waiting for anything."""
        for connector in self.detached():
            self.close_connector(connector)

    async def aclose(self) -> None:
        """Close all connections; whoever waits for one of them learns that it broke."""
        for connector in self.detached():
            await connector.close()

    def detached(self) -> list[aiohttp.BaseConnector]:
        """Send nothing from now on, wake who still reads, and return the pools to be closed."""
        self._closed = True
        # The readers first, and from a copy: closing one may let another be collected.
        for response in tuple(self._unread):
            response.close()
        for session in [*self._replaced, *(opened.session for opened in self._sessions.values())]:
            session.detach()
        self._replaced.clear()
        self._sessions.clear()
        connectors = [*self._connectors.values()]
        self._connectors.clear()
        return connectors

    def close_connector(self, connector: aiohttp.BaseConnector) -> None:
        """Close a pool of connections at once."""
        # Its first step closes, and the others wait for the other side.
        closing: Any = connector.close(abort_ssl=True)
        with suppress(StopIteration):
            closing.send(None)
        closing.close()


def is_measured(response: aiohttp.ClientResponse) -> bool:
    """Tell whether a body has a length or chunks; any other ends with its connection."""
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers


def redirect_target(response: Response, url: yarl.URL) -> yarl.URL | None:
    """Return where a redirect leads if that is the same origin: secrets go nowhere else."""
    if "Location" not in response.headers:
        return None
    try:
        target = url.join(as_written(response.headers["Location"]))
        return target if target.origin() == url.origin() else None
    except ValueError:  # not an address, or not one that has an origin
        return None


def as_written(url: str) -> yarl.URL:
    """Return an address, or one that is relative to another, exactly as it was written.

    Signatures cover the escapes, too: ``%2F`` and ``/`` are the same file and different texts.

    Raises:
        ValueError: It is not an address.
    """
    if _PLAIN_URL.match(url):
        return yarl.URL(url, encoded=True)
    parts = urlsplit(url)
    # Only what no address may hold is escaped; the host has rules of its own (IDNA).
    place, rest = "", url
    if parts.netloc:
        before, _, rest = url.partition("//")
        rest = rest.removeprefix(parts.netloc)
        host = yarl.URL(f"{parts.scheme or 'http'}://{parts.netloc}").raw_authority
        place = f"{before}//{host}"
    escaped = quote(rest, safe=_SAFE, errors="surrogateescape")
    return yarl.URL(f"{place}{escaped}", encoded=True)


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
