"""Answers that came packed: what their coding is, and whether it can be undone, to its end."""

import zlib
from typing import Any, Final

from anyio.lowlevel import checkpoint

from zai_async._transport import Request, Response
from zai_async._transport._errors import UNPACKABLE
from zai_async.errors import ConnectionLostError, ResponseError

__all__ = ["PackedResponse", "UnpackedResponse", "Unpacker", "unpacking"]

# aiohttp hands on what it cannot unpack as if it were the text.
_BY_AIOHTTP: Final = frozenset({"", "br", "deflate", "gzip", "identity", "zstd"})
_HERE: Final = frozenset({"deflate", "gzip"})
_PLAIN: Final = frozenset({"", "identity"})
_GZIP: Final = b"\x1f\x8b"
# As zlib counts: a window of 32 KiB, with the header of gzip, that of zlib, or none.
_OF_GZIP: Final = 31
_OF_ZLIB: Final = 15
_OF_NOTHING: Final = -15
# What is packed may stand for a thousand times as much.
_STEP: Final = 2**16
_WINDOW: Final = 2**12


def unpacking(response: Response, request: Request) -> Response:
    """Return an answer that has a coding as one that is unpacked while it is read.

    Raises:
        ResponseError: Nobody here can unpack it.
    """
    named = response.headers["Content-Encoding"]
    coding = named.lower()
    ours = coding in _HERE if request.unpacked else coding in _BY_AIOHTTP
    if not ours:
        # Objects in stores carry all sorts of codings, and downloads ask for them as they are.
        if coding in _PLAIN or (request.bare and coding not in _BY_AIOHTTP):
            return response
        response.close()
        what = "was not asked for" if coding in _BY_AIOHTTP else "is unknown here"
        raise ResponseError(f"the answer is packed as {named[:40]!r}, which {what}")
    return UnpackedResponse(response) if request.unpacked else PackedResponse(response)


class PackedResponse:
    """An answer with a coding, which aiohttp unpacks.

    Damage on the way spoils what has begun well. What cannot be unpacked from its first byte on is
    not of the coding that it names, and would not be the next time either.
    """

    def __init__(self, response: Response) -> None:
        own: Any = response
        self._response = response
        self._has_begun = False
        self.coding = response.headers["Content-Encoding"].lower()
        self.status, self.headers = response.status, response.headers
        self.connection_reused = response.connection_reused
        self.close = response.close
        self.on_complete = own.on_complete

    async def read(self) -> bytes:
        """Return the next piece of the body, ``b""`` at its end."""
        try:
            piece = await self._response.read()
        except ConnectionLostError as error:
            if self._has_begun or UNPACKABLE not in error.message:
                raise
        else:
            self._has_begun = True
            return piece
        raise self.unpackable()

    def at_end(self) -> bool:
        """Tell whether the whole body has been read."""
        return self._response.at_end()

    def unpackable(self) -> ResponseError:
        """Return the error for a body that is not of its coding."""
        return ResponseError(
            f"the answer cannot be unpacked: it is said to be {self.coding!r}, and is not",
            hint="A proxy may have unpacked it on the way, and kept the header.",
        )


class UnpackedResponse(PackedResponse):
    """An answer that is unpacked here, and ends where its coding says that it does.

    aiohttp takes what is there of gzip for the whole of it.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self._unpacker = Unpacker(self.coding)
        self._all_came = self._is_over = False

    async def read(self) -> bytes:
        """Return the next piece of the body, ``b""`` at its end."""
        await checkpoint()  # what is here already may stand for much: others have their turn
        while not (piece := self._next()):
            if self._all_came:
                if not self._unpacker.is_whole:
                    text = f"the answer broke off: the {self.coding} data end early"
                    raise ConnectionLostError(text)
                self._is_over = True
                return b""
            data = await self._response.read()
            self._all_came = not data
            self._unpacker.feed(data)
        self._has_begun = True
        return piece

    def at_end(self) -> bool:
        """Tell whether the whole body has been read."""
        return self._is_over

    def _next(self) -> bytes:
        try:
            return self._unpacker.take()
        except zlib.error:
            damaged = f"the answer broke off: the {self.coding} data are damaged"
            error = ConnectionLostError(damaged) if self._has_begun else self.unpackable()
        raise error


class Unpacker:
    """Undoes gzip, of several members too, or deflate, in steps of 64 KiB.

    What does not begin as gzip does was unpacked on the way, and is handed on as it is. Deflate may
    have the header of zlib, as it should, or none.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._bits: int | None = None
        """How zlib is told what it unpacks; 0 for nothing, None while that is unknown."""
        self._packed = b""
        self._member: Any = None
        """What unpacks the member that has begun and not ended."""
        self._has_more = False
        """Whether the member may have more to hand out although it has taken everything."""

    @property
    def is_whole(self) -> bool:
        """Whether what has been taken could be all: no member is open."""
        return self._member is None

    def feed(self, data: bytes) -> None:
        """Add what has come, ``b""`` at the end."""
        self._packed += data
        if self._bits is None and (len(self._packed) >= len(_GZIP) or not data):
            head = self._packed[: len(_GZIP)]
            if self._coding == "gzip":
                self._bits = _OF_GZIP if _GZIP.startswith(head) else 0
            else:
                # RFC 1950, section 2.2.
                is_zlib = head and head[0] & 15 == 8 and int.from_bytes(head) % 31 == 0
                self._bits = _OF_ZLIB if is_zlib else _OF_NOTHING

    def take(self) -> bytes:
        """Return the next of what is unpacked, ``b""`` if more has to come first.

        Raises:
            zlib.error: It is damaged, or something else.
        """
        piece = b""
        if self._bits == 0:
            piece, self._packed = self._packed, piece
        while self._bits and not piece and (self._packed or self._has_more):
            if self._member is None:
                self._member = zlib.decompressobj(self._bits)
            member, window = self._member, self._packed[:_WINDOW]
            piece = member.decompress(window, _STEP)
            rest = member.unused_data if member.eof else member.unconsumed_tail
            self._packed = self._packed[len(window) - len(rest) :]
            self._has_more = len(piece) == _STEP and not member.eof
            if member.eof:
                self._member = None
        return piece
