"""The reader around every decoder: opening, reading, timeouts, and every way to the end.

A token passes through one awaited read and one decoding; a stream that is read has no task, queue
or timer of its own. What has been read is handed out without touching the event loop, so the
socket's flow control is the back-pressure.
"""

import asyncio
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Final, Generic, Self, TypeVar

from anyio.lowlevel import checkpoint

from zai_async._protocol import Decoder, DecoderContext, DecoderState
from zai_async._threads import call_in, require_asyncio
from zai_async._transport import Response, read_early
from zai_async.errors import (
    IncompleteError,
    StreamConsumedError,
    TransportError,
    ZaiError,
)
from zai_async.errors.repeats import raised_again
from zai_async.models import Outcome, Reply
from zai_async.streams.interfaces import StreamCall
from zai_async.streams.opening import Phase, context_of, done, drain, open_response, record_call
from zai_async.streams.timeouts import StallTimer

__all__ = ["StreamReader"]

T = TypeVar("T")
# After a piece this large, which is hundreds of events, other tasks run before the next is read.
_LARGE: Final = 2**16
# As long as the first byte of a body, or the whole of a document, has not come.
_UNDECIDED: Final = (DecoderState.WAITING, DecoderState.DOCUMENT)
# Members of an enum are looked up by a function of its own before Python 3.12.
_NEW, _OPEN, _READ, _OVER = Phase


