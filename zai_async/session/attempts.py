"""The requests of one call: when each was sent, and what became of it."""

from typing import Any

from zai_async._clock import Clock
from zai_async.errors import (
    APIError,
    Attempt,
    ConfigurationError,
    ConnectionLostError,
    TransportError,
    ZaiError,
)

__all__ = ["AttemptLog"]


class AttemptLog:
    """Writes down the requests of a call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._over: tuple[Attempt, ...] = ()
        self._facts: dict[str, Any] = {}
        self._known: tuple[Attempt, ...] | None = ()
        self.sent_at = 0.0
        self.wait = 0.0
        """Seconds slept before the next request."""

    def __len__(self) -> int:
        return len(self._over) + bool(self._facts)

    @property
    def entries(self) -> tuple[Attempt, ...]:
        """Every request so far."""
        if self._known is None:
            self._known = (*self._over, Attempt(**self._facts))
        return self._known

    @property
    def last(self) -> Attempt:
        """The request that was sent last."""
        return self.entries[-1]

    @property
    def pending(self) -> bool:
        """Whether nothing is known yet about the end of the last request."""
        return bool(self._facts) and "error" not in self._facts

    def start(self, begun: float) -> None:
        """Note that a request is being sent, in a call that began at this moment."""
        self.sent_at = self._clock.monotonic()
        self._over = self.entries
        number, started = len(self._over) + 1, self.sent_at - begun
        self._facts = {"number": number, "started": started, "duration": 0.0, "wait": self.wait}
        self._known = None

    def update(self, **facts: Any) -> None:
        """Add what is known now."""
        self._facts |= facts
        self._facts["duration"] = self._clock.monotonic() - self.sent_at
        self._known = None

    def fail(self, error: ZaiError) -> None:
        """Note how the last request failed; what its headers told stays."""
        if not self._facts:
            return  # the deadline passed in the queue
        stale = isinstance(error, ConnectionLostError) and error.stale
        self.update(
            status_code=error.status_code or self.last.status_code,
            code=error.code,
            error=type(error).__name__,
            request_id=error.request_id or self.last.request_id,
            connection_reused=stale or self.last.connection_reused,
            maybe_billed=not _refused(error),
        )


def _refused(error: ZaiError) -> bool:
    """Tell whether the server surely did no paid work for the failed request."""
    if isinstance(error, TransportError):
        return not error.request_sent
    return isinstance(error, APIError | ConfigurationError)
