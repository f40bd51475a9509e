"""The engine of a client: it turns keywords into an answer, or into an open stream.

Connections live and die with an event loop, and a client may see many loops: one that is made at
import time is used by one ``asyncio.run`` after the other, by several threads, and in the child of
a fork. Each loop gets a transport of its own, opened at its first call and closed when the loop
shuts down its asynchronous generators, whether or not anybody remembered.
"""

import asyncio
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, Unpack, cast
from weakref import finalize

from zai_async._clock import Clock, outside_asyncio
from zai_async._secrets import Secret, without_frames
from zai_async._threads import SharedByCopies, call_in, require_asyncio, running_loop
from zai_async._transport import Response, Transport, isolate, note_for_forks
from zai_async._wire import (
    Operation,
    RawRequestFactory,
    RequestFactory,
    parse_reply,
    secrets_in,
    shown_body,
)
from zai_async.downloads import download
from zai_async.errors import ClientClosedError, ClientDrainingError, ZaiError
from zai_async.ledger import Ledger
from zai_async.limiter import Limits
from zai_async.models import BinaryReply, Price, Reply
from zai_async.models.counting import LARGE
from zai_async.models.files import Downloadable, DownloadOptions
from zai_async.models.reply import attach_call
from zai_async.retry import RetryBudget
from zai_async.session.bodies import answer_in_events, parse_in_thread, raise_error
from zai_async.session.call import Call
from zai_async.session.coordination import Coordinator
from zai_async.session.in_flight import (
    InFlightCall,
    InFlightCalls,
    LimiterQueues,
    Watchdog,
)
from zai_async.session.record import usage_of
from zai_async.session.settings import Settings

__all__ = ["LoopSession", "SessionManager", "Sessions"]

T = TypeVar("T")

# What a fork brought along lives for ever: to collect it would warn of what was never closed.
_INHERITED: "list[LoopSession]" = []
_Open: TypeAlias = "dict[asyncio.AbstractEventLoop, LoopSession]"


class LoopSession:
    """What a client keeps on one event loop: its transport, its watchdog and its small tasks.

    ``abandon`` is called with the loop when it closes: nobody will give back what is held there.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: Transport,
        abandon: Callable[[asyncio.AbstractEventLoop], None],
    ) -> None:
        self.loop = loop
        self.process = os.getpid()
        self.transport = transport
        self.watchdog = Watchdog(loop)
        self._abandon = abandon
        # The loop itself keeps weak references only.
        self._tasks: set[asyncio.Task[None]] = set()
        self._guardian = self._guard()
        note_for_forks(self)

    async def start(self) -> None:
        """Ask the loop to close this session when it ends."""
        await anext(self._guardian)

    async def _guard(self) -> AsyncGenerator[None, None]:
        """Suspend until the loop, or the client, closes this generator; then close the session.

        Every loop runner calls ``shutdown_asyncgens`` at its end, which is the only hook there is.
        """
        try:
            yield
        finally:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            if self.process == os.getpid():
                await self.transport.aclose()
                # Not before the transport is closed: some of them wait for bytes from it.
                if tasks:
                    await asyncio.wait(tasks)
                self._abandon(self.loop)
            else:  # a child leaves the loop of its parent
                _INHERITED.append(self)

    def leave_to_parent(self) -> None:
        """End in the child of a fork what has been opened here: it goes on in the parent."""
        connections: Callable[[], Iterable[Any]] = getattr(self.transport, "connections", tuple)
        isolate(self.loop, connections())
        self.watchdog.interrupt(forked=True)

    def spawn(self, work: Coroutine[Any, Any, None], cleanup: Callable[[], None]) -> None:
        """Run a small task in the background; closing the session cancels it.

        ``cleanup`` is called in any case: a task that is cancelled before it ran runs no code.
        """
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: cleanup())

    async def aclose(self) -> None:
        """Close the transport and end the background tasks."""
        await self._guardian.aclose()

    def close_now(self) -> None:
        """Close from wherever a forgotten client is collected."""
        if self.loop.is_running() and self.loop is not running_loop():
            # The loop may be closed by its own thread at this very moment.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.transport.close_now)
        else:
            self.transport.close_now()


class Sessions:
    """The sessions of one client, one for each running loop.

    They live as long as anybody uses them: the client, a derived one, a stream. When all have
    gone and nobody has closed them, a warning names the place where the client was made.
    """

    def __init__(
        self,
        open_transport: Callable[[], Transport],
        *,
        made_at: str,
        limits: Limits | None = None,
        coordinator: Coordinator | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        self._open_transport = open_transport
        self.queues = LimiterQueues(limits or Limits(), coordinator)
        self.unlimited = LimiterQueues(Limits(mode="off"))
        """For calls that are made inside a hook: what waits for them may hold the last permit."""
        self.ledger = Ledger(prices)
        self.retry_budget = RetryBudget()
        self.calls = InFlightCalls()
        self._open: _Open = {}
        self.closed = False
        # No __del__: at that time, the attributes may have been taken apart already.
        finalize(self, _forgotten, self._open, made_at)

    async def current(self) -> LoopSession:
        """Return the session of the running loop, opening it at the first call.

        Raises:
            ClientClosedError: The client has been closed.
        """
        if self.closed:
            raise ClientClosedError("the client is closed")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise outside_asyncio() from None
        session = self._open.get(loop)
        # The child of a fork may run the very loop of its parent, whose sockets are not its own.
        if session is None or session.process != os.getpid():
            _drop_unusable(self._open)
            # Known before it is started: a call of another task must not open a second one.
            transport = self._open_transport()
            session = self._open[loop] = LoopSession(loop, transport, self.queues.abandon)
            await session.start()
        return session

    async def drain(self, grace: float) -> None:
        """Close when all calls have ended; after ``grace`` seconds cut off those that have not."""
        require_asyncio()  # or else it would let nobody in from now on
        await self.calls.end(grace)
        # What is still open now are streams, which are in nobody's hands but their readers'.
        for session in tuple(self._open.values()):
            call_in(session.loop, session.watchdog.interrupt)
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session of the running loop, and ask other loops to close theirs."""
        # First of all: while the sessions are being closed, none may be opened again.
        self.closed = True
        loop = require_asyncio()
        for session in _take(self._open):
            if session.loop is loop:
                await session.aclose()
            else:
                session.close_now()
        await self.queues.aclose()


