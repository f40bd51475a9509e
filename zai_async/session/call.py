"""One logical call: its attempts, its deadline, and what became of each request."""

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
import msgspec

from zai_async._secrets import Secret
from zai_async._transport import Request, Response
from zai_async._wire import Endpoint, authorized, build_request
from zai_async.errors import (
    APIError,
    Attempt,
    ClientDrainingError,
    ConfigurationError,
    ConnectionLostError,
    DeadlineError,
    RequestTimeoutError,
    TransportError,
    ZaiError,
)
from zai_async.models import CallOptions, Timeout
from zai_async.retry import surely_refused
from zai_async.session.bodies import expect_stream
from zai_async.session.hooks import RequestEvent, ResponseEvent, RetryEvent, emit
from zai_async.session.loops import LoopSession, Sessions
from zai_async.session.settings import Settings
from zai_async.session.turn import turn_of
from zai_async.session.visits import Visit
from zai_async.uploads import BodyStream

__all__ = ["Call"]

T = TypeVar("T")

_log = logging.getLogger("zai_async")

_STALE_TOKEN = frozenset({"1003", "1004"})
_CROWDED = 429
_SUSPECT = "Others of this model pass: something in this very request may be the reason."
_ABOUT_IMAGES = re.compile(r"图片|image", re.IGNORECASE)


