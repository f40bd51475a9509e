"""Reading a stream through another view than that of its items."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Self, TypeVar

from zai_async.errors import ZaiError

__all__ = ["EventIterator", "TextIterator"]

T = TypeVar("T")


class TextIterator(Generic[T]):
    """One kind of text of a stream."""

    def __init__(
        self,
        claim: Callable[[], None],
        advance: Callable[[], Awaitable[T]],
        piece: Callable[[T], str],
    ) -> None:
        self._claim: Callable[[], None] | None = claim
        self._advance = advance
        self._piece = piece

    def __aiter__(self) -> Self:
        # Claimed when it is read, as looking at the attribute must not choose a view.
        claim, self._claim = self._claim, None
        if claim is not None:
            claim()
        return self

    async def __anext__(self) -> str:
        if self._claim is not None:
            aiter(self)
        while True:
            if text := self._piece(await self._advance()):
                return text


class EventIterator(Generic[T]):
    """All events of a stream; ``advance`` returns those of the next chunk, none at its end."""

    def __init__(
        self,
        claim: Callable[[], None],
        advance: Callable[[], Awaitable[Iterable[T | ZaiError]]],
    ) -> None:
        self._claim: Callable[[], None] | None = claim
        self._advance = advance
        self._waiting: deque[T | ZaiError] = deque()

    def __aiter__(self) -> Self:
        claim, self._claim = self._claim, None
        if claim is not None:
            claim()
        return self

    async def __anext__(self) -> T:
        if self._claim is not None:
            aiter(self)
        while not self._waiting:
            self._waiting.extend(await self._advance())
        # What follows an unusable call is not lost: it comes after the error.
        event = self._waiting.popleft()
        if isinstance(event, ZaiError):
            raise event
        return event
