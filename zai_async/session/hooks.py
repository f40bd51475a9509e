"""What the hooks of a client see of each call: typed events, and blocks around call and attempt."""

import asyncio
import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, copy_context
from typing import Any, ClassVar, Final, Literal, TypeVar

import msgspec

from zai_async.errors import Attempt, ConfigurationError, Timing, ZaiError
from zai_async.limiter import Snapshot
from zai_async.models import CallOptions, Usage

__all__ = [
    "CallEnd",
    "CallObserver",
    "FinishEvent",
    "Hooks",
    "QueueEvent",
    "RequestEvent",
    "ResponseEvent",
    "RetryEvent",
    "StartEvent",
    "is_inside_hook",
]

CallEnd = Literal["completed", "failed", "abandoned"]
EventKind = Literal["call", "attempt"]

Event = TypeVar("Event")
LeaveBlock = Callable[[BaseException | None], None]

_log = logging.getLogger("zai_async")

# Prompts and tools are nobody else's business: of the keywords, only these are shown.
_SHOWN: Final = (
    *("temperature", "top_p", "do_sample", "max_tokens", "stop", "seed", "n"),
    *("presence_penalty", "frequency_penalty", "reasoning_effort", "thinking"),
    *("size", "quality", "duration", "dimensions", "top_n", "voice", "speed"),
)


class StartEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A call begins; exactly one ``FinishEvent`` will follow."""

    kind: ClassVar[EventKind] = "call"
    call_id: str = ""
    """The same on every event of one call, and on no event of another."""
    operation: str
    model: str
    """The model, or the agent; the operation where there is neither."""
    provider: str = ""
    """The gateway, as ``AsyncZai(provider=...)`` names it."""
    stream: bool = False
    """Whether the answer is a stream."""
    parameters: Mapping[str, Any] = {}
    """What the caller set of ``temperature``, ``max_tokens`` and the like; never what was asked."""
    tag: str | None = None


class QueueEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A call has to wait for others of its model."""

    kind: ClassVar[EventKind] = "call"
    call_id: str = ""
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

    kind: ClassVar[EventKind] = "attempt"
    call_id: str = ""
    operation: str
    method: str
    url: str
    """Address without a query, which may hold a key."""
    attempt: int
    """1 for the first request of the call."""
    tag: str | None = None


class ResponseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The headers of an answer have arrived."""

    kind: ClassVar[EventKind] = "attempt"
    call_id: str = ""
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

    kind: ClassVar[EventKind] = "call"
    call_id: str = ""
    operation: str
    attempt: int
    """The number of the request that failed."""
    wait: float
    """Seconds until it is sent again."""
    error: ZaiError
    tag: str | None = None


class FinishEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A call is over, in whichever way."""

    kind: ClassVar[EventKind] = "call"
    call_id: str = ""
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
        if inspect.iscoroutinefunction(self.on_finish):
            raise ConfigurationError("on_finish cannot be a coroutine function: nothing waits then")


class _HookRun:
    """A hook that is running; its context is inherited by the tasks that it starts."""

    __slots__ = ("active", "outer", "owner")

    def __init__(self, owner: object, outer: "_HookRun | None") -> None:
        self.owner = owner
        self.outer = outer
        self.active = True


_running: ContextVar[_HookRun | None] = ContextVar("zai_async.hook", default=None)


def is_inside_hook(owner: object) -> bool:
    """Tell whether a hook of this client is what makes a call.

    Such a call has no hooks, which would call each other without end, and takes no permit: the
    call that waits for the hook may hold the last one.
    """
    run = _running.get()
    while run is not None and not (run.active and run.owner is owner):
        run = run.outer
    return run is not None


