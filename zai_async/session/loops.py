"""Connections live and die with an event loop; a client may see many loops.

A client made at import time is used by one ``asyncio.run`` after the other, by several threads,
and in the child of a fork. Each loop gets a transport of its own, opened at its first call and
closed when the loop shuts down its asynchronous generators, whether or not anybody remembered.
"""

import asyncio
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeAlias
from weakref import finalize

import anyio

from zai_async._clock import RescheduleTimeout
from zai_async._threads import call_in, outside_asyncio, running_loop
from zai_async._transport import Transport
from zai_async.errors import ClientClosedError, ClientDrainingError, ConfigurationError
from zai_async.ledger import Ledger
from zai_async.limiter import Limits
from zai_async.models import Price
from zai_async.retry import RetryBudget
from zai_async.session.coordination import Coordinator
from zai_async.session.gate import LimiterQueues
from zai_async.session.watchdog import Watchdog

__all__ = ["InFlightCall", "InFlightCalls", "LoopSession", "Sessions"]

# What a fork brought along lives for ever: to collect it would close the parent's connections.
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
            await self.transport.aclose()
            # Not before the transport is closed: some of them wait for bytes from it.
            if tasks:
                await asyncio.wait(tasks)
            self._abandon(self.loop)

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
        await self.calls.end(grace)
        # What is still open now are streams, which are in nobody's hands but their readers'.
        for session in tuple(self._open.values()):
            call_in(session.loop, session.watchdog.interrupt)
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session of the running loop, and ask other loops to close theirs."""
        # First of all: while the sessions are being closed, none may be opened again.
        self.closed = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise outside_asyncio() from None
        for session in _take(self._open):
            if session.loop is loop:
                await session.aclose()
            else:
                session.close_now()


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


class InFlightCalls:
    """The calls under way on all loops of a client, and a door that is shut to drain it."""

    def __init__(self) -> None:
        self.ending = False
        self.inside: set[InFlightCall] = set()
        self.waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.process = os.getpid()

    def start_clean(self) -> None:
        """Forget the calls of the parent of a fork: they go on there, and here nobody ends them."""
        self.process = os.getpid()
        self.inside, self.waiters = set(), set()

    async def end(self, grace: float) -> None:
        """Let nobody in, and wait until all have ended; after ``grace`` seconds cancel the rest."""
        self.ending = True
        if self.process != os.getpid():
            self.start_clean()
        left = asyncio.Event()
        waiter = asyncio.get_running_loop(), left
        self.waiters.add(waiter)
        try:
            with anyio.move_on_after(grace):
                # A loop that was closed by hand has left its calls behind; nobody ends those.
                while any(not call.loop.is_closed() for call in tuple(self.inside)):
                    left.clear()
                    await left.wait()
        finally:
            self.waiters.discard(waiter)
        for call in tuple(self.inside):
            call_in(call.loop, call.drain)


class InFlightCall(RescheduleTimeout):
    """One call, from before its first request until its permit is free.

    What it waits for in between, it waits for inside this timeout: a drain ends that as well.
    """

    def __init__(self, calls: InFlightCalls) -> None:
        self._calls = calls
        self.drained = False
        """Whether the client has been drained before the call had ended."""

    def register(self) -> None:
        """Begin, or go on.

        Raises:
            ClientDrainingError: The client takes no new calls, or waits no longer for this one.
            ConfigurationError: Another framework runs than asyncio.
        """
        if self.drained:
            raise ClientDrainingError("the client was drained before the call had ended")
        calls = self._calls
        if self in calls.inside:
            return
        if calls.ending:
            raise ClientDrainingError("the client is being drained and takes no new calls")
        if calls.process != os.getpid():
            calls.start_clean()
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            text = "zai_async runs on asyncio, and no event loop of asyncio is running here"
            raise ConfigurationError(text) from None
        calls.inside.add(self)

    def drain(self) -> None:
        """End the call, unless it is a stream that is open: that has a watchdog."""
        self.drained = True
        self.interrupt()

    def leave(self) -> None:
        """Be over, from any thread; again is harmless."""
        if self in self._calls.inside:
            self._calls.inside.discard(self)
            # Copied, because other loops come and go in other threads.
            for loop, event in tuple(self._calls.waiters):
                call_in(loop, event.set)
