"""Several streams as one: each source is read and closed in a task of its own."""

import asyncio
from collections.abc import AsyncIterable
from typing import Generic, Self, TypeAlias, TypeVar, cast

from zai_async.streams.combinators import CANCELLED, close, is_ending

__all__ = ["MergedIterator", "merge"]

T = TypeVar("T")


class MergedIterator(Generic[T]):
    """The items of several sources in the order in which they come.

    Each source is read and closed in a task of its own.
    """

    cancel_safe = True

    def __init__(self, sources: tuple[AsyncIterable[T], ...]) -> None:
        self._sources = sources
        self._tasks: list[asyncio.Task[None]] = []
        self._left = len(sources)
        self._queue: asyncio.Queue[_Forwarded[T]] = asyncio.Queue()
        self._end: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self._tasks:
            self._tasks = [asyncio.create_task(_forward(s, self._queue)) for s in self._sources]
        while self._left > 0:
            item, taken, end = await self._queue.get()
            if end is None:
                taken.set()
                return cast("T", item)
            self._left -= 1
            if not isinstance(end, StopAsyncIteration):
                self._end = end
                await self.aclose()
        raise self._end or StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading, and close all sources."""
        self._left = 0
        for task in self._tasks:
            # What is being closed already is left to it.
            if not task.cancelling():
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for source in self._sources:
            await close(source)  # of a task that had not begun
        self._queue.put_nowait((None, asyncio.Event(), StopAsyncIteration()))  # who waits here
        for task in self._tasks:
            # A group of tasks in a source that is closed always fails, with its GeneratorExit.
            if not task.cancelled() and isinstance(task.exception(), Exception):
                task.result()

    def __del__(self) -> None:
        for task in self._tasks:
            task.cancel()


_Forwarded: TypeAlias = tuple[T | None, asyncio.Event, BaseException | None]
"""An item, or how its source ended, and what is set when it has been taken."""


async def _forward(source: AsyncIterable[T], queue: "asyncio.Queue[_Forwarded[T]]") -> None:
    """Hand on what a source says, one item ahead, and then how it ended."""
    end: BaseException = StopAsyncIteration()
    taken = asyncio.Event()
    try:
        items = aiter(source)
        try:
            async for item in items:
                queue.put_nowait((item, taken, None))
                await taken.wait()
                taken.clear()
        finally:
            await close(items)
            await close(source)
    except (Exception, asyncio.CancelledError) as error:
        if is_ending():
            raise
        cancelled = isinstance(error, asyncio.CancelledError)
        end = RuntimeError(CANCELLED) if cancelled else error
    queue.put_nowait((None, taken, end))


def merge(*sources: AsyncIterable[T]) -> MergedIterator[T]:
    """Read several sources at once, as one: each item as soon as it is there.

    The order within a source is kept. An error of one ends all of them, which are closed; so does
    ``aclose()``.
    """
    return MergedIterator(sources)
