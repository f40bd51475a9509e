"""Whether a failed request of a call is sent again, and after how long."""

import math
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from zai_async._secrets import one_line
from zai_async._wire import Operation
from zai_async.errors import ConnectionLostError, ZaiError
from zai_async.models import CallOptions
from zai_async.retry import RetryBudget, is_safe_to_retry
from zai_async.session.settings import Settings
from zai_async.uploads import BodyStream

__all__ = ["RetryState", "describe_retry", "no_retries", "retries_forbidden"]

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


class RetryState:
    """Decides for one call, by the policy, the client's retry budget, and the deadline."""

    def __init__(
        self,
        settings: Settings,
        budget: RetryBudget,
        operation: Operation[Any],
        options: CallOptions,
        files: BodyStream | None,
    ) -> None:
        self.hint: str | None = None
        """Why the request is not sent again, where the error does not tell."""
        self.drawn = False
        """Whether the last request was paid for by the budget, which gets that back if it helps."""
        policy, retries = settings.retry, options.retries
        self._policy = policy if retries is None else replace(policy, retries=retries)
        self._settings = settings
        self._budget = budget
        self._operation = operation
        self._deadline = math.inf if options.deadline is None else options.deadline
        own = options.wait_for_quota
        self._waits_for_quota = settings.wait_for_quota if own is None else own
        self._files = files
        self._free = 0
        self._resent = self._signed_again = self._stopped = False

    def decide(
        self, error: ZaiError, *, attempts: int, elapsed: float, queues: bool
    ) -> float | None:
        """Return the seconds to wait before the request is sent again, None to give up.

        ``elapsed`` seconds and ``attempts`` requests after the beginning of the call. What
        ``queues`` waits for a permit instead, which takes nothing from the budget.
        """
        repeatable = self._operation.repeatable or is_safe_to_retry(error)
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

        jitter, retry = self._settings.clock.random(), attempts - self._free
        most = math.inf if self._policy.retries is None else self._policy.retries
        if not (self._waits_for_quota and error.retry_at is not None):
            wait = self._policy.decide(error, retry=retry, elapsed=elapsed, jitter=jitter)
        elif retry <= most:
            # For the allowance of a plan; the platform tells its end in whole seconds.
            left = error.retry_at.timestamp() - self._settings.clock.wall()
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
            # A caller who has the time is told when the server wants to be asked again.
            if error.retry_after is not None and error.retry_at is None:
                with suppress(ValueError, OverflowError):  # beyond the calendar
                    moment = self._settings.clock.wall() + error.retry_after
                    error.retry_at = datetime.fromtimestamp(moment, UTC)
            return None

        # Waiting for a plan's allowance loads nobody, and a queue bounds itself.
        if not queues and error.repeat != "reset":
            self.drawn = self._budget.draw()
            if not self.drawn:
                self.hint = _BUDGET_USED
                return None
        return wait

    def stop(self, hint: str | None) -> None:
        """Retry nothing from now on, for this reason."""
        self._stopped, self.hint = True, hint

    def answered(self) -> None:
        """Note that the last request was answered."""
        self._budget.refill(helped=self.drawn)
        self.drawn = False

    def _differs(self, error: ZaiError) -> bool:
        """Make the next request differ from the refused one, once, where that may help."""
        if error.code in _STALE_TOKEN and self._settings.provider.key_in == "jwt":
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
