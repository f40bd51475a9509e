"""One logical call: its attempts, its deadline, and what became of each request."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
import msgspec

from zai_async._clock import Patience
from zai_async._secrets import Secret
from zai_async._transport import Request, Response
from zai_async._wire import RequestFactory, authorized
from zai_async.errors import (
    Attempt,
    BudgetExceededError,
    ClientDrainingError,
    ConfigurationError,
    ConnectionLostError,
    DeadlineError,
    RequestTimeoutError,
    Timing,
    ZaiError,
)
from zai_async.models import CallOptions, Usage
from zai_async.session.bodies import is_event_stream, raise_body
from zai_async.session.gate import turn_of
from zai_async.session.loops import LoopSession, Sessions, Visit
from zai_async.session.record import AttemptLog, CallRecord, usage_of
from zai_async.session.repetition import Repetition
from zai_async.session.settings import (
    QueueEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    Settings,
    emit,
)
from zai_async.uploads import BodyStream

__all__ = ["Call"]

T = TypeVar("T")

_log = logging.getLogger("zai_async")

_CROWDED = 429
_NO_OPTIONS = CallOptions()
_REASONS: Mapping[str, str] = {
    "throttle": "too many requests at once",
    "overload": "the model is busy",
    "quota": "the plan is used up",
    "server": "the platform failed",
    "connection": "the connection failed",
    "timeout": "nothing came in time",
}
_SUSPECT = "Others of this model pass: something in this very request may be the reason."


class Call:
    """Sends the requests of one call until it succeeds, or until it may not go on."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        factory: RequestFactory,
        params: Mapping[str, Any],
    ) -> None:
        options: CallOptions = params.get("options") or _NO_OPTIONS
        self.settings = settings
        self.options = options
        self.operation = operation = factory.operation
        self.timeout = settings.timeout_for(options)
        self.request = factory.build(params, connect_timeout=self.timeout.connect)
        body = self.request.body
        self._files: BodyStream | None = None if isinstance(body, bytes | None) else body
        self._sessions = sessions
        self._visit = Visit(sessions.visits)
        self._record = CallRecord(settings, sessions.ledger, operation, params, options)
        self._turn = turn_of(settings, sessions.gates, self._record.model)
        self._history = AttemptLog(settings.clock)
        self._repetition = Repetition(settings, sessions.reserve, options, operation, self._files)
        self._failure: Exception | None = None
        self._last_chance = False
        self._patience: Patience
        self.session: LoopSession

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request of the call so far."""
        return self._history.entries

    @property
    def timing(self) -> Timing:
        """How long everything took so far."""
        return self._record.timing

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be repeated in a message."""
        return tuple(filter(None, (self.settings.key, *self.request.secret_headers.values())))

    @property
    def deadline_at(self) -> float | None:
        """When everything must be over, on the monotonic clock; None without a deadline."""
        if self.options.deadline is None or self._record.begun is None:
            return None
        return self._record.begun + self.options.deadline

    async def run(self, finish: Callable[[Response], Awaitable[T]]) -> T:
        """Send requests until ``finish`` accepts an answer; it closes what it does not keep.

        The slot of the limiter is kept until ``leave()``, or until this fails.
        """
        self._visit.enter()
        try:
            return await self._stay(self._run(finish))
        except BaseException as error:
            # An answer that the judge refused is paid for all the same.
            self.leave(usage_of(getattr(error, "partial", None)))
            raise

    async def _run(self, finish: Callable[[Response], Awaitable[T]]) -> T:
        await self._record.begin()
        while True:
            self.session = await self._sessions.current()
            await self._prepare()
            try:
                await self._take_turn()
                self._record.require_means()
                self._history.start(self._begun)
                return await self._attempt(finish)
            except (ConfigurationError, BudgetExceededError) as error:
                if self._history.pending:
                    self._history.fail(error)  # the body turned out to be none
                error.attempts = self.attempts
                raise
            except ZaiError as error:
                await self._recover(error)

    async def _stay(self, work: Awaitable[T]) -> T:
        try:
            return await self._visit.stay(work)
        except BaseException as error:
            self._give_back()
            if isinstance(error, ClientDrainingError):
                self.note(error)
            self._failure = error if isinstance(error, Exception) else None
            raise

    def leave(self, usage: Usage | None = None, *, completed: bool = False) -> None:
        """Be over, and give the slot of the limiter back; again is harmless.

        ``usage`` is what the answer says about tokens; None if that is nothing.
        """
        self._give_back(usage)
        # An error that is kept would keep, by its traceback, this call alive.
        error, self._failure = self._failure, None
        self._record.end(self.attempts, usage, completed=completed, error=error)

    def complete(self, answer: object) -> None:
        """Be over with an answer that is whole."""
        self._record.received(answer)
        self.leave(usage_of(answer), completed=True)

    def progressed(self) -> None:
        """Note that the first content of a stream has arrived."""
        self._record.progressed()

    def _give_back(self, usage: Usage | None = None) -> None:
        # What a poll reports was used by another call.
        known = usage if self.operation.spends else None
        self._turn.leave(tokens=None if known is None else known.total_tokens)
        self._visit.leave()

    @property
    def _begun(self) -> float:
        return self._record.begun or 0.0

    async def _take_turn(self) -> None:
        if self._turn.try_take():
            return
        if not self._turn.admitted:
            await self._tell_wait()
        with self._record.queueing(), anyio.CancelScope(deadline=self._until(None)):
            await self._turn.take()
            return
        raise self._too_late()

    async def _tell_wait(self) -> None:
        """Say that the call waits: one line in the log, one event to the hook."""
        figures = self._turn.figures
        _log.debug("%s: %s; waiting", self.operation.name, self._turn.situation)
        event = QueueEvent(
            operation=self.operation.name,
            model=self._record.model,
            limit=figures.limit,
            in_flight=figures.in_flight,
            waiting=figures.waiting,
            tag=self.options.tag,
        )
        await emit(self.settings.hooks.on_queue, event)

    async def _prepare(self) -> None:
        """Look at the files that the body is made of."""
        if self._files is not None:
            await self._files.prepare()

    async def open(self) -> Response:
        """Send requests until one is answered by an event stream."""
        return await self.run(self._expect_stream)

    async def _expect_stream(self, response: Response) -> Response:
        if not is_event_stream(response):
            await raise_body(response, self.settings, self.secrets, self.arrived)
        return response

    def note(self, error: ZaiError) -> None:
        """Write down that the call has failed for good."""
        self._failure = error
        self._history.fail(error)
        error.operation = self.operation.name
        error.attempts = self.attempts
        error.timing = self.timing
        error.hint = self._hint(error)

    async def recover(self, error: ZaiError) -> None:
        """Return when the request may be sent again; raise the error when it may not."""
        try:
            await self._stay(self._recover(error))
        except ZaiError:
            raise  # the stream leaves, and knows what was used
        except BaseException:
            self.leave()
            raise

    async def _recover(self, error: ZaiError) -> None:
        wait = self._repetition.decide(
            error,
            attempts=len(self._history),
            elapsed=self.settings.clock.monotonic() - self._begun,
            queues=self._turn.counts(error),
        )
        if wait is None:
            self.note(error)
            raise error
        self._history.fail(error)
        error.operation = self.operation.name
        await self._tell(error, wait)
        self._history.wait = wait
        await self._pause(error, wait)

    async def _pause(self, error: ZaiError, wait: float) -> None:
        """Wait as long as the policy says, or for a slot if there were too many requests."""
        if not self._turn.counts(error):
            self._turn.leave()
            await self.settings.clock.sleep(wait)
            return
        with self._record.queueing(), anyio.move_on_after(self._time_left()) as scope:
            await self._turn.again(error)
            await self.settings.clock.sleep(error.retry_after or 0.0)
        if scope.cancelled_caught:
            self.note(error)
            raise error

    def _time_left(self) -> float:
        """Return the seconds within which a repetition may begin."""
        elapsed = self.settings.clock.monotonic() - self._begun
        return min(self._repetition.policy.budget, self.options.deadline or math.inf) - elapsed

    async def _tell(self, error: ZaiError, wait: float) -> None:
        """Say that the request will be sent again: one line in the log, one event to the hook."""
        what = _REASONS.get(error.kind, error.message)
        which = f"code {error.code}" if error.code else type(error).__name__
        when = "when a slot is free" if self._turn.counts(error) else f"in {wait:.2f} s"
        _log.info("%s: %s (%s); again %s", self.operation.name, what, which, when)
        event = RetryEvent(
            operation=self.operation.name,
            attempt=len(self._history),
            wait=wait,
            error=error,
            tag=self.options.tag,
        )
        await emit(self.settings.hooks.on_retry, event)

    def _hint(self, error: ZaiError) -> str | None:
        """Add what the error means here, and the address if that may be the mistake."""
        provider = self.settings.provider
        own = provider.hints.get(error.kind)
        where = f"The address was {_shown(self.request)}." if error.kind == "not_found" else None
        suspect = _SUSPECT if self._turn.suspect else None
        reasons = (error.hint, own, where, suspect, self._repetition.hint)
        return " ".join(filter(None, reasons)) or None

    async def _attempt(self, finish: Callable[[Response], Awaitable[T]]) -> T:
        with Patience(self.session.loop) as self._patience:
            self._patience.until(self._until(self.timeout.first_byte))
            self._sign()
            response = await self._send(self.request)
            try:
                await self._answered(response)
                self.arrived()
                result = await finish(response)
            except BaseException:
                response.close()
                raise
            self._history.ended()
            self._repetition.succeeded()
            return result
        raise self._too_late()

    def arrived(self) -> None:
        """Note that a piece of the answer is here; the next one may take its time again."""
        self._patience.until(self._until(self.timeout.between_progress))

    def _sign(self) -> None:
        settings = self.settings
        if settings.provider.key_in == "jwt" and settings.key is not None:
            self.request = authorized(self.request, settings.key, settings.clock.wall())

    def _until(self, limit: float | None) -> float:
        """Return the moment on the loop's clock at which a wait of this length ends."""
        patience = math.inf if limit is None else limit
        left = math.inf
        if self.options.deadline is not None:
            left = self._begun + self.options.deadline - self.settings.clock.monotonic()
        self._last_chance = left <= patience
        return self.session.loop.time() + min(patience, left)

    def _too_late(self) -> ZaiError:
        if self._last_chance and self.options.deadline is not None:
            return DeadlineError(f"the deadline of {self.options.deadline:g} s has passed")
        waited = self.settings.clock.monotonic() - self._history.sent_at
        return RequestTimeoutError(f"no answer for {waited:.1f} s")

    async def _send(self, request: Request) -> Response:
        await self._announce(request)
        try:
            return await self.session.transport.send(request)
        except ConnectionLostError as error:
            if not error.stale or request.fresh or not self._repetition.may_resend():
                raise
            self._history.fail(error)
        # The connection had idled for too long; the request did not reach anybody.
        self._history.wait = 0.0
        self._history.start(self._begun)
        return await self._send(msgspec.structs.replace(request, fresh=True))

    async def _announce(self, request: Request) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s: %s %s", self.operation.name, request.method, _shown(request))
        if self.settings.hooks.on_request is not None:
            event = RequestEvent(
                operation=self.operation.name,
                method=request.method,
                url=_shown(request),
                attempt=len(self._history),
                tag=self.options.tag,
            )
            await emit(self.settings.hooks.on_request, event)

    async def _answered(self, response: Response) -> None:
        now = self.settings.clock.monotonic()
        self._record.answered(now)
        self._history.answered(response, now)
        if response.status != _CROWDED:
            self._turn.accepted()
        if _log.isEnabledFor(logging.DEBUG):
            took = self._history.last.duration
            _log.debug("%s: HTTP %d in %.3f s", self.operation.name, response.status, took)
        if self.settings.hooks.on_response is not None:
            attempt = self._history.last
            event = ResponseEvent(
                operation=self.operation.name,
                attempt=attempt.number,
                status_code=response.status,
                request_id=attempt.request_id,
                duration=attempt.duration,
                connection_reused=attempt.connection_reused,
                headers=response.headers,
                tag=self.options.tag,
            )
            await emit(self.settings.hooks.on_response, event)


def _shown(request: Request) -> str:
    """Return the address without its query, which may hold a key."""
    return request.url.partition("?")[0]
