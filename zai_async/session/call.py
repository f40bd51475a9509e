"""One logical call: its attempts, its deadline, and what became of each request."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec.structs import replace

from zai_async._secrets import Secret, without_frames
from zai_async._transport import Response
from zai_async._wire import Operation, RequestFactory, authorized
from zai_async.errors import (
    APIError,
    Attempt,
    ClientDrainingError,
    ConnectionLostError,
    DeadlineError,
    LimitError,
    RequestTimeoutError,
    ResponseError,
    Timing,
    TransportError,
    ZaiError,
)
from zai_async.models import CallOptions, Usage
from zai_async.models.options import NO_OPTIONS, options_of
from zai_async.retry import RetryState, describe_retry, retries_forbidden
from zai_async.session.bodies import BodyBuffer, ends_itself, raise_no_answer
from zai_async.session.hooks import Hooks
from zai_async.session.in_flight import InFlightCall, Permit
from zai_async.session.observer import CallObserver, is_inside_hook, running_hook
from zai_async.session.record import CallRecord, usage_of
from zai_async.session.settings import Settings
from zai_async.uploads import BodyStream

if TYPE_CHECKING:  # it makes the calls
    from zai_async.session.manager import LoopSession, Sessions

__all__ = ["Call"]

T = TypeVar("T")
_log = logging.getLogger("zai_async")

_NO_HOOKS: Final = Hooks()
_PROGRESS_BYTES: Final = 2**14


class Call:
    """Sends the requests of one call until it succeeds, or until it may not go on.

    ``execute()`` is the whole of it. A stream opens its answer with ``open()``, reads that itself,
    and comes back with ``recover()`` and ``open()`` if it breaks before anything was handed out.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: "Sessions",
        factory: RequestFactory,
        params: Mapping[str, Any],
    ) -> None:
        given = params.get("options", NO_OPTIONS)
        options: CallOptions = given if type(given) is CallOptions else options_of(given)
        if retries_forbidden.get():
            options = replace(options, retries=0)
        self.settings, self.options = settings, options
        self.operation: Operation[Any] = factory.operation
        self.timeout = options.timeouts(settings.timeout) if options.timeout else settings.timeout
        self.request = factory.build(params, connect_timeout=self.timeout.connect)
        self.session: LoopSession
        # What the call is counted under: its model, its agent, or else the operation.
        model = str(params.get("model") or params.get("agent_id") or self.operation.name)
        nested = running_hook.get() is not None and is_inside_hook(sessions)
        observer = None
        if settings.hooks != _NO_HOOKS and not nested:
            observer = CallObserver(settings, sessions, self.operation, model, params)
        facts = settings, sessions.ledger, model, self.operation, params
        self.record = CallRecord(*facts, options=options, observer=observer)
        body = self.request.body
        self._files: BodyStream | None = None if isinstance(body, bytes | None) else body
        self._sessions = sessions
        self._in_flight = InFlightCall(sessions.calls)
        queues = sessions.unlimited if nested else sessions.queues
        self.permit = Permit(queues, queues.queue_of(settings, model))
        self._retry: RetryState | None = None
        self._retrying: tuple[ZaiError, float, RetryState] | None = None
        self._error: BaseException | None = None
        self._waits_for_deadline: bool

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request of the call so far."""
        return self.record.attempts

    @property
    def timing(self) -> Timing:
        """How long everything took so far."""
        return self.record.timing

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be repeated in a message."""
        key, others = self.settings.key, self.request.secret_headers.values()
        return (*(() if key is None else (key,)), *others, *self.settings.secrets)

    @property
    def deadline_at(self) -> float | None:
        """When everything must be over, on the monotonic clock; None without a deadline."""
        if self.options.deadline is None or self.record.begun is None:
            return None
        return self.record.begun + self.options.deadline

    async def execute(  # noqa: C901, PLR0912, PLR0915 - one story, from its beginning to its end
        self, accept: Callable[[Response], Awaitable[T]]
    ) -> T:
        """Send requests until ``accept`` takes an answer, or until the call may not go on.

        ``accept`` raises what an answer reports that is an error. The permit of the limiter is
        kept until ``leave()``, or until this fails.
        """
        settings, timeout, record = self.settings, self.timeout, self.record
        observer, permit, in_flight = record.observer, self.permit, self._in_flight
        retry_budget, fresh = self._sessions.retry_budget, False
        failure: ZaiError | None = None
        try:
            while True:
                # Register. Once a drain has begun nobody new gets in; a retry is nobody new.
                in_flight.register()
                self.session = await self._sessions.current()
                begins = record.begin()
                try:
                    # Whatever is awaited from here on ends when its time is over, or at the end
                    # of a drain: one timer, the moment of which moves along with the steps.
                    with in_flight:
                        if self.options.deadline is not None:
                            in_flight.reschedule(self._until(None))
                        if begins and observer is not None:
                            await observer.started()

                        # Sleep, if a request has failed before.
                        if self._retrying is not None:
                            await self._pause(*self._retrying)

                        # Wait for a permit, which a retry may have already.
                        if self._files is not None:
                            await self._files.prepare()
                        if not permit.try_take():
                            await self._queue()

                        # Check the budgets, of which others may have used the rest meanwhile.
                        if settings.budget is not None or self.options.budget is not None:
                            record.check_budget()

                        # Send.
                        in_flight.reschedule(self._until(timeout.first_byte))
                        if settings.provider.key_in == "jwt" and settings.key is not None:
                            now = settings.clock.wall()
                            self.request = authorized(self.request, settings.key, now)
                        request = self.request if not fresh else replace(self.request, fresh=True)
                        where = request.url.partition("?")[0]
                        record.sending()
                        _log.debug("%s: %s %s", request.operation, request.method, where)
                        if observer is not None:
                            request = await observer.requested(request, len(record.attempts))
                        response = await self.session.transport.send(request)

                        # Classify: by the status, by what a hook thinks of it, by what it says.
                        try:
                            last = record.answered(response)
                            if response.status != HTTPStatus.TOO_MANY_REQUESTS:
                                permit.accepted()
                            facts = request.operation, response.status, last.duration
                            _log.debug("%s: HTTP %d in %.3f s", *facts)
                            if observer is not None:
                                await observer.answered(last, response.headers)
                            in_flight.reschedule(self._until(timeout.between_progress))
                            result = await accept(response)
                        except BaseException:
                            response.close()
                            raise
                        if self._retry is not None:
                            self._retry.answered()
                        elif retry_budget.left < retry_budget.most:
                            retry_budget.refill(helped=False)
                        return result
                    failure = self._expired()
                except ZaiError as error:
                    failure = error

                # Decide: raise the failure, or go round once more.
                fresh = isinstance(failure, ConnectionLostError) and failure.stale
                self._decide(failure)
                failure = None  # its traceback leads to this frame, and would keep all of it
        except BaseException as error:
            self._error, failure = error, None
            # An answer that is no good may have been paid for all the same.
            self.leave(usage_of(getattr(error, "partial", None)))
            raise

    async def open(self) -> Response:
        """Send requests until one is answered with success; what the body is, its reader sees."""

        async def accept(response: Response) -> Response:
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                body = await self.read(response)
                raise_no_answer(response, body, self)
            return response

        return await self.execute(accept)

    async def read(self, response: Response) -> bytes:
        """Read a body to its end, within the limits of the client.

        The time between two pieces of progress is the time for each 16 KiB here, or for the rest,
        as a server may trickle. Raises LimitError if the answer is too large for the client.
        """
        failed = response.status >= HTTPStatus.BAD_REQUEST
        limit = self.settings.max_error_bytes if failed else self.settings.max_response_bytes
        body, counted = None, 0
        while True:
            try:
                piece = await response.read()
            except (TransportError, ResponseError) as error:
                if failed or (body is not None and ends_itself(error, await body.joined())):
                    response.close()
                    break
                raise
            if response.at_end() and body is None and len(piece) <= limit:
                return piece  # as most do, it came in one piece
            body = body or BodyBuffer()
            body.add(piece)
            if body.size > limit and not failed:
                text = f"the answer is larger than {limit} bytes"
                raise LimitError(text, limit=limit, setting="max_response_bytes")
            if body.size > limit or not piece or response.at_end():
                break
            if body.size - counted >= _PROGRESS_BYTES:
                counted = body.size
                self._in_flight.reschedule(self._until(self.timeout.between_progress))
        return b"" if body is None else (await body.joined())[:limit]

    async def recover(self, error: ZaiError) -> None:
        """Return when the request may be sent again; raise the error when it may not."""
        retrying = self._decide(error)
        try:
            with self._in_flight:
                await self._pause(*retrying)
                return
            failure = self._expired()
        except ZaiError as final:
            failure = final  # the stream leaves, and knows what was used
        except BaseException:
            self.leave()
            raise
        self.fail(failure)
        try:
            raise failure
        finally:
            del failure, error, retrying  # as in execute()

    def fail(self, error: ZaiError) -> None:
        """Write down, without its frames, why the call has failed for good; again is harmless."""
        if self._error is error:
            return
        self._error = without_frames(error, "zai_async.", "aiohttp.")
        self.record.failed(error)
        error.attempts, error.timing = self.attempts, self.timing
        # Half-way through an answer it says nothing about how many requests are too many.
        if self.permit.counts(error) and not error.emitted:
            self.permit.refused(error)
        hints = [error.hint, self.settings.provider.hints.get(error.kind)]
        if error.kind == "not_found":
            hints.append(f"The address was {self.request.url.partition('?')[0]}.")
        hints += [self.permit.hint, self._retry.hint if self._retry else None]
        error.hint = " ".join(filter(None, hints)) or None

    def progressed(self) -> None:
        """Note that the first content of a stream has arrived."""
        self.record.progressed()

    def leave(
        self,
        usage: Usage | None = None,
        *,
        completed: bool = False,
        answer: object = None,
        snapshot: Callable[[], object] | None = None,
    ) -> None:
        """Be over, and give the permit of the limiter back; again is harmless.

        ``answer`` is one that came whole; ``snapshot`` returns as much of a stream as has come.
        """
        if snapshot is not None and self.record.observer is not None:
            self.record.observer.answer = snapshot()
        # What a poll reports was used by another call.
        known = usage if self.operation.spends else None
        self.permit.leave(tokens=None if known is None else known.total_tokens)
        self._in_flight.leave()
        self._retrying = None
        # An error that is kept would keep, by its traceback, this call alive.
        error, self._error = self._error, None
        self.record.end(usage, completed=completed, error=error, answer=answer)

    def _until(self, limit: float | None) -> float:
        """Return the moment on the loop's clock at which a wait of this length ends."""
        wait, left = math.inf if limit is None else limit, math.inf
        if self.options.deadline is not None:
            left = self.options.deadline - self.record.elapsed()
        self._waits_for_deadline = left <= wait
        return self.session.loop.time() + min(wait, left)

    def _expired(self) -> ZaiError:
        """Make the exception for a wait that has been ended."""
        if self._in_flight.drained:
            return ClientDrainingError("the client was drained before the call had ended")
        deadline = self.options.deadline
        limit = f"the deadline of {deadline:g} s has passed" if deadline is not None else ""
        if self._retrying is not None:
            # The call has an error already, which says more than that its time is over.
            if not self._waits_for_deadline:
                limit = f"the {self.settings.retry.budget:g} s of the retry policy are over"
            error, _, retry = self._retrying
            retry.stop(f"Not retried: {limit}.")
            return error
        if self._waits_for_deadline:
            return DeadlineError(limit)
        since = self.record.sent_at
        waited = 0.0 if since is None else self.settings.clock.monotonic() - since
        begun = any(attempt.status_code for attempt in self.attempts[-1:])
        what = "no whole answer" if begun else "no answer"
        return RequestTimeoutError(f"{what} for {waited:.1f} s")

    def _decide(self, error: ZaiError) -> tuple[ZaiError, float, RetryState]:
        """Plan to send the request again, or raise the error."""
        if self._files is not None and isinstance(error, TransportError | APIError):
            # An answer may come while the body is still being sent, and so may the end.
            error.request_sent = error.request_sent and self._files.sent_whole
        if self._retry is None:  # most calls need none
            settings = self.settings
            self._retry = RetryState(
                settings.retry,
                self._sessions.retry_budget,
                settings.clock,
                self.options,
                repeatable=self.operation.repeatable,
                files=self._files,
                waits_for_quota=settings.wait_for_quota,
                signs=settings.provider.key_in == "jwt",
            )
        wait = self._retry.decide(
            error,
            attempts=len(self.record.attempts),
            elapsed=self.record.elapsed(),
            queues=self.permit.counts(error),
        )
        if wait is None:
            self.fail(error := self.record.final(error))
            try:
                raise error
            finally:
                del error  # as in execute()
        self.record.failed(error)
        self.record.wait = wait
        self._retrying = error, wait, self._retry
        return self._retrying

    async def _pause(self, error: ZaiError, wait: float, retry: RetryState) -> None:
        """Wait as long as the policy says, or for a permit if there were too many requests."""
        queues = self.permit.counts(error)
        if _log.isEnabledFor(logging.INFO):
            what = describe_retry(error, None if queues else wait)
            _log.info("%s: %s", self.operation.name, what)
        observer = self.record.observer
        if observer and not await observer.retrying(error, len(self.attempts), wait):
            retry.stop(None)
            raise error
        if queues:
            left = self.settings.retry.budget - self.record.elapsed()
            self._in_flight.reschedule(self._until(left))
            with self.record.queueing():
                await self.permit.again(error)
        elif wait > 0:
            # Others may use the permit meanwhile.
            self.permit.leave()
            await self.settings.clock.sleep(wait)
        self._retrying = None

    async def _queue(self) -> None:
        """Wait for a permit, and say so: a line in the log, an event for the hook."""
        if self.permit.queue.is_full:
            _log.debug("%s: %s; waiting", self.operation.name, self.permit.situation)
            if self.record.observer is not None:
                await self.record.observer.queued(self.permit.figures)
        background = self.options.priority == "background"
        with self.record.queueing():
            await self.permit.take(self.deadline_at, background=background)
