"""Media inside a JSON request, as base64 that is made while the request is sent."""

import secrets
from collections.abc import AsyncIterator
from typing import Any, Final, Literal, Self

from zai_async.uploads.kinds import FileLimits, media_type
from zai_async.uploads.sources import Source, open_source

__all__ = ["MARK", "Encoding", "Media"]

MARK: Final = "zai-media-"

Encoding = Literal["auto", "raw", "data_url"]
"""How a file is written: bare base64, a data URL, or whichever the operation is known to want."""


class Media(str):  # noqa: SLOT000 - the few there are need no slots
    """A file in the place of a string; it prints as a mark, and is sent as base64."""

    source: Source
    prefix: bytes
    encoding: Encoding
    _limits: FileLimits
    _kind: str | None
    _head: bytes

    def __new__(
        cls,
        content: Any,
        *,
        encoding: Encoding = "data_url",
        limits: FileLimits | None = None,
        kind: str | None = None,
    ) -> Self:
        """Take a file by path, bytes, open file or pieces; nothing is read yet."""
        media = super().__new__(cls, MARK + secrets.token_hex(12))
        media.source = open_source(content)
        media.prefix = b""
        media.encoding = encoding
        media._limits = limits or FileLimits()
        media._kind = kind
        media._head = b""
        return media

    async def prepare(self) -> int | None:
        """Check the file and return the length of its base64, None if nobody knows it."""
        size, self._head = await self.source.inspect()
        self._limits.check(self.source.name, self._head, size)
        self.prefix = b""
        if self.encoding != "raw":
            kind = self._kind or media_type(self._head) or "application/octet-stream"
            self.prefix = f"data:{kind};base64,".encode()
        return None if size is None else len(self.prefix) + (size + 2) // 3 * 4

    def pieces(self, length: int) -> AsyncIterator[bytes]:
        """Yield the content in pieces of about this length."""
        return self._limits.watch(self.source.name, self._head, self.source.pieces(length))

    def alternate(self) -> bool:
        """Switch to the other form, once, if nobody has decided on one."""
        if self.encoding != "auto":
            return False
        self.encoding = "raw"
        return True
