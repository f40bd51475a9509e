"""From the events of an answer to the frames of a response."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from zai_async.errors import ZaiError
from zai_async.streams.combinators import coalesce
from zai_async.web.encoders import AnswerEncoder
from zai_async.web.parts import RelayedEvent
from zai_async.web.source import AnswerSource

__all__ = ["frames_of", "with_silences"]

T = TypeVar("T")


async def with_silences(
    items: AsyncIterator[T], seconds: float | None
) -> AsyncGenerator[T | None, None]:
    """Yield items, and None whenever there has been none for so long.

    The items have to survive a read that is cancelled.
    """
    while True:
        # A new one for each item: what counts is the silence, and not how long all takes.
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                item = await anext(items)
        except StopAsyncIteration:
            return
        except TimeoutError:
            # Some errors of ours are timeouts as well.
            if not timer.expired():
                raise
            yield None
        else:
            yield item


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
