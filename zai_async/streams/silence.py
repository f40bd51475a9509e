"""How long a stream may stay silent."""

import math
from typing import Final

from zai_async.errors import StreamStalledError
from zai_async.models import Timeout

__all__ = ["Silence", "patience_of"]

# How long a stream may stay silent between its finish reason and its end mark.
_GRACE_SECONDS: Final = 10.0
# With a deadline, the looks of the watchdog are a tenth of a second apart.
_DEADLINE_PATIENCE: Final = 0.8


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
