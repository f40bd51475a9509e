"""What a client is set to."""

from collections.abc import Mapping
from types import MappingProxyType, NoneType
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from zai_async._clock import Clock, SystemClock
from zai_async._kinds import is_a, misfit
from zai_async._secrets import Secret, masked
from zai_async.errors import ConfigurationError
from zai_async.limiter import Limits
from zai_async.models import Budget, Timeout
from zai_async.providers import ZAI, Provider
from zai_async.retry import RetryPolicy
from zai_async.session.coordination import Coordinator
from zai_async.session.hooks import Hooks

__all__ = ["Settings", "clocks_of", "limits_of", "own_headers"]

_KINDS: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "retry": ((RetryPolicy,), "a RetryPolicy, such as RetryPolicy(retries=3)"),
    "hooks": ((Hooks,), "Hooks, such as Hooks(on_request=...)"),
    "budget": ((Budget, NoneType), "a Budget, such as Budget(tokens=1_000_000)"),
    "tag": ((str, NoneType), "a text"),
    "wait_for_quota": ((bool,), "True or False"),
}
_SIZES: Final = (
    *("max_response_bytes", "max_response_values", "max_error_bytes"),
    *("max_event_bytes", "max_event_values"),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a client."""

    provider: Provider = ZAI
    key: Secret | None = None
    timeout: Timeout = Timeout()
    retry: RetryPolicy = RetryPolicy()
    headers: Mapping[str, str] = {}
    secrets: tuple[Secret, ...] = ()
    """What must not be told beside key and headers: passwords of proxies."""
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
    max_event_values: int = 131_072
    """An event of a stream that holds more is refused."""

    def __post_init__(self) -> None:
        for name in _SIZES:
            size: object = getattr(self, name)
            if type(size) is not int or size < 1:
                raise ConfigurationError(f"{name} must be a whole number above 0, not {size!r}")
        for name, (fitting, words) in _KINDS.items():
            value: object = getattr(self, name)
            unfit = misfit(type(value), *fitting)
            if unfit:
                raise ConfigurationError(f"{name} must be {words}, not {unfit}")
        if not hasattr(self.clock, "monotonic"):
            raise ConfigurationError(f"clock must be a Clock, not {type(self.clock).__name__}")
        # Any header of the caller's own may be a secret.
        force_setattr(self, "headers", masked(self.headers))


def own_headers(
    headers: Mapping[str, str] | None, before: Mapping[str, str] = MappingProxyType({})
) -> Mapping[str, str]:
    """Return the caller's header fields over those from before so that they print masked.

    What has no fields at all adds none: to refuse it here would show it in the traceback.
    """
    return masked({**before, **headers} if headers and is_a(headers, Mapping) else before)


def limits_of(limits: Limits | int | str | None, coordinator: Coordinator | None) -> Limits:
    """Read the short forms of limits.

    Raises:
        ConfigurationError: They cannot be meant, or cannot be shared.
    """
    try:
        known = Limits.of(limits)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if coordinator is not None and not hasattr(coordinator, "exchange"):
        kind = type(coordinator).__name__
        raise ConfigurationError(f"coordinator must be a Coordinator, not {kind}")
    if coordinator is not None and known.mode == "off":
        raise ConfigurationError("a coordinator shares limits, and limits='off' has none")
    return known


def clocks_of(timeout: Timeout | float | None, before: Timeout) -> Timeout:
    """Read the short form of time limits; None keeps those from before.

    Raises:
        ConfigurationError: They cannot be meant.
    """
    if timeout is None or isinstance(timeout, Timeout):
        return timeout or before
    # One number means patience with answers: waiting for a connection does not make it come.
    try:
        return Timeout(before.connect, timeout, timeout, timeout)
    except ValueError:
        text = f"timeout must be a Timeout, or a number of seconds above 0, not {timeout!r}"
        raise ConfigurationError(text) from None
