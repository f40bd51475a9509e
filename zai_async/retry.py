"""When to send a refused request again: a pure decision, by business code and time budget.

Sources: https://docs.z.ai/api-reference/api-code for what a code means, RFC 9110 section 10.2.3
for ``Retry-After``. The API has no idempotency key and bills each generation, so a request is
sent again only if it was refused, or if the operation says that doing it twice is harmless.
"""

import math
import re

import msgspec

from zai_async.errors import APIError, ConfigurationError, TransportError, ZaiError

__all__ = ["Backoff", "RetryBudget", "RetryPolicy", "is_safe_to_retry"]

# A code of the platform's own comes from behind every proxy: it says that the request was refused.
_BUSINESS_CODE = re.compile(r"\d{4}", re.ASCII)
# Seconds, and a share of the nominal wait.
_SHORTEST_WAIT = 0.1
_LEAST_SHARE = 0.1


class Backoff(msgspec.Struct, frozen=True):
    """Grow the wait from ``first`` to ``longest`` seconds, doubling, with jitter.

    A wait is anything from a tenth of its nominal length to the whole of it, and not less than a
    tenth of a second where the nominal length allows it: full jitter alone would send some
    requests again at once, to a server that has just said that it cannot take them.
    """

    first: float
    longest: float
    tries: int | None = None
    """Retries at most; None leaves it to the time budget."""

    def wait(self, retry: int, jitter: float) -> float:
        """Return seconds before the n-th retry (1, 2, ...) for a jitter in [0, 1)."""
        # Beyond 32 doublings any wait has reached its longest, and a float its limits.
        nominal = min(self.longest, self.first * 2.0 ** min(retry - 1, 32))
        return max(jitter * nominal, _LEAST_SHARE * nominal, min(_SHORTEST_WAIT, nominal))


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Decide whether, and after how many seconds, a failed request is sent again.

    Raises ValueError for a number that is invalid.
    """

    budget: float = 120.0
    """Seconds after the start of a call within which a retry may begin."""
    retries: int | None = None
    """Retries at most; None leaves it to the budget, 0 sends no refused request again."""
    short: Backoff = Backoff(0.5, 8.0, 4)
    """For failures of the platform and of the network."""
    throttle: Backoff = Backoff(2.0, 60.0)
    """For too many requests of this account."""
    overload: Backoff = Backoff(4.0, 60.0)
    """For a model that is busy for everybody."""
    longest_retry_after: float = 120.0
    """Seconds; a server that asks for a longer wait gets no retry."""

    def __post_init__(self) -> None:
        for name in ("budget", "longest_retry_after"):
            if math.isnan(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more seconds")
        if self.retries is not None and self.retries < 0:
            raise ValueError("retries must be 0 or more")

    def decide(self, error: ZaiError, *, retry: int, elapsed: float, jitter: float) -> float | None:
        """Return the seconds to wait before the n-th retry, None to give up.

        ``elapsed`` seconds have passed since the call began; ``jitter`` is in [0, 1).
        """
        backoffs = {"short": self.short, "throttle": self.throttle, "overload": self.overload}
        backoff = backoffs.get(error.repeat)
        if backoff is None:
            return None
        retries = math.inf if self.retries is None else self.retries
        tries = math.inf if backoff.tries is None else backoff.tries
        if retry > min(retries, tries):
            return None
        # What the server asks for is not cut short: it would only be asked in vain.
        left = self.budget - elapsed
        asked = error.retry_after or 0.0
        if left <= 0 or asked > min(left, self.longest_retry_after):
            return None
        # A server that asks for no wait at all must not be asked without end.
        return max(asked, min(backoff.wait(retry, jitter), left))


class RetryBudget:
    """Bound the retries of all calls of a client together.

    A server that is down answers nobody, and is not helped by twice the requests. A retry is
    drawn from the budget; one that is answered gives back what it drew, and every other answer a
    tenth. With nothing left, calls fail at their first request until some succeed again. The AWS
    SDKs and gRPC keep such a budget, too (https://github.com/grpc/proposal, A6).
    """

    def __init__(self, most: float = 100.0) -> None:
        self.most = most
        self.left = most

    def draw(self) -> bool:
        """Take one retry out, and tell whether there was one."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def refill(self, *, helped: bool) -> None:
        """Note that a request was answered; ``helped`` if it was a retry."""
        self.left = min(self.most, self.left + (1.0 if helped else 0.1))


def is_safe_to_retry(error: ZaiError) -> bool:
    """Tell whether a request that failed like this cannot have been processed.

    A failure of the platform without one of its own codes may be that of a proxy, behind which
    the request was accepted. What was not sent to its end is no request yet (RFC 9112 section 8),
    whatever became of it.
    """
    if isinstance(error, TransportError | APIError) and not error.request_sent:
        return True
    if isinstance(error, APIError):
        refused = 300 <= (error.status_code or 0) < 500
        return refused or bool(_BUSINESS_CODE.fullmatch(error.code or ""))
    return isinstance(error, ConfigurationError)
