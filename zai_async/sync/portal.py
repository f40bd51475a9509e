"""An event loop in a thread of its own, and the way into it for all other threads."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

from zai_async.errors import ConfigurationError, LocalResourceError

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

    def run(self, work: Callable[[], Awaitable[T]], worker: "Worker | None" = None) -> T:
        """Call a function in the loop, await what it returns, and return the result.

        It runs in a task of its own, or in that of a worker.

        Context variables are those of the caller, who sees what has become of them. Ctrl-C cancels
        the work.

        Raises:
            ConfigurationError: This is the thread of the loop, which would wait for itself.
        """
        loop = self._started()
        if threading.current_thread() is self._thread:
            raise ConfigurationError(
                "a blocking call inside the event loop of its own client would wait for ever",
                hint="Hooks, tools and callbacks run there: use AsyncZai in them.",
            )
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
            loop.call_soon_threadsafe(begin)
            finished.wait()
        except BaseException:
            # The caller is interrupted: nothing goes on behind its back.
            loop.call_soon_threadsafe(cancel)
            finished.wait()
            raise
        finally:
            for variable, value in context.items():
                if variable.get(None) is not value:
                    variable.set(value)
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
        thread = self._thread
        if loop is None or loop.is_closed():
            return  # whatever it was ended with its loop
        if self.loop is not loop or thread is None:
            # It goes on in the process that forked, and would be ended there as well: by the
            # garbage collector, too.
            _inherited.append(work)
            return
        if threading.current_thread() is not thread:
            self.run(work)
            return
        # The garbage collector works in any thread.
        task = loop.create_task(work())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def close(self) -> None:
        """End the thread and close the loop; more work would start others."""

        async def wind_up() -> None:
            # As asyncio.run() does: what is left would be told of by the garbage collector, later.
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
            await asyncio.get_running_loop().shutdown_asyncgens()

        if self.loop is not None:
            self.run(wind_up)
        with self._lock:
            thread, loop, self._thread, self._loop = self._thread, self._loop, None, None
        if thread is not None and loop is not None and self._owner == os.getpid():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

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
                    target=self._loop.run_forever, name="zai-async-loop", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:
                    # Whoever comes next begins anew: nothing would ever run in this loop.
                    self._loop.close()
                    self._loop = self._thread = None
                    raise LocalResourceError.of_threads() from None
            return self._loop


class Worker:
    """A task of a loop that does one thing after the other.

    What has to be left by the task that has entered it, such as a group of tasks, is used by one.
    """

    def __init__(self) -> None:
        self._work: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]]
        self._task: asyncio.Task[None] | None = None

    async def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Have something done; who is cancelled meanwhile cancels it."""
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._work = asyncio.Queue()
            self._task = loop.create_task(self._serve())
        done: asyncio.Future[T] = loop.create_future()
        self._work.put_nowait((work, done))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if not done.done():
                self._task.cancel()
            raise

    async def end(self) -> None:
        """End the task, when everything has been left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while True:
            work, done = await self._work.get()
            try:
                done.set_result(await work())
            except asyncio.CancelledError as error:
                # Only what it did was cancelled, and there may be more to do.
                cast("asyncio.Task[None]", self._task).uncancel()
                done.set_exception(asyncio.CancelledError(*error.args))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                done.set_exception(error)
            if done.exception() is not None:
                continue  # noted as seen: the caller may have gone
