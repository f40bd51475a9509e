"""TLS of asyncio with less memory, and fewer steps for each record."""

import ssl
from asyncio import sslproto
from typing import Any, Final

__all__ = ["RECORD", "RecordReader", "slim"]

RECORD: Final = 2**14
"""Bytes of the largest TLS record."""
_PARTS: Final = ("_ssl_buffer", "_ssl_buffer_view", "_incoming", "_sslobj", "_do_read__copied")
_NOTHING_YET: Final = (ssl.SSLWantReadError, ssl.SSLSyscallError)


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
