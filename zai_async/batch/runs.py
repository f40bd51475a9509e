"""``zai.batch``: rows in, an output that is a journal, and a result for each row."""

import asyncio
import os
from collections.abc import Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Self
from weakref import finalize

from zai_async._threads import to_the_end
from zai_async.batch.engine import Engine, StopCause
from zai_async.batch.results import BatchProgress, Failed, Ok, Report
from zai_async.batch.rows import RowParser
from zai_async.batch.settings import RunSettings
from zai_async.batch.sources import Rows, RowSource, open_rows
from zai_async.batch.status import read_report
from zai_async.errors import ConfigurationError
from zai_async.models import Budget, CallOptions
from zai_async.session import SessionManager

__all__ = ["BatchRun", "Batching"]


class BatchRun:
    """A run: ``async for`` over its results, or ``await`` it for its report.

    Nothing is read or sent before. After ``break`` no more rows are pulled; inside ``async with``
    those in flight are waited for.
    """

    def __init__(
        self, manager: SessionManager, rows: Rows, parser: RowParser, settings: RunSettings
    ) -> None:
        self._manager = manager
        self._rows = rows
        self._parser = parser
        self._settings = settings
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None

    def _start(self) -> Engine:
        if self._engine is None:
            source: RowSource = open_rows(self._rows)
            engine = Engine(self._manager, source, self._parser, self._settings)
            self._engine = engine
            self._task = asyncio.get_running_loop().create_task(engine.run())
            # Raised at whoever reads; nobody asks the task itself.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
            finalize(self, engine.stop, StopCause("stopped", "caller", "nobody reads the results"))
        return self._engine

    @property
    def progress(self) -> BatchProgress | None:
        """How far the run is; None before it begins."""
        engine = self._engine
        return None if engine is None else engine.progress()

    def stop(self, reason: str = "caller") -> None:
        """Pull no more rows; what is in flight is waited for, and handed out."""
        self._start().stop(StopCause("stopped", reason, "the run was stopped"))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Ok | Failed:
        engine = self._start()
        result = await engine.outbox.get()
        engine.notice()
        return result

    def __await__(self) -> Generator[Any, Any, Report]:
        return self._finish().__await__()

    async def _finish(self) -> Report:
        self._start().outbox.discard()
        if self._task is not None:
            await self._task
        return await self.report()

    async def report(self) -> Report:
        """Read from the output what became of the rows."""
        return await to_the_end(lambda: read_report(self._settings.out))

    async def aclose(self) -> None:
        """Stop at once; what is in flight is lost, and bought again by the next run."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        if kind is None and not self._task.done():
            self.stop()
            self._start().outbox.discard()
            await asyncio.wait([self._task])
        await self.aclose()


class Batching:
    """``zai.batch``: many rows, each answered once."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    def run(
        self,
        rows: Rows,
        *,
        out: str | os.PathLike[str],
        model: str | None = None,
        system: str | None = None,
        template: str | None = None,
        url: str = "/v4/chat/completions",
        params: Mapping[str, Any] | None = None,
        ordered: bool = False,
        concurrency: int | None = None,
        budget: Budget | None = None,
        options: CallOptions | None = None,
        force_resume: bool = False,
        on_progress: Callable[[BatchProgress], Any] | None = None,
    ) -> BatchRun:
        """Answer rows and append the answers to a file, from which the same call goes on later.

        Source: https://docs.z.ai/api-reference/llm/chat-completion
        """
        if concurrency is not None and concurrency < 1:
            raise ConfigurationError(f"concurrency must be 1 or more, not {concurrency!r}")
        parser = RowParser(model=model, url=url, system=system, template=template, params=params)
        settings = RunSettings(
            out=os.fspath(out),
            ordered=ordered,
            concurrency=concurrency,
            budget=budget,
            options=options or CallOptions(),
            force_resume=force_resume,
            on_progress=on_progress,
        )
        return BatchRun(self._manager, rows, parser, settings)

    async def status(self, out: str | os.PathLike[str]) -> Report:
        """Tell from an output what became of the rows so far; it may be written to meanwhile.

        Raises:
            JournalError: There is no such file, or it is no output of a batch.
        """
        return await to_the_end(lambda: read_report(out))
