"""Small requests straight over pooled connections, without aiohttp's client.

The client of aiohttp makes a request, a writer, a task and a response for each call, which costs
more than all the rest of a call. What stays aiohttp's is the hard part: connecting, the pool, TLS,
and the parser of the answer. Where a request needs more than this, or somebody watches aiohttp's
client, it goes through that. Heads are written once for all requests that share them.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import aiohttp
import yarl
from multidict import CIMultiDict

from zai_async._secrets import Secret
from zai_async._transport import NetworkSettings, Request, Response
from zai_async._transport._client import (
    READ_BUFFER,
    ClientTransport,
    all_fields,
    is_measured,
    with_secrets,
)
from zai_async._transport._connections import socks_connector
from zai_async._transport._errors import presentable, translate
from zai_async._transport._internals import (
    READERS,
    PooledConnector,
    ReceivedResponse,
    close_idle,
    is_watched,
    serialize_head,
    transports_of,
)
from zai_async._transport._proxies import NamedProxy
from zai_async.errors import ConfigurationError

__all__ = ["DirectTransport", "HeaderCache", "WriteCoalescer"]

# A larger body has to wait for the socket.
_MOST_BODY: Final = 2**16
_MOST_ORIGINS: Final = 64
_MOST_HEADS: Final = 64
_USUAL: Final = (False, None, False)
"""The place of the session that is neither fresh, nor behind SOCKS, nor on the caller's pool."""
_NO_TRACES: Final[list[Any]] = []


class Origin(NamedTuple):
    """Scheme, host and port, as the pool knows them."""

    request: aiohttp.ClientRequest
    """Tells where to connect, and is never sent."""
    key: Any

    @classmethod
    def of(cls, url: yarl.URL, loop: asyncio.AbstractEventLoop, tls: Any) -> "Origin":
        """Return the origin of an address."""
        request = aiohttp.ClientRequest("GET", url.origin(), loop=loop, ssl=tls)
        return cls(request, request.connection_key)


