"""The clocks of open streams: one timer of the loop looks after all of them."""

import asyncio
from typing import Final, Protocol
from weakref import WeakSet

__all__ = ["Watchdog", "Watched"]

_SHARE: Final = 8  # looks per timeout: a stall is noticed at most an eighth late
_SHORTEST: Final = 0.01
_LONGEST: Final = 1.0


class Watched(Protocol):
    """What has a limit on its waiting."""

    @property
    def shortest_timeout(self) -> float:
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
        # A stream that was forgotten has to go at once, and says so when it does.
        self._watched: WeakSet[Watched] = WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0

    def add(self, watched: Watched) -> None:
        """Begin to look after something."""
        self._watched.add(watched)
        due = self._loop.time() + _pace(watched.shortest_timeout)
        # Asking all the others for their timeouts would make each new stream dearer.
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
        # A loop that was held up looks late: what counts is the time that really has passed.
        passed, self._last = now - self._last, now
        # Copied, because a stream that is ended leaves at once.
        for watched in tuple(self._watched):
            watched.look(now, passed)
        if self._watched:
            timeout = min((watched.shortest_timeout for watched in self._watched), default=_LONGEST)
            self._arm(now + _pace(timeout))


def _pace(timeout: float) -> float:
    """Return the time between two looks at what has such a timeout."""
    return min(_LONGEST, max(_SHORTEST, timeout / _SHARE))
