"""The queue for the permits of a window that a coordinator keeps for several processes."""

import asyncio
import contextvars
from contextlib import suppress
from typing import Final

from zai_async._clock import Clock
from zai_async._threads import call_in, running_loop
from zai_async.limiter import Limits, WindowLink
from zai_async.session.coordination import Coordinator
from zai_async.session.queueing import LimiterQueue

__all__ = ["SharedQueue"]

_FAREWELL: Final = 1.0
"""Seconds in which a client that is closed tells the coordinator what it gives back."""


class SharedQueue(LimiterQueue):
    """The way to the permits of a shared window.

    One task at a time talks to the coordinator, on one of the event loops that use the window; what
    happens meanwhile is told in the next report, so that a busy process does not ask more often.
    It ends when there is nothing to say, nor to be heard.
    """

    def __init__(self, limits: Limits, clock: Clock, coordinator: Coordinator, name: str) -> None:
        self._coordinator = coordinator
        self._name = name
        self._link = WindowLink(limits, self._notify)
        super().__init__(self._link, clock)

    def start_clean(self) -> None:
        """Begin without requests, and without the task that talks."""
        self._talking: asyncio.Task[None] | None = None
        self._news: asyncio.Event  # for this task
        super().start_clean()

    @property
    def is_full(self) -> bool:
        """Whether the next request is likely to wait for others."""
        return self._link.is_full

    async def aclose(self) -> None:
        """Tell what has been given back; what is still in flight elsewhere is told elsewhere."""
        task = self._talking
        if task is not None and task.get_loop() is running_loop():
            await asyncio.wait({task}, timeout=_FAREWELL)
            task.cancel()

    def _notify(self) -> None:
        """Have the task report soon, on an event loop that lives; the lock is held."""
        task = self._talking
        if task is not None and not task.get_loop().is_closed():
            call_in(task.get_loop(), self._news.set)
            return
        self._talking = None
        here = running_loop()
        # This loop first, which is alive for sure; any other may close before it is told.
        loops = sorted(self.waiting.timers, key=lambda loop: loop is not here)
        for loop in loops:
            if not loop.is_closed():
                call_in(loop, self._start)
                return

    def _start(self) -> None:
        with self.lock:
            if self._talking is None:
                # What somebody has in the context of a call must not live as long as this.
                nothing = contextvars.Context()
                self._news = asyncio.Event()
                loop = asyncio.get_running_loop()
                self._talking = loop.create_task(self._talk(self._news), context=nothing)

    async def _talk(self, news: asyncio.Event) -> None:
        task = asyncio.current_task()
        try:
            while await self._report(news):
                pass
        finally:
            # Cancelled, because its loop ends: others may go on on theirs.
            with self.lock:
                if self._talking is task:
                    self.waiting.timers.pop(asyncio.get_running_loop(), None)
                    self._talking = None
                    self._notify()

    async def _report(self, news: asyncio.Event) -> bool:
        """Report what there is, or wait until there is something; False when all is said."""
        # Before the look at what there is: whatever is told after it ends the wait below.
        news.clear()
        with self.lock:
            now, moment = self.clock.monotonic(), self._link.report_at()
            if moment is None:
                self._talking = None
                return False
            report = self._link.report() if moment <= now else None
        if report is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(moment - now):
                    await news.wait()
            return True
        try:
            # Without the lock, as it may take as long as the network or another process does.
            reply = await self._coordinator.exchange(self._name, report)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where a call waits
            with self.lock:
                self._link.failed(self.clock.monotonic())
                self.waiting.fail(error)
        else:
            with self.lock:
                self._link.heard(reply, self.clock.monotonic())
                self.waiting.look()
        return True
