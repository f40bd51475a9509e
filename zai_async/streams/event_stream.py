"""What all streams have in common: opening, closing, and being read through one view."""

from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

from zai_async._threads import never_copied
from zai_async.errors import Attempt, StreamConsumedError, Timing
from zai_async.models import Outcome
from zai_async.streams.opening import keep_payloads
from zai_async.streams.reader import StreamReader
from zai_async.streams.views import PayloadIterator, claim

__all__ = ["EventStream"]

T = TypeVar("T")


class EventStream(Generic[T]):
    """Iterate over the events of an answer; enter it as a context to have it closed for sure.

    Raises:
        APIError: The platform reported an error, before or inside the stream.
        IncompleteError: The stream did not come to a proper end; ``partial`` has what arrived.
        TransportError: No connection or answer came about.
        StreamConsumedError: The stream was closed, or is read through two views, or by two tasks.
    """

    __reduce__ = never_copied

    def __init__(self, reader: StreamReader[T]) -> None:
        self._reader = reader
        self._entered = False

    @property
    def request_id(self) -> str | None:
        """The id to quote to the support of the platform, known from the headers on."""
        return self._reader.request_id

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields of the answer, empty before they are there; look-up ignores case."""
        return self._reader.context.headers

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None while it has not."""
        return self._reader.outcome

    @property
    def buffered(self) -> bool:
        """Whether the gateway hands the whole answer over at once, after its last token."""
        return self._reader.call.settings.provider.buffered_streams

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request that was sent for this stream."""
        return self._reader.call.attempts

    @property
    def timing(self) -> Timing:
        """How long everything took so far."""
        return self._reader.call.timing

    @property
    def raw(self) -> AsyncIterator[bytes]:
        """The JSON of each event, byte for byte as it came, for relays and journals.

        The answer is judged as it always is: a bad end, or an event that reports an error, raises.
        The end mark is no event; comments and frames that are lost have no bytes here either.
        Where the service wrote an event in several ``data`` lines, line feeds stand between them.
        """
        return PayloadIterator(partial(claim, self._reader, "raw"), self._reader)

    async def open(self) -> Self:
        """Send the request and wait for the headers; entering the context does the same.

        A wait that is cancelled does not end the opening: the next one goes on with it.
        """
        await self._reader.open()
        return self

    async def prime(self, timeout: float | None = None) -> Self:  # noqa: ASYNC109 - never raised
        """Wait for the first content, or for the error in its place, and read none of it.

        For web backends: what fails before the first content still gets a status of its own, and
        the answer begins when there is something to send. After ``timeout`` seconds it returns
        without content; reading goes on where it waited.

        Raises:
            ZaiError: As reading does; the stream is closed then.
        """
        items: list[T] = []
        reader = self._reader
        if reader.context.view is None:
            keep_payloads(reader, wanted=True)  # what is read here, ``raw`` hands out later
        try:
            with anyio.move_on_after(timeout), suppress(StopAsyncIteration):
                while not reader.decoder.progress:
                    items.append(await reader.__anext__())
        except BaseException:
            await self.aclose()
            raise
        # Until there is content, items are decoded one by one: at most these can be ready.
        reader.decoder.ready = iter([*items, *reader.decoder.ready])
        return self

    async def aclose(self) -> None:
        """Close the stream and its connection at once, from any task."""
        await self._reader.close()

    async def __aenter__(self) -> Self:
        if self._entered:
            raise StreamConsumedError("the stream has been entered before")
        self._entered = True
        # Whoever is cancelled here never gets into the block, so that nobody would close it.
        try:
            await self._reader.open(keeps=False)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[T]:
        claim(self._reader, "chunks")
        return self._reader  # itself, as each item passes through what iterates

    def __anext__(self) -> Coroutine[Any, Any, T]:
        if self._reader.context.view is None:
            claim(self._reader, "chunks")
        return self._reader.__anext__()

    async def _exhaust(self) -> None:
        """Read what is left through whatever view the stream is read."""
        if self._reader.context.view is None:
            claim(self._reader, "completion")
        keep_payloads(self._reader, wanted=False)
        try:
            while True:
                await self._reader.__anext__()
        except StopAsyncIteration:
            return
        except StreamConsumedError:
            raise  # another task may be reading it, whose answer this one must not cut off
        except BaseException:
            # Nobody else will close a stream that was not entered as a context.
            if not self._entered:
                await self.aclose()
            raise
