"""Hearing of the end of the process when it begins.

A server runs the second half of a lifespan when its last response has ended, which is too late for
open streams: they have to be told at the signal.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

__all__ = ["ShutdownSignals"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class ShutdownSignals:
    """Calls something in the event loop at the first signal, and the server's own handler after it.

    Servers install their handlers at different moments, some of them after the lifespan has begun,
    so ``install()`` is called again with every request, and does nothing where it is in place.
    Threads other than the main one hear of no signal.
    """

    def __init__(self, begin: Callable[[], object]) -> None:
        self._begin = begin
        self.is_wanted = False
        """Whether somebody has entered what is to be told."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._former: dict[int, Any] = {}

    def install(self) -> None:
        """Stand before the handlers that are there now."""
        if not self.is_wanted or threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            former = signal.getsignal(number)
            # Where no server listens the process ends at once, as it always did.
            if callable(former) and former != self._heard and former is not _interrupt:
                self._former[number] = former
                signal.signal(number, self._heard)

    def restore(self) -> None:
        """Give the signals back, unless somebody else has taken them meanwhile."""
        self.is_wanted = False
        for number, former in self._former.items():
            if signal.getsignal(number) == self._heard:
                signal.signal(number, former)
        self._former.clear()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin)
        former = self._former.get(number)
        if former is not None:
            former(number, frame)


_interrupt: Final = signal.default_int_handler
