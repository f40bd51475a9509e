"""An answer, read piece by piece, and what may go wrong with it in our words."""

import abc
import ssl
from asyncio import Future
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from zai_async._transport._pool import Note
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

__all__ = [
    "FOREIGN",
    "READER_PARTS",
    "Answer",
    "EagerAnswer",
    "Reader",
    "failure",
    "presentable",
    "translate",
]

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
    (UnicodeError, ConnectError, "the host name cannot be resolved"),
)
_TALKATIVE: Final = (aiohttp.ClientResponseError, aiohttp.ServerTimeoutError)
FOREIGN: tuple[type[BaseException], ...] = tuple(row[0] for row in _TRANSLATION)

# More pieces than this are a server that sends byte by byte to somebody who does not read.
_MOST_PIECES: Final = 4096
READER_PARTS: Final = (
    *("_buffer", "_eof", "_exception", "_high_water", "_loop", "_protocol", "_size", "_waiter"),
    *("begin_http_chunk_receiving", "end_http_chunk_receiving", "feed_data"),
)


def translate(error: BaseException) -> ZaiError:
    """Return our word for an exception of aiohttp; addresses with secrets are not repeated."""
    ours, sentence = next(
        (ours, sentence) for foreign, ours, sentence in _TRANSLATION if isinstance(error, foreign)
    )
    detail = str(getattr(error, "strerror", None) or "")
    return ours(f"{sentence}: {detail}" if detail else sentence)


def failure(error: BaseException, note: Note) -> ZaiError:
    """Translate, and tell whether an idle connection had simply been closed by the other side."""
    ours = translate(error)
    if isinstance(ours, ConnectionLostError):
        ours.stale = note.stale
    return ours


def presentable(error: BaseException) -> BaseException | None:
    """Return what a traceback may show: some texts hold whole addresses, secrets included."""
    return None if isinstance(error, _TALKATIVE) else error


class Reader(aiohttp.StreamReader):
    """aiohttp's reader without its book of chunks, and with a wait that is no coroutine.

    The parser of an answer makes readers by itself; ``adopt()`` turns one into this.
    """

    __slots__ = ()

    @classmethod
    def adopt(cls, reader: Any) -> "Reader":
        """Make a reader that aiohttp has made, and perhaps fed already, one of ours."""
        reader.__class__ = cls
        own: Reader = reader
        return own

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Keep a piece, and wake whoever waits for it."""
        del size
        if not data:
            return False  # would pass for the end
        self._size += len(data)
        self._buffer.append(data)
        waiter: Future[None] | None = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if self._size > self._high_water or len(self._buffer) > _MOST_PIECES:
            self._protocol.pause_reading()
        return False

    def begin_http_chunk_receiving(self) -> None:
        """Where chunks begin means nothing."""

    def end_http_chunk_receiving(self) -> None:
        """Nor does where they end."""

    def wait(self) -> "Future[None]":
        """Return a future that is done when there is something, if it is only the end."""
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def take(self) -> bytes:
        """Return all there is, and let more come."""
        buffer = self._buffer
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._size = 0
        self._protocol.resume_reading()
        return data


class Answer(abc.ABC):
    """What all answers of aiohttp have in common; closing them differs."""

    __slots__ = ("__weakref__", "_content", "connection_reused", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        content: aiohttp.StreamReader,
        *,
        connection_reused: bool | None,
    ) -> None:
        self._content = content
        self.status = status
        self.headers = headers
        self.connection_reused = connection_reused

    async def read(self) -> bytes:
        """Return the next piece of the body, ``b""`` at its end."""
        try:
            return await self._content.readany()
        except FOREIGN as error:
            raise translate(error) from error

    def at_end(self) -> bool:
        """Tell whether the body has been read to its end."""
        return self._content.at_eof()

    @abc.abstractmethod
    def close(self) -> None:
        """Drop the connection unless the body has been read to its end."""


class EagerAnswer(Answer):
    """An answer with our own reader, which hands out each piece with as few steps as possible."""

    __slots__ = ()

    async def read(self) -> bytes:
        """Return the next piece of the body, ``b""`` at its end."""
        content: Any = self._content  # a Reader
        try:
            while not (content._buffer or content._eof or content._exception):
                await content.wait()
            # What came before the connection broke has come.
            if content._exception is not None and not content._buffer:
                raise content._exception
        except FOREIGN as error:
            raise translate(error) from error
        piece: bytes = content.take()
        return piece
