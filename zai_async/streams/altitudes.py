"""Reading a stream at another altitude than that of its events on the wire."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Self, TypeVar

from zai_async.errors import ZaiError

__all__ = ["Events", "Pieces"]

T = TypeVar("T")


class Pieces(Generic[T]):
    """One kind of text of a stream."""

    def __init__(
        self,
        claim: Callable[[], None],
        advance: Callable[[], Awaitable[T]],
        piece: Callable[[T], str],
    ) -> None:
        self._claim = claim
        self._advance = advance
        self._piece = piece

    def __aiter__(self) -> Self:
        self._claim()
        return self

    async def __anext__(self) -> str:
        while True:
            if text := self._piece(await self._advance()):
                return text


class Events(Generic[T]):
    """All events of a stream; ``advance`` returns those of the next chunk, none at its end."""

    def __init__(
        self,
        claim: Callable[[], None],
        advance: Callable[[], Awaitable[list[T | ZaiError]]],
    ) -> None:
        self._claim = claim
        self._advance = advance
        self._waiting: deque[T | ZaiError] = deque()

    def __aiter__(self) -> Self:
        self._claim()
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            self._waiting.extend(await self._advance())
        event = self._waiting.popleft()
        if isinstance(event, ZaiError):
            raise event
        return event
