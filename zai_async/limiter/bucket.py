"""Rates per minute."""

import math

__all__ = ["Bucket"]

_MINUTE = 60.0


class Bucket:
    """Units that flow in at a steady rate, up to a minute's worth, and are taken out.

    One number suffices: the moment at which the bucket will be full again.
    """

    def __init__(self, per_minute: float) -> None:
        self._spacing = _MINUTE / per_minute
        self._full_at = -math.inf

    def ready_at(self, amount: float) -> float:
        """Return when so much can be taken; more than a full bucket holds waits for a full one."""
        return self._full_at + min(amount * self._spacing, _MINUTE) - _MINUTE

    def take(self, amount: float, now: float) -> None:
        """Take units out; the bucket may be overdrawn."""
        self._full_at = max(self._full_at, now) + amount * self._spacing

    def correct(self, difference: float) -> None:
        """Take more out, or put some back, after an estimate has turned out wrong."""
        self._full_at += difference * self._spacing
