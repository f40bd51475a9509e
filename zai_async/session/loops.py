"""Connections live and die with an event loop; a client may see many loops.

A client made at import time is used by one ``asyncio.run`` after the other, by several threads,
and in the child of a fork. Each loop gets a transport of its own, opened at its first call and
closed when the loop shuts down its asynchronous generators, whether or not anybody remembered.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from zai_async._transport import Transport
from zai_async.errors import ClientClosedError
from zai_async.session.watchdog import Watchdog

__all__ = ["LoopSession", "Sessions"]

# What a fork brought along lives for ever: to collect it would close the parent's connections.
_INHERITED: "list[LoopSession]" = []


class LoopSession:
    """What a client keeps on one event loop: its transport, its watchdog and its small tasks."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Transport) -> None:
        self.loop = loop
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
        if self.loop.is_running() and not _is_here(self.loop):
            # The loop may be closed by its own thread at this very moment.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.transport.close_now)
        else:
            self.transport.close_now()


def _is_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


class Sessions:
    """The sessions of one client, one for each running loop."""

    def __init__(self, open_transport: Callable[[], Transport]) -> None:
        self._open_transport = open_transport
        self._open: dict[asyncio.AbstractEventLoop, LoopSession] = {}
        self._process = os.getpid()
        self.closed = False

    async def current(self) -> LoopSession:
        """Return the session of the running loop, opening it at the first call.

        Raises:
            ClientClosedError: The client has been closed.
        """
        if self.closed:
            raise ClientClosedError("the client is closed")
        self._leave_parent()
        loop = asyncio.get_running_loop()
        return self._open.get(loop) or await self._start(loop)

    async def _start(self, loop: asyncio.AbstractEventLoop) -> LoopSession:
        self._drop_dead_loops()
        session = self._open[loop] = LoopSession(loop, self._open_transport())
        await session.start()
        return session

    def _drop_dead_loops(self) -> None:
        for loop in tuple(self._open):
            if loop.is_closed():
                self._open.pop(loop, None)  # another thread may have been faster

    def _leave_parent(self) -> None:
        """After a fork, leave the sockets of the parent alone: they are in use over there."""
        if self._process != os.getpid():
            _INHERITED.extend(self._open.values())
            self._open.clear()
            self._process = os.getpid()

    async def aclose(self) -> None:
        """Close the session of the running loop, and ask other loops to close theirs."""
        self.closed = True
        loop = asyncio.get_running_loop()
        for session in self._take():
            if session.loop is loop:
                await session.aclose()
            else:
                session.close_now()

    def abandon(self) -> bool:
        """Close everything at once; tell whether there was anything to close."""
        sessions = self._take()
        for session in sessions:
            session.close_now()
        return bool(sessions)

    def _take(self) -> tuple[LoopSession, ...]:
        """Give up the sessions of this process, and return those whose loop is not closed."""
        self._leave_parent()
        sessions = tuple(self._open.values())
        self._open.clear()
        return tuple(session for session in sessions if not session.loop.is_closed())
