"""Answers that are bytes."""

import os

import anyio

from zai_async.models.reply import Reply


class BinaryReply(Reply, kw_only=True):
    """Hold an answer that is no JSON: the sound of a speech, or the content of a file."""

    content: bytes = b""
    content_type: str = "application/octet-stream"
    """The media type as the service names it."""

    async def save(self, path: str | os.PathLike[str]) -> int:
        """Write the content to a file and return its length in bytes."""
        return await anyio.Path(path).write_bytes(self.content)
