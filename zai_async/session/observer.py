"""Telling the hooks of a client about one call, whatever they do about it."""

import asyncio
import inspect
import logging
import operator
import secrets
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from zai_async._secrets import shown_fields
from zai_async._wire import HeaderSet, Operation, Request
from zai_async.errors import Attempt, Timing, ZaiError
from zai_async.limiter import Snapshot
from zai_async.models import CallOptions, Usage
from zai_async.models.reply import HeaderFields
from zai_async.session.hooks import (
    BatchEvent,
    CallEnd,
    FinishEvent,
    Hooks,
    QueueEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    StartEvent,
    ToolEvent,
)
from zai_async.session.settings import Settings

__all__ = ["CallObserver", "is_inside_hook", "running_hook", "work_block"]

Event = TypeVar("Event")
LeaveBlock = Callable[[BaseException | None], None]

_log = logging.getLogger("zai_async")

# Prompts and tools are nobody else's business: of the keywords, only these are shown.
_SHOWN: Final = (
    *("temperature", "top_p", "do_sample", "max_tokens", "stop", "seed", "n"),
    *("presence_penalty", "frequency_penalty", "reasoning_effort", "thinking"),
    *("size", "quality", "duration", "dimensions", "top_n", "voice", "speed"),
)


class _HookRun:
    """A hook that is running; its context is inherited by the tasks that it starts."""

    __slots__ = ("active", "outer", "owner")

    def __init__(self, owner: object, outer: "_HookRun | None") -> None:
        self.owner = owner
        self.outer = outer
        self.active = True


running_hook: ContextVar[_HookRun | None] = ContextVar("zai_async.hook", default=None)
"""The hook that makes the calls of this context, or has started the task that does; else None."""


def is_inside_hook(owner: object) -> bool:
    """Tell whether a hook of this client is what makes a call.

    Such a call has no hooks, which would call each other without end, and takes no permit: the
    call that waits for the hook may hold the last one.
    """
    run = running_hook.get()
    while run is not None and not (run.active and run.owner is owner):
        run = run.outer
    return run is not None


