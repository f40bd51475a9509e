"""From the events of an answer to the frames of a response."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from zai_async.errors import ZaiError
from zai_async.streams.combinators import coalesce
from zai_async.web.encoders import AnswerEncoder
from zai_async.web.parts import RelayedEvent
from zai_async.web.source import AnswerSource

__all__ = ["frames_of"]


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
    beat = encoder.heartbeat
    try:
        while True:
            timer = asyncio.timeout(heartbeat if beat else None)
            try:
                async with timer:
                    event = await anext(events)
            except StopAsyncIteration:
                break
            except TimeoutError:
                # Some errors of ours are timeouts as well.
                if not timer.expired():
                    raise
                yield beat
                continue
            if frames := encoder.encode(event):
                yield frames
        last = encoder.end()
    except ZaiError as error:
        last = encoder.fail(error)
    except Exception:
        yield encoder.fail(ZaiError("the relay failed", kind="server"))
        raise
    if last:
        yield last