class CallObserver:
    """Tells the hooks about one call; a client without hooks has none."""

    def __init__(
        self,
        hooks: Hooks,
        owner: object,
        start: StartEvent,
        params: Mapping[str, Any],
        options: CallOptions,
    ) -> None:
        self._hooks = hooks
        self._owner = owner
        self._stream = start.stream
        self.call_id = secrets.token_hex(8)
        self._facts: dict[str, Any] = {
            "call_id": self.call_id,
            "operation": start.operation,
            "tag": options.tag,
        }
        self._model = start.model
        extra: Mapping[str, Any] = params.get("extra") or {}
        given = {**params, **extra}
        self._start = msgspec.structs.replace(
            start,
            call_id=self.call_id,
            parameters={name: given[name] for name in _SHOWN if name in given},
            tag=options.tag,
        )
        self._leave_call: LeaveBlock | None = None
        self._leave_attempt: LeaveBlock | None = None

    async def started(self) -> None:
        """Tell that the call begins."""
        self._leave_call = self._enter(self._start)
        await self._emit(self._hooks.on_start, self._start)

    async def queued(self, figures: Snapshot) -> None:
        """Tell that it waits for a permit."""
        if self._hooks.on_queue is not None:
            event = QueueEvent(
                model=self._model,
                limit=figures.limit,
                in_flight=figures.in_flight,
                waiting=figures.waiting,
                **self._facts,
            )
            await self._emit(self._hooks.on_queue, event)

    async def requested(self, method: str, url: str, attempt: int) -> None:
        """Tell that a request is about to be sent."""
        event = RequestEvent(method=method, url=url, attempt=attempt, **self._facts)
        self._leave_attempt = self._enter(event)
        await self._emit(self._hooks.on_request, event)

    async def answered(self, attempt: Attempt, headers: Mapping[str, str]) -> None:
        """Tell that the headers of an answer are here."""
        if self._hooks.on_response is not None:
            event = ResponseEvent(
                attempt=attempt.number,
                status_code=attempt.status_code or 0,
                request_id=attempt.request_id,
                duration=attempt.duration,
                connection_reused=attempt.connection_reused,
                headers=headers,
                **self._facts,
            )
            await self._emit(self._hooks.on_response, event)

    async def retrying(self, error: ZaiError, attempt: int, wait: float) -> None:
        """Tell that a request will be sent again."""
        if self._hooks.on_retry is not None:
            event = RetryEvent(attempt=attempt, wait=wait, error=error, **self._facts)
            await self._emit(self._hooks.on_retry, event)

    def attempt_ended(self, error: BaseException | None = None) -> None:
        """Leave the block around the last request; again is harmless."""
        leave, self._leave_attempt = self._leave_attempt, None
        if leave is not None:
            leave(error)

    def finished(
        self,
        end: CallEnd,
        *,
        attempts: tuple[Attempt, ...],
        timing: Timing,
        usage: Usage | None,
        error: BaseException | None,
    ) -> None:
        """Tell that the call is over. Nothing that fails here can end it any more."""
        self.attempt_ended(error)
        if self._hooks.on_finish is not None:
            event = FinishEvent(
                model=self._model,
                end=end,
                attempts=attempts,
                timing=timing,
                usage=usage,
                error=error if end == "failed" and isinstance(error, Exception) else None,
                **self._facts,
            )
            try:
                self._hooks.on_finish(event)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("on_finish failed")
        leave, self._leave_call = self._leave_call, None
        if leave is not None:
            leave(error)

    def _enter(self, event: StartEvent | RequestEvent) -> LeaveBlock | None:
        """Enter the block that the caller wants around a call or an attempt."""
        around = self._hooks.around
        if around is None:
            return None
        # A stream is opened by one task and may be closed by another. What the block puts into
        # context variables could not be taken back there, unless the context comes along.
        run: Callable[..., Any] = copy_context().run if self._stream else _directly
        block: AbstractContextManager[object] | None = run(around, event)
        if block is None:
            return None
        run(block.__enter__)

        def leave(error: BaseException | None) -> None:
            facts = (type(error), error, error.__traceback__) if error else (None, None, None)
            try:
                run(block.__exit__, *facts)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("the block around a call or an attempt failed at its end")

        return leave

    async def _emit(
        self, hook: Callable[[Event], Awaitable[None] | None] | None, event: Event
    ) -> None:
        """Call a hook, if there is one, and wait for it if it is asynchronous."""
        if hook is None:
            return
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        run = _HookRun(self._owner, _running.get())
        token = _running.set(run)
        try:
            result = hook(event)
            if not inspect.isawaitable(result):
                return
            await result
        except Exception as error:
            # Nobody's cancellation is replaced, or swallowed, by what a hook does about it.
            if task and task.cancelling() > cancels:
                raise asyncio.CancelledError from error
            raise
        finally:
            run.active = False
            _running.reset(token)
        if task and task.cancelling() > cancels:
            raise asyncio.CancelledError


def _directly(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)
