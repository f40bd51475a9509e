"""Many tasks at once: wait for all of them, or take them as they are done."""

import asyncio
import weakref
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar, overload

import anyio

from zai_async._threads import require_asyncio
from zai_async.models import Reply
from zai_async.tasks.task import Task

__all__ = ["AsCompleted", "as_completed", "wait_all"]

R = TypeVar("R", bound=Reply)


@overload
async def wait_all(
    tasks: Iterable[Task[R]],
    timeout: float | None = None,  # noqa: ASYNC109 - as task.wait()
    *,
    return_errors: Literal[False] = False,
) -> list[R]: ...
@overload
async def wait_all(
    tasks: Iterable[Task[R]],
    timeout: float | None = None,  # noqa: ASYNC109
    *,
    return_errors: Literal[True],
) -> list[R | Exception]: ...
async def wait_all(
    tasks: Iterable[Task[R]],
    timeout: float | None = None,  # noqa: ASYNC109
    *,
    return_errors: bool = False,
) -> list[R] | list[R | Exception]:
    """Wait for all tasks and return their results in the same order.

    One that fails does not end the wait for the others, and with ``return_errors`` its error
    stands in the place of its result. The ``timeout`` in seconds is for all together.

    Raises:
        TaskFailedError: A task has failed; of several the first in the list, after all have ended.
        TaskTimeoutError: The time is over.
    """
    # By place, because tasks end in any order, and equal handles may stand in the list twice.
    ends: dict[int, R | Exception] = {}

    async def follow(place: int, task: Task[R]) -> None:
        ends[place] = await _end(task, timeout)

    require_asyncio()
    async with anyio.create_task_group() as group:
        for place, task in enumerate(tasks):
            group.start_soon(follow, place, task)
    results = [ends[place] for place in sorted(ends)]
    if not return_errors:
        for result in results:
            if isinstance(result, Exception):
                raise result
    return results


async def _end(task: Task[R], timeout: float | None) -> R | Exception:  # noqa: ASYNC109
    try:
        return await task.wait(timeout)
    except Exception as error:  # noqa: BLE001 - it is raised, or returned, where all are
        return error


def as_completed(
    tasks: Iterable[Task[R]],
    timeout: float | None = None,
) -> "AsCompleted[R]":
    """Iterate over tasks with ``async for``, each as soon as its wait is over.

    ``task.result()`` then returns the result, or raises what the wait did: TaskTimeoutError when
    the ``timeout`` in seconds, which is for all together, is over. Leaving the loop early is
    fine; ``async with`` ends the waits at once, and so does ``aclose()``.
    """
    return AsCompleted(tasks, timeout)


class AsCompleted(Generic[R]):
    """The tasks of ``as_completed()``; nothing is asked before the first is wanted."""

    def __init__(self, tasks: Iterable[Task[R]], timeout: float | None) -> None:
        self._todo = list(tasks)
        self._left = len(self._todo)
        self._timeout = timeout
        self._done: asyncio.Queue[Task[R]] = asyncio.Queue()
        # Tasks of asyncio, because a task group would have to be left where it was entered.
        self._waits: set[asyncio.Task[None]] = set()
        weakref.finalize(self, _cancel, self._waits).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Task[R]:
        # Not in __init__: an iterator that is never used leaves no task behind.
        require_asyncio()
        todo, self._todo = self._todo, []
        for waiting in todo:
            wait = asyncio.create_task(_follow(waiting, self._timeout, self._done))
            self._waits.add(wait)
            wait.add_done_callback(self._waits.discard)
        if not self._left:
            raise StopAsyncIteration
        task = await self._done.get()
        self._left -= 1
        return task

    async def aclose(self) -> None:
        """End the waits that are left; the tasks themselves go on."""
        self._todo, self._left = [], 0
        # A copy: each wait removes itself from the set when it has ended.
        waits = tuple(self._waits)
        for wait in waits:
            wait.cancel()
        if waits:
            await asyncio.wait(waits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


async def _follow(task: Task[R], timeout: float | None, done: asyncio.Queue[Task[R]]) -> None:  # noqa: ASYNC109
    await _end(task, timeout)
    done.put_nowait(task)


def _cancel(waits: set[asyncio.Task[None]]) -> None:
    """Cancel from wherever an iterator that was left early is collected."""
    for wait in tuple(waits):
        with suppress(RuntimeError):  # the loop is closed, and its tasks with it
            wait.get_loop().call_soon_threadsafe(wait.cancel)
