"""From the events of an answer to the frames of a response."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar, cast

from zai_async.errors import ZaiError
from zai_async.streams.combinators import coalesce
from zai_async.web.encoders import AnswerEncoder
from zai_async.web.parts import RelayedEvent
from zai_async.web.source import AnswerSource

__all__ = ["frames_of", "with_silences"]

T = TypeVar("T")


class _Watch:
    """Ends a wait that lasts for so long: one timer for all waits, as most of them are short."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._cancelling = 0
        self._task: asyncio.Task[Any] | None = None
        self._has_ended = False
        self._timer = self._loop.call_later(seconds, self._look)

    def begin(self) -> None:
        """Note that a wait begins in this task."""
        task = self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling, self._has_ended = task.cancelling(), False
        self._since = self._loop.time()

    def end(self) -> None:
        """Note that the wait is over."""
        self._task = None

    def _look(self) -> None:
        now = self._loop.time()
        due = self._seconds + (now if self._task is None else self._since)
        if due <= now:
            self._has_ended, due = True, now + self._seconds
            cast("asyncio.Task[Any]", self._task).cancel()
        self._timer = self._loop.call_at(due, self._look)

    def has_ended(self) -> bool:
        """Tell whether a cancellation of the wait is ours, and take it back then."""
        task = cast("asyncio.Task[Any]", self._task)
        return self._has_ended and task.uncancel() <= self._cancelling

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()


async def with_silences(
    items: AsyncIterator[T], seconds: float | None
) -> AsyncGenerator[T | None, None]:
    """Yield items, and None whenever there has been none for so long.

    The items have to survive a read that is cancelled.
    """
    if seconds is None:
        async for item in items:
            yield item
        return
    watch = _Watch(seconds)
    try:
        while True:
            watch.begin()
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if not watch.has_ended():
                    raise
                watch.end()
                yield None
            else:
                watch.end()
                yield item
    finally:
        watch.close()


async def frames_of(
    source: AnswerSource,
    encoder: AnswerEncoder,
    *,
    heartbeat: float | None,
    max_delay: float,
) -> AsyncGenerator[bytes, None]:
    """Yield the frames of an answer, and heartbeats between them while it is silent.

    Every way in which an answer can end is told to its reader. What is no error of ours is raised
    after that: it belongs into the log of the server.
    """
    events: AsyncIterator[RelayedEvent] = source
    if max_delay > 0:
        events = coalesce(source, max_delay)
    silence = heartbeat if encoder.heartbeat else None
    try:
        async with aclosing(with_silences(events, silence)) as told:
            async for event in told:
                frames = encoder.heartbeat if event is None else encoder.encode(event)
                if frames:
                    yield frames
        last = encoder.end()
    except ZaiError as error:
        last = encoder.fail(error)
    except Exception:
        # What went wrong is for the log: its text may hold what no stranger should read.
        yield encoder.fail(ZaiError("the relay failed", kind="server"))
        raise
    if last:
        yield last
