"""Reading a stream through another view than that of its items."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Self, TypeVar

from zai_async._protocol import ChatDecoder
from zai_async.errors import StreamConsumedError, ZaiError
from zai_async.streams.opening import keep_payloads
from zai_async.streams.reader import StreamReader

__all__ = ["EventIterator", "PayloadIterator", "TextIterator", "claim"]

T = TypeVar("T")


def claim(reader: StreamReader[Any], view: str) -> None:
    """Read through one view only, of a stream that has not been read to its end."""
    context = reader.context
    if context.view not in {None, view}:
        raise StreamConsumedError(f"the stream is already read as {context.view}")
    if context.view is not None and reader.decoder.outcome is not None:
        raise StreamConsumedError("the stream has been read to its end")
    context.view = view
    # What only some views need has been kept for as long as any might be chosen.
    keep_payloads(reader, wanted=view == "raw")
    if view != "events" and isinstance(reader.decoder, ChatDecoder):
        reader.decoder.answer.updates = None


class TextIterator(Generic[T]):
    """One kind of text of a stream."""

    cancel_safe = True
    """A read that is cancelled loses nothing, which no generator can say."""

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

    cancel_safe = True

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


class PayloadIterator:
    """The bytes of all events of a stream, each as it came."""

    def __init__(self, claim: Callable[[], None], reader: StreamReader[Any]) -> None:
        self._claim: Callable[[], None] | None = claim
        self._reader = reader
        self._waiting: deque[bytes] = deque()
        self._ended = False

    def __aiter__(self) -> Self:
        claim, self._claim = self._claim, None
        if claim is not None:
            claim()
        return self

    async def __anext__(self) -> bytes:
        if self._claim is not None:
            aiter(self)
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            try:
                await self._reader.__anext__()
            except StopAsyncIteration:
                self._ended = True  # some events may have come after the last item
            # The reader has another decoder when the request has been sent again.
            payloads = self._reader.decoder.json.payloads or []
            self._waiting.extend(payloads)
            payloads.clear()
        return self._waiting.popleft()
