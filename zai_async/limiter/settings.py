"""What a user may say about limits."""

import math
from collections import deque
from typing import Final, Literal

import msgspec

from zai_async._kinds import is_number, is_whole
from zai_async.limiter.pace import Bucket, Rates

__all__ = ["Limits"]

_MINUTE: Final = 60.0
_BURST: Final = 5.0


class _Unchosen(int):
    """A number that nobody has chosen, and that gives way to those that somebody has."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Say how many requests a client may have in flight for one model.

    Raises ValueError for a mode that there is not, and for numbers that contradict each other.
    """

    mode: Literal["adaptive", "fixed", "off"] = "adaptive"
    """Find the limit, keep to ``start``, or send everything at once."""
    start: int = _Unchosen(2)
    """Requests in flight before anything is known: 2, or the nearest that is allowed."""
    least: int = 1
    """An adaptive window does not become smaller."""
    most: int | None = None
    """An adaptive window does not become larger; None leaves it to the platform."""
    requests_per_minute: float | None = None
    """Requests sent per minute."""
    tokens_per_minute: float | None = None
    """Tokens per minute: a call counts like those before it, at first as 1,000, and as it was when
    it is over."""
    burst: float | None = None
    """Seconds: what is allowed in this time may go at once. None is 5 s, or 30 requests if that is
    more, but never more than a minute's worth."""

    def __post_init__(self) -> None:
        if self.mode not in ("adaptive", "fixed", "off"):
            raise ValueError(f"mode must be adaptive, fixed or off, not {self.mode!r}")
        for name in ("start", "least", "most"):
            number = getattr(self, name)
            if not (is_whole(number) or (number is None and name == "most")):
                raise ValueError(f"{name} must be a whole number, not {number!r}")
        if isinstance(self.start, _Unchosen):
            usual = int(self.start)
            nearest = max(self.least, min(usual, self.most or usual))
            msgspec.structs.force_setattr(self, "start", nearest)
        ceiling = math.inf if self.most is None else self.most
        if not 1 <= self.least <= self.start <= ceiling:
            raise ValueError("limits must satisfy 1 <= least <= start <= most")
        for name in ("requests_per_minute", "tokens_per_minute"):
            rate = getattr(self, name)
            if rate is not None and not (is_number(rate) and 0 < rate < math.inf):
                raise ValueError(f"{name} must be None or above 0, not {rate!r}")
        burst = self.burst
        if burst is not None and not (is_number(burst) and 0 <= burst < math.inf):
            raise ValueError(f"burst must be None or 0 or more seconds, not {self.burst!r}")

    def rates(self, recent: deque[float]) -> Rates:
        """Return what keeps to the rates, and finds the one that nobody told.

        ``recent`` tells when requests were sent that passed lately.
        """
        # 30 requests at once are no burst worth speaking of.
        requests = self._bucket(self.requests_per_minute, at_once=30)
        return Rates(requests, self._bucket(self.tokens_per_minute, at_once=0), recent)

    def _bucket(self, per_minute: float | None, *, at_once: int) -> Bucket:
        rate = math.inf if per_minute is None else per_minute
        usual = min(max(_BURST, at_once * _MINUTE / rate), _MINUTE)
        return Bucket(rate, usual if self.burst is None else self.burst)

    @classmethod
    def of(cls, limits: "Limits | int | str | None") -> "Limits":
        """Read the short forms: None or "adaptive", a number in flight, False or "off".

        Raises ValueError for anything else.
        """
        if isinstance(limits, Limits):
            return limits
        if limits is None or limits == "adaptive":
            return cls()
        if limits is False or limits == "off":
            return cls(mode="off")
        if isinstance(limits, str) or limits is True:
            raise ValueError(f"{limits!r} is none of Limits, a number, 'adaptive' and 'off'")
        return cls(mode="fixed", start=limits)

    def share(self, *, parts: int, index: int) -> "Limits":
        """Return the part of a known limit that belongs to one of several processes.

        The parts differ by at most one request and add up to the whole. ``index`` counts from 0.
        Raises ValueError if there is nothing to divide, or too little for every part.
        """
        if not 0 <= index < parts:
            raise ValueError(f"index must be from 0 to {parts - 1}, not {index}")
        known = self.start if self.mode == "fixed" else self.most
        if known is None or known < parts:
            raise ValueError(f"a limit of {known} cannot be divided by {parts}")
        part = known // parts + (index < known % parts)
        return msgspec.structs.replace(
            self,
            start=min(part, self.start),
            least=min(part, self.least),
            most=self.most and part,
            requests_per_minute=self.requests_per_minute and self.requests_per_minute / parts,
            tokens_per_minute=self.tokens_per_minute and self.tokens_per_minute / parts,
        )
