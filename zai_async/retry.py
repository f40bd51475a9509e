"""Whether and when to send a failed request again: a pure decision, by code, budget and deadline.

Sources: https://docs.z.ai/api-reference/api-code for what a code means, RFC 9110 section 10.2.3
for ``Retry-After``. The API has no idempotency key and bills each generation, so a request is
sent again only if it was refused, or if the operation says that doing it twice is harmless.
"""

import math
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from zai_async._clock import Clock
from zai_async._kinds import is_a, is_number, is_whole
from zai_async._secrets import one_line
from zai_async.errors import (
    APIError,
    ConfigurationError,
    ConnectionLostError,
    TransportError,
    ZaiError,
)

__all__ = [
    "Backoff",
    "RetryBudget",
    "RetryPolicy",
    "RetryState",
    "describe_retry",
    "is_safe_to_retry",
    "no_retries",
    "retries_forbidden",
]

# A code of the platform's own comes from behind every proxy: it says that the request was refused.
_BUSINESS_CODE = re.compile(r"\d{4}", re.ASCII)
# Seconds, and a share of the nominal wait.
_SHORTEST_WAIT = 0.1
_LEAST_SHARE = 0.1
_STALE_TOKEN: Final = frozenset({"1003", "1004"})
_UNREADABLE: Final = "1210"
_CURABLE: Final = frozenset({*_STALE_TOKEN, _UNREADABLE})
_IMAGES: Final = re.compile(r"图片|image", re.IGNORECASE)
_BUDGET_USED: Final = "Not retried: the client's retry budget is exhausted."

_REASONS: Final[Mapping[str, str]] = {
    "throttle": "too many requests at once",
    "overload": "the model is busy",
    "quota": "the plan is used up",
    "server": "the platform failed",
    "connection": "the connection failed",
    "timeout": "nothing came in time",
}

retries_forbidden: ContextVar[bool] = ContextVar("zai_async.no_retries", default=False)
"""Whether a call that is made here is not retried, whatever its policy says."""


@contextmanager
def no_retries() -> Generator[None]:
    """Retry no call that is made inside, in this task and its children.

    For frameworks that retry calls themselves: two loops, one inside the other, multiply. A
    request that found its idle connection closed by the server was not answered by anybody, and
    still goes out once more on a fresh one.
    """
    token = retries_forbidden.set(True)
    try:
        yield
    finally:
        retries_forbidden.reset(token)


def _require_count(name: str, count: int | None) -> None:
    if count is not None and not (is_whole(count) and count >= 0):
        raise ValueError(f"{name} must be None, or 0 or more, not {count!r}")


class Backoff(msgspec.Struct, frozen=True):
    """Grow the wait from ``first`` to ``longest`` seconds, doubling, with jitter.

    A wait is anything from a tenth of its nominal length to the whole of it, and not less than a
    tenth of a second where the nominal length allows it: full jitter alone would send some
    requests again at once, to a server that has just said that it cannot take them.

    Raises ValueError for a number that is invalid.
    """

    first: float
    longest: float
    tries: int | None = None
    """Retries at most; None leaves it to the time budget."""

    def __post_init__(self) -> None:
        for name, most in (("first", sys.float_info.max), ("longest", math.inf)):
            seconds = getattr(self, name)
            if not (is_number(seconds) and 0 <= seconds <= most):
                raise ValueError(f"{name} must be 0 or more seconds, not {seconds!r}")
        _require_count("tries", self.tries)

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
            seconds = getattr(self, name)
            if not (is_number(seconds) and seconds >= 0):
                raise ValueError(f"{name} must be 0 or more seconds, not {seconds!r}")
        _require_count("retries", self.retries)
        for name in ("short", "throttle", "overload"):
            backoff = getattr(self, name)
            if not is_a(backoff, Backoff):
                raise ValueError(f"{name} must be a Backoff, not {backoff!r}")

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


class RetryOptions(Protocol):
    """What a caller may say about the retries of one call; None leaves it to the client."""

    @property
    def retries(self) -> int | None:
        """Attempts after the first."""
        ...

    @property
    def deadline(self) -> float | None:
        """Seconds for the whole call."""
        ...

    @property
    def wait_for_quota(self) -> bool | None:
        """Whether to wait for the allowance of a plan."""
        ...


class ResendableBody(Protocol):
    """A body that is read while it is sent, and may have to be read again."""

    @property
    def replayable(self) -> bool:
        """Whether it can be sent more than once."""
        ...

    def alternate(self) -> bool:
        """Send its files in another form the next time; False if there is none left."""
        ...


