"""Rows answered by calls: one task pulls them, and each that is worked on has a task of its own.

No more rows are pulled than the limiter lets go, and a few that wait for it: an input of millions
is no list of tasks, and nothing is paid for before there is room for its result.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from zai_async.batch.answers import Answers
from zai_async.batch.keys import digest_of
from zai_async.batch.results import Failed, Ok, RowError, StopCause
from zai_async.batch.rows import RowRequest
from zai_async.errors import BudgetExceededError, ClientClosedError, ZaiError
from zai_async.limiter import Snapshot

if TYPE_CHECKING:
    from zai_async.batch.engine import Engine

__all__ = ["CallBackend", "group_size"]

_PAUSING: Final = frozenset({"auth", "billing", "account", "quota"})
"""Kinds of errors that each further row would end with as well."""
_UNLIMITED: Final = 256
"""Rows at once where there is no limit."""
_QUEUED: Final = 8
"""Rows that wait for the limiter, so that it never waits for one."""
_UNCOMMITTED: Final = 64
"""Rows that wait for the disk besides."""
_MOST_READY: Final = 256
"""Results that nobody has read yet, at which no more rows are pulled."""
_LOOK: Final = 0.05
"""Seconds between two looks whether the window has grown."""
_IN_ONE_GO: Final = 256
"""Rows that are passed over before others get their turn."""
_FOR_EACH, _MOST_AT_FIRST = 200, 32
"""Rows for each request that is sent before anything is known of the limit, and the most of these.
If all are refused, it is one of 200."""


def group_size(concurrency: int | None) -> int:
    """Return how many lines are written together: few, where rows must wait until they are."""
    most = 4 * _UNCOMMITTED if concurrency is None else concurrency
    return min(_UNCOMMITTED, max(1, most // 8))


class CallBackend:
    """Answers the rows of a run with a call each."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._answers = Answers(
            engine.manager, engine.settings, engine.journal, engine.answer_format
        )
        self._models: set[str] = set()
        self._rows: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._puller: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @property
    def in_flight(self) -> int:
        """Rows that are worked on."""
        return len(self._rows)

    @property
    def limit(self) -> int | None:
        """Requests that may be in flight, for all models of the run; None without a limit."""
        limits = [figures.limit for _, figures in self._windows]
        found = [limit for limit in limits if limit is not None]
        return sum(found) if len(found) == len(limits) else None

    @property
    def limits(self) -> Mapping[str, int]:
        """What was found to be possible, by model; of several keys the smallest one."""
        found: dict[str, int] = {}
        for model, figures in self._windows:
            limit = figures.limit
            if limit is not None:
                if not figures.rejected:
                    # Too few rows to find it out again: what an earlier run has found holds.
                    limit = max(limit, self._engine.journal.manifest.limits.get(model, 0))
                found[model] = min(limit, found.get(model, limit))
        return found

    @property
    def _windows(self) -> list[tuple[str, Snapshot]]:
        windows = self._engine.manager.sessions.queues.snapshot()
        return [
            (place.model, each) for place, each in windows.items() if place.model in self._models
        ]

    async def work(self) -> None:
        """Answer all rows, or those before the run is stopped."""
        self._puller = asyncio.get_running_loop().create_task(self._pull())
        self._look()
        if self._engine.stopped is not None:
            self.stop()
        try:
            await asyncio.wait([self._puller])
            while self._rows and self._failure is None:
                await self._change()
        finally:
            self._timer.cancel()
            # Nothing is left but after a bug, or when the run is stopped at once.
            tasks = {self._puller, *self._rows}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if self._failure is not None:
            raise self._failure
        if not self._puller.cancelled():
            self._puller.result()

    def stop(self) -> None:
        """Pull no more rows."""
        if self._puller is not None:
            self._puller.cancel()

    def notice(self) -> None:
        """Look again whether there is room for another row."""
        self._changed.set()

    def delivered(self, result: Ok | Failed, request: RowRequest) -> None:
        """Note that a result is in the output, for rows that are equal."""
        if self._engine.settings.dedupe:
            known = self._engine.journal.recovery.index.get(digest_of(result.key))
            self._answers.delivered(result, request, 0 if known is None else known.position)

    async def _pull(self) -> None:
        engine, passed = self._engine, 0
        async with aclosing(aiter(engine.source)) as rows:
            async for row in rows:
                taken = engine.intake.take(row)
                if isinstance(taken, RowRequest):
                    while not self._has_room():
                        await self._change()
                    self._meet(taken.model)
                    # Numbered when it begins and not when it ends: that is the order of rows.
                    working = self._process(engine.number(), taken)
                    task = asyncio.get_running_loop().create_task(working)
                    self._rows.add(task)
                    task.add_done_callback(self._leave)
                    continue
                if isinstance(taken, Failed):
                    engine.settle(engine.number(), taken)
                else:
                    if taken.request is not None and taken.position is not None:
                        self._answers.remember(taken.request, taken.position)
                    await engine.pass_over(taken)
                passed += 1
                # Whoever reads only what is done already must not keep the loop for itself.
                if passed % _IN_ONE_GO == 0:
                    await checkpoint()
                while max(engine.outbox.backlog, engine.journal.pending) >= _MOST_READY:
                    await self._change()

    async def _change(self) -> None:
        """Wait for something that may have made room."""
        self._changed.clear()
        await self._changed.wait()

    def _look(self) -> None:
        """Look for room now and then: nobody tells that a window has grown."""
        self._changed.set()
        self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look)

    def _meet(self, model: str) -> None:
        """Have a model that is new begin with more at once where many rows pay for the search."""
        engine = self._engine
        if model not in self._models and model not in engine.journal.manifest.limits:
            rows = (engine.source.total or 0) - engine.meter.skipped
            size = min(rows // _FOR_EACH, _MOST_AT_FIRST)
            engine.manager.sessions.queues.expect(model, size)
        self._models.add(model)

    def _has_room(self) -> bool:
        engine, flying = self._engine, len(self._rows)
        pending, most = engine.journal.pending, engine.settings.concurrency
        if most is None:
            # Without a number of its own a run follows the limiter: a few more rows than may be in
            # flight wait for permits, so that no permit waits for a row.
            limit = self.limit
            room = (limit or 1) if self._models else 1
            room = _UNLIMITED if limit is None else room
            return (
                flying < room + _QUEUED
                and pending < _UNCOMMITTED
                and engine.outbox.backlog < _MOST_READY
            )
        return flying + pending < most and engine.outbox.backlog < max(_UNCOMMITTED, most)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._rows.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # The first one tells what went wrong; those after it are mostly its consequences.
            self._failure = self._failure or task.exception()
            self.stop()
        self._changed.set()

    async def _process(self, number: int, request: RowRequest) -> None:
        engine = self._engine
        try:
            result = await self._answers.find(request)
        except (BudgetExceededError, ClientClosedError) as error:
            reason = "budget" if isinstance(error, BudgetExceededError) else "client"
            engine.give_up(number, StopCause("paused", reason, str(error)))
        except ZaiError as error:
            if error.kind in _PAUSING:
                cause = StopCause("paused", error.kind, str(error), error.retry_at)
                engine.give_up(number, cause)
            else:
                failed = Failed.of(error, request.key, request.row, len(error.attempts))
                engine.settle(number, failed, request)
        except (OSError, TypeError, ValueError) as error:
            # Only files are opened and keywords checked here: the row names none that can be sent.
            fault = RowError(kind="input", message=str(error))
            engine.settle(number, Failed(key=request.key, error=fault, row=request.row), request)
        else:
            engine.settle(number, result, request)