class Call:
    """Sends the requests of one call until it succeeds, or until it may not go on."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        endpoint: Endpoint[Any],
        params: Mapping[str, Any],
    ) -> None:
        options: CallOptions = params.get("options") or CallOptions()
        self.settings = settings
        self.options = options
        self.endpoint = endpoint
        self.timeout = _timeout(options, settings)
        request = build_request(endpoint, settings.provider, settings.key, params, settings.headers)
        self.request = msgspec.structs.replace(request, connect_timeout=self.timeout.connect)
        body = request.body
        self._files: BodyStream | None = None if isinstance(body, bytes | None) else body
        self._retry = settings.retry_for(options)
        self._sessions = sessions
        self._visit = Visit(sessions.visits)
        self._turn = turn_of(settings, sessions.gates, endpoint.name, params)
        self._attempts: list[Attempt] = []
        self._begun: float | None = None
        self._sent = 0.0
        self._wait = 0.0
        self._resent = 0
        self._last_chance = False
        self._signed_again = False
        self.session: LoopSession

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request of the call so far."""
        return tuple(self._attempts)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be repeated in a message."""
        return tuple(filter(None, (self.settings.key, *self.request.secret_headers.values())))

    @property
    def deadline_at(self) -> float | None:
        """When everything must be over, on the monotonic clock; None without a deadline."""
        if self.options.deadline is None or self._begun is None:
            return None
        return self._begun + self.options.deadline

    async def run(self, finish: Callable[[Response], Awaitable[T]]) -> T:
        """Send requests until ``finish`` accepts an answer; it closes what it does not keep.

        The slot of the limiter is kept until ``leave()``, or until this fails.
        """
        self._visit.enter()
        return await self._stay(self._run(finish))

    async def _run(self, finish: Callable[[Response], Awaitable[T]]) -> T:
        while True:
            self.session = await self._sessions.current()
            await self._prepare()
            try:
                await self._take_turn()
                self._start()
                return await self._attempt(finish)
            except ConfigurationError:
                raise  # nothing was sent
            except ZaiError as error:
                await self._recover(error)

    async def _stay(self, work: Awaitable[T]) -> T:
        try:
            return await self._visit.stay(work)
        except BaseException as error:
            self.leave()
            if isinstance(error, ClientDrainingError):
                self.note(error)
            raise

    def leave(self) -> None:
        """Be over, and give the slot of the limiter back; again is harmless."""
        self._turn.leave()
        self._visit.leave()

    async def _take_turn(self) -> None:
        if self._begun is None:
            self._begun = self.settings.clock.monotonic()
        if self._turn.try_take():
            return
        with anyio.CancelScope(deadline=self._until(None)):
            await self._turn.take()
            return
        raise self._too_late()

    async def _prepare(self) -> None:
        """Look at the files that the body is made of."""
        if self._files is not None:
            await self._files.prepare()

    async def open(self) -> Response:
        """Send requests until one is answered by an event stream."""
        return await self.run(self._expect_stream)

    async def _expect_stream(self, response: Response) -> Response:
        return await expect_stream(response, self.settings, self.secrets)

    def note(self, error: ZaiError) -> None:
        """Write down that the call has failed for good."""
        self._record(error)
        error.operation = self.endpoint.name
        error.attempts = self.attempts
        error.hint = self._hint(error)

    async def recover(self, error: ZaiError) -> None:
        """Return when the request may be sent again; raise the error when it may not."""
        await self._stay(self._recover(error))

    async def _recover(self, error: ZaiError) -> None:
        wait = self._decide(error)
        if wait is None:
            self.note(error)
            raise error
        self._record(error)
        error.operation = self.endpoint.name
        await self._tell(error, wait)
        self._wait = wait
        await self._pause(error, wait)

    async def _pause(self, error: ZaiError, wait: float) -> None:
        """Wait as long as the policy says, or for a slot if there were too many requests."""
        if not self._turn.counts(error):
            self._turn.leave()
            await self.settings.clock.sleep(wait)
            return
        with anyio.move_on_after(self._time_left()) as scope:
            await self._turn.again(error)
            await self.settings.clock.sleep(error.retry_after or 0.0)
        if scope.cancelled_caught:
            self.note(error)
            raise error

    def _time_left(self) -> float:
        """Return the seconds within which a repetition may begin."""
        elapsed = self.settings.clock.monotonic() - (self._begun or 0.0)
        return min(self._retry.budget, self.options.deadline or math.inf) - elapsed

    async def _tell(self, error: ZaiError, wait: float) -> None:
        """Say that the request will be sent again: one line in the log, one event to the hook."""
        what = f"{type(error).__name__} (code {error.code})"
        _log.info("%s: %s; again in %.2f s", self.endpoint.name, what, wait)
        event = RetryEvent(
            operation=self.endpoint.name,
            attempt=len(self._attempts),
            wait=wait,
            error=error,
            tag=self.options.tag,
        )
        await emit(self.settings.hooks.on_retry, event)

    def _hint(self, error: ZaiError) -> str | None:
        """Add what the error means at this endpoint, and the address if that may be the mistake."""
        provider = self.settings.provider
        own = provider.hints.get(error.kind)
        where = f"The address was {_shown(self.request)}." if error.kind == "not_found" else None
        suspect = _SUSPECT if self._turn.suspect else None
        return " ".join(filter(None, (error.hint, own, where, suspect))) or None

    def _decide(self, error: ZaiError) -> float | None:
        if not self._may_repeat(error):
            return None
        if self._sign_again(error) or self._write_otherwise(error):
            self._resent += 1
            return 0.0
        clock = self.settings.clock
        elapsed = clock.monotonic() - (self._begun or 0.0)
        wait = self._retry.decide(
            error,
            repetition=len(self._attempts) - self._resent,
            elapsed=elapsed,
            chance=clock.random(),
        )
        deadline = self.options.deadline
        if wait is None or deadline is None or self._turn.counts(error):
            return wait
        return wait if elapsed + wait < deadline else None

    def _sign_again(self, error: ZaiError) -> bool:
        """Try another token, once, if the platform found that this one had come too late."""
        signs = self.settings.provider.key_in == "jwt" and self._retry.retries != 0
        if not signs or error.code not in _STALE_TOKEN or self._signed_again:
            return False
        self._signed_again = True
        return True

    async def _attempt(self, finish: Callable[[Response], Awaitable[T]]) -> T:
        with anyio.CancelScope(deadline=self._until(self.timeout.first_byte)) as scope:
            self._sign()
            response = await self._send(self.request)
            try:
                await self._answered(response)
                scope.deadline = self._until(self.timeout.between_progress)
                result = await finish(response)
            except BaseException:
                response.close()
                raise
            self._update()
            return result
        raise self._too_late()

    def _sign(self) -> None:
        settings = self.settings
        self.request = authorized(
            self.request, settings.provider, settings.key, settings.clock.wall()
        )

    def _start(self) -> None:
        now = self.settings.clock.monotonic()
        self._begun = now if self._begun is None else self._begun
        self._sent = now
        self._attempts.append(
            Attempt(
                number=len(self._attempts) + 1,
                started=now - self._begun,
                duration=0.0,
                wait=self._wait,
            )
        )

    def _until(self, limit: float | None) -> float:
        """Return the moment on the loop's clock at which a wait of this length ends."""
        patience = math.inf if limit is None else limit
        left = math.inf
        if self.deadline_at is not None:
            left = self.deadline_at - self.settings.clock.monotonic()
        self._last_chance = left <= patience
        return anyio.current_time() + min(patience, left)

    def _too_late(self) -> ZaiError:
        if self._last_chance and self.options.deadline is not None:
            return DeadlineError(f"the deadline of {self.options.deadline:g} s has passed")
        waited = self.settings.clock.monotonic() - self._sent
        return RequestTimeoutError(f"no answer for {waited:.1f} s")

    async def _send(self, request: Request) -> Response:
        event = RequestEvent(
            operation=self.endpoint.name,
            method=request.method,
            url=_shown(request),
            attempt=len(self._attempts),
            tag=self.options.tag,
        )
        await emit(self.settings.hooks.on_request, event)
        _log.debug("%s: %s %s", event.operation, event.method, event.url)
        try:
            return await self.session.transport.send(request)
        except ConnectionLostError as error:
            if not error.stale or request.fresh or not self._may_resend():
                raise
            self._record(error)
        # The connection had idled for too long; the request did not reach anybody.
        self._resent += 1
        self._wait = 0.0
        self._start()
        return await self._send(msgspec.structs.replace(request, fresh=True))

    def _may_resend(self) -> bool:
        return self.endpoint.repeatable and self._replayable() and self._retry.retries != 0

    def _may_repeat(self, error: ZaiError) -> bool:
        return self._replayable() and (self.endpoint.repeatable or surely_refused(error))

    def _replayable(self) -> bool:
        return self._files is None or self._files.replayable

    def _write_otherwise(self, error: ZaiError) -> bool:
        """Write images in the other form, once, if the platform could not read them.

        Some models take base64 as it is, some only as a data URL, and no page says which.
        """
        refused = error.code == "1210" and bool(_ABOUT_IMAGES.search(error.message))
        if not refused or self._files is None or self._retry.retries == 0:
            return False
        return self._files.alternate()

    async def _answered(self, response: Response) -> None:
        self._update(
            status_code=response.status,
            request_id=response.headers.get("X-Log-Id"),
            connection_reused=response.connection_reused,
        )
        if response.status != _CROWDED:
            self._turn.accepted()
        attempt = self._attempts[-1]
        event = ResponseEvent(
            operation=self.endpoint.name,
            attempt=attempt.number,
            status_code=response.status,
            request_id=attempt.request_id,
            duration=attempt.duration,
            connection_reused=attempt.connection_reused,
            tag=self.options.tag,
        )
        _log.debug("%s: HTTP %d in %.3f s", event.operation, event.status_code, event.duration)
        await emit(self.settings.hooks.on_response, event)

    def _record(self, error: ZaiError) -> None:
        """Write down how the current attempt failed; what its headers told stays."""
        if not self._attempts:
            return  # the deadline passed in the queue
        known = self._attempts[-1]
        stale = isinstance(error, ConnectionLostError) and error.stale
        self._update(
            status_code=error.status_code or known.status_code,
            code=error.code,
            error=type(error).__name__,
            request_id=error.request_id or known.request_id,
            connection_reused=stale or known.connection_reused,
            maybe_billed=not _refused(error),
        )

    def _update(self, **facts: Any) -> None:
        duration = self.settings.clock.monotonic() - self._sent
        self._attempts[-1] = msgspec.structs.replace(self._attempts[-1], duration=duration, **facts)


def _shown(request: Request) -> str:
    """Return the address without its query, which may hold a key."""
    return request.url.partition("?")[0]


def _refused(error: ZaiError) -> bool:
    """Tell whether the server surely did no paid work for the failed request."""
    if isinstance(error, TransportError):
        return not error.request_sent
    return isinstance(error, APIError | ConfigurationError)


def _timeout(options: CallOptions, settings: Settings) -> Timeout:
    if isinstance(options.timeout, Timeout):
        return options.timeout
    if options.timeout is None:
        return settings.timeout
    seconds = float(options.timeout)
    return Timeout(settings.timeout.connect, seconds, seconds, seconds)
