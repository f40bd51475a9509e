"""One call that becomes several, because the platform takes only so much at a time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio

__all__ = ["in_parts"]

T = TypeVar("T")

# The limiter decides how many are in flight; this many wait for it.
_AT_ONCE: Final = 16


async def in_parts(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make calls at the same time and return what they do, in order.

    The first error ends the calls under way and is raised as it is.
    """
    results: dict[int, T] = {}
    errors: list[Exception] = []
    left = iter(enumerate(calls))

    async def work() -> None:
        for number, call in left:
            try:
                results[number] = await call()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group
                errors.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(min(_AT_ONCE, len(calls))):
            group.start_soon(work)
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(calls))]
