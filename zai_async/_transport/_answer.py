"""An answer, read piece by piece."""

import abc
from collections.abc import Mapping
from typing import Any

import aiohttp

from zai_async._transport._failures import FOREIGN, translate

__all__ = ["Answer", "EagerAnswer"]


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
