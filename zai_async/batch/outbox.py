"""Results on their way from the journal to who reads them, as they come or in the order of rows."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Generic, TypeVar

from zai_async.errors.repeats import raised_again

__all__ = ["Outbox"]

T = TypeVar("T")


class Outbox(Generic[T]):
    """A queue that is bounded by whoever fills it, which looks at ``backlog`` first.

    Args:
        ordered: Whether results leave in the order of their numbers, which count from 0.
    """

    def __init__(self, *, ordered: bool) -> None:
        self.discarding = False
        """Whether nobody reads results any more."""
        self._ordered = ordered
        self._next = 0
        self._early: dict[int, T | None] = {}
        self._ready: deque[T] = deque()
        self._news = asyncio.Event()
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None
        self._ended = False

    @property
    def backlog(self) -> int:
        """Results that wait to be read, or for those before them."""
        return len(self._ready) + len(self._early)

    def put(self, number: int, result: T | None) -> None:
        """Hand out the result of a row; None lets those behind it pass."""
        if self.discarding:
            return
        if not self._ordered:
            if result is not None:
                self._ready.append(result)
        else:
            # A row that was given up is kept as None: it must be passed, and is nobody's result.
            self._early[number] = result
            while self._next in self._early:
                first = self._early.pop(self._next)
                self._next += 1
                if first is not None:
                    self._ready.append(first)
        # The reader is woken by what it can take: an early result alone is no news.
        if self._ready:
            self._news.set()

    def discard(self) -> None:
        """Forget what is here, and what comes."""
        self.discarding = True
        self._ready.clear()
        self._early.clear()

    def end(self, error: BaseException | None = None) -> None:
        """Let the reader come to an end, or raise an error at it."""
        # Rows that were given up leave gaps in the order.
        for number in sorted(self._early):
            result = self._early.pop(number)
            if result is not None:
                self._ready.append(result)
        self._ended, self._error = True, error
        self._trace = None if error is None else error.__traceback__
        self._news.set()

    async def get(self) -> T:
        """Return the next result.

        Raises StopAsyncIteration at the end, and what the run failed with.
        """
        while not self._ready:
            if self._ended:
                if self._error is not None:
                    raise raised_again(self._error, self._trace)
                raise StopAsyncIteration
            # No await lies between the look and this, so nothing that came can be missed.
            self._news.clear()
            await self._news.wait()
        return self._ready.popleft()
