"""What a client is set to; a derived client differs in these and shares everything else."""

from collections.abc import Mapping

import msgspec

from zai_async._clock import Clock, SystemClock
from zai_async._secrets import Secret
from zai_async.models import Budget, CallOptions, Timeout
from zai_async.providers import ZAI, Provider
from zai_async.retry import RetryPolicy
from zai_async.session.hooks import Hooks

__all__ = ["Settings"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a client."""

    provider: Provider = ZAI
    key: Secret | None = None
    timeout: Timeout = Timeout()
    retry: RetryPolicy = RetryPolicy()
    headers: Mapping[str, str] = {}
    hooks: Hooks = Hooks()
    clock: Clock = SystemClock()
    budget: Budget | None = None
    """For all calls together; a call may have another one besides."""
    wait_for_quota: bool = False
    """Whether to wait for the allowance of a plan to come back."""
    max_response_bytes: int = 64 * 2**20
    """A larger answer is refused."""
    max_error_bytes: int = 64 * 2**10
    """Of a larger error body only the beginning is read."""
    max_event_bytes: int = 16 * 2**20
    """A larger event of a stream is refused."""

    def waits_for_quota(self, options: CallOptions) -> bool:
        """Tell whether a call with these options waits for an allowance."""
        own = options.wait_for_quota
        return self.wait_for_quota if own is None else own

    def retry_for(self, options: CallOptions) -> RetryPolicy:
        """Return the policy for a call with these options."""
        if options.retries is None:
            return self.retry
        return msgspec.structs.replace(self.retry, retries=options.retries)
