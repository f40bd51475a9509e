"""What a client is set to."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from zai_async._clock import Clock, SystemClock
from zai_async._secrets import Secret, masked
from zai_async.errors import ConfigurationError
from zai_async.models import Budget, Timeout
from zai_async.providers import ZAI, Provider
from zai_async.retry import RetryPolicy
from zai_async.session.hooks import Hooks

__all__ = ["Settings"]

_SIZES: Final = ("max_response_bytes", "max_response_values", "max_error_bytes", "max_event_bytes")


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
    tag: str | None = None
    """Under which calls are counted that have no tag of their own."""
    wait_for_quota: bool = False
    """Whether to wait for the allowance of a plan to come back."""
    max_response_bytes: int = 64 * 2**20
    """A larger answer is refused."""
    max_response_values: int = 300_000
    """An answer that holds more is refused, since nothing can interrupt its decoding."""
    max_error_bytes: int = 64 * 2**10
    """Of a larger error body only the beginning is read."""
    max_event_bytes: int = 4 * 2**20
    """A larger event of a stream is refused."""

    def __post_init__(self) -> None:
        for name in _SIZES:
            size: object = getattr(self, name)
            if type(size) is not int or size < 1:
                raise ConfigurationError(f"{name} must be a whole number above 0, not {size!r}")
        # Any header of the caller's own may be a secret.
        force_setattr(self, "headers", masked(self.headers))