def _drop_unusable(sessions: _Open) -> None:
    """Drop the sessions of closed loops, and after a fork those of the parent process."""
    for loop, session in tuple(sessions.items()):
        if session.process != os.getpid():
            _INHERITED.append(session)
        elif loop.is_closed():
            session.close_now()  # nothing is left to do unless it was closed by hand
        else:
            continue
        sessions.pop(loop, None)  # another thread may have been faster


def _take(sessions: _Open) -> tuple[LoopSession, ...]:
    """Give up all sessions, and return those that are still to be closed."""
    _drop_unusable(sessions)
    taken = tuple(sessions.values())
    sessions.clear()
    return taken


def _forgotten(sessions: _Open, made_at: str) -> None:
    """Close what nobody can close any more, and say whose fault it is."""
    taken = _take(sessions)
    for session in taken:
        session.close_now()
    if taken:
        text = f"the AsyncZai made at {made_at} was never closed; use 'async with' or aclose()"
        warnings.warn(text, ResourceWarning, stacklevel=2)


def parse_answer(operation: Operation[T], response: Response, body: bytes, call: Call) -> T:
    """Return the answer that a body is.

    Raises:
        APIError: The body, or an event of it, reports an error.
        ResponseError: It is no answer of the operation.
        IncompleteError: The answer is cut, lost or empty; ``partial`` has what came.
    """
    # One look at a byte for all answers that are what they should be.
    if not body.startswith(b"{") and response.status < HTTPStatus.MULTIPLE_CHOICES:
        found = answer_in_events(operation, response, body, call)
        if found is not None:
            return cast("T", found)
    return parse_reply(
        operation,
        body,
        status=response.status,
        headers=response.headers,
        now=call.settings.clock.wall(),
        secrets=call.secrets,
        provider=call.settings.provider,
        allow=call.options.allow,
    )


