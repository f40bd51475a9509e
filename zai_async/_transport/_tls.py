"""All that this package knows about the inside of asyncio's TLS."""

# pyright: reportPrivateUsage=false

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp import helpers

__all__ = [
    "TLS_RECORD",
    "RecordReader",
    "connect_tls",
    "has_asyncio_tls",
    "open_reader",
    "slim_tls",
]

# As aiohttp calls what ends a handshake, the first that fits.
_HANDSHAKE_ERRORS: Final[Mapping[type[OSError], type[aiohttp.ClientConnectorError]]] = {
    ssl.SSLCertVerificationError: aiohttp.ClientConnectorCertificateError,
    ssl.SSLError: aiohttp.ClientConnectorSSLError,
}
TLS_RECORD: Final = 2**14  # bytes of the largest
_NO_DATA_YET: Final = (ssl.SSLWantReadError, ssl.SSLSyscallError)
_BUFFERS: Final = {"_incoming", "_ssl_buffer", "_ssl_buffer_view"}
_NAMES: Final = _BUFFERS | {"_app_transport", "_do_read__copied", "_sslobj"}
_FOUND: Final = {*dir(sslproto.SSLProtocol), *sslproto.SSLProtocol.__init__.__code__.co_names}


class RecordReader(sslproto.SSLProtocol):
    """asyncio's protocol, with room for one record, and one read for each that has come.

    asyncio reserves 256 KiB for each connection, and what a hundred handshakes at once leave behind
    stays in pieces. It also asks for a record that cannot be there, and is told so by an exception,
    with each token of each stream.
    """

    max_size = TLS_RECORD

    def _do_read__copied(self) -> None:
        own: Any = self
        tls: ssl.SSLObject = own._sslobj
        pieces: list[bytes] = []
        more = True
        try:
            while more and (piece := tls.read(TLS_RECORD)):
                pieces.append(piece)
                more = bool(own._incoming.pending or tls.pending())
        except _NO_DATA_YET:
            more = False
        if pieces:
            own._app_protocol.data_received(b"".join(pieces))
        if more:  # to its very end
            own._call_eof_received()
            own._start_shutdown()


def has_asyncio_tls(loop: object) -> bool:
    """Tell whether the TLS of a loop is asyncio's, and has inside what is used here.

    Other event loops do it their own way, and a coming Python may.
    """
    return isinstance(loop, asyncio.BaseEventLoop) and _FOUND >= _NAMES


def open_reader(buffer: bytearray, *args: Any, **kwargs: Any) -> RecordReader:
    """Return a reader of records; all but the buffer is as asyncio hands it to its own."""
    tls = RecordReader(*args, **kwargs)
    _share_buffer(tls, buffer)
    return tls


async def connect_tls(
    connect: Callable[..., Any], start: Callable[..., Any], connection: Any, others: dict[str, Any]
) -> Any:
    """Connect by aiohttp without TLS, and shake hands by a reader of ours; return its transport.

    ``others`` are the arguments of aiohttp's, which speaks of failures as it would itself.
    """
    handshake = asyncio.get_running_loop().create_future()
    start_tls = partial(
        start,
        handshake.get_loop(),
        connection,
        others["ssl"],
        handshake,
        server_hostname=others["server_hostname"],
    )
    others["ssl"] = others["server_hostname"] = None
    limit: aiohttp.ClientTimeout = others["timeout"]
    async with helpers.ceil_timeout(limit.sock_connect, limit.ceil_threshold):
        bare, tls = await connect(start_tls, **others)
        try:
            await handshake
        except BaseException as error:
            bare.abort()
            kinds = {**_HANDSHAKE_ERRORS, OSError: others["client_error"]}
            for raw, kind in kinds.items():
                if isinstance(error, raw):
                    raise kind(others["req"].connection_key, error) from error
            raise
    return tls._app_transport


def slim_tls(tls: Any, buffer: bytearray) -> None:
    """Make a reader of records of asyncio's own, which speaks TLS within a proxy's."""
    if type(tls) is sslproto.SSLProtocol and all(hasattr(tls, name) for name in _NAMES):
        own: Any = tls
        own.__class__ = RecordReader
        _share_buffer(own, buffer)


def _share_buffer(tls: Any, buffer: bytearray) -> None:
    """Let connections of one loop read into one buffer.

    It has to hold a record. Whatever is in it has been taken out before the loop reads again.
    """
    tls._ssl_buffer, tls._ssl_buffer_view = buffer, memoryview(buffer)
