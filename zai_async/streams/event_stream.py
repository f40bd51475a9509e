"""The stream that all others are built on: reading, its clocks, and every way to its end.

A token passes through one awaited read and one decoding; no stream has a task, queue or timer of
its own. What has been read is handed out event by event without touching the event loop, so the
socket's own flow control is the only back-pressure there is, and the only one that is needed.
"""

import abc
import warnings
from collections.abc import Iterator, Mapping
from itertools import chain
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from anyio.lowlevel import checkpoint

from zai_async._sse import SSEParser
from zai_async._transport import Response
from zai_async.errors import (
    Attempt,
    ClientDrainingError,
    DeadlineError,
    IncompleteError,
    StreamConsumedError,
    StreamTruncatedError,
    Timing,
    TransportError,
    ZaiError,
)
from zai_async.models import Outcome, Usage
from zai_async.streams.order import in_order
from zai_async.streams.remainder import drain
from zai_async.streams.silence import GRACE_SECONDS, patience_of, stalled
from zai_async.streams.source import Source

__all__ = ["EventStream"]

T = TypeVar("T")

# After a piece this large, which is hundreds of events, other tasks run before the next is read.
_LARGE: Final = 2**16


class EventStream(abc.ABC, Generic[T]):
    """Iterate over the events of an answer; enter it as a context to have it closed for sure.

    Raises:
        APIError: The platform reported an error, before or inside the stream.
        IncompleteError: The stream did not come to a proper end; ``partial`` has what arrived.
        TransportError: No connection or answer came about.
        StreamConsumedError: The stream is read at two altitudes, or by two tasks at once.
    """

    def __init__(self, source: Source) -> None:
        self._response: Response | None = None
        self._source = source
        self._request_id: str | None = None
        self._headers: Mapping[str, str] = {}
        self._outcome: Outcome | None = None
        self._altitude: str | None = None
        self._error: ZaiError | None = None
        self._entered = False
        self._reading = False
        self._much = False
        self._ended = False
        self._begin()

    def _begin(self) -> None:
        """Set everything that a second request starts anew with."""
        self._parser = SSEParser(max_event_bytes=self._source.settings.max_event_bytes)
        self._pending: Iterator[T | None] = iter(())
        self._opened = self._input_ended = False
        self._progress = self._seen = 0
        self._waited = 0.0
        self._verdict: ZaiError | None = None
        self._early = True

    # What each kind of stream defines.

    @abc.abstractmethod
    def _accept(self, data: bytes) -> T | None:
        """Decode an event and take note of it; None for one that is not for the caller."""

    @abc.abstractmethod
    def _accept_stray(self, line: bytes) -> None:
        """Make sense of a line that is no part of any event."""

    @abc.abstractmethod
    def _judge(self, *, done: bool) -> Outcome:
        """Say how the stream ended, or raise what is wrong with its end."""

    @abc.abstractmethod
    def _finished(self) -> bool:
        """Tell whether nothing but the end mark is still to come."""

    @abc.abstractmethod
    def _partial(self) -> Any:
        """Return what has arrived so far."""

    def _settle(self) -> None:
        """Take note of what was put off; ``_progress`` counts it from here on."""

    def _spent(self) -> Usage | None:
        """Return what the platform told about tokens; None if it counts none here."""
        return None

    # What a caller sees.

    @property
    def request_id(self) -> str | None:
        """The id to quote to the support of the platform, known from the headers on."""
        return self._request_id

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None while it has not."""
        return self._outcome

    @property
    def buffered(self) -> bool:
        """Whether the gateway hands the whole answer over at once, after its last token."""
        return self._source.settings.provider.buffered_streams

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request that was sent for this stream."""
        return self._source.attempts

    @property
    def timing(self) -> Timing:
        """How long everything took so far."""
        return self._source.timing

    async def open(self) -> Self:
        """Send the request and wait for the headers; entering the context does the same."""
        if not (self._opened or self._ended):
            await self._connect()
        return self

    async def aclose(self) -> None:
        """Close the stream and its connection at once, from any task."""
        self._ended = True
        self._pending = iter(())
        self._leave()

    async def __aenter__(self) -> Self:
        self._entered = True
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        self._claim("chunks")
        return self

    async def __anext__(self) -> T:
        while True:
            try:
                for item in self._pending:  # noqa: B007 - one only, which is handed out below
                    break  # the event may have changed what is still to come
                else:
                    item = await self._read()
                if item is not None:
                    return item
            except ZaiError as error:
                await self._failed(error)

    async def _exhaust(self) -> None:
        """Read what is left at whatever altitude the stream is read."""
        if self._altitude is None:
            self._claim("completion")
        try:
            while True:
                await self.__anext__()
        except StopAsyncIteration:
            return

    def _claim(self, altitude: str) -> None:
        if self._altitude not in {None, altitude}:
            raise StreamConsumedError(f"the stream is already read as {self._altitude}")
        self._altitude = altitude

    def __del__(self) -> None:
        # Absent when the arguments of __init__ were wrong.
        response = getattr(self, "_response", None)
        if response is not None:
            response.close()
            self._source.leave(self._spent())
            text = f"{type(self).__name__} was never closed; use 'async with'"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)

    # Reading.

    async def _connect(self) -> None:
        try:
            response = self._response = await self._source.open()
            if self._ended:
                raise StreamConsumedError("the stream was closed while it waited")
        except ZaiError as error:
            self._conclude(error)
            raise
        self._opened, self._headers = True, response.headers
        self._request_id = response.headers.get("X-Log-Id") or self._request_id
        self._source.session.watchdog.add(self)

    async def _read(self) -> T | None:
        """Wait for the next piece of the body, and accept its event at once if it is one only."""
        response = self._response
        if response is None or self._reading or self._input_ended:
            await self._go_on()
            return None
        self._reading = True
        try:
            if self._much:
                await checkpoint()
            data = await response.read()
        except TransportError as error:
            data = self._broken_off(error)
        except BaseException:
            # Nobody else will close a stream that was not entered as a context.
            if not self._entered:
                self._leave()
            raise
        finally:
            self._reading = False
        self._much = len(data) >= _LARGE
        payloads = self._parser.payloads(data)
        if self._parser.stray:
            self._pending = self._in_order(payloads)
            return None
        if len(payloads) == 1:
            return self._accept_early(payloads[0]) if self._early else self._accept(payloads[0])
        self._pending = self._accepted(payloads)
        if not data:
            self._end_of_input()
        return None

    async def _go_on(self) -> None:
        """Do what is next when it is not reading."""
        if self._ended:
            raise self._error or StopAsyncIteration
        if self._reading:
            raise StreamConsumedError("the stream is being read by another task")
        if self._input_ended:
            self._finish(done=False)
        elif not self._opened:
            await self._connect()
        else:
            raise self._verdict or StreamConsumedError("the stream is closed")

    def _accepted(self, payloads: list[bytes]) -> Iterator[T | None]:
        """Accept the events of a read, each at the moment at which it is handed out."""
        return map(self._accept_early if self._early else self._accept, payloads)

    def _accept_early(self, data: bytes) -> T | None:
        """Accept an event before which there was no content; later ones need not be looked at."""
        item = self._accept(data)
        self._settle()
        if self._early and self._progress:
            self._early = False
            self._source.progressed()
        return item

    def _broken_off(self, error: TransportError) -> bytes:
        """Say why the body broke off; after the finish reason that is an end like any other."""
        if self._verdict is not None:
            raise self._verdict from None
        if self._ended:
            raise StreamConsumedError("the stream was closed while it was read") from None
        if self._finished():
            return b""
        raise self._truncated(f"the stream broke off: {error.message}") from error

    def _truncated(self, text: str) -> ZaiError:
        """Make the exception for a stream that stops before its end."""
        return StreamTruncatedError(text)

    def _end_of_input(self) -> None:
        """Take the last event although its blank line is missing; it counts if it is whole."""
        if self._verdict is not None:
            raise self._verdict
        self._input_ended = True
        last = self._parser.close()
        self._pending = self._in_order([last.data] if last is not None and last.data else [])

    def _in_order(self, payloads: list[bytes]) -> Iterator[T | None]:
        return in_order(payloads, self._parser.stray, self._accept_early, self._accept_stray)

    def _insert(self, *payloads: bytes) -> None:
        """Have these events accepted before those that are already waiting."""
        self._pending = chain(map(self._accept, payloads), self._pending)

    # Ending.

    def _finish(self, *, done: bool) -> None:
        """End the stream well, or raise what is wrong with its end."""
        while self._parser.stray:
            self._accept_stray(self._parser.stray.pop(0)[1])
        self._outcome = self._judge(done=done)
        self._ended = True
        self._pending = iter(())
        self._give_back()

    def _give_back(self) -> None:
        """Read what little is left, so that the connection can be used again."""
        response = self._response
        if response is not None and not response.at_end():
            self._response = None
            self._source.session.spawn(drain(response), response.close)
        self._leave()

    def _leave(self) -> None:
        """Drop the connection, and be over."""
        self._release()
        completed = self._outcome is not None and self._error is None
        self._source.leave(self._spent(), completed=completed)

    def _release(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()
        if self._opened:
            self._source.session.watchdog.remove(self)

    async def _failed(self, error: ZaiError) -> None:
        """Send the request again if nothing of the answer has been handed out, else raise."""
        if isinstance(error, StreamConsumedError) or error is self._error:
            raise error
        self._release()
        self._settle()
        error.in_stream = True
        error.emitted = self._progress > 0
        try:
            await self._again(error)
        except ZaiError as final:
            self._conclude(final)
            if self._outcome not in self._source.options.allow:
                raise
            self._error = None

    async def _again(self, error: ZaiError) -> None:
        if error.emitted:
            self._source.note(error)
            raise error
        await self._source.recover(error)
        if self._ended:
            raise StreamConsumedError("the stream was closed while it waited")
        self._begin()
        await self._connect()

    def _conclude(self, error: ZaiError) -> None:
        """End the stream badly; reading on raises the same error again."""
        if error.partial is None:
            error.partial = self._partial()
        error.request_id = error.request_id or self._request_id
        self._outcome = error.outcome if isinstance(error, IncompleteError) else "error"
        self._error = error
        self._ended = True
        self._pending = iter(())
        self._leave()

    # Clocks.

    @property
    def patience(self) -> float:
        """Seconds of the shortest clock of this stream, infinite without one."""
        return patience_of(self._source.timeout, has_deadline=self._source.deadline_at is not None)

    def look(self, now: float, passed: float) -> None:
        """Count the time spent waiting for progress; called by the watchdog of the loop."""
        del now
        self._settle()
        deadline_at = self._source.deadline_at
        if deadline_at is not None and self._source.settings.clock.monotonic() >= deadline_at:
            deadline = self._source.options.deadline
            self._interrupt(DeadlineError(f"the deadline of {deadline:g} s has passed"))
        elif self._progress != self._seen:
            self._seen, self._waited = self._progress, 0.0
        elif self._reading:
            self._waited += passed
            error = stalled(self._source.timeout, self._waited, begun=self._progress > 0)
            if error is not None or (self._waited >= GRACE_SECONDS and self._finished()):
                self._interrupt(None if self._finished() else error)

    def interrupt(self) -> None:
        """Break off, because the client is drained; what has arrived whole is whole."""
        text = "the client was drained before the stream had ended"
        self._interrupt(None if self._finished() else ClientDrainingError(text))

    def _interrupt(self, verdict: ZaiError | None) -> None:
        """Wake the reader up by closing the connection under it."""
        self._verdict = verdict
        if self._response is not None:
            self._response.close()