class SessionManager(SharedByCopies):
    """Makes the calls of a client; derived clients have their own over the same sessions."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.settings = settings
        self.sessions = sessions
        # What the requests of an operation have in common is made once for a client.
        self._factories: dict[Operation[Any], RequestFactory] = {}

    async def call(self, operation: Operation[T], params: Mapping[str, Any]) -> T:
        """Make a call and return its decoded answer."""
        factory = self._factories.get(operation) or self._factory(operation)
        call = Call(self.settings, self.sessions, factory, params)
        headers: Mapping[str, str] = {}
        body = b""

        async def accept(response: Response) -> T:
            nonlocal headers, body
            received = await call.read(response)
            if len(received) <= LARGE:
                answer = parse_answer(operation, response, received, call)
            else:
                parse = partial(parse_answer, operation, response, received, call)
                most = self.settings.max_response_values
                answer = await parse_in_thread(received, parse, most)
            # Of what is no answer nothing is kept, as it may repeat the key.
            headers, body = response.headers, received
            return answer

        answer = await call.execute(accept)
        # The permit is free before the caller goes on: its next call may need this very one.
        call.leave(usage_of(answer), completed=True, answer=answer)
        if isinstance(answer, Reply):
            # Beside the fields, as attach_call() has it: no key of the wire can collide with it.
            vars(answer).update(
                attempts=call.record.attempts,
                timing=call.record.timing,
                headers=headers,
                raw=body if call.options.keep_raw else None,
            )
        if isinstance(answer, Downloadable):
            # No copy and no pickle takes the way to the network along.
            for each in (answer, *answer.files):
                vars(each)["downloader"] = self.download
        return answer

    async def fetch(self, operation: Operation[bytes], params: Mapping[str, Any]) -> BinaryReply:
        """Make a call whose answer is no JSON, and return the bytes."""
        call = self.begin(operation, params)
        headers: Mapping[str, str] = {}

        async def accept(response: Response) -> BinaryReply:
            nonlocal headers
            headers, body = response.headers, await call.read(response)
            raise_error(response, body, call)
            kind = response.headers.get("Content-Type", "application/octet-stream")
            request_id = response.headers.get("X-Log-Id")
            reply = BinaryReply(content=body, content_type=kind, request_id=request_id)
            try:
                operation.judge(reply, call.options.allow)
            except ZaiError as error:
                error.body = shown_body(body, call.secrets)
                error.status_code = response.status
                raise
            return reply

        answer = await call.execute(accept)
        call.leave(completed=True, answer=answer)
        attach_call(answer, attempts=call.attempts, timing=call.timing, headers=headers)
        return answer

    async def download(
        self, url: str, to: str | os.PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Path:
        """Fetch a file from anywhere, with no key."""
        # Whoever has a signed address has the file: no frame of a traceback shows it.
        address, url = Secret(url), ""
        # No call of the platform, but a drain waits for it, and ends it, like one.
        in_flight = InFlightCall(self.sessions.calls)
        in_flight.register()
        failure: BaseException
        failure = ClientDrainingError("the client was drained before the file was whole")
        try:
            transport, timeout = (await self.sessions.current()).transport, self.settings.timeout
            with in_flight:
                return await download(
                    transport,
                    address.reveal(),
                    to,
                    timeout=timeout,
                    policy=self.settings.retry,
                    clock=self.settings.clock,
                    **options,
                )
        except BaseException as error:  # noqa: BLE001 - its frames hold the address, whatever it is
            failure = without_frames(error, "zai_async.", "aiohttp.")
        finally:
            in_flight.leave()
        try:
            raise failure
        finally:
            del failure  # its traceback leads to this frame

    @property
    def clock(self) -> Clock:
        """Time and chance."""
        return self.settings.clock

    @property
    def origin(self) -> tuple[str, str]:
        """Where calls go, and a fingerprint of the key."""
        key = self.settings.key
        return self.settings.provider.base_url, key.fingerprint() if key is not None else ""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be repeated in a message, whatever the call."""
        own, others = self.settings, secrets_in(self.settings.headers).values()
        return (*(() if own.key is None else (own.key,)), *others, *own.secrets)

    def derived(self, settings: Settings) -> "SessionManager":
        """Return a manager with other settings and the same sessions."""
        return SessionManager(settings, self.sessions)

    def begin(self, operation: Operation[Any], params: Mapping[str, Any]) -> Call:
        """Check the keywords of a call and prepare it; nothing is sent yet."""
        factory = self._factories.get(operation) or self._factory(operation)
        return Call(self.settings, self.sessions, factory, params)

    def _factory(self, operation: Operation[Any]) -> RequestFactory:
        own = self.settings
        make = RequestFactory if operation.raw_of is None else RawRequestFactory
        factory = make(operation, own.provider, own.key, own.headers)
        if operation.listed:  # of others there may be one for each address
            self._factories[operation] = factory
        return factory
