"""What the hooks of a client see of each call: typed events, and blocks around call and attempt."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

import msgspec

from zai_async.errors import Attempt, ConfigurationError, Timing, ZaiError
from zai_async.models import Usage

__all__ = [
    "CallEnd",
    "FinishEvent",
    "Hooks",
    "QueueEvent",
    "RequestEvent",
    "ResponseEvent",
    "RetryEvent",
    "StartEvent",
]

CallEnd = Literal["completed", "failed", "abandoned"]
# What an observer draws spans of: a call may contain several attempts.
EventKind = Literal["call", "attempt"]


class CallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What every event tells."""

    kind: ClassVar[EventKind] = "call"
    call_id: str = ""
    """The same on every event of one call, and on no event of another."""
    operation: str
    tag: str | None = None
    """The label of the call, from its options."""


class StartEvent(CallEvent, frozen=True, kw_only=True):
    """A call begins; exactly one ``FinishEvent`` will follow."""

    model: str
    """The model, or the agent; the operation where there is neither."""
    provider: str = ""
    """The gateway, as ``AsyncZai(provider=...)`` names it."""
    stream: bool = False
    """Whether the answer is a stream."""
    parameters: Mapping[str, Any] = {}
    """What the caller set of ``temperature``, ``max_tokens`` and the like; never what was asked."""


class QueueEvent(CallEvent, frozen=True, kw_only=True):
    """A call has to wait for others of its model."""

    model: str
    limit: int | None
    """How many may be in flight; None where only a rate holds the call up."""
    in_flight: int
    waiting: int
    """How many wait already."""


class RequestEvent(CallEvent, frozen=True, kw_only=True):
    """A request is about to be sent."""

    kind: ClassVar[EventKind] = "attempt"
    method: str
    url: str
    """Address without a query, which may hold a key."""
    attempt: int
    """1 for the first request of the call."""


class ResponseEvent(CallEvent, frozen=True, kw_only=True):
    """The headers of an answer have arrived."""

    kind: ClassVar[EventKind] = "attempt"
    attempt: int
    status_code: int
    request_id: str | None
    duration: float
    """Seconds since the request was sent."""
    connection_reused: bool | None
    headers: Mapping[str, str]
    """The header fields of the answer; looking them up ignores case."""


class RetryEvent(CallEvent, frozen=True, kw_only=True):
    """A request failed and will be sent again."""

    attempt: int
    """The number of the request that failed."""
    wait: float
    """Seconds until it is sent again."""
    error: ZaiError


class FinishEvent(CallEvent, frozen=True, kw_only=True):
    """A call is over, in whichever way."""

    model: str
    end: CallEnd
    """``"abandoned"`` was cancelled, or is a stream that was closed before its end."""
    attempts: tuple[Attempt, ...]
    timing: Timing
    usage: Usage | None
    """What the platform told about tokens."""
    error: Exception | None


Around = Callable[[StartEvent | RequestEvent], AbstractContextManager[object] | None]


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Functions, or coroutine functions, that are called as a call proceeds.

    What a hook raises ends the call. It reaches the caller, except where the call has an error or
    an answer already: then that does, and the failure of the hook is logged.

    Raises ConfigurationError for an ``on_finish`` that is a coroutine function.
    """

    on_start: Callable[[StartEvent], Awaitable[None] | None] | None = None
    on_queue: Callable[[QueueEvent], Awaitable[None] | None] | None = None
    on_request: Callable[[RequestEvent], Awaitable[None] | None] | None = None
    on_response: Callable[[ResponseEvent], Awaitable[None] | None] | None = None
    on_retry: Callable[[RetryEvent], Awaitable[None] | None] | None = None
    on_finish: Callable[[FinishEvent], None] | None = None
    """No coroutine function: a call may end where nothing can wait, such as when cancelled."""
    around: Around | None = None
    """Returns a context manager that is entered when a call begins, or when one of its requests is
    sent, and left when that is over, with the error if it failed; None for no interest. The event
    says which of the two it is: a ``StartEvent`` or a ``RequestEvent``."""

    def __post_init__(self) -> None:
        # It would be called and never run, which nobody would notice but for a warning.
        called = getattr(self.on_finish, "__call__", None)  # noqa: B004 - of an object of a class
        if any(map(inspect.iscoroutinefunction, (self.on_finish, called))):
            raise ConfigurationError("on_finish cannot be a coroutine function: nothing waits then")
