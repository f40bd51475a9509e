"""All that this package knows about the inside of aiohttp; ``_tls`` is the same for asyncio's TLS.

Nothing else touches a private name of theirs. ``hold()`` asks whether the names are still there,
``tests/test_transport_internals.py`` whether they still mean the same; where they do not, requests
go through aiohttp's public client alone.
"""

# pyright: reportPrivateUsage=false

import re
import select
import ssl
from asyncio import AbstractEventLoop, BaseTransport
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FunctionType
from typing import Any, Final

import aiohttp
from aiohttp import client, helpers, http_writer
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from zai_async._transport._connections import (
    USED_CONNECTIONS,
    keepalive_socket,
    was_closed,
)
from zai_async._transport._errors import CutBodyError, translate
from zai_async._transport._names import hold
from zai_async._transport._tls import (
    TLS_RECORD,
    connect_tls,
    has_asyncio_tls,
    open_reader,
    slim_tls,
)

__all__ = [
    "READERS",
    "PooledConnection",
    "PooledConnector",
    "ReceivedResponse",
    "close_idle",
    "hold",
    "is_readable",
    "is_watched",
    "serialize_head",
    "transports_of",
]

_DNS_CACHE_SECONDS: Final = 300
# asyncio makes room for 256 KiB at each read, for which glibc maps and unmaps memory each time.
_READ: Final = 2**16
# More pieces than this are a server that sends byte by byte to somebody who does not read.
_MOST_PIECES: Final = 4096
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
# Stands for a head that has been parsed; no head contains it.
_PARSED: Final = b"\0"
_CLIENT_GLOBALS: Final[Any] = vars(client)
_CONNECT: Final[Any] = vars(aiohttp.TCPConnector).get("_wrap_create_connection")


def serialize_head(line: str, fields: Mapping[str, str]) -> bytes:
    """Return a request line and header fields as bytes, with the empty line that ends them.

    Raises:
        ValueError: A field holds what would end it.
    """
    write: Any = vars(http_writer)["_serialize_headers"]  # with C where there is a compiler
    head: bytes = write(line, fields)
    return head


def is_watched(session: aiohttp.ClientSession) -> bool:
    """Tell whether somebody wants to see the requests of aiohttp's client.

    Test doubles (``aioresponses``, ``vcrpy``) replace its method, tracers replace it or hand in
    ``trace_configs``. What is asked is where the method came from: it may have been replaced
    before this module was imported.
    """
    kind: Any = type(session)
    for method in (getattr(kind, "_request", None), getattr(kind, "request", None)):
        if type(method) is not FunctionType or method.__globals__ is not _CLIENT_GLOBALS:
            return True
    return bool(session.trace_configs)


class PooledConnection(ResponseHandler):
    """A connection that knows whether it was used before, and how far its answer has come."""

    reused = False
    """Whether an earlier request got its answer here."""
    head = b""
    """What has come of an answer whose headers are not whole yet."""
    ended = False
    """Whether the server has said that nothing more comes: by FIN, over TLS by close_notify."""

    def __init__(self, loop: AbstractEventLoop, buffer: bytearray) -> None:
        super().__init__(loop)
        self._tls_buffer = buffer

    def connection_made(self, transport: BaseTransport) -> None:
        """Read less at a time than asyncio does, and give back what it reserves for TLS."""
        super().connection_made(transport)
        own: Any = transport
        if hasattr(own, "max_size"):
            own.max_size = _READ
        slim_tls(getattr(own, "_ssl_protocol", None), self._tls_buffer)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and keep it until the headers are whole."""
        if self._payload is not None:
            super().data_received(data)
            return
        self.head += data
        super().data_received(data)
        if self._payload is not None:
            self.head = _PARSED

    def set_exception(
        self, exc: BaseException, exc_cause: BaseException = helpers._EXC_SENTINEL
    ) -> None:
        """Fail whoever waits here, and where the framing is broken the reader of the body, too.

        aiohttp tells only those who wait for headers: the reader would wait for ever.
        """
        if isinstance(exc, HttpProcessingError):
            if self._payload is None and _HEAD_END.search(self.head):
                self._parse_head_apart()
                return
            end_reading(self._payload, aiohttp.ClientPayloadError(exc.message), exc)
        super().set_exception(exc, exc_cause)

    def eof_received(self) -> None:
        """Note the end, if it is a proper one; asyncio reports any that comes without an error."""
        transport = self.transport
        self.ended = transport is None or was_closed(transport.get_extra_info("ssl_object"))
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell a body that was cut from one that ends with its connection; aiohttp does not."""
        content: Any = self._payload
        if content is not None and not (self.ended or content.is_eof() or content.exception()):
            content.__class__ = CutReader
        super().connection_lost(exc)

    def _parse_head_apart(self) -> None:
        """Parse again what broke, so that the headers arrive although the body after them is bad.

        The parser drops the headers that came in one read with the damage: the error would depend
        on how the network had cut the bytes.
        """
        received, self.head = self.head, _PARSED
        self.set_response_params(
            skip_payload=self._skip_payload, read_until_eof=True, read_bufsize=self._read_bufsize
        )
        start = 0
        # There may be several heads: informational answers come before the one that counts.
        for end in (match.end() for match in _HEAD_END.finditer(received)):
            super().data_received(received[start:end])
            start = end
            if self._exception is not None or (self._buffer and self._buffer[-1][0][0].code >= 200):
                break
        if self._exception is None:
            super().data_received(received[start:])

    def close(self) -> None:
        """Close, and wake whoever reads: aiohttp forgets them."""
        self._end(super().close)

    def abort(self) -> None:
        """Close at once, in the same way."""
        self._end(super().abort)

    def _end(self, close: Callable[[], None]) -> None:
        content = self._payload
        close()
        end_reading(content, aiohttp.ClientConnectionError("closed"))

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading if that was paused; aiohttp asks at the end of each body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


