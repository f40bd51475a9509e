"""What a call leaves behind: its requests, its times, a line in the ledger, its last event."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from zai_async._clock import Clock
from zai_async._transport import Response
from zai_async._wire import Operation
from zai_async.errors import (
    APIError,
    Attempt,
    ConfigurationError,
    ConnectionLostError,
    Timing,
    TransportError,
    ZaiError,
)
from zai_async.ledger import Ledger
from zai_async.models import AgentReply, AgentUsage, CallOptions, TaskStatus, Usage
from zai_async.session.settings import CallEnd, FinishEvent, Settings, StartEvent, emit

__all__ = ["AttemptLog", "CallRecord", "model_of", "usage_of"]

_NAMES: Final = ("model", "agent_id")


class CallRecord:
    """Follows one call from its beginning to its end, of which there is exactly one."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        operation: Operation[Any],
        params: Mapping[str, Any],
        options: CallOptions,
    ) -> None:
        self.operation = operation.name
        self.model = model_of(operation.name, params)
        self.tag = options.tag
        self.begun: float | None = None
        self._generates = operation.spends and self.model != operation.name
        self._budgets = tuple(filter(None, (settings.budget, options.budget)))
        self._ledger = ledger
        self._hooks = settings.hooks
        self._clock = settings.clock
        self._spends = operation.spends
        self._job = str(params.get("id") or params.get("async_id") or "")
        self._job_model = self.model
        self._open = False
        self._written = 0
        self._queued = 0.0
        self._latest = 0.0
        self._answered: float | None = None
        self._progressed: float | None = None

    async def begin(self) -> None:
        """Note that the call begins, or goes on."""
        if self._open:
            return
        self._open = True
        self.begun = self._now() if self.begun is None else self.begun
        if self._hooks.on_start is not None:
            event = StartEvent(operation=self.operation, model=self.model, tag=self.tag)
            await emit(self._hooks.on_start, event)

    def require_means(self) -> None:
        """Look at the budgets, before a request that costs something.

        Raises:
            BudgetExceededError: One is used up.
            ConfigurationError: One is in money, and the price is not known.
        """
        for budget in self._budgets if self._generates else ():
            budget.require_rest()
            if budget.cost is not None and self._ledger.price(self.model) is None:
                text = f"a budget in money needs the price of {self.model!r}: AsyncZai(prices=...)"
                raise ConfigurationError(text)

    @contextmanager
    def queueing(self) -> Generator[None]:
        """Count the time spent inside as queueing."""
        since = self._now()
        try:
            yield
        finally:
            self._queued += self._now() - since

    def answered(self, now: float) -> None:
        """Note that the headers of an answer are here."""
        self._answered = now
        self._progressed = None

    def progressed(self) -> None:
        """Note that the first content of a stream is here."""
        self._progressed = self._now()

    @property
    def timing(self) -> Timing:
        """How long everything took so far."""
        if self.begun is None:
            return Timing()
        return Timing(
            queued=self._queued,
            first_byte=None if self._answered is None else self._answered - self.begun,
            first_token=None if self._progressed is None else self._progressed - self.begun,
            total=(self._now() if self._open else self._latest) - self.begun,
        )

    def end(
        self,
        attempts: Sequence[Attempt],
        usage: Usage | None,
        *,
        completed: bool,
        error: Exception | None,
    ) -> None:
        """Note that the call is over; again is harmless."""
        if not self._open:
            return
        self._now()  # the total ends here
        self._open = False
        sent, self._written = attempts[self._written :], len(attempts)
        if sent:
            self._write(sent, usage, completed=completed)
        self._finish(sent, usage, "completed" if completed else _end_by(error), error)

    def received(self, answer: object) -> None:
        """Look at an answer: the call may have submitted work, or have asked about some."""
        if not self._spends:
            self._job_model = str(getattr(answer, "model", "") or self.model)
        elif job := _job_of(answer):
            self._ledger.submitted(job, self.model, self.tag, self._budgets)

    def _write(self, sent: Sequence[Attempt], usage: Usage | None, *, completed: bool) -> None:
        """Write the call into the ledger; what it tells of other work, under that work."""
        self._ledger.record(
            self.model,
            self.tag,
            attempts=len(sent),
            usage=usage if self._spends else None,
            unknown=self._generates and _is_unknown(sent, usage, completed=completed),
            billed=completed and self._generates,
            budgets=self._budgets,
        )
        if usage is not None and _tells(usage) and self._job and not self._spends:
            self._ledger.settle(self._job, self._job_model, self.tag, usage, self._budgets)

    def _finish(
        self,
        attempts: Sequence[Attempt],
        usage: Usage | None,
        end: CallEnd,
        error: Exception | None,
    ) -> None:
        if self._hooks.on_finish is None:
            return
        event = FinishEvent(
            operation=self.operation,
            model=self.model,
            end=end,
            attempts=tuple(attempts),
            timing=self.timing,
            usage=usage,
            error=None if end == "completed" else error,
            tag=self.tag,
        )
        self._hooks.on_finish(event)

    def _now(self) -> float:
        try:
            self._latest = self._clock.monotonic()
        except RuntimeError:
            # No loop runs: the garbage collector ends a stream that was forgotten.
            return self._latest
        return self._latest


