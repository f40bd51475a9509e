"""An event loop in a thread of its own, and the way into it for all other threads."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

from zai_async.errors import ClientClosedError, ConfigurationError, LocalResourceError

__all__ = ["LoopThread", "Worker"]

T = TypeVar("T")

# A fork leaves the child loops of its parent, whose threads it has not. Neither they nor what they
# hold are run or closed there, as sockets and selectors are the parent's, too.
_inherited: Final[list[object]] = []


class LoopThread:
    """Runs work in an event loop, which is started when there is some; after a fork, once more."""

    def __init__(self) -> None:
        # Again in the same thread: the garbage collector may end a stream at any moment.
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(
        self,
        work: Callable[[], Awaitable[T]],
        worker: "Worker | None" = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> T:
        """Call a function in the loop, await what it returns, and return the result.

        It runs in a task of its own, or in that of a worker, and in this loop if one is given.

        Context variables are those of the caller, who sees what has become of them. Ctrl-C cancels
        the work.

        Raises:
            ConfigurationError: This is the thread of the loop, which would wait for itself.
            ClientClosedError: The loop has been closed meanwhile.
        """
        loop = loop or self._started()
        self._refuse_own_thread()
        context, finished = copy_context(), threading.Event()
        tasks: list[asyncio.Task[T]] = []

        async def perform() -> T:
            return await (work() if worker is None else worker.do(work))

        def settle(task: asyncio.Task[T]) -> None:
            # An error that nobody waits for any more is not told of once more.
            if not task.cancelled():
                task.exception()
            finished.set()

        def begin() -> None:
            tasks.append(loop.create_task(perform(), context=context))
            tasks[0].add_done_callback(settle)

        def cancel() -> None:
            # Interrupted before it began, nothing is under way.
            tasks[0].cancel() if tasks else finished.set()

        try:
            self._post(begin, loop)
            finished.wait()
        except BaseException:
            # The caller is interrupted: nothing goes on behind its back.
            with suppress(ClientClosedError):  # it is ended anyway
                self._post(cancel, loop)
                finished.wait()
            raise
        finally:
            for variable, value in context.items():
                if variable.get(None) is not value:
                    variable.set(value)
        if tasks[0].cancelled() and self._loop is not loop:
            raise ClientClosedError("the client was closed during this call")
        # Popped: an error and the frames that it has passed would keep each other alive.
        return tasks.pop().result()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that runs now, in this process."""
        return self._loop if self._owner == os.getpid() else None

    def finish(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        """Run what ends something of a loop; where nobody may wait for that, it is only begun."""
        if loop is None or loop.is_closed():
            return  # whatever it was ended with its loop
        if self._owner != os.getpid() or loop in _inherited:
            # It goes on in the process that forked, and would be ended there as well: by the
            # garbage collector, too.
            _inherited.append(work)
        elif threading.current_thread() is self._thread:
            # The garbage collector works in any thread.
            task = loop.create_task(work())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        else:
            with suppress(ClientClosedError):  # it ends with its loop
                self.run(work, loop=loop)

    def close(self) -> None:
        """End the thread and close the loop; more work would start others.

        What is under way is cancelled.

        Raises:
            ConfigurationError: This is the thread of the loop, which would wait for itself.
        """
        if self.loop is None:
            return
        self._refuse_own_thread()
        # Taken away first: what was posted before is ended with the loop, and nothing comes after.
        with self._lock:
            thread, loop, self._thread, self._loop = self._thread, self._loop, None, None
        if thread is not None and loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _post(self, callback: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Have a loop call something, unless it has been taken away."""
        with self._lock:
            if self._loop is not loop:
                raise ClientClosedError("the client is closed")
            loop.call_soon_threadsafe(callback)

    def _refuse_own_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise ConfigurationError(
                "a blocking call inside the event loop of its own client would wait for ever",
                hint="Hooks, tools and callbacks run there: use AsyncZai in them.",
            )

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._owner != os.getpid():
            # The lock may be held by a thread that was not taken along.
            self._lock, self._owner = threading.RLock(), os.getpid()
            if self._loop is not None:
                _inherited.append(self._loop)
            self._loop = self._thread = None
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="zai-async-loop", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:
                    # Whoever comes next begins anew: nothing would ever run in this loop.
                    self._loop.close()
                    self._loop = self._thread = None
                    raise LocalResourceError.of_threads() from None
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and end what is left in it."""

    async def wind_up() -> None:
        # As asyncio.run() does: what is left would be told of by the garbage collector, later.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await loop.shutdown_asyncgens()

    loop.run_forever()
    loop.run_until_complete(wind_up())
    loop.close()


class Worker:
    """A task of a loop that does one thing after the other.

    What has to be left by the task that has entered it, such as a group of tasks, is used by one.
    """

    def __init__(self) -> None:
        self._work: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]]
        self._task: asyncio.Task[None] | None = None
        self._under_way: asyncio.Future[Any] | None = None
        """What is waited for just now."""
        self._given_up: asyncio.Future[Any] | None = None
        """What was under way for somebody who has been cancelled."""

    async def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Have something done; who is cancelled meanwhile cancels it.

        Raises:
            ClientClosedError: The loop of the task has been closed.
        """
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._work = asyncio.Queue()
            self._task = loop.create_task(self._serve())
        if self._task.done():
            raise ClientClosedError("the client has been closed since this was opened")
        done: asyncio.Future[T] = loop.create_future()
        self._work.put_nowait((work, done))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if self._under_way is done:
                self._given_up = done
                self._task.cancel()
            else:
                done.cancel()
            raise

    async def end(self) -> None:
        """End the task, when everything has been left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _serve(self) -> None:
        task = cast("asyncio.Task[None]", self._task)
        while not task.cancelling():
            work, done = await self._work.get()
            if done.cancelled():
                continue
            self._under_way = done
            try:
                done.set_result(await work())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                done.set_exception(error)
                done.exception()  # noted as seen: the caller may have gone
            self._under_way = None
            if self._given_up is done:
                # Only what it did was cancelled, and there may be more to do.
                task.uncancel()
