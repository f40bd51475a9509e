"""An event loop on which waiting takes no time: hours of silence pass in microseconds."""

import asyncio
import functools
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest import mock

from anyio._backends._asyncio import WorkerThread

from zai_async._threads import DaemonThreads

T = TypeVar("T")

_submit = DaemonThreads.submit


class _Selector(selectors.SelectSelector):
    now = 0.0

    def __init__(self, waits_for_thread: Callable[[], bool]) -> None:
        super().__init__()
        self._waits_for_thread = waits_for_thread

    def select(self, timeout: float | None = None) -> Any:
        busy = self._waits_for_thread()  # asked first: what they have done by now is ready
        ready = super().select(0)
        if not ready and busy:
            return super().select(0.001)  # no time passes while a thread works, however slow it is
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that never comes")
        self.now += 0.0 if ready else timeout or 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._virtual = _Selector(self._waits_for_thread)
        self._given: set[Callable[[], object]] = set()
        """What a file thread has been given and has not done; of this loop alone."""
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_forever(self) -> None:
        def submit(
            threads: DaemonThreads, work: Callable[[], object], *, waits: bool | None = None
        ) -> None:
            if asyncio._get_running_loop() is not self:
                return _submit(threads, work, waits=waits)

            def counted() -> None:
                try:
                    work()
                finally:
                    self._given.discard(counted)

            self._given.add(counted)
            return _submit(threads, counted, waits=waits)

        with mock.patch.object(DaemonThreads, "submit", submit):
            super().run_forever()

    def _waits_for_thread(self) -> bool:
        return bool(self._given) or any(
            isinstance(thread, WorkerThread)
            and thread.loop is self
            and thread not in thread.idle_workers
            for thread in threading.enumerate()
        )


def put_forward(seconds: float) -> None:
    """Put the clock of the running loop forward: who waits for so long has waited enough."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of an async one: 10 ms are over when nothing else is left to do, not before."""

    async def leaving_nothing(work: Coroutine[Any, Any, None]) -> None:
        await work
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @functools.wraps(test)
    def timeless(*args: Any, **kwargs: Any) -> None:
        run(leaving_nothing(test(*args, **kwargs)))

    return timeless
