"""What is left of a body after the answer has come to its end."""

from typing import Final

import anyio

from zai_async._transport import Response
from zai_async.errors import TransportError

__all__ = ["drain"]

_DRAIN_SECONDS: Final = 0.25
_DRAIN_BYTES: Final = 2**16


async def drain(response: Response) -> None:
    """Read it, so that the connection can be used again, unless it is long or takes long."""
    size = 0
    try:
        with anyio.move_on_after(_DRAIN_SECONDS):
            while size < _DRAIN_BYTES and (piece := await response.read()):
                size += len(piece)
    except TransportError:
        return  # the answer was complete; that its connection is lost concerns nobody