def end_reading(
    content: aiohttp.StreamReader | None, error: Exception, cause: BaseException | None = None
) -> None:
    """Fail whoever reads a body, unless it has come to its end or failed before."""
    if content is not None and not content.is_eof() and content.exception() is None:
        error.__cause__ = cause
        content.set_exception(error)


class PooledConnector(aiohttp.TCPConnector):
    """A connection pool that hands out no connection on which something waits unasked."""

    def __init__(self, *, force_close: bool, keepalive: float | None, **others: Any) -> None:
        # The two exclude each other, and aiohttp tells "absent" from None.
        idle: dict[str, Any] = {} if force_close else {"keepalive_timeout": keepalive}
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - loosely typed over there
            limit=0,
            force_close=force_close,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            socket_factory=keepalive_socket,
            **idle,
            **others,
        )
        self._tls_buffer = bytearray(TLS_RECORD)
        self._factory: Any = partial(PooledConnection, self._loop, self._tls_buffer)

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Hand out a connection, and note which for the request that asks."""
        lent: Any = await super().connect(*args, **kwargs)
        if not isinstance(lent.protocol, PooledConnection):  # made by a SOCKS connector
            lent.protocol.__class__ = PooledConnection
            lent.protocol._tls_buffer = self._tls_buffer
        if (used := USED_CONNECTIONS.get()) is not None:
            used.append(lent.protocol)
        return lent

    async def _get(self, key: Any, traces: list[Any]) -> Any:
        """Return an idle connection, None if there is none; both ways of sending ask here."""
        while (lent := await super()._get(key, traces)) is not None:
            connection: Any = lent.protocol
            if is_at_rest(connection):
                connection.reused, connection.head, connection._payload = True, b"", None
                return lent
            lent.close()
        return None

    idle = _get

    async def _wrap_create_connection(self, *args: Any, **others: Any) -> Any:
        """Connect, and where asyncio speaks TLS, without what it reserves for each handshake."""
        own: Any = super()
        connect, context = own._wrap_create_connection, others.get("ssl")
        # That of a SOCKS connector makes its own protocol and speaks TLS itself.
        foreign = connect.__func__ is not _CONNECT
        if foreign or not isinstance(context, ssl.SSLContext) or not has_asyncio_tls(self._loop):
            return await connect(*args, **others)
        connection, patience = self._factory(), self._ssl_shutdown_timeout or None
        start = partial(open_reader, self._tls_buffer, ssl_shutdown_timeout=patience)
        return await connect_tls(connect, start, connection, others), connection

    def close_now(self) -> None:
        """Close without waiting for the other side; the public method is a coroutine."""
        self._close(abort_ssl=True)


def is_at_rest(connection: Any) -> bool:
    """Tell whether an idle connection is open, and nothing waits on it that nobody asked for.

    A server may have written something unasked: a late error, a second answer. The next request
    would take it for its own answer, and each one after it the one before.
    """
    tls: Any = getattr(connection.transport, "_ssl_protocol", None)
    try:
        # The parser returns the message that has begun, if only by its first byte.
        surplus = connection._buffer or connection._parser.feed_eof()
        if tls is not None:
            surplus = surplus or tls._incoming.pending or tls._sslobj.pending()
    except Exception:  # noqa: BLE001 - whatever it says, it is not at rest
        return False
    return not surplus and not is_readable(connection.transport)


def is_readable(transport: Any) -> bool:
    """Tell whether bytes, or the end, wait on a connection on which nothing should."""
    try:
        number = transport.get_extra_info("socket").fileno()
        if not hasattr(select, "poll"):  # Windows, where descriptors of any number can be selected
            return bool(select.select([number], [], [], 0)[0])
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):
        return True  # closed meanwhile


def close_idle(connector: Any, *, restless: bool) -> None:
    """Close what idles in a pool: all of it, or what is not at rest, as some pools do not ask."""
    for idle in getattr(connector, "_conns", {}).values():
        for entry in [entry for entry in idle if not (restless and is_at_rest(entry[0]))]:
            idle.remove(entry)
            entry[0].close()


def transports_of(connector: Any) -> Iterator[Any]:
    """Return what the connections of a pool are written to, of those in use and those that idle."""
    idle = [each[0] for some in getattr(connector, "_conns", {}).values() for each in some]
    yield from (each.transport for each in (*getattr(connector, "_acquired", ()), *idle))


class BodyReader(aiohttp.StreamReader):
    """aiohttp's reader without its book of chunks, and with errors that wait to be asked for."""

    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Keep a piece, and wake whoever waits for it."""
        del size
        if not data:
            return False  # would pass for the end
        self._size += len(data)
        self._buffer.append(data)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if self._size > self._high_water or len(self._buffer) > _MOST_PIECES:
            self._protocol.pause_reading()
        return False

    # Where chunks begin and end means nothing. bool() does nothing either, and unlike a function
    # of ours it does so in C, twice for each token.
    begin_http_chunk_receiving = end_http_chunk_receiving = staticmethod(bool)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def set_exception(
        self, exc: BaseException, exc_cause: BaseException = helpers._EXC_SENTINEL
    ) -> None:
        """Keep an error for the read that finds nothing else, and wake it."""
        del exc_cause
        self._exception = exc
        self._eof_callbacks.clear()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            # Not the error itself: it would be raised there with the frames of aiohttp.
            waiter.set_result(None)


class CutReader(BodyReader):
    """The reader of a body whose connection is gone without a proper end.

    What has no length and no chunks would be over now: it is incomplete (RFC 9112 section 9.8).
    """

    __slots__ = ()

    def feed_eof(self) -> None:
        """Fail instead."""
        self.set_exception(CutBodyError())


READERS: Final = frozenset({aiohttp.StreamReader, CutReader})  # of bodies on their way


class ReceivedResponse:
    """An answer from its headers on."""

    __slots__ = "__weakref__ _content _owner connection_reused headers on_complete status".split()  # noqa: SIM905

    def __init__(
        self,
        owner: Any,
        status: int,
        headers: Mapping[str, str],
        content: aiohttp.StreamReader,
        connection_reused: bool | None,
    ) -> None:
        if type(content) is aiohttp.StreamReader:  # as the parser makes them
            content.__class__ = BodyReader
        self._owner: Any = owner
        self._content = content
        self.status = status
        self.headers = headers
        self.connection_reused = connection_reused
        self.on_complete = content.on_eof  # calls back when all has arrived, read or not

    async def read(self) -> bytes:
        """Return the next piece of the body as soon as there is one, ``b""`` at its end."""
        content: Any = self._content
        if not isinstance(content, BodyReader):
            return b""  # no body at all
        buffer = content._buffer
        while not (buffer or content._eof or content._exception):
            waiter = content._waiter = content._loop.create_future()
            await waiter
        if not buffer and content._exception is not None:
            raise translate(content._exception)
        # What came before the connection broke has come.
        data: bytes = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        content._size = 0
        if content._protocol._reading_paused:
            content._protocol.resume_reading()
        return data

    def at_end(self) -> bool:
        """Tell whether the body has been read to its end."""
        return self._content.at_eof()

    def close(self) -> None:
        """Wake whoever reads, and drop the connection unless the body has come to its end."""
        owner, self._owner = self._owner, None
        if owner is not None:
            end_reading(self._content, aiohttp.ClientConnectionError("closed"))
            owner.close()
