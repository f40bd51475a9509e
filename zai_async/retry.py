"""When to send a refused request again: a pure decision, by business code and time budget.

Sources: https://docs.z.ai/api-reference/api-code for what a code means, RFC 9110 section 10.2.3
for ``Retry-After``. The API has no idempotency key and bills each generation, so a request is
repeated only if it was refused, or if the caller of the policy says that repeating is harmless.
"""

import math
import re

import msgspec

from zai_async.errors import APIError, ConfigurationError, TransportError, ZaiError

__all__ = ["Backoff", "RetryPolicy", "RetryReserve", "surely_refused"]

_BUSINESS_CODE = re.compile(r"\d{4}", re.ASCII)


class Backoff(msgspec.Struct, frozen=True):
    """Grow the wait from ``first`` to ``longest`` seconds, doubling; full jitter is applied."""

    first: float
    longest: float
    tries: int | None = None
    """Repetitions at most; None leaves it to the time budget."""

    def wait(self, repetition: int, chance: float) -> float:
        """Return seconds before the n-th repetition (1, 2, ...) for a chance in [0, 1)."""
        return chance * min(self.longest, self.first * 2.0 ** min(repetition - 1, 32))


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Decide whether, and after how many seconds, a failed request is sent again.

    Raises ValueError for a number that cannot be meant.
    """

    budget: float = 120.0
    """Seconds after the start of a call within which a repetition may begin."""
    retries: int | None = None
    """Repetitions at most; None leaves it to the budget, 0 sends exactly one request."""
    short: Backoff = Backoff(0.5, 8.0, 4)
    """For failures of the platform and of the network."""
    throttle: Backoff = Backoff(2.0, 60.0)
    """For too many requests of this account."""
    overload: Backoff = Backoff(4.0, 60.0)
    """For a model that is busy for everybody."""
    longest_retry_after: float = 120.0
    """Seconds; a server that asks for a longer wait gets no repetition."""

    def __post_init__(self) -> None:
        for name in ("budget", "longest_retry_after"):
            if math.isnan(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more seconds")
        if self.retries is not None and self.retries < 0:
            raise ValueError("retries must be 0 or more")

    def decide(
        self, error: ZaiError, *, repetition: int, elapsed: float, chance: float
    ) -> float | None:
        """Return the seconds to wait before the n-th repetition, None to give up.

        ``elapsed`` seconds have passed since the call began; ``chance`` is in [0, 1).
        """
        backoff = self._backoff(error)
        if backoff is None or repetition > self._most(backoff):
            return None
        left = self.budget - elapsed
        asked = error.retry_after or 0.0
        if left <= 0 or asked > min(left, self.longest_retry_after):
            return None
        # A server that asks for no wait at all must not be asked without end.
        return max(asked, min(backoff.wait(repetition, chance), left))

    def _most(self, backoff: Backoff) -> float:
        limits = (self.retries, backoff.tries)
        return min((limit for limit in limits if limit is not None), default=math.inf)

    def _backoff(self, error: ZaiError) -> Backoff | None:
        known = {"short": self.short, "throttle": self.throttle, "overload": self.overload}
        return known.get(error.repeat)


class RetryReserve:
    """Bound the repetitions of all calls of a client together.

    A server that is down answers nobody, and is not helped by twice the requests. A repetition
    draws from the reserve; one that is answered gives back what it drew, and every other answer a
    tenth. With nothing left, calls fail at their first request until some succeed again. The AWS
    SDKs and gRPC keep such a reserve, too (https://github.com/grpc/proposal, A6).
    """

    def __init__(self, most: float = 100.0) -> None:
        self._most = most
        self._left = most

    def draw(self) -> bool:
        """Take one repetition out, and tell whether there was one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def refill(self, *, helped: bool) -> None:
        """Note that a request was answered; ``helped`` if it was a repetition."""
        self._left = min(self._most, self._left + (1.0 if helped else 0.1))


def surely_refused(error: ZaiError) -> bool:
    """Tell whether a request that failed like this has surely begun nothing.

    A failure of the platform without one of its own codes may be that of a proxy, behind which
    the request was accepted.
    """
    if isinstance(error, TransportError):
        return not error.request_sent
    if isinstance(error, APIError):
        refused = 300 <= (error.status_code or 0) < 500
        return refused or bool(_BUSINESS_CODE.fullmatch(error.code or ""))
    return isinstance(error, ConfigurationError)
