"""One request and its answer on a connection of aiohttp's pool, without aiohttp's client.

The client of aiohttp makes a request, a writer, a task and a response for each call, which costs
more than all the rest of a call. What stays aiohttp's is the hard part: connecting, the pool, TLS,
and the parser of the answer. Where a request needs more than this, or aiohttp has changed inside,
its client takes over.
"""

import asyncio
from typing import Any, Final

import aiohttp
import yarl
from aiohttp import http_writer
from aiohttp.client_proto import ResponseHandler

from zai_async._transport import Request
from zai_async._transport._answer import READER_PARTS, Answer, EagerAnswer, Reader
from zai_async._transport._heads import Heads
from zai_async._transport._pool import Connector, Door, Note

__all__ = ["Exchange", "Exchanger", "Outbox", "is_possible", "is_simple"]

# A larger body has to wait for the socket.
_MOST_BODY: Final = 2**16
_MOST_DOORS: Final = 64
_USED: Final[tuple[tuple[object, str], ...]] = (
    (http_writer, "_serialize_headers"),  # in _heads
    (aiohttp.TCPConnector, "_get"),
    (aiohttp.ClientRequest, "connection_key"),
    (ResponseHandler, "set_response_params"),
    (ResponseHandler, "read"),
    *((aiohttp.StreamReader, name) for name in READER_PARTS),
)


def is_possible() -> bool:
    """Tell whether aiohttp still has inside what is used here."""
    return all(hasattr(owner, name) for owner, name in _USED)


class Exchange(Answer):
    """An answer that holds its connection until it has been read to its end."""

    __slots__ = ("_lent",)

    def __init__(self, lent: Any, message: Any, content: aiohttp.StreamReader) -> None:
        reused: bool = lent.protocol.reused
        super().__init__(message.code, message.headers, content, connection_reused=reused)
        self._lent: Any = lent
        content.on_eof(self._release)

    def _release(self) -> None:
        """Give the connection back to the pool, which closes it if it cannot be used again."""
        lent, self._lent = self._lent, None
        lent.release()  # a reader that was closed before its end forgets to call this

    def close(self) -> None:
        """Close the connection unless the body has been read to its end."""
        lent, self._lent = self._lent, None
        if lent is not None:
            lent.close()


class Stream(EagerAnswer, Exchange):
    """An answer that has a body."""

    __slots__ = ()


class Exchanger:
    """Sends small requests straight over the connections of a pool."""

    def __init__(self, connector: Connector, tls: Any, read_buffer: int) -> None:
        self._connector = connector
        self._tls = tls
        self._read_buffer = read_buffer
        self._doors: dict[tuple[str, str], Door] = {}
        self._patience: dict[float | None, aiohttp.ClientTimeout] = {}
        self._heads = Heads()
        self._outbox = Outbox()

    async def send(self, request: Request, url: yarl.URL, note: Note) -> Exchange:
        """Send a request and return its answer as soon as the headers are there."""
        door = self._door(url)
        lent = await self._lent(door, self._patience_of(request))
        self._outbox.waiting += 1
        try:
            connection = lent.protocol
            note.take(connection)
            connection.set_response_params(read_until_eof=True, read_bufsize=self._read_buffer)
            head = self._heads.of  # not its result, which holds the key
            self._outbox.put(connection.transport, _whole(head(request, url, door), request))
            message, content = await _answer(connection)
            if type(content) is aiohttp.StreamReader:
                return Stream(lent, message, Reader.adopt(content))
            return Exchange(lent, message, content)
        except BaseException:
            lent.close()
            raise
        finally:
            self._outbox.waiting -= 1

    async def _lent(self, door: Door, patience: aiohttp.ClientTimeout) -> Any:
        try:
            return await self._connector.lend(door, patience)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error

    def _patience_of(self, request: Request) -> aiohttp.ClientTimeout:
        seconds = request.connect_timeout
        patience = self._patience.get(seconds)
        if patience is None:
            patience = aiohttp.ClientTimeout(connect=seconds)
            if len(self._patience) < _MOST_DOORS:
                self._patience[seconds] = patience
        return patience

    def _door(self, url: yarl.URL) -> Door:
        origin = url.scheme, url.raw_authority
        door = self._doors.get(origin)
        if door is None:
            loop = asyncio.get_running_loop()
            request = aiohttp.ClientRequest("GET", url.origin(), loop=loop, ssl=self._tls)
            door = Door(request, request.connection_key)
            if len(self._doors) < _MOST_DOORS:
                self._doors[origin] = door
        return door


def is_simple(request: Request, url: yarl.URL) -> bool:
    """Tell whether a request can go the short way."""
    body = request.body
    small = body is None or (isinstance(body, bytes) and len(body) <= _MOST_BODY)
    return small and not request.fresh and url.raw_user is None and url.raw_host is not None


def _whole(head: bytes, request: Request) -> bytes:
    body = request.body
    if isinstance(body, bytes) or request.method != "GET":
        sent = body if isinstance(body, bytes) else b""
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(sent), sent)
    return head + b"\r\n"


async def _answer(connection: Any) -> tuple[Any, aiohttp.StreamReader]:
    while True:
        message, content = await connection.read()
        if message.code >= 200:
            return message, content


class Outbox:
    """Writes at once what is alone, and the rest one after the other when all tasks have run.

    A write that wakes the other side takes several times as long as one that finds it awake.
    """

    def __init__(self) -> None:
        self.waiting = 0
        """Requests that wait for their answers."""
        self._letters: list[tuple[asyncio.WriteTransport, bytes]] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Send a request now, or at the end of this turn of the loop."""
        if self.waiting <= 1:
            _send(transport, data)
            return
        if not self._letters:
            asyncio.get_running_loop().call_soon(self._empty)
        self._letters.append((transport, data))

    def _empty(self) -> None:
        letters, self._letters = self._letters, []
        for letter in letters:
            _send(*letter)


def _send(transport: asyncio.WriteTransport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)
