"""Threads: blocking work in one of its own, and what concerns the event loop of another."""

import asyncio
import errno
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn, Self, TypeVar

import anyio

from zai_async._clock import outside_asyncio

__all__ = [
    "ANSWER_THREADS",
    "FILE_THREADS",
    "DaemonThreads",
    "SharedByCopies",
    "abandonable",
    "call_in",
    "never_copied",
    "no_thread",
    "require_asyncio",
    "running_loop",
    "to_the_end",
]

T = TypeVar("T")

_MOST_THREADS: Final = 64
_IDLE_SECONDS: Final = 10.0


class DaemonThreads:
    """A bounded pool of threads for which nobody waits: no cancelled task, no exiting program.

    The default executor of a loop looks up host names, too; a few pipes on which nothing comes
    would stop all connecting.

    Args:
        most: Threads at once; further work waits for one of them.
        idle_seconds: How long a thread waits for work.
        name: What the threads are called.
        waits: Whether work may have to wait for others. Without a single thread, which the system
            may refuse, what waits for nothing is done in place.
    """

    def __init__(
        self,
        most: int,
        idle_seconds: float = _IDLE_SECONDS,
        *,
        name: str = "zai-async-files",
        waits: bool = True,
    ) -> None:
        self._most = most
        self._waits = waits
        self._name = name
        self._idle_seconds = idle_seconds
        self.start_clean()

    def start_clean(self) -> None:
        """Begin without threads: a fork leaves the child what its parent's had to do, and none."""
        self._process = os.getpid()
        self._work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        # One token for each thread that waits; taking one promises it work. No lock: the event
        # loop must not wait for a thread.
        self._waiting: deque[None] = deque()
        self._threads: set[threading.Thread] = set()

    def submit(self, work: Callable[[], object], *, waits: bool | None = None) -> None:
        """Have a thread do some work, now or when one is free.

        Raises:
            OSError: No thread can be had for work that may have to wait.
        """
        if self._process != os.getpid():
            self.start_clean()
        job = deque([work])

        def do() -> None:
            with suppress(IndexError):  # done in place, or given up
                job.pop()()

        self._work.put(do)
        with suppress(IndexError):  # the last of them may leave at this very moment
            return self._waiting.pop()
        alive = {thread for thread in self._threads if thread.is_alive()}
        if len(alive) < self._most:
            thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._threads = alive | {thread}
            try:
                thread.start()
            except RuntimeError:  # the system has no more of them
                self._threads = alive
                if not alive and (self._waits if waits is None else waits):
                    job.clear()
                    raise no_thread() from None
                if not alive:
                    do()
        return None

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get_nowait()
            except queue.Empty:
                self._waiting.append(None)
                try:
                    work = self._work.get(timeout=self._idle_seconds)
                except queue.Empty:
                    try:
                        self._waiting.pop()
                    except IndexError:
                        continue  # the token was taken at this very moment: work is coming
                    return
            work()


FILE_THREADS: Final = DaemonThreads(_MOST_THREADS)
"""Reads the files of callers, which may be pipes or lie on a disk that does not answer."""
ANSWER_THREADS: Final = DaemonThreads(4, name="zai-async-answers", waits=False)
"""Decodes what is large; nothing that it waits for can keep it from its next work."""


def no_thread() -> OSError:
    """Return the error for work that needs a thread, of which the system has no more."""
    return OSError(errno.EAGAIN, "this machine cannot start another thread")


class SharedByCopies:
    """Something with locks or connections, which copies share and pickles refuse."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} of zai_async cannot be pickled: it belongs to the connections "
            "of this process. Make an AsyncZai in the other process"
        )


def never_copied(self: object) -> NoReturn:
    """Be the ``__reduce__`` of what is read once, by one connection and tasks.

    Asked by copy.copy() and copy.deepcopy() as well as by pickle.

    Raises:
        TypeError: Always.
    """
    raise TypeError(
        f"{type(self).__name__} of zai_async can be neither copied nor pickled: it is read "
        "once, in this process. Keep what it has given, such as its answer"
    )


def abandonable(
    work: Callable[[], T], threads: DaemonThreads = FILE_THREADS, *, waits: bool | None = None
) -> "asyncio.Future[T]":
    """Do blocking work in a thread; who is cancelled while it awaits this leaves it behind.

    Raises:
        OSError: No thread can be had for work that may have to wait (``waits``, which is the
            threads' to say where it is None).
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except StopIteration as error:
            # No future takes one: where it is awaited it would end the coroutine (PEP 479).
            failure = RuntimeError("a thread raised StopIteration")
            failure.__cause__ = error
            finish(partial(done.set_exception, failure))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            finish(partial(done.set_exception, error))
        else:
            finish(partial(done.set_result, result))

    def finish(tell: Callable[[], None]) -> None:
        # The loop may have been closed meanwhile, and nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if done.done() else tell())

    threads.submit(run, waits=waits)
    return done


async def to_the_end(work: Callable[[], T], give_up: Callable[[], object] | None = None) -> T:
    """Run blocking work in a thread, to its end also when this task is cancelled meanwhile.

    Left behind, the thread would open a file that nobody knows of, or write to one that is gone.
    ``give_up`` is called by a cancel, and makes work end that could take for ever. Any other work
    is done in place if the system has no thread left: no file and no result may be lost to that.
    """
    doing = abandonable(work, waits=give_up is not None)
    try:
        await asyncio.wait([doing])
    except asyncio.CancelledError:
        if give_up is not None:
            give_up()
        with anyio.CancelScope(shield=True):
            # A shield holds against scopes only; tasks are cancelled again by whoever has no time.
            while not doing.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([doing])
        doing.exception()  # has been seen
        raise
    return doing.result()


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function in its event loop: now if that is this one, soon if it is another."""
    if running_loop() is loop:
        function()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(function)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of this thread, None if none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def require_asyncio() -> asyncio.AbstractEventLoop:
    """Return the event loop of this thread.

    Raises:
        RuntimeError: None of asyncio runs here.
    """
    loop = running_loop()
    if loop is None:
        raise outside_asyncio()
    return loop
