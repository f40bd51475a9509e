"""What a caller can watch: one typed event for each thing that happens to a call."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from zai_async.errors import Attempt, Timing, ZaiError
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