class CallObserver:
    """Tells the hooks about one call; a client without hooks has none."""

    def __init__(
        self,
        settings: Settings,
        owner: object,
        operation: Operation[Any],
        model: str,
        params: Mapping[str, Any],
    ) -> None:
        options: CallOptions | None = params.get("options")
        self._hooks = settings.hooks
        self._provider = settings.provider.name
        self._owner = owner
        self._operation = operation
        self._model = model
        self._params = params
        self._facts: dict[str, Any] = {
            "operation": operation.name,
            "tag": (options and options.tag) or settings.tag,
        }
        self.answer: object = None
        """What has come of the call, where its end does not tell."""
        self._leave_call: LeaveBlock | None = None
        self._leave_attempt: LeaveBlock | None = None

    async def started(self) -> None:
        """Tell that the call begins."""
        # Not when the call is made: a stream that is opened again after its end is another call.
        self._facts["call_id"] = secrets.token_hex(8)
        # As in the body, what is extra wins.
        extra: Mapping[str, Any] = self._params.get("extra") or {}
        given = {**self._params, **extra}
        event = StartEvent(
            model=self._model,
            provider=self._provider,
            stream=self._operation.stream,
            parameters={name: given[name] for name in _SHOWN if name in given},
            content=given if self._hooks.content else None,
            **self._facts,
        )
        self._leave_call = self._enter(event)
        await self._emit(self._hooks.on_start, event)

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

    async def requested(self, request: Request, attempt: int) -> Request:
        """Tell that a request is about to be sent, and return it with what hooks add."""
        url = request.url.partition("?")[0]
        event = RequestEvent(method=request.method, url=url, attempt=attempt, **self._facts)
        self._leave_attempt = self._enter(event)
        await self._emit(self._hooks.on_request, event)
        if not event.headers:
            return request
        own = HeaderSet(request.headers, request.secret_headers)
        fields, secret = own.over(self._operation, event.headers)
        return replace(request, headers=fields, secret_headers=secret)

    async def answered(self, attempt: Attempt, headers: Mapping[str, str]) -> None:
        """Tell that the headers of an answer are here."""
        if self._hooks.on_response is not None:
            shown = shown_fields(headers)
            event = ResponseEvent(
                attempt=attempt.number,
                status_code=attempt.status_code or 0,
                request_id=attempt.request_id,
                duration=attempt.duration,
                connection_reused=attempt.connection_reused,
                headers=headers if shown is headers else HeaderFields(shown),
                **self._facts,
            )
            await self._emit(self._hooks.on_response, event)

    async def retrying(self, error: ZaiError, attempt: int, wait: float) -> bool:
        """Tell that a request will be sent again; False if the hook failed, which forbids it."""
        if self._hooks.on_retry is not None:
            event = RetryEvent(attempt=attempt, wait=wait, error=error, **self._facts)
            try:
                await self._emit(self._hooks.on_retry, event)
            except Exception as failure:  # noqa: BLE001 - it is the caller's own code
                # There is an error already, which a failure of the hook must not replace.
                if failure is not error:
                    _log.exception("on_retry failed: %s is not sent again", self._operation.name)
                return False
        return True

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
        answer: object,
    ) -> None:
        """Tell that the call is over. Nothing that fails here can end it any more."""
        # From inside to outside: the block around the call sees everything else of it.
        self.attempt_ended(error)
        if self._hooks.on_finish is not None:
            found = next(filter(None, (answer, self.answer, getattr(error, "partial", None))), None)
            reasons = (getattr(each, "finish_reason", "") for each in getattr(found, "choices", ()))
            event = FinishEvent(
                model=self._model,
                end=end,
                attempts=attempts,
                timing=timing,
                usage=usage,
                error=error if end == "failed" and isinstance(error, Exception) else None,
                response_id=str(getattr(found, "id", "") or "") or None,
                response_model=str(getattr(found, "model", "") or "") or None,
                finish_reasons=tuple(str(reason) for reason in reasons if reason),
                answer=found if self._hooks.content else None,
                **self._facts,
            )
            try:
                self._hooks.on_finish(event)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - as above; it waits for nothing
                _log.exception("on_finish failed")
        leave, self._leave_call = self._leave_call, None
        if leave is not None:
            leave(error)

    def _enter(self, event: StartEvent | RequestEvent) -> LeaveBlock | None:
        """Enter the block that the caller wants around a call or an attempt."""
        # A stream is opened by one task and may be closed by another. What the block puts into
        # context variables could not be taken back there, unless the context comes along.
        run: Callable[..., Any] = copy_context().run if self._operation.stream else operator.call
        return _enter_block(self._hooks.around, event, run)

    async def _emit(
        self, hook: Callable[[Event], Awaitable[None] | None] | None, event: Event
    ) -> None:
        """Call a hook, if there is one, and wait for it if it is asynchronous."""
        if hook is None:
            return
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        # A hook of another client may be what makes this call.
        run = _HookRun(self._owner, running_hook.get())
        token = running_hook.set(run)
        failure: Exception | None = None
        try:
            result = hook(event)
            if not inspect.isawaitable(result):
                return
            await result
        except Exception as error:  # noqa: BLE001 - it is the caller's own code
            failure = error
        finally:
            # Tasks that the hook has started keep the variable, and are no part of the hook.
            run.active = False
            running_hook.reset(token)
        if task and task.cancelling() > cancels:
            # A hook neither swallows nor replaces the cancellation of a call. A scope of anyio
            # has to raise its own once more; all others take any.
            await checkpoint()
            raise asyncio.CancelledError from failure
        if failure is not None:
            raise failure


@contextmanager
def work_block(hooks: Hooks, event: ToolEvent | BatchEvent) -> Generator[None]:
    """Enter the block that the caller wants around a tool or a batch."""
    leave = _enter_block(hooks.around_work, event, operator.call)
    error: BaseException | None = None
    try:
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        if leave is not None:
            leave(error)
        del error


def _enter_block(
    around: Callable[[Any], AbstractContextManager[object] | None] | None,
    event: object,
    run: Callable[..., Any],
) -> LeaveBlock | None:
    block: AbstractContextManager[object] | None = None if around is None else run(around, event)
    if block is None:
        return None
    run(block.__enter__)

    def leave(error: BaseException | None) -> None:
        facts = (type(error), error, error.__traceback__) if error else (None, None, None)
        try:
            run(block.__exit__, *facts)
        except Exception:  # noqa: BLE001 - there is an answer or an error, which counts
            _log.exception("a block around a call, an attempt, a tool or a batch failed at its end")

    return leave