class DirectTransport(ClientTransport):
    """Sends what it can over the connections of its pool, and the rest by aiohttp's client."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__(settings)
        self._heads = HeaderCache()
        self._writes = WriteCoalescer()
        self._origins: dict[tuple[str, str], Origin | None] = {}

    async def exchange(self, request: Request, url: yarl.URL) -> Response:
        """Send a request to an address, and return its answer."""
        body = request.body or b""
        apart = request.fresh or request.bare or self._settings.session is not None
        if apart or not isinstance(body, bytes) or len(body) > _MOST_BODY:
            return await super().exchange(request, url)
        opened, kind = self._sessions.get(_USUAL), aiohttp.ClientSession
        if opened is None or opened.kind is not kind or opened.maker is not kind.__init__:
            self.session_for(request, None)
            opened = self._sessions[_USUAL]
        place = url.scheme, url.raw_authority
        origin = self._origins[place] if place in self._origins else self.origin_of(url)
        if origin is None or is_watched(opened.session):
            return await super().exchange(request, url)

        counted = body or request.method != "GET"
        # Without a length a server would wait for chunks, or for the end of the connection.
        length = b"Content-Length: %d\r\n" % len(body) if counted else b""
        pool: Any = self._connectors[_USUAL[:2]]
        lent: Any = None
        self._writes.waiting += 1
        try:
            lent = await pool.idle(origin.key, _NO_TRACES)
            if lent is None:
                limit = aiohttp.ClientTimeout(connect=request.connect_timeout)
                lent = await pool.connect(origin.request, _NO_TRACES, limit)
            connection = lent.protocol
            # Nothing is awaited until the request is written: the pool has just seen that nothing
            # waits here, and what comes from now on is the answer.
            connection.set_response_params(
                read_until_eof=True,
                auto_decompress=not request.unpacked,
                read_bufsize=READ_BUFFER,
            )
            # Nothing revealed stays in a variable here: tracebacks show them.
            self._writes.put(
                connection.transport,
                b"%b%b\r\n%b" % (self._heads.reveal(request, url, origin), length, body),
            )
            message, content = await connection.read()
            while message.code < HTTPStatus.OK:  # informational; the answer follows
                message, content = await connection.read()
        except BaseException as error:  # noqa: BLE001 - its frames hold secrets, whatever it is
            # The only timeout here is that of connecting; it says so nowhere.
            if lent is None and isinstance(error, TimeoutError):
                failure: BaseException = translate(aiohttp.ConnectionTimeoutError())
            else:
                stale = lent is not None and lent.protocol.reused and not lent.protocol.head
                failure = presentable(error, None, stale=stale)
        else:
            response = ReceivedResponse(
                lent, message.code, message.headers, content, connection.reused
            )
            # At once where the whole answer came in one read.
            content.on_eof(lent.release)
            return response
        finally:
            self._writes.waiting -= 1
        if lent is not None:
            lent.close()
        raise failure

    def session_for(self, request: Request, proxy: NamedProxy | None) -> aiohttp.ClientSession:
        """Return the session for a request, which is made before anything is awaited.

        Raises:
            ClientClosedError: The transport has been closed.
        """
        session = super().session_for(request, proxy)
        if self._settings.session is not None:
            close_idle(session.connector, restless=True)
        return session

    def connections(self) -> Iterator[Any]:
        """Return the transports of asyncio that are open."""
        yield from super().connections()
        own = self._settings.session
        for pool in (*self._connectors.values(), *(() if own is None else (own.connector,))):
            yield from transports_of(pool)

    def close_idle(self) -> None:
        """Close the connections that nobody uses, as this machine lacks what they hold."""
        for connector in self._connectors.values():
            close_idle(connector, restless=False)

    def origin_of(self, url: yarl.URL) -> Origin | None:
        """Return where to connect to directly, None if aiohttp's client has to."""
        # Passwords in addresses, proxies and addresses without a host are more than is done here.
        origin = None
        if url.raw_user is None and url.raw_host is not None and self._proxies.find(url) is None:
            origin = Origin.of(url, asyncio.get_running_loop(), self._tls)
        if len(self._origins) < _MOST_ORIGINS:
            self._origins[url.scheme, url.raw_authority] = origin
        return origin

    def received(self, response: aiohttp.ClientResponse, reused: bool | None) -> Response:
        """Return the answer that a response of aiohttp's client is."""
        foreign = reused is None  # on a connection of others, which does not tell how it ended
        if type(response.content) not in READERS or (foreign and not is_measured(response)):
            return super().received(response, reused)
        facts = response.status, response.headers, response.content, reused
        return ReceivedResponse(response, *facts)

    def connector(self, fresh: bool, socks: Secret | None) -> aiohttp.BaseConnector:
        """Make a pool of connections; a fresh one never takes a connection a second time."""
        idle: dict[str, Any] = {"force_close": fresh, "keepalive": self._settings.keepalive}
        if socks is not None:
            return socks_connector(socks, idle, PooledConnector)
        return PooledConnector(**idle)

    def close_connector(self, connector: aiohttp.BaseConnector) -> None:
        """Close a pool of connections at once."""
        pool: Any = connector
        pool.close_now()


class WriteCoalescer:
    """Writes at once what is alone, and the rest one after the other when all tasks have run.

    A write that wakes the other side takes several times as long as one that finds it awake.
    """

    def __init__(self) -> None:
        self.waiting = 0
        """Requests that wait for their answers."""
        self._pending: list[tuple[asyncio.WriteTransport, bytes]] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Send a request now, or at the end of this turn of the loop."""
        if self.waiting > 1:
            # One callback for all that are put in this turn.
            if not self._pending:
                asyncio.get_running_loop().call_soon(self.flush)
            self._pending.append((transport, data))
        elif not transport.is_closing():
            transport.write(data)

    def flush(self) -> None:
        """Send what is pending, except over connections that were closed meanwhile."""
        pending, self._pending = self._pending, []
        for transport, data in pending:
            if not transport.is_closing():
                transport.write(data)


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
