"""A run with tools, read in a task of its own."""

import asyncio
from typing import Self

from zai_async.tools import RunEvent, ToolRun

__all__ = ["RunFeed"]


class RunFeed:
    """The events of a run, of which a read can be given up without losing anything.

    A run is entered and left in one task, while the relay makes each of its reads in another; and
    giving up the first read would give up the request that waits for its slot.
    """

    def __init__(self, run: ToolRun) -> None:
        # The relay keeps the whole answer; this one is only to be in step with it.
        self._events: asyncio.Queue[RunEvent | Exception | None] = asyncio.Queue(64)

        async def read() -> None:
            end: Exception | None = None
            try:
                async with run:
                    async for event in run.events:
                        await self._events.put(event)
            except Exception as error:  # noqa: BLE001 - raised again where it is read
                end = error
            await self._events.put(end)

        self._task = asyncio.create_task(read())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunEvent:
        event = await self._events.get()
        if event is None:
            raise StopAsyncIteration
        if isinstance(event, Exception):
            raise event
        return event

    async def aclose(self) -> None:
        """Leave the run, which closes its connection to the platform."""
        self._task.cancel()
        await asyncio.wait({self._task})
