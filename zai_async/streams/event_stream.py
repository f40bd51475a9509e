"""The stream that all others are built on: reading, its clocks, and every way to its end.

A token passes through one awaited read and one decoding; no stream has a task, queue or timer of
its own. What has been read is handed out event by event without touching the event loop, so the
socket's own flow control is the only back-pressure there is, and the only one that is needed.
"""

import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

from anyio.lowlevel import checkpoint

from zai_async._protocol.sse import SSEParser, in_order, lines_of
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
from zai_async.models import Outcome
from zai_async.streams.interfaces import Source, StreamKind
from zai_async.streams.waiting import Opening, Silence, closed_meanwhile, drain, patience_of

__all__ = ["EventStream"]

T = TypeVar("T")

# After a piece this large, which is hundreds of events, other tasks run before the next is read.
_LARGE: Final = 2**16


class EventStream(StreamKind[T]):
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
        self._opening = Opening()
        self._entered = False
        self._reading = False
        self._much = False
        self._ended = False
        self._begin()

    def _begin(self) -> None:
        """Set everything that a second request starts anew with."""
        self._parser = SSEParser(max_event_bytes=self._source.settings.max_event_bytes)
        # What has been accepted, and what has only been read. Neither may hold on to the stream:
        # a forgotten one has to go at once, not when the garbage collector comes by.
        self._pending: Iterator[T | None] = iter(())
        self._waiting: deque[bytes | list[bytes]] = deque()
        self._opened = self._input_ended = False
        self._progress = 0
        self._silence = Silence()
        self._verdict: ZaiError | None = None
        self._early = True

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
            self._require_alone()
            await self._connect()
        return self

    async def aclose(self) -> None:
        """Close the stream and its connection at once, from any task."""
        self._ended = True
        self._forget()
        # A task that is about to open the stream gives back what it has, and nobody else can.
        if not self._opening.stop():
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
                    break
                else:
                    item = self._next() if self._waiting else await self._read()
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
            response = self._response = await self._opening.wait(self._source.open)
            if self._ended:
                raise closed_meanwhile()
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
                self._much = False
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
        if len(data) >= _LARGE:
            self._much = True
        payloads = self._parser.payloads(data)
        if len(payloads) == 1 and not self._parser.stray:
            return self._accept_early(payloads[0]) if self._early else self._accept(payloads[0])
        self._put(payloads)
        if not data:
            self._end_of_input()
        return None

    async def _go_on(self) -> None:
        """Do what is next when it is not reading."""
        if self._ended:
            raise self._error or StopAsyncIteration
        self._require_alone()
        if self._input_ended:
            self._finish(done=False)
        elif not self._opened:
            await self._connect()
        else:
            raise self._verdict or StreamConsumedError("the stream is closed")

    def _require_alone(self) -> None:
        if self._reading or self._opening.goes_on:
            raise StreamConsumedError("the stream is being read by another task")

    def _put(self, payloads: list[bytes]) -> None:
        """Keep what came in one read, until it is its turn to be accepted."""
        self._waiting += in_order(payloads, self._parser.stray)
        self._parser.stray.clear()

    def _next(self) -> T | None:
        """Accept what is next of what has been read, at the moment at which it is handed out."""
        entry = self._waiting[0]
        if isinstance(entry, bytes):
            self._waiting.popleft()
            self._accept_stray(entry)
            return None
        data = entry.pop(0)
        if not entry:
            self._waiting.popleft()
        return self._accept_early(data) if self._early else self._accept(data)

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
        if self._finished() and not self._ended:
            return b""
        if self._verdict is not None:
            raise self._verdict from None
        if self._ended:
            raise StreamConsumedError("the stream was closed while it was read") from None
        raise self._truncated(f"the stream broke off: {error.message}") from error

    def _truncated(self, text: str) -> ZaiError:
        """Make the exception for a stream that stops before its end."""
        return StreamTruncatedError(text)

    def _end_of_input(self) -> None:
        """Take the last event although its blank line is missing; it counts if it is whole."""
        if self._verdict is not None and not self._finished():
            raise self._verdict
        self._input_ended = True
        last = self._parser.close()
        self._put([last.data] if last is not None and last.data else [])

    def _insert(self, *payloads: bytes) -> None:
        """Have these events accepted before those that are already waiting."""
        if payloads:
            self._waiting.appendleft([*payloads])

    def _forget(self) -> None:
        """Drop what was read and has not been handed out."""
        self._pending = iter(())
        self._waiting.clear()

    # Ending.

    def _finish(self, *, done: bool) -> None:
        """End the stream well, or raise what is wrong with its end."""
        for line in lines_of(self._waiting):
            self._accept_stray(line)
        self._outcome = self._judge(done=done)
        self._ended = True
        self._forget()
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
        await self._opening.wait(partial(self._source.recover, error))
        if self._ended:
            raise closed_meanwhile()
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
        self._forget()
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
            self._break_off(DeadlineError(f"the deadline of {deadline:g} s has passed"))
        elif self._silence.lasts(passed, self._progress, reading=self._reading):
            error = self._silence.error(self._source.timeout, begun=self._progress > 0)
            if error is not None or (self._silence.is_long and self._finished()):
                self._break_off(error)

    def interrupt(self) -> None:
        """Break off, because the client is drained."""
        self._break_off(ClientDrainingError("the client was drained before the stream had ended"))

    def _break_off(self, verdict: ZaiError | None) -> None:
        """Wake the reader up by closing the connection under it; what is whole stays whole."""
        self._verdict = verdict
        if self._response is not None:
            self._response.close()
