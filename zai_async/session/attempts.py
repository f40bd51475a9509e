"""The requests of one call: when each was sent, and what became of it."""

import msgspec

from zai_async._clock import Clock
from zai_async._transport import Response
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
    """Writes down the requests of a call; their records are made when somebody looks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._over: tuple[Attempt, ...] = ()
        self._known: tuple[Attempt, ...] | None = ()
        self.pending = False
        """Whether nothing is known yet about the end of the last request."""
        self.sent_at = 0.0
        self.wait = 0.0
        """Seconds slept before the next request."""

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def entries(self) -> tuple[Attempt, ...]:
        """Every request so far."""
        if self._known is None:
            self._known = (*self._over, self._entry())
        return self._known

    @property
    def last(self) -> Attempt:
        """The request that was sent last."""
        return self.entries[-1]

    def _entry(self) -> Attempt:
        return Attempt(
            number=len(self._over) + 1,
            started=self._started,
            duration=self._duration,
            wait=self._wait,
            status_code=self._status_code,
            request_id=self._request_id,
            connection_reused=self._connection_reused,
        )

    def start(self, begun: float) -> None:
        """Note that a request is being sent, in a call that began at this moment."""
        self._over, self._known = self.entries, None
        self.pending = True
        self.sent_at = self._clock.monotonic()
        self._started, self._duration, self._wait = self.sent_at - begun, 0.0, self.wait
        self._status_code: int | None = None
        self._request_id: str | None = None
        self._connection_reused: bool | None = None

    def answered(self, response: Response, now: float) -> None:
        """Note what the headers of an answer tell."""
        self._status_code = response.status
        self._request_id = response.headers.get("X-Log-Id")
        self._connection_reused = response.connection_reused
        self._lasted(now)

    def ended(self) -> None:
        """Note that as much as this is over."""
        self._lasted(self._clock.monotonic())

    def _lasted(self, until: float) -> None:
        self._duration = until - self.sent_at
        self._known = None

    def fail(self, error: ZaiError) -> None:
        """Note how the last request failed; what its headers told stays."""
        if not self.entries:
            return  # the deadline passed in the queue
        if self.pending:
            self.ended()
        stale = isinstance(error, ConnectionLostError) and error.stale
        failed = msgspec.structs.replace(
            self.last,
            status_code=error.status_code or self.last.status_code,
            code=error.code,
            error=type(error).__name__,
            request_id=error.request_id or self.last.request_id,
            connection_reused=stale or self.last.connection_reused,
            maybe_billed=not _refused(error),
        )
        self.pending, self._known = False, (*self._over, failed)


def _refused(error: ZaiError) -> bool:
    """Tell whether the server surely did no paid work for the failed request."""
    if isinstance(error, TransportError):
        return not error.request_sent
    return isinstance(error, APIError | ConfigurationError)
