"""Connections live and die with an event loop; a client may see many loops.

A client made at import time is used by one ``asyncio.run`` after the other, by several threads,
and in the child of a fork. Each loop gets a transport of its own, opened at its first call and
closed when the loop shuts down its asynchronous generators, whether or not anybody remembered.
"""

import asyncio
import os
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, TypeVar
from weakref import WeakSet, finalize

import anyio

from zai_async._clock import Patience
from zai_async._threads import call_in, running_loop
from zai_async._transport import Transport
from zai_async.errors import ClientClosedError, ClientDrainingError
from zai_async.ledger import Ledger
from zai_async.limiter import Limits
from zai_async.models import Price
from zai_async.retry import RetryReserve
from zai_async.session.coordination import Coordinator
from zai_async.session.gate import Gates

__all__ = ["LoopSession", "Sessions", "Visit", "Visits", "Watchdog", "Watched"]

# What a fork brought along lives for ever: to collect it would close the parent's connections.
_INHERITED: "list[LoopSession]" = []
_Open: TypeAlias = "dict[asyncio.AbstractEventLoop, LoopSession]"
_SHARE = 8  # looks per timeout: a stall is noticed at most an eighth late
_SHORTEST, _LONGEST = 0.01, 1.0

T = TypeVar("T")


class LoopSession:
    """What a client keeps on one event loop: its transport, its watchdog and its small tasks."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Transport) -> None:
        self.loop = loop
        self.process = os.getpid()
        self.transport = transport
        self.watchdog = Watchdog(loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._guardian = self._guard()

    async def start(self) -> None:
        """Ask the loop to close this session when it ends."""
        await anext(self._guardian)

    async def _guard(self) -> AsyncGenerator[None, None]:
        """Stand still until the loop, or the client, closes this generator.

        Every loop runner calls ``shutdown_asyncgens`` at its end, which is the only hook there is.
        """
        try:
            yield
        finally:
            await self._close()

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

    async def _close(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await self.transport.aclose()
        if tasks:
            await asyncio.wait(tasks)

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
        self.gates = Gates(limits or Limits(), coordinator)
        self.ledger = Ledger(prices)
        self.reserve = RetryReserve()
        self.visits = Visits()
        self._open: _Open = {}
        self.closed = False
        finalize(self, _forgotten, self._open, made_at)

    async def current(self) -> LoopSession:
        """Return the session of the running loop, opening it at the first call.

        Raises:
            ClientClosedError: The client has been closed.
        """
        if self.closed:
            raise ClientClosedError("the client is closed")
        loop = asyncio.get_running_loop()
        session = self._open.get(loop)
        if session is None or session.process != os.getpid():
            session = await self._start(loop)
        return session

    async def _start(self, loop: asyncio.AbstractEventLoop) -> LoopSession:
        _drop_unusable(self._open)
        session = self._open[loop] = LoopSession(loop, self._open_transport())
        await session.start()
        return session

    async def drain(self, grace: float) -> None:
        """Close when all calls have ended; after ``grace`` seconds cut off those that have not."""
        await self.visits.end(grace)
        for session in tuple(self._open.values()):
            call_in(session.loop, session.watchdog.interrupt)
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session of the running loop, and ask other loops to close theirs."""
        self.closed = True
        loop = asyncio.get_running_loop()
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


class Watched(Protocol):
    """What has a limit on its waiting."""

    @property
    def patience(self) -> float:
        """Seconds of the shortest limit, infinite without one."""
        ...

    def look(self, now: float, passed: float) -> None:
        """Check the limits ``passed`` seconds after the look before."""
        ...

    def interrupt(self) -> None:
        """End, because the client is drained."""
        ...


class Watchdog:
    """One timer for all open streams of a loop: who has waited for how long?

    A timer armed at each read costs more than reading and decoding a token. This one looks at a
    counter of each stream a few times per timeout, and costs nothing while tokens flow.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: WeakSet[Watched] = WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0

    def add(self, watched: Watched) -> None:
        """Begin to look after something."""
        self._watched.add(watched)
        due = self._loop.time() + _pace(watched.patience)
        if self._timer is None or due < self._timer.when():
            self._last = self._loop.time()
            self._arm(due)

    def remove(self, watched: Watched) -> None:
        """Stop looking after something; the timer stays for what may come before it is due."""
        self._watched.discard(watched)

    def interrupt(self) -> None:
        """End everything that is looked after."""
        for watched in tuple(self._watched):
            watched.interrupt()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        now, self._timer = self._loop.time(), None
        passed, self._last = now - self._last, now
        for watched in tuple(self._watched):
            watched.look(now, passed)
        if self._watched:
            patience = min((watched.patience for watched in self._watched), default=_LONGEST)
            self._arm(now + _pace(patience))


def _pace(patience: float) -> float:
    """Return the time between two looks at what has this much patience."""
    return min(_LONGEST, max(_SHORTEST, patience / _SHARE))


class Visits:
    """The calls under way on all loops of a client, and a door that is shut to drain it."""

    def __init__(self) -> None:
        self.ending = False
        self.inside: set[Visit] = set()
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    async def end(self, grace: float) -> None:
        """Let nobody in, and wait until all have left; after ``grace`` seconds turn them out."""
        self.ending = True
        with anyio.move_on_after(grace):
            await self._empty()
        for visit in tuple(self.inside):
            call_in(visit.loop, visit.interrupt)

    async def _empty(self) -> None:
        left = asyncio.Event()
        waiter = asyncio.get_running_loop(), left
        self._waiters.add(waiter)
        try:
            while any(not visit.loop.is_closed() for visit in tuple(self.inside)):
                left.clear()
                await left.wait()
        finally:
            self._waiters.discard(waiter)

    def left(self, visit: "Visit") -> None:
        """Note that a visit is over, from any thread."""
        self.inside.discard(visit)
        for loop, event in tuple(self._waiters):
            call_in(loop, event.set)


class Visit:
    """One call, from before its first request until its slot is free."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._patience: Patience | None = None
        self.loop: asyncio.AbstractEventLoop

    def enter(self) -> None:
        """Begin, or go on.

        Raises:
            ClientDrainingError: The client takes no new calls.
        """
        if self in self._visits.inside:
            return
        if self._visits.ending:
            raise ClientDrainingError("the client is being drained and takes no new calls")
        self.loop = asyncio.get_running_loop()
        self._visits.inside.add(self)

    async def stay(self, work: Awaitable[T]) -> T:
        """Do work until it is done, or until the grace of a drain is over.

        Raises:
            ClientDrainingError: It was not done in time.
        """
        with Patience(self.loop) as self._patience:
            return await work
        raise ClientDrainingError("the client was drained before the call had ended")

    def interrupt(self) -> None:
        """End the work; nothing happens to a stream that is open."""
        if self._patience is not None:
            self._patience.interrupt()

    def leave(self) -> None:
        """End the visit; again is harmless."""
        if self in self._visits.inside:
            self._visits.left(self)