class StreamReader(Generic[T]):
    """Feeds a decoder from the response of a call, and opens another one where that is allowed.

    Opening belongs to the stream and not to the read that happens to wait for it: it runs in a task
    that ends with the headers. A read that is cancelled loses nothing and sends nothing again.
    """

    cancel_safe = True

    def __init__(
        self, call: StreamCall, make_decoder: Callable[[DecoderContext], Decoder[T]]
    ) -> None:
        self.call = call
        self.context = context_of(call)
        self.decoder = make_decoder(self.context)
        self.error: ZaiError | None = None
        """Why the stream did not come to a proper end."""
        self._make_decoder = make_decoder
        self.phase = _NEW
        self._response: Response | None = None
        self._opening: asyncio.Task[None] | None = None
        # The task that waits, and how often others had cancelled it when this stream woke it up.
        self._task: asyncio.Task[Any] | None = None
        self._woken: int | None = None
        self._verdict: ZaiError | None = None
        self._timer: StallTimer | None = None
        self._is_early = True
        self._read_much = self._used = False

    @property
    def is_reading(self) -> bool:
        """Whether a task waits."""
        return self._task is not None

    # Reading.

    def __aiter__(self) -> Self:
        return self

    # In one piece, as each call would be one for each token.
    async def __anext__(self) -> T:  # noqa: C901, PLR0912
        """Return the next item; every token of every stream comes by here.

        Raises:
            StopAsyncIteration: The answer has come to its end.
            ZaiError: It did not.
        """
        while True:
            decoder = self.decoder
            for ready in decoder.ready:
                return ready
            item: T | None
            try:
                if decoder.waiting:
                    item = decoder.advance()
                elif self.phase is not _OPEN or self._task is not None:
                    await self._go_on()
                    continue
                elif self._read_much:
                    self._read_much = False
                    await checkpoint()
                    continue
                else:
                    response: Any = self._response
                    self._task = asyncio.current_task()
                    try:
                        data: bytes = await response.read()
                    except (TransportError, asyncio.CancelledError) as error:
                        data = self._broken_off(error)
                    finally:
                        self._task = None
                    self._read_much = len(data) >= _LARGE
                    if not data:
                        self._end_input()
                    item = decoder.receive(data)
                if self._is_early:
                    # Before the first content the call may still be made again.
                    decoder.settle()
                    if decoder.progress:
                        self._is_early = False
                        self.call.progressed()
            except ZaiError as error:
                data = b""  # a traceback would show it, and it may repeat the key
                await self._failed(error)
                continue
            if item is not None:
                return item
            if decoder.outcome is not None:
                self._finish()

    async def _go_on(self) -> None:
        """Do what is next when it is not reading."""
        if self.phase is _OVER:
            if self.error is not None:
                raise raised_again(self.error)
            if self.decoder.outcome is None:
                raise StreamConsumedError("the stream was closed before its end")
            raise StopAsyncIteration
        if self._task is not None:
            raise StreamConsumedError("the stream is being read by another task")
        if self.phase is _NEW:
            await self.open()
        else:
            if self.decoder.outcome is None:
                self.decoder.conclude(done=False)
            self._finish()

    def _broken_off(self, error: BaseException) -> bytes:
        """Say why the body broke off; after the finish reason that is an end like any other."""
        if isinstance(error, asyncio.CancelledError) and not self._was_woken():
            raise error
        if self.phase is _OVER:
            raise StreamConsumedError("the stream was closed while it was read") from None
        if self._verdict is None and self.decoder.state is not DecoderState.FINISHED:
            reason = error.message if isinstance(error, ZaiError) else "it was given up"
            raise self.decoder.truncated(f"the stream broke off: {reason}") from error
        return b""

    def _end_input(self) -> None:
        if self._verdict is not None and self.decoder.state is not DecoderState.FINISHED:
            raise self._verdict
        self.phase = _READ

    # Opening.

    async def open(self, *, keeps: bool = True) -> None:  # noqa: C901 - every way in
        """Wait until there is an answer.

        A wait that is cancelled leaves the opening alone if that ``keeps`` its task; without one,
        which costs three turns of the event loop less, the stream is to be closed then.
        """
        if self.phase is _OVER and (self.error is not None or self.decoder.outcome is None):
            await self._go_on()  # which says what has ended it
        if self.phase is not _NEW:
            return
        loop = require_asyncio()
        if self._task or (self._opening is not None and self._opening.get_loop() is not loop):
            raise StreamConsumedError("the stream is being opened by another task")
        if self._opening is None and keeps:
            self._start(None)
        opening = self._opening
        self._task = asyncio.current_task()
        try:
            if opening is None:
                await open_response(weakref.ref(self), self.call, None)
            else:
                await done(opening)
        except asyncio.CancelledError:
            if not self._was_woken():
                raise
        finally:
            self._task = None
        self._opening = None
        if self.decoder.outcome or (self._response and self.phase is not _OVER):
            self.call.permit.adopt()
            return
        self.phase = _OVER
        if self.error is not None:
            raise self.error
        if opening is not None and not opening.cancelled():
            opening.result()  # raised by a hook of the caller's
        raise StreamConsumedError("the stream was closed while it waited")

    def _start(self, error: ZaiError | None) -> None:
        """Begin to open, after a failure if there was one.

        The task knows the stream only weakly: a stream that nobody holds any more cancels it.
        """
        self._opening = require_asyncio().create_task(
            open_response(weakref.ref(self), self.call, error)
        )

    def opened(self, response: Response) -> None:
        """Begin to read a response."""
        call = self.call
        if self._used:
            self.context = context_of(call, self.context)
            self.decoder = self._make_decoder(self.context)
        self.context.headers, self._used = response.headers, True
        self._response, self.phase = response, _OPEN
        self._is_early, self._verdict = True, None
        self._timer = StallTimer(self)
        if self._opening is None:
            self._timer.owner = asyncio.current_task()  # in its `async with`
        call.session.watchdog.add(self._timer)
        # However slowly the caller reads, the platform is done when it has sent everything.
        on_complete = getattr(response, "on_complete", None)
        if on_complete is not None:
            on_complete(call.permit.received)

    async def look_ahead(self, response: Response) -> ZaiError | None:
        """Read until it is known whether events come.

        Returns the error that came in their place, which may be one to try again after.
        """
        decoder = self.decoder
        try:
            while decoder.state in _UNDECIDED and self.phase is _OPEN:
                data = await read_early(response)
                if not data:
                    self._end_input()
                items = [] if (item := decoder.receive(data)) is None else [item]
                while not data and decoder.waiting:
                    # A document has been read to its end, and says now what it is.
                    item = decoder.advance()
                    items += [] if item is None else [item]
                decoder.ready = iter(items)
        except ZaiError as error:
            if self.phase is _OVER:
                return None  # closed meanwhile
            self._release()
            self.phase = _NEW
            error.in_stream = True
            return self._verdict or error
        return None

    # Ending.

    async def _failed(self, error: ZaiError) -> None:
        """Send the request again if nothing of the answer has been handed out, else raise."""
        if isinstance(error, StreamConsumedError) or error is self.error:
            raise error
        self._release()
        self.decoder.settle()
        # Only what nobody has seen may be asked for again: else a text would be read twice, and
        # the arguments of a tool call would be those of two answers.
        error.in_stream = True
        error.emitted = self.decoder.progress > 0
        if error.emitted:
            self.call.fail(error)
            self.conclude(error)
        else:
            self.phase = _NEW
            self._start(error)
            await self.open()
        if self.error is not None:
            raise self.error

    def conclude(self, error: ZaiError) -> None:
        """End the stream with an error, or with the outcome of it where that is allowed."""
        decoder = self.decoder
        if error.partial is None:
            error.partial = self.snapshot
        error.request_id = error.request_id or self.request_id
        decoder.fail(error)
        self.error = decoder.error
        self._leave(completed=self.error is None)

    def _finish(self) -> None:
        """End the stream well: read what little is left, so that the connection can be reused."""
        response = self._response
        if response is not None and not response.at_end():
            self._response = None
            self.call.session.spawn(drain(response), response.close)
        self._leave(completed=True)

    def _leave(self, *, completed: bool) -> None:
        self.phase = _OVER
        self._release()
        self.call.leave(self.decoder.usage, completed=completed, snapshot=lambda: self.snapshot)

    def _release(self) -> None:
        """Drop the connection."""
        response, self._response = self._response, None
        timer, self._timer = self._timer, None
        if response is not None:
            response.close()
        if timer is not None:
            self.call.session.watchdog.remove(timer)

    def break_off(self, verdict: ZaiError | None) -> None:
        """End the read under way, whatever its transport does; what is whole stays whole."""
        # The reader raises it: what has been read before it is handed out first.
        self._verdict = verdict
        if self._response is not None:
            self._response.close()
            self._wake()

    def _wake(self) -> None:
        """End the wait of the task that reads or opens, if closing has not done so."""
        task = self._task
        if task is None or self._woken is not None:
            return
        waiter = getattr(task, "_fut_waiter", None)
        if task is asyncio.current_task() or waiter is None or waiter.done():
            # It goes on now, and may wait again.
            task.get_loop().call_soon(self._wake)
            return
        self._woken = task.cancelling()
        task.cancel()

    def _was_woken(self) -> bool:
        """Tell whether a cancellation was that of ``_wake()``, and take it back."""
        woken, self._woken = self._woken, None
        task = self._task
        # Somebody else's is not swallowed, even if it came together with ours.
        return woken is not None and task is not None and task.uncancel() <= woken

    async def close(self) -> None:
        """Close the stream and its connection at once, from any task."""
        if self.phase is _OVER:
            return
        opening, self._opening = self._opening, None
        opens = self.phase is _NEW and self._task is not None
        self.phase = _OVER
        self.decoder.drop()
        if opening is None and opens:
            self._wake()  # the permit is free when the request is over
        elif opening is None or opening.done():
            self._leave(completed=False)
            if opening is None:
                self._wake()
        elif opening is not asyncio.current_task():
            # A hook that closes its own stream is a part of the opening, and ends with it.
            opening.cancel()
            await done(opening)
            if self._response is not None:  # its headers had come, and it was being looked at
                self._leave(completed=False)

    def leave_to_parent(self, error: ZaiError) -> None:
        """End in the child of a fork: the answer is that of the parent, which reads on."""
        self.error, self.phase = error, _OVER
        self.decoder.drop()
        self._release()

    def __del__(self) -> None:
        opening = self.__dict__.get("_opening")
        if opening is not None and not opening.done():
            call_in(opening.get_loop(), opening.cancel)
        # Absent when the arguments of __init__ were wrong.
        response = self.__dict__.get("_response")
        if response is not None:
            self._leave(completed=False)
            name = type(self.decoder).__name__.replace("Decoder", "Stream")
            text = f"{name} was never closed; use 'async with'"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)

    # What streams of all kinds show.

    @property
    def request_id(self) -> str | None:
        """The id to quote to the support of the platform."""
        return self.context.headers.get("X-Log-Id")

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None while it has not."""
        if self.error is None:
            return self.decoder.outcome
        return self.error.outcome if isinstance(self.error, IncompleteError) else "error"

    @property
    def snapshot(self) -> Any:
        """The answer as far as it has been read, and how it was fetched."""
        answer = self.decoder.snapshot
        if isinstance(answer, Reply):
            record_call(answer, self.call, self.context.headers, self.outcome)
        return answer
