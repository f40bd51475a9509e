"""Opening a stream, which others may close meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from zai_async._clock import Patience
from zai_async.errors import StreamConsumedError

__all__ = ["Opening", "closed_meanwhile"]

T = TypeVar("T")


class Opening:
    """The wait for an answer: for a slot, a connection, the headers, the next attempt."""

    def __init__(self) -> None:
        self._patience: Patience | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a task is waiting."""
        return self._patience is not None

    async def wait(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do work until it is done, or until another task stops it.

        Raises:
            StreamConsumedError: It was stopped. A task that is cancelled itself is cancelled.
        """
        try:
            with Patience(asyncio.get_running_loop()) as self._patience:
                return await work()
        finally:
            self._patience = None
        raise closed_meanwhile()

    def stop(self) -> bool:
        """End the work, and tell whether there was any."""
        if self._patience is None:
            return False
        self._patience.interrupt()
        return True


def closed_meanwhile() -> StreamConsumedError:
    """Make the exception for who waited for a stream that was closed."""
    return StreamConsumedError("the stream was closed while it waited")
