"""Streams whose events are JSON, and reading them at another altitude than on the wire."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

import msgspec

from zai_async._secrets import redact
from zai_async._wire import error_in_body, find_fault, not_the_api, to_error
from zai_async.errors import StreamMalformedError, ZaiError
from zai_async.models.tolerant import decode
from zai_async.streams.event_stream import EventStream
from zai_async.streams.interfaces import Source
from zai_async.streams.salvage import END_MARK, Halves

__all__ = ["Events", "JSONStream", "Pieces", "is_prose"]

T = TypeVar("T")

_EXCERPT = 200
_SNIPPET = 100
_MOST_FOREIGN = 32


def is_prose(data: bytes) -> bool:
    """Tell whether a frame was never meant to be JSON, like the excuse of a proxy."""
    return not data.lstrip().startswith((b"{", b"<"))


class JSONStream(EventStream[T]):
    """A stream of JSON events that ends with ``[DONE]``; errors may be among them."""

    def __init__(self, source: Source) -> None:
        self._decode = source.operation.decoder.decode
        self.skipped = 0
        """Events without any content for the caller."""
        super().__init__(source)

    def _begin(self) -> None:
        super()._begin()
        self._foreign: list[bytes] = []
        self._halves = Halves()

    def _read_event(self, data: bytes) -> Any:
        """Decode an event; None for one that says nothing, and for the end mark."""
        try:
            return self._decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_oddity(data.strip())

    def _read_oddity(self, data: bytes) -> Any:
        """Read what is not an ordinary event: the end mark, odd types, damaged frames."""
        if data.startswith(END_MARK):
            self._finish(done=True)
        elif data in {b"", b"null"}:
            self.skipped += 1
        else:
            return self._read_leniently(data)
        return None

    def _read_leniently(self, data: bytes) -> Any:
        try:
            return decode(self._source.operation.decoder, self._halves.join(data))
        except msgspec.ValidationError:
            raise self._malformed(data) from None
        except msgspec.DecodeError:
            self._accept_damaged(data)
            return None

    def _accept_damaged(self, data: bytes) -> None:
        """Make sense of an event that is no JSON; most streams cannot, and need it to the end."""
        if not self._finished():
            raise self._malformed(data)
        self.skipped += 1

    def _malformed(self, data: bytes) -> StreamMalformedError:
        excerpt = redact(data[:_EXCERPT].decode("utf-8", "replace"), self._source.secrets)
        text = "a frame of the stream cannot be read"
        if is_prose(data):
            text = f"{text}: {excerpt[:_SNIPPET]}"
        return StreamMalformedError(text, body=excerpt)

    def _raise_fault(self, data: bytes) -> None:
        """Raise the error that an event reports, if it reports one."""
        try:
            fault = find_fault(msgspec.json.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if fault is not None:
            raise to_error(
                fault,
                status=200,
                headers=self._headers,
                now=self._source.settings.clock.wall(),
                body=data.decode("utf-8", "replace"),
                secrets=self._source.secrets,
            )

    def _accept_stray(self, line: bytes) -> None:
        """Raise an error that was written without being made an event."""
        if len(self._foreign) < _MOST_FOREIGN:
            self._foreign.append(line)
        if line.startswith(b"{"):
            self._raise_fault(line)

    def _raise_foreign(self) -> None:
        """Raise what came in place of an event stream: a page, or a whole answer."""
        text = b"\n".join(self._foreign)
        # What may be the beginning of an event that was cut off is none of that.
        if b"data".startswith(text.strip()):
            return
        headers, now = self._headers, self._source.settings.clock.wall()
        secrets = self._source.secrets
        error = error_in_body(text, status=200, headers=headers, now=now, secrets=secrets)
        raise error or not_the_api(text, status=200, headers=headers, secrets=secrets)


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
