"""Whether a failed request of a call is sent again, and after how long."""

import math
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from zai_async._wire import Operation
from zai_async.errors import ZaiError
from zai_async.models import CallOptions
from zai_async.retry import RetryReserve, surely_refused
from zai_async.session.settings import Settings
from zai_async.uploads import BodyStream

__all__ = ["Repetition", "no_retries"]

_STALE_TOKEN: Final = frozenset({"1003", "1004"})
_ABOUT_IMAGES: Final = re.compile(r"图片|image", re.IGNORECASE)
_TOO_MANY: Final = "Not sent again: of this client's requests too many have failed lately."

_forbidden: ContextVar[bool] = ContextVar("zai_async.no_retries", default=False)


@contextmanager
def no_retries() -> Generator[None]:
    """Send exactly one request for each call that is made inside, in this task and its children.

    For frameworks that repeat calls themselves: two loops, one inside the other, multiply.
    """
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


class Repetition:
    """Decides for one call, by the policy, the reserve of the client, and the deadline."""

    def __init__(
        self,
        settings: Settings,
        reserve: RetryReserve,
        options: CallOptions,
        operation: Operation[Any],
        files: BodyStream | None,
    ) -> None:
        policy = settings.retry_for(options)
        alone = _forbidden.get()
        self.policy = msgspec.structs.replace(policy, retries=0) if alone else policy
        self.hint: str | None = None
        """Why the request is not sent again, where the error does not tell."""
        self._settings = settings
        self._reserve = reserve
        self._deadline = math.inf if options.deadline is None else options.deadline
        self._waits_for_quota = settings.waits_for_quota(options)
        self._operation = operation
        self._files = files
        self._free = 0
        self._drawn = False
        self._signed_again = False

    def decide(
        self, error: ZaiError, *, attempts: int, elapsed: float, queues: bool
    ) -> float | None:
        """Return the seconds to wait before the request is sent again, None to give up.

        ``elapsed`` seconds and ``attempts`` requests after the beginning of the call. What
        ``queues`` waits for a slot instead, so that neither reserve nor deadline count here.
        """
        if not self._may_repeat(error):
            return None
        if self._sign_again(error) or self._write_otherwise(error):
            self._free += 1
            return 0.0
        wait = self._wait(error, attempts - self._free, elapsed)
        if wait is None or queues:
            return wait
        in_time = elapsed + wait < self._deadline
        return wait if in_time and (error.repeat == "reset" or self._draw()) else None

    def may_resend(self) -> bool:
        """Tell whether a request that reached nobody may go out on a fresh connection, at once."""
        allowed = self._operation.repeatable and self._replayable() and self.policy.retries != 0
        self._free += allowed
        return allowed

    def succeeded(self) -> None:
        """Note that the last request was answered."""
        self._reserve.refill(helped=self._drawn)
        self._drawn = False

    def _wait(self, error: ZaiError, repetition: int, elapsed: float) -> float | None:
        chance = self._settings.clock.random()
        if self._waits_for_quota and error.retry_at is not None:
            return self._until_reset(error.retry_at.timestamp(), repetition, chance)
        wait = self.policy.decide(error, repetition=repetition, elapsed=elapsed, chance=chance)
        if wait is None:
            self._tell_when(error)
        return wait

    def _tell_when(self, error: ZaiError) -> None:
        """Say when the server wants to be asked again, to a caller who has the time."""
        if error.retry_after is None or error.retry_at is not None:
            return
        with suppress(ValueError, OverflowError):  # beyond the calendar
            moment = self._settings.clock.wall() + error.retry_after
            error.retry_at = datetime.fromtimestamp(moment, UTC)

    def _until_reset(self, moment: float, repetition: int, chance: float) -> float | None:
        """Wait for the allowance of a plan; the platform tells its end in whole seconds."""
        most = math.inf if self.policy.retries is None else self.policy.retries
        left = max(0.0, moment - self._settings.clock.wall())
        return left + 1.0 + chance if repetition <= most else None

    def _draw(self) -> bool:
        self._drawn = self._reserve.draw()
        self.hint = None if self._drawn else _TOO_MANY
        return self._drawn

    def _may_repeat(self, error: ZaiError) -> bool:
        return self._replayable() and (self._operation.repeatable or surely_refused(error))

    def _replayable(self) -> bool:
        return self._files is None or self._files.replayable

    def _sign_again(self, error: ZaiError) -> bool:
        """Try another token, once, if the platform found that this one had come too late."""
        signs = self._settings.provider.key_in == "jwt" and self.policy.retries != 0
        if not signs or error.code not in _STALE_TOKEN or self._signed_again:
            return False
        self._signed_again = True
        return True

    def _write_otherwise(self, error: ZaiError) -> bool:
        """Write images in the other form, once, if the platform could not read them.

        Some models take base64 as it is, some only as a data URL, and no page says which.
        """
        refused = error.code == "1210" and bool(_ABOUT_IMAGES.search(error.message))
        if not refused or self._files is None or self.policy.retries == 0:
            return False
        return self._files.alternate()
