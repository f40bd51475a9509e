"""The timeouts of a stream that is being read."""

import asyncio
import logging
import math
import weakref
from typing import TYPE_CHECKING, Any, Final

from zai_async._protocol import DecoderState
from zai_async.errors import (
    ClientDrainingError,
    DeadlineError,
    StreamConsumedError,
    StreamStalledError,
)

if TYPE_CHECKING:
    from zai_async.streams.reader import StreamReader

__all__ = ["StallTimer"]

# How long a stream may stay silent between its finish reason and its end mark.
_GRACE_SECONDS: Final = 10.0
# With a deadline, the looks of the watchdog are a tenth of a second apart.
_DEADLINE_PATIENCE: Final = 0.8


# How long a stream may be left alone by a task that has ended, before somebody else reads on.
_ABANDONED_SECONDS: Final = 1.0

_log = logging.getLogger("zai_async")


class StallTimer:
    """The time for which a stream has been read without any progress.

    The watchdog of the event loop looks at it a few times per timeout. Time that the caller spends
    between two reads does not count.
    """

    def __init__(self, reader: "StreamReader[Any]") -> None:
        # A forgotten stream has to go at once, not when the garbage collector comes by.
        self._reader = weakref.ref(reader)
        self.owner: asyncio.Task[Any] | None = None
        """The task that has entered the stream by ``async with``, and leaves it as well."""
        self._abandoned = 0.0
        self._seen = -1  # the first look only begins: a stream may have joined just before it
        self._waited = 0.0

    @property
    def shortest_timeout(self) -> float:
        """Seconds of the shortest timeout of the stream, infinite without one."""
        reader = self._reader()
        if reader is None:
            return math.inf
        timeout = reader.call.timeout
        limits = (timeout.first_progress, timeout.between_progress)
        shortest = min((limit for limit in limits if limit is not None), default=math.inf)
        return shortest if reader.call.deadline_at is None else min(shortest, _DEADLINE_PATIENCE)

    def look(self, now: float, passed: float) -> None:
        """Count the time spent waiting for progress; called by the watchdog of the loop."""
        del now
        reader = self._reader()
        if reader is None:
            return
        call, state = reader.call, reader.decoder.state
        if call.deadline_at is not None and call.settings.clock.monotonic() >= call.deadline_at:
            text = f"the deadline of {call.options.deadline:g} s has passed"
            reader.break_off(DeadlineError(text))
            return

        # Comments and empty deltas keep a connection alive, but no answer: only content counts.
        progress = reader.decoder.progress
        if progress != self._seen:
            self._seen, self._waited, self._abandoned = progress, 0.0, 0.0
            return
        # A consumer that takes its time is no stall of the platform.
        if not reader.is_reading:
            if self.owner is not None and self.owner.done():
                self._abandoned += passed
                if self._abandoned >= _ABANDONED_SECONDS:
                    # A generator whose reader went away stays suspended inside its `async with`
                    # until the garbage collector finds it; others wait for its permit meanwhile.
                    _log.info("a stream is closed, as the task that had opened it has ended")
                    call.session.spawn(reader.close(), lambda: None)
            return
        self._waited += passed
        phase = "between_progress" if progress else "first_progress"
        limit: float | None = getattr(call.timeout, phase)
        if limit is not None and self._waited >= limit:
            text = f"no progress for {self._waited:.1f} s ({phase} is {limit:g} s)"
            reader.break_off(StreamStalledError(text, phase=phase, waited=self._waited))
        elif state is DecoderState.FINISHED and self._waited >= _GRACE_SECONDS:
            reader.break_off(None)  # nothing that counts can still come

    def interrupt(self, *, forked: bool = False) -> None:
        """End the stream, because the client is drained, or because it is the parent's."""
        reader = self._reader()
        if reader is not None and forked:
            text = (
                "the stream belongs to the process that opened it, and this one was forked from "
                "that: make the call again here, and read the answer of that"
            )
            reader.leave_to_parent(StreamConsumedError(text))
        elif reader is not None:
            text = "the client was drained before the stream had ended"
            reader.break_off(ClientDrainingError(text))
