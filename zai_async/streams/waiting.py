"""How a stream waits: for its answer, for progress, and for what is left after its end."""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from zai_async._clock import RescheduleTimeout
from zai_async._transport import Response
from zai_async.errors import StreamConsumedError, StreamStalledError, TransportError
from zai_async.models import Timeout

__all__ = ["Opening", "Silence", "closed_meanwhile", "drain", "patience_of"]

T = TypeVar("T")

# How long a stream may stay silent between its finish reason and its end mark.
_GRACE_SECONDS: Final = 10.0
# With a deadline, the looks of the watchdog are a tenth of a second apart.
_DEADLINE_PATIENCE: Final = 0.8
_DRAIN_SECONDS: Final = 0.25
_DRAIN_BYTES: Final = 2**16


class Opening:
    """The wait for an answer: for a slot, a connection, the headers, the next attempt."""

    def __init__(self) -> None:
        self._patience: RescheduleTimeout | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a task is waiting."""
        return self._patience is not None

    async def wait(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do work until it is done, or until another task stops it.

        Raises:
            StreamConsumedError: It was stopped. A task that is cancelled itself is cancelled.
        """
        try:
            with RescheduleTimeout() as self._patience:
                return await work()
        finally:
            self._patience = None
        raise closed_meanwhile()

    def stop(self) -> bool:
        """End the work, and tell whether there was any."""
        if self._patience is None:
            return False
        self._patience.interrupt()
        return True


def closed_meanwhile() -> StreamConsumedError:
    """Make the exception for who waited for a stream that was closed."""
    return StreamConsumedError("the stream was closed while it waited")


def patience_of(timeout: Timeout, *, has_deadline: bool) -> float:
    """Return the seconds of the shortest clock of a stream, infinite without one."""
    first, between = timeout.first_progress, timeout.between_progress
    return min(
        math.inf if first is None else first,
        math.inf if between is None else between,
        _DEADLINE_PATIENCE if has_deadline else math.inf,
    )


class Silence:
    """The time for which a stream has been read without any progress."""

    def __init__(self) -> None:
        self._seen = -1  # the first look only begins: a stream may have joined just before it
        self._waited = 0.0

    def lasts(self, passed: float, progress: int, *, reading: bool) -> bool:
        """Count the seconds since the last look; False if there was progress, or no wait."""
        if progress != self._seen:
            self._seen, self._waited = progress, 0.0
            return False
        self._waited += passed if reading else 0.0
        return reading

    @property
    def is_long(self) -> bool:
        """Whether a stream that has its finish reason need not be waited for any longer."""
        return self._waited >= _GRACE_SECONDS

    def error(self, timeout: Timeout, *, begun: bool) -> StreamStalledError | None:
        """Make the exception for a stream that has been silent for too long, if it has."""
        phase = "between_progress" if begun else "first_progress"
        limit: float | None = getattr(timeout, phase)
        if limit is None or self._waited < limit:
            return None
        text = f"no progress for {self._waited:.1f} s ({phase} is {limit:g} s)"
        return StreamStalledError(text, phase=phase, waited=self._waited)


async def drain(response: Response) -> None:
    """Read it, so that the connection can be used again, unless it is long or takes long."""
    size = 0
    try:
        with anyio.move_on_after(_DRAIN_SECONDS):
            while size < _DRAIN_BYTES and (piece := await response.read()):
                size += len(piece)
    except TransportError:
        return  # the answer was complete; that its connection is lost concerns nobody
