"""Answers that came packed, and what is wrong with them if they cannot be unpacked."""

from typing import Any

from zai_async._transport import Response
from zai_async._transport._errors import UNPACKABLE
from zai_async.errors import ConnectionLostError, ResponseError

__all__ = ["PackedResponse"]


class PackedResponse:
    """An answer with a coding, which aiohttp unpacks.

    Damage on the way spoils what has begun well. What cannot be unpacked from its first byte on is
    not of the coding that it names, and would not be the next time either.
    """

    def __init__(self, response: Response) -> None:
        own: Any = response
        self._response = response
        self._has_begun = False
        self.status, self.headers = response.status, response.headers
        self.connection_reused = response.connection_reused
        self.at_end, self.close = response.at_end, response.close
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
        coding = self.headers["Content-Encoding"]
        raise ResponseError(
            f"the answer cannot be unpacked: it is said to be {coding[:40]!r}, and is not",
            hint="A proxy may have unpacked it on the way, and kept the header.",
        )