def model_of(operation: str, params: Mapping[str, Any]) -> str:
    """Return what a call is counted under: its model, its agent, or else the operation."""
    return next((str(params[name]) for name in _NAMES if params.get(name)), operation)


def usage_of(answer: object) -> Usage | None:
    """Return the tokens that an answer reports; None for one that is not counted in tokens."""
    told = getattr(answer, "usage", None)
    # An agent that says nothing is not done yet, or is paid by the call.
    silent = isinstance(told, AgentUsage) and told == AgentUsage()
    return told if isinstance(told, Usage) and not silent else None


def _job_of(answer: object) -> str:
    if isinstance(answer, AgentReply):
        return answer.async_id
    return answer.id if isinstance(answer, TaskStatus) else ""


def _end_by(error: Exception | None) -> CallEnd:
    return "abandoned" if error is None else "failed"


def _tells(usage: Usage) -> bool:
    return bool(usage.total_tokens or usage.prompt_tokens or usage.completion_tokens)


def _is_unknown(sent: Sequence[Attempt], usage: Usage | None, *, completed: bool) -> bool:
    """Tell whether tokens may have been used that nobody reported."""
    lost = any(attempt.maybe_billed for attempt in sent[:-1])
    if usage is not None and _tells(usage):
        return lost
    if completed:
        return lost or usage is not None
    last = sent[-1]
    return lost or last.error is None or last.maybe_billed


class AttemptLog:
    """Writes down the requests of a call; their records are made when somebody looks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._over: tuple[Attempt, ...] = ()
        self._known: tuple[Attempt, ...] | None = ()
        self.pending = False
        """Whether nothing is known yet about the end of the last request."""
        self.sent_at = 0.0
        self.wait = 0.0
        """Seconds slept before the next request."""

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def entries(self) -> tuple[Attempt, ...]:
        """Every request so far."""
        if self._known is None:
            self._known = (*self._over, self._entry())
        return self._known

    @property
    def last(self) -> Attempt:
        """The request that was sent last."""
        return self.entries[-1]

    def _entry(self) -> Attempt:
        return Attempt(
            number=len(self._over) + 1,
            started=self._started,
            duration=self._duration,
            wait=self._wait,
            status_code=self._status_code,
            request_id=self._request_id,
            connection_reused=self._connection_reused,
        )

    def start(self, begun: float) -> None:
        """Note that a request is being sent, in a call that began at this moment."""
        self._over, self._known = self.entries, None
        self.pending = True
        self.sent_at = self._clock.monotonic()
        self._started, self._duration, self._wait = self.sent_at - begun, 0.0, self.wait
        self._status_code: int | None = None
        self._request_id: str | None = None
        self._connection_reused: bool | None = None

    def answered(self, response: Response, now: float) -> None:
        """Note what the headers of an answer tell."""
        self._status_code = response.status
        self._request_id = response.headers.get("X-Log-Id")
        self._connection_reused = response.connection_reused
        self._lasted(now)

    def ended(self) -> None:
        """Note that as much as this is over."""
        self._lasted(self._clock.monotonic())

    def _lasted(self, until: float) -> None:
        self._duration = until - self.sent_at
        self._known = None

    def fail(self, error: ZaiError) -> None:
        """Note how the last request failed; what its headers told stays."""
        if not self.entries:
            return  # the deadline passed in the queue
        if self.pending:
            self.ended()
        stale = isinstance(error, ConnectionLostError) and error.stale
        failed = msgspec.structs.replace(
            self.last,
            status_code=error.status_code or self.last.status_code,
            code=error.code,
            error=type(error).__name__,
            request_id=error.request_id or self.last.request_id,
            connection_reused=stale or self.last.connection_reused,
            maybe_billed=not _refused(error),
        )
        self.pending, self._known = False, (*self._over, failed)


def _refused(error: ZaiError) -> bool:
    """Tell whether the server surely did no paid work for the failed request."""
    if isinstance(error, TransportError):
        return not error.request_sent
    return isinstance(error, APIError | ConfigurationError)