class RetryState:
    """Decides for one call, by the policy, the client's retry budget, and the deadline.

    Args:
        policy: When a failure is worth another request.
        budget: What all calls of the client together may draw retries from.
        clock: Tells the moments at which a plan's allowance comes back.
        options: What the caller says about this call; it wins over the policy.
        repeatable: Whether a request that may have arrived may be sent again.
        files: The body, where it is read while it is sent.
        waits_for_quota: Whether to wait for the allowance of a plan.
        signs: Whether each request is signed anew, with a token that may come too late.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget,
        clock: Clock,
        options: RetryOptions,
        *,
        repeatable: bool = True,
        files: ResendableBody | None = None,
        waits_for_quota: bool = False,
        signs: bool = False,
    ) -> None:
        self.hint: str | None = None
        """Why the request is not sent again, where the error does not tell."""
        self.drawn = False
        """Whether the last request was paid for by the budget, which gets that back if it helps."""
        retries, own = options.retries, options.wait_for_quota
        self._policy = (
            policy if retries is None else msgspec.structs.replace(policy, retries=retries)
        )
        self._budget = budget
        self._clock = clock
        self._repeatable = repeatable
        self._files = files
        self._deadline = math.inf if options.deadline is None else options.deadline
        self._waits_for_quota = waits_for_quota if own is None else own
        self._signs = signs
        self._free = self._seen = self._unmade = 0
        self._resent = self._signed_again = self._stopped = False

    def decide(
        self, error: ZaiError, *, attempts: int, elapsed: float, queues: bool
    ) -> float | None:
        """Return the seconds to wait before the request is sent again, None to give up.

        ``elapsed`` seconds and ``attempts`` requests after the beginning of the call. What
        ``queues`` waits for a permit instead, which takes nothing from the budget.
        """
        repeatable = self._repeatable or is_safe_to_retry(error)
        replayable = self._files is None or self._files.replayable
        if self._stopped or not (repeatable and replayable):
            return None

        # A server closes a connection that has idled for long just when a request is written to
        # it (RFC 9112 section 9.3.1). Nobody has answered that: to send it once more, on a fresh
        # connection, is no retry.
        stale = isinstance(error, ConnectionLostError) and error.stale
        self._resent = stale and not self._resent
        may_differ = error.code in _CURABLE and self._policy.retries != 0
        if self._resent or (may_differ and self._differs(error)):
            self._free += 1
            return 0.0

        # A body that could not be made, for want of a thread say, was not even an attempt.
        self._unmade += error.kind == "local" and attempts == self._seen
        self._seen = attempts
        jitter, retry = self._clock.random(), attempts + self._unmade - self._free
        most = math.inf if self._policy.retries is None else self._policy.retries
        if not (self._waits_for_quota and error.retry_at is not None):
            wait = self._policy.decide(error, retry=retry, elapsed=elapsed, jitter=jitter)
        elif retry <= most:
            # For the allowance of a plan; the platform tells its end in whole seconds.
            left = error.retry_at.timestamp() - self._clock.wall()
            wait = max(0.0, left) + 1.0 + jitter
        else:
            wait = None

        # Of a wait for a permit, only what the server asked for is known beforehand.
        asked = error.retry_after or 0.0
        needed = asked if queues or wait is None else wait
        in_time = elapsed + needed < self._deadline
        if not in_time and (asked or wait is not None):
            self.hint = (
                f"Not retried: a wait of {needed:.3g} s does not fit into the deadline "
                f"of {self._deadline:g} s."
            )
        if wait is None or not in_time:
            self._give_up(error, asked if retry <= most else 0.0)
            return None

        # Waiting for a plan's allowance, or for what this machine lacks, loads nobody, and a queue
        # bounds itself.
        if not queues and error.repeat != "reset" and error.kind != "local":
            self.drawn = self._budget.draw()
            if not self.drawn:
                self.hint = _BUDGET_USED
                return None
        return wait

    def _give_up(self, error: ZaiError, asked: float) -> None:
        """Tell a caller who has the time when the server wants to be asked again."""
        longest = self._policy.longest_retry_after
        if error.retryable and self.hint is None and asked > longest:
            self.hint = (
                f"Not retried: the server asks for a wait of {asked:.0f} s; "
                f"RetryPolicy(longest_retry_after={longest:g})."
            )
        if error.retry_after is not None and error.retry_at is None:
            with suppress(ValueError, OverflowError):  # beyond the calendar
                moment = self._clock.wall() + error.retry_after
                error.retry_at = datetime.fromtimestamp(moment, UTC)

    def stop(self, hint: str | None) -> None:
        """Retry nothing from now on, for this reason."""
        self._stopped, self.hint = True, hint

    def answered(self) -> None:
        """Note that the last request was answered."""
        self._budget.refill(helped=self.drawn)
        self.drawn = False

    def _differs(self, error: ZaiError) -> bool:
        """Make the next request differ from the refused one, once, where that may help."""
        if error.code in _STALE_TOKEN and self._signs:
            # Found to have come too late; it is signed anew with each request.
            again, self._signed_again = not self._signed_again, True
            return again
        if error.code == _UNREADABLE and self._files is not None and _IMAGES.search(error.message):
            # Some models take base64 as it is, some only as a data URL, and no page says which.
            return self._files.alternate()
        return False


def describe_retry(error: ZaiError, wait: float | None) -> str:
    """Say what failed and when it is tried again; without a ``wait``, as soon as there is room."""
    what = _REASONS.get(error.kind) or one_line(error.message)
    which = f"code {error.code}" if error.code else type(error).__name__
    when = "when a permit is free" if wait is None else f"in {wait:.2f} s"
    return f"{what} ({which}); again {when}"
