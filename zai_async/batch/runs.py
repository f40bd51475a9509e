"""``zai.batch``: rows in, an output that is a journal, and a result for each row."""

import asyncio
import os
from collections.abc import Generator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, Unpack, overload
from weakref import finalize

from msgspec.structs import replace

from zai_async._threads import call_in, to_the_end
from zai_async.batch.engine import Engine
from zai_async.batch.results import BatchProgress, Failed, Ok, Report, StopCause
from zai_async.batch.rows import RowParser
from zai_async.batch.settings import BatchOptions, RunSettings
from zai_async.batch.sources import Rows, open_rows
from zai_async.batch.status import read_report
from zai_async.models import CallOptions
from zai_async.session import SessionManager

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")
S = TypeVar("S")

__all__ = ["BatchRun", "Batching"]

_ABOUT_ROWS: Final = frozenset({"model", "system", "template", "url", "params"})
_PATIENCE: Final = 3600.0
"""Seconds after which a row is given up that is refused again and again."""


class BatchRun(Generic[T]):
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

    def _start(self) -> tuple[Engine, asyncio.Task[None]]:
        if self._engine is None or self._task is None:
            engine = Engine(
                self._manager, partial(open_rows, self._rows), self._parser, self._settings
            )
            # In a task of its own: who leaves the loop over the results must not tear the rows that
            # are in flight, as they are paid.
            loop = asyncio.get_running_loop()
            self._engine, self._task = engine, loop.create_task(engine.run())
            # Raised at whoever reads; nobody asks the task itself.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
            # After `break` nobody is left to stop it.
            finalize(self, call_in, loop, engine.abandon).atexit = False
        return self._engine, self._task

    @property
    def progress(self) -> BatchProgress | None:
        """How far the run is; None before it begins."""
        engine = self._engine
        return None if engine is None else engine.progress()

    def stop(self) -> None:
        """Take no more rows; what is in flight is waited for, and handed out."""
        self._start()[0].stop(StopCause("stopped", "caller", "stopped by the program"))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Ok[T] | Failed:
        engine, _ = self._start()
        result = await engine.outbox.get()
        engine.read_on()
        return result

    def __await__(self) -> Generator[Any, Any, Report]:
        async def finish() -> Report:
            engine, task = self._start()
            # Nobody reads results: they must not fill the outbox, which would hold the rows back.
            engine.outbox.discard()
            engine.read_on()
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                # Who waits for the report is the only one who could stop the run.
                await self.aclose()
                raise
            if not task.cancelled():
                task.result()
            return await self.report()

        return finish().__await__()

    async def report(self) -> Report:
        """Read from the output what became of the rows."""
        return await to_the_end(lambda: read_report(self._settings.out))

    async def aclose(self) -> None:
        """Stop at once; what is in flight is lost, and bought again by the next run."""
        if self._task is not None and self._engine is not None:
            self._engine.abort()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # After an error nothing is waited for: the program wants to end.
            if self._task is not None and self._engine is not None and kind is None:
                self._engine.abandon()
                await asyncio.wait([self._task])
        finally:
            # Also when this is cancelled: nobody else could stop the run, which has the lock.
            await self.aclose()


class Batching:
    """``zai.batch``: many rows, each answered once."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    @overload
    def run(
        self,
        rows: Rows,
        *,
        out: str | os.PathLike[str],
        schema: None = None,
        **given: Unpack[BatchOptions],
    ) -> BatchRun[None]: ...
    @overload
    def run(
        self,
        rows: Rows,
        *,
        out: str | os.PathLike[str],
        schema: type[S],
        **given: Unpack[BatchOptions],
    ) -> BatchRun[S]: ...
    @overload
    def run(
        self,
        rows: Rows,
        *,
        out: str | os.PathLike[str],
        schema: Any,
        **given: Unpack[BatchOptions],
    ) -> BatchRun[Any]: ...
    def run(
        self,
        rows: Rows,
        *,
        out: str | os.PathLike[str],
        schema: Any = None,
        **given: Unpack[BatchOptions],
    ) -> BatchRun[Any]:
        """Answer rows and append the answers to a file, from which the same call goes on later.

        ``async for`` over the run gives a result for each row, ``Ok`` or ``Failed``; ``await``
        gives its report. Nothing is read or sent before.

        Args:
            rows: A path (JSONL, also gzip and zstd, or parquet), ``"-"`` for stdin, or an iterable
                of dictionaries, prompts, or lines as bytes; see the guide for their forms.
            out: The output, which is the journal as well: one JSON object per row, appended when
                it is done.
            schema: The type of the answers, as for ``zai.chat.completions.parse()``, or a JSON
                Schema. ``Ok.parsed`` is the value. An answer that does not fit is shown to the
                model once; if it still does not, the row is a ``Failed`` of the kind
                ``"schema"``, and its ``text`` what the model has written.
            given: See ``BatchOptions``.

        Raises:
            ConfigurationError: An argument is invalid, or the input cannot be read.
            JournalError: The output cannot be used; it was not changed.
            OSError: The output cannot be written any more.

        Source: https://docs.z.ai/api-reference/llm/chat-completion
        """
        rest: dict[str, Any] = {**given}
        about_rows = {name: rest.pop(name) for name in _ABOUT_ROWS & rest.keys()}
        parser = RowParser(schema=schema, **about_rows)
        budget, retry = rest.pop("budget", None), rest.pop("retry", None)
        priority = rest.pop("priority", "background")
        options = replace(rest.pop("options", None) or CallOptions(), priority=priority)
        if budget is not None:
            options = replace(options, budget=budget)
        settings = RunSettings(out=os.fspath(out), options=options, **rest)
        own = self._manager.settings
        # Nobody waits at a screen: a busy hour is no reason to give rows up.
        patient = replace(own.retry, budget=max(own.retry.budget, _PATIENCE))
        policy = patient if retry is None else retry
        manager = self._manager.derived(replace(own, retry=policy))
        return BatchRun(manager, rows, parser, settings)

    async def status(self, out: str | os.PathLike[str]) -> Report:
        """Tell from an output what became of the rows so far; it may be written to meanwhile.

        Raises:
            JournalError: There is no such file, or it is no output of a batch.
        """
        return await to_the_end(lambda: read_report(out))
