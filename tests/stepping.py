"""Cancelling a coroutine at the await point of one's choice."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Steps:
    """Awaits a coroutine, and cancels its task at await point number ``cancel_at``.

    The cancellation is under way before the coroutine waits, so it hits this very point.
    ``taken`` counts the points; ``on_cancel`` is called when the chosen one is reached.
    """

    def __init__(
        self,
        work: Coroutine[Any, Any, Any],
        cancel_at: int | None = None,
        on_cancel: Callable[[], None] = lambda: None,
    ) -> None:
        self.taken = 0
        self._work = work
        self._cancel_at = cancel_at
        self._on_cancel = on_cancel

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._work.send, None
        while True:
            try:
                point = step(value)
            except StopIteration as end:
                return end.value
            if self.taken == self._cancel_at:
                self._on_cancel()
                asyncio.current_task().cancel()
            self.taken += 1
            try:
                value = yield point
                step = self._work.send
            except BaseException as error:  # noqa: BLE001 - the coroutine decides about it
                step, value = self._work.throw, error


async def run_steps(steps: Steps) -> Any:
    """Be the coroutine that ``create_task`` wants."""
    return await steps
