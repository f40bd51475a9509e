"""Who is inside: calls under way, and a door that is shut while the client is drained."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio

from zai_async._clock import Patience
from zai_async._threads import call_in
from zai_async.errors import ClientDrainingError

__all__ = ["Visit", "Visits"]

T = TypeVar("T")


class Visits:
    """The visits of all event loops that use a client."""

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
