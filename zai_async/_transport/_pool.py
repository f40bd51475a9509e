"""The pool, what it tells about each connection, and TLS with less memory and fewer steps."""

import asyncio
import socket
import ssl
from asyncio import sslproto
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.client_proto import ResponseHandler

__all__ = ["NOTE", "RECORD", "Connection", "Connector", "Door", "Note", "RecordReader", "slim"]

_DNS_CACHE_SECONDS: Final = 300
# NAT gateways forget silent connections after some minutes, and models think for longer.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}
# asyncio makes room for 256 KiB at each read, for which glibc maps and unmaps memory each time.
_READ: Final = 2**16
RECORD: Final = 2**14
"""Bytes of the largest TLS record."""
_PARTS: Final = ("_ssl_buffer", "_ssl_buffer_view", "_incoming", "_sslobj", "_do_read__copied")
_NOTHING_YET: Final = (ssl.SSLWantReadError, ssl.SSLSyscallError)


class Connection(ResponseHandler):
    """A connection that knows whether it was used before, and whether an answer has begun."""

    used = False
    reused = False
    begun = False

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: bytearray) -> None:
        super().__init__(loop)
        self._shared = buffer

    def lend(self) -> None:
        """Be handed out for the next request."""
        self.reused, self.used, self.begun = self.used, True, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read less at a time than asyncio does, and give back what it reserves for TLS."""
        super().connection_made(transport)
        own: Any = transport
        if hasattr(own, "max_size"):
            own.max_size = _READ
        slim(getattr(own, "_ssl_protocol", None), self._shared)

    def data_received(self, data: bytes) -> None:
        """Note that there is an answer, and read it."""
        self.begun = True
        super().data_received(data)

    def close(self) -> None:
        """Close, and wake whoever reads: aiohttp forgets them."""
        content = self._payload
        super().close()
        _give_up(content)

    def abort(self) -> None:
        """Close at once, in the same way."""
        content = self._payload
        super().abort()
        _give_up(content)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading if that was paused; aiohttp asks after each piece that is taken out."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


def _give_up(content: aiohttp.StreamReader | None) -> None:
    if content is not None and not content.is_eof() and content.exception() is None:
        content.set_exception(aiohttp.ClientConnectionError("closed"))


class Note:
    """What is known about the connection of one request."""

    __slots__ = ("_connection", "reused")

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self.reused: bool | None = None

    def take(self, connection: Connection) -> None:
        """Write down which connection the request got."""
        self._connection, self.reused = connection, connection.reused

    @property
    def stale(self) -> bool:
        """Whether the connection had been used before, and has answered nothing since."""
        return bool(self.reused) and self._connection is not None and not self._connection.begun


NOTE: ContextVar[Note] = ContextVar("zai_async_connection")


class Door(NamedTuple):
    """An origin, as the pool knows it."""

    request: aiohttp.ClientRequest
    """Tells where to connect, and is never sent."""
    key: Any


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
        self._factory: Any = partial(Connection, self._loop, bytearray(RECORD))

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Hand out a connection and note whether it is a used one."""
        lent: Any = await super().connect(*args, **kwargs)
        lent.protocol.lend()
        NOTE.get().take(lent.protocol)
        return lent

    async def lend(self, door: "Door", patience: aiohttp.ClientTimeout) -> Any:
        """Hand out a connection to an origin: an idle one with as few steps as possible."""
        lent: Any = await self._get(door.key, [])
        if lent is None:
            lent = await super().connect(door.request, [], patience)
        lent.protocol.lend()
        return lent

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


class RecordReader(sslproto.SSLProtocol):
    """asyncio's protocol, except that it does not ask for a record that cannot be there.

    It would be told so by an exception, with each token of each stream.
    """

    max_size = RECORD

    def _do_read__copied(self) -> None:
        own: Any = self
        tls: ssl.SSLObject = own._sslobj
        pieces: list[bytes] = []
        more = True
        try:
            while more and (piece := tls.read(RECORD)):
                pieces.append(piece)
                more = bool(own._incoming.pending or tls.pending())
        except _NOTHING_YET:
            more = False
        if pieces:
            own._app_protocol.data_received(b"".join(pieces))
        if more:  # to its very end
            own._call_eof_received()
            own._start_shutdown()


def slim(tls: Any, buffer: bytearray) -> None:
    """Let connections of one loop read into one buffer; asyncio gives each 256 KiB of zeros.

    It has to hold a record. Whatever is in it has been taken out before the loop reads again.

    Other event loops do it their own way, and a coming Python may.
    """
    if type(tls) is sslproto.SSLProtocol and all(hasattr(tls, part) for part in _PARTS):
        own: Any = tls
        own.__class__ = RecordReader
        own._ssl_buffer, own._ssl_buffer_view = buffer, memoryview(buffer)
