"""What a client is set to, and the typed events that its hooks see of each call."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import force_setattr

from zai_async._clock import Clock, SystemClock
from zai_async._secrets import Secret, masked
from zai_async.errors import Attempt, Timing, ZaiError
from zai_async.models import Budget, CallOptions, Timeout, Usage
from zai_async.providers import ZAI, Provider
from zai_async.retry import RetryPolicy

__all__ = [
    "CallEnd",
    "FinishEvent",
    "Hooks",
    "QueueEvent",
    "RequestEvent",
    "ResponseEvent",
    "RetryEvent",
    "Settings",
    "StartEvent",
    "emit",
]

CallEnd = Literal["completed", "failed", "abandoned"]

Event = TypeVar("Event")


class StartEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A call begins; exactly one ``FinishEvent`` will follow."""

    operation: str
    model: str
    """The model, or the agent; the operation where there is neither."""
    tag: str | None = None


class QueueEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A call has to wait for others of its model."""

    operation: str
    model: str
    limit: int | None
    """How many may be in flight; None where only a rate holds the call up."""
    in_flight: int
    waiting: int
    """How many wait already."""
    tag: str | None = None


class RequestEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A request is about to be sent."""

    operation: str
    method: str
    url: str
    """Address without a query, which may hold a key."""
    attempt: int
    """1 for the first request of the call."""
    tag: str | None = None


class ResponseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The headers of an answer have arrived."""

    operation: str
    attempt: int
    status_code: int
    request_id: str | None
    duration: float
    """Seconds since the request was sent."""
    connection_reused: bool | None
    headers: Mapping[str, str]
    """The header fields of the answer; looking them up ignores case."""
    tag: str | None = None


class RetryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A request failed and will be sent again."""

    operation: str
    attempt: int
    """The number of the request that failed."""
    wait: float
    """Seconds until it is sent again."""
    error: ZaiError
    tag: str | None = None


class FinishEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A call is over, in whichever way."""

    operation: str
    model: str
    end: CallEnd
    """``"abandoned"`` was cancelled, or is a stream that was closed before its end."""
    attempts: tuple[Attempt, ...]
    timing: Timing
    usage: Usage | None
    """What the platform told about tokens."""
    error: Exception | None
    tag: str | None = None


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Functions, or coroutine functions, that are called as a call proceeds.

    What a hook raises ends the call and reaches the caller.
    """

    on_start: Callable[[StartEvent], Awaitable[None] | None] | None = None
    on_queue: Callable[[QueueEvent], Awaitable[None] | None] | None = None
    on_request: Callable[[RequestEvent], Awaitable[None] | None] | None = None
    on_response: Callable[[ResponseEvent], Awaitable[None] | None] | None = None
    on_retry: Callable[[RetryEvent], Awaitable[None] | None] | None = None
    on_finish: Callable[[FinishEvent], None] | None = None
    """No coroutine function: a call may end where nothing can wait, such as when cancelled."""


async def emit(hook: Callable[[Event], Awaitable[None] | None] | None, event: Event) -> None:
    """Call a hook, if there is one, and wait for it if it is asynchronous."""
    result = hook(event) if hook is not None else None
    if inspect.isawaitable(result):
        await result


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

    def __post_init__(self) -> None:
        # Any header of the caller's own may be a secret.
        force_setattr(self, "headers", masked(self.headers))

    def waits_for_quota(self, options: CallOptions) -> bool:
        """Tell whether a call with these options waits for an allowance."""
        own = options.wait_for_quota
        return self.wait_for_quota if own is None else own

    def timeout_for(self, options: CallOptions) -> Timeout:
        """Return the clocks for a call with these options."""
        if isinstance(options.timeout, Timeout):
            return options.timeout
        if options.timeout is None:
            return self.timeout
        seconds = float(options.timeout)
        return Timeout(self.timeout.connect, seconds, seconds, seconds)

    def retry_for(self, options: CallOptions) -> RetryPolicy:
        """Return the policy for a call with these options."""
        if options.retries is None:
            return self.retry
        return msgspec.structs.replace(self.retry, retries=options.retries)
