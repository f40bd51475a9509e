"""What a call leaves behind: its requests, its times, a line in the ledger, its last event."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import msgspec

from zai_async._transport import Response
from zai_async._wire import Operation
from zai_async.errors import (
    APIError,
    Attempt,
    ConfigurationError,
    ConnectionLostError,
    SubmitUnknownError,
    Timing,
    TransportError,
    ZaiError,
)
from zai_async.ledger import Ledger
from zai_async.models import AgentReply, AgentUsage, CallOptions, TaskStatus, Usage
from zai_async.retry import is_safe_to_retry
from zai_async.session.hooks import CallEnd
from zai_async.session.observer import CallObserver
from zai_async.session.settings import Settings

__all__ = ["CallRecord", "usage_of"]


class CallRecord:
    """Follows one call from its beginning to its end, of which there is exactly one.

    Args:
        observer: Who tells the hooks; None where there are none.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        model: str,
        operation: Operation[Any],
        params: Mapping[str, Any],
        *,
        options: CallOptions,
        observer: CallObserver | None,
    ) -> None:
        self.model = model
        self.attempts: tuple[Attempt, ...] = ()
        """Every request so far; of the last one, what is known."""
        self.begun: float | None = None
        self.observer = observer
        self.sent_at: float | None = None
        """When the last request was sent; None when its end is known."""
        self.wait = 0.0
        """Seconds slept before the next request."""
        self._settings = settings
        self._ledger = ledger
        self._operation = operation
        self._params = params
        self._options = options
        self._open = False
        self._written = 0
        self._latest: float
        self._timing = Timing()

    def begin(self) -> bool:
        """Note that the call begins; False if it has already, and goes on."""
        if self._open:
            return False
        self._open = True
        # A stream that is opened once more has one deadline for all of its requests.
        if self.begun is None:
            self.begun = self.now()
        return True

    def check_budget(self) -> None:
        """Look at the budgets, before a request that costs something.

        Raises:
            BudgetExceededError: One is used up.
            ConfigurationError: One is in money, and the price is not known.
        """
        # Budgets and prices are for models; other operations are free, or are counted by nobody.
        if not self._operation.spends or self.model == self._operation.name:
            return
        for budget in filter(None, (self._settings.budget, self._options.budget)):
            budget.require_rest()
            if budget.cost is not None and self._ledger.price(self.model) is None:
                text = f"a budget in money needs the price of {self.model!r}: AsyncZai(prices=...)"
                raise ConfigurationError(text)

    @contextmanager
    def queueing(self) -> Generator[None]:
        """Count the time spent inside as queueing."""
        since = self.now()
        try:
            yield
        finally:
            queued = self._timing.queued + self.now() - since
            self._timing = msgspec.structs.replace(self._timing, queued=queued)

    def sending(self) -> None:
        """Note that a request is being sent."""
        self.sent_at = now = self.now()
        attempt = Attempt(
            number=len(self.attempts) + 1,
            started=now - (self.begun or 0.0),
            duration=0.0,
            wait=self.wait,
        )
        self.wait = 0.0
        # A new tuple each time: answers and errors keep the one that they were given.
        self.attempts = (*self.attempts, attempt)

    def answered(self, response: Response) -> Attempt:
        """Note what the headers of an answer tell, and return what is known of the attempt."""
        now = self.now()
        self._replace_last(
            status_code=response.status,
            request_id=response.headers.get("X-Log-Id"),
            connection_reused=response.connection_reused,
            duration=now - (now if self.sent_at is None else self.sent_at),
        )
        # What came of an answer before this one, which was given up, is nothing any more.
        self._timing = msgspec.structs.replace(
            self._timing, first_byte=now - (self.begun or 0.0), first_token=None
        )
        return self.attempts[-1]

    def failed(self, error: ZaiError) -> None:
        """Note how the last request failed, and in which operation; what its headers told stays.

        Nothing is noted if none was sent, or if its end is known: an error that passed while the
        call waited for its next request is not that of the last one.
        """
        error.operation = self._operation.name
        if self.sent_at is None:
            return
        last = self.attempts[-1]
        stale = isinstance(error, ConnectionLostError) and error.stale
        # Whether the server may have done paid work, for which there is no usable answer. A
        # refusal is free of charge, and so is what was never sent to its end.
        if isinstance(error, TransportError):
            maybe_billed = error.request_sent
        else:
            maybe_billed = not isinstance(error, APIError | ConfigurationError)
        self._replace_last(
            duration=self.now() - self.sent_at,
            status_code=error.status_code or last.status_code,
            code=error.code,
            error=type(error).__name__,
            request_id=error.request_id or last.request_id,
            connection_reused=stale or last.connection_reused,
            maybe_billed=maybe_billed,
        )
        self.sent_at = None
        if self.observer is not None:
            self.observer.attempt_ended(error)

    def final(self, error: ZaiError) -> ZaiError:
        """Return what the caller, the hooks and the ledger are told of the call, as it ends so.

        What was submitted may go on although nobody has learnt its name. Only a request that was
        never sent, or that was refused in so many words, has begun nothing.
        """
        unknown = self._operation.submits and self.sent_at is not None
        if not unknown or is_safe_to_retry(error):
            return error
        self.failed(error)  # the attempt keeps its own
        return SubmitUnknownError.hidden_by(error)

    def progressed(self) -> None:
        """Note that the first content of a stream is here."""
        first_token = self.now() - (self.begun or 0.0)
        self._timing = msgspec.structs.replace(self._timing, first_token=first_token)

    @property
    def timing(self) -> Timing:
        """How long everything took so far."""
        if self.begun is None:
            return Timing()
        end = self.now() if self._open else self._latest
        return msgspec.structs.replace(self._timing, total=end - self.begun)

    def end(
        self,
        usage: Usage | None,
        *,
        completed: bool,
        error: BaseException | None = None,
        answer: object = None,
    ) -> None:
        """Note that the call is over; again is harmless.

        ``answer`` is what came of it, if that came whole.
        """
        if not self._open:
            return
        now = self.now()
        self._open = False
        if answer is not None and self.sent_at is not None:
            self._replace_last(duration=now - self.sent_at)
        self.sent_at = None
        # What was written down when the call ended before is not written down again.
        sent, self._written = self.attempts[self._written :], len(self.attempts)
        if sent:
            self._write(sent, usage, answer, completed=completed)

        if self.observer is not None:
            failed = isinstance(error, Exception)
            end: CallEnd = "completed" if completed else "failed" if failed else "abandoned"
            self.observer.finished(
                end, attempts=sent, timing=self.timing, usage=usage, error=error, answer=answer
            )

    def _write(
        self, sent: Sequence[Attempt], usage: Usage | None, answer: object, *, completed: bool
    ) -> None:
        """Write the call into the ledger; what it tells of other work, under that work."""
        told = usage is not None and usage.total_tokens > 0
        unknown = any(map(attrgetter("maybe_billed"), sent[:-1]))
        if not (unknown or told):
            # Nobody reported tokens: for some answers there are none, others have been lost.
            last = sent[-1]
            unknown = usage is not None if completed else not last.error or last.maybe_billed

        tag, spends = self._options.tag or self._settings.tag, self._operation.spends
        # What has no model, such as a search, goes under its own name, and nobody counts tokens.
        generates = spends and self.model != self._operation.name
        budgets = tuple(filter(None, (self._settings.budget, self._options.budget)))
        self._ledger.record(
            self.model,
            tag,
            attempts=len(sent),
            usage=usage if spends else None,
            unknown=generates and unknown,
            billed=generates and completed,
            budgets=budgets,
        )

        if spends:
            # What submitted work uses is told later, and belongs to the call that submitted it.
            job = getattr(answer, "async_id" if isinstance(answer, AgentReply) else "id", "")
            if job and isinstance(answer, AgentReply | TaskStatus):
                self._ledger.submitted(job, self.model, tag, budgets)
        elif usage is not None and told:
            # A poll brings the bill of the work that it asks about.
            job = str(self._params.get("id") or self._params.get("async_id") or "")
            if job:
                model = str(getattr(answer, "model", "") or self.model)
                self._ledger.settle(job, model, tag, usage, budgets)

    def _replace_last(self, **facts: Any) -> None:
        last = msgspec.structs.replace(self.attempts[-1], **facts)
        self.attempts = (*self.attempts[:-1], last)

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return self.now() - (self.begun or 0.0)

    def now(self) -> float:
        """Return the time, or the last one known where none can be told."""
        try:
            self._latest = self._settings.clock.monotonic()
        except RuntimeError:
            # No loop runs: the garbage collector ends a stream that was forgotten.
            return self._latest
        return self._latest


def usage_of(answer: object) -> Usage | None:
    """Return the tokens that an answer reports; None for one that is not counted in tokens."""
    told = getattr(answer, "usage", None)
    # An agent that says nothing is not done yet, or is paid by the call.
    silent = isinstance(told, AgentUsage) and told == AgentUsage()
    return told if isinstance(told, Usage) and not silent else None
