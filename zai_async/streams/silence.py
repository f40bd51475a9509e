"""How long a stream may stay silent."""

import math
from typing import Final

from zai_async.errors import StreamStalledError
from zai_async.models import Timeout

__all__ = ["GRACE_SECONDS", "patience_of", "stalled"]

GRACE_SECONDS: Final = 10.0
"""How long a stream may stay silent between its finish reason and its end mark."""
# With a deadline, the looks of the watchdog are a tenth of a second apart.
_DEADLINE_PATIENCE: Final = 0.8


def patience_of(timeout: Timeout, *, has_deadline: bool) -> float:
    """Return the seconds of the shortest clock of a stream, infinite without one."""
    limits = [timeout.first_progress, timeout.between_progress]
    if has_deadline:
        limits.append(_DEADLINE_PATIENCE)
    return min((limit for limit in limits if limit is not None), default=math.inf)


def stalled(timeout: Timeout, waited: float, *, begun: bool) -> StreamStalledError | None:
    """Make the exception for a stream that has been silent for too long, if it has."""
    phase = "between_progress" if begun else "first_progress"
    limit: float | None = getattr(timeout, phase)
    if limit is None or waited < limit:
        return None
    text = f"no progress for {waited:.1f} s ({phase} is {limit:g} s)"
    return StreamStalledError(text, phase=phase, waited=waited)
