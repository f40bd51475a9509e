"""The engine of a batch: from the first look at the output to the last word in its manifest."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final, Protocol, TypeAlias

import anyio
import msgspec

from zai_async._operations import CHAT
from zai_async._threads import to_the_end
from zai_async.batch.calls import CallBackend, group_size
from zai_async.batch.intake import Intake, KnownRow
from zai_async.batch.journal import Journal
from zai_async.batch.keys import canonical_digest, digest_of
from zai_async.batch.lines import encode_failed, encode_ok
from zai_async.batch.outbox import Outbox
from zai_async.batch.progress import Meter
from zai_async.batch.results import BatchProgress, Failed, Ok, StopCause
from zai_async.batch.rows import RowParser, RowRequest
from zai_async.batch.server import ServerBackend
from zai_async.batch.settings import RunSettings
from zai_async.batch.signals import on_stop_signals
from zai_async.batch.sources import GivenRows, RowSource
from zai_async.batch.values import judged
from zai_async.session import BatchEvent, SessionManager, work_block

__all__ = ["Engine"]

Result: TypeAlias = Ok | Failed

_log: Final = logging.getLogger("zai_async")
_PROGRESS: Final = 0.5
"""Seconds between two reports of progress."""
_SAVES: Final = 10
"""Reports between two writes of the manifest."""


class Backend(Protocol):
    """How the rows of a run get their answers."""

    @property
    def in_flight(self) -> int:
        """Rows that are worked on."""
        ...

    @property
    def limit(self) -> int | None:
        """Requests that may be in flight; None without a limit."""
        ...

    @property
    def limits(self) -> Mapping[str, int]:
        """What was found to be possible, by model."""
        ...

    async def work(self) -> None:
        """Answer all rows, or those before the run is stopped."""
        ...

    def stop(self) -> None:
        """Take no more rows."""
        ...

    def notice(self) -> None:
        """Look again whether there is room for another row."""
        ...

    def delivered(self, result: Result, request: RowRequest) -> None:
        """Note that a result is in the output."""
        ...


class Engine:
    """Answers the rows of one run, and keeps its output.

    Args:
        manager: Makes the calls.
        open_source: Opens the input; blocking.
        parser: Knows what the rows mean.
        settings: What the caller has said.
    """

    def __init__(
        self,
        manager: SessionManager,
        open_source: Callable[[], RowSource],
        parser: RowParser,
        settings: RunSettings,
    ) -> None:
        self.manager = manager
        self.settings = settings
        self.answer_format = parser.answer_format
        self.outbox: Outbox[Result] = Outbox(ordered=settings.ordered)
        self.journal: Journal[tuple[int, Result, RowRequest | None]] = Journal(
            settings.out,
            self._deliver,
            lambda: self.stop(
                StopCause("stopped", "disk", "the output cannot be written any more")
            ),
            group=group_size(settings.concurrency),
            positions=settings.dedupe or settings.replay,
        )
        self.meter = Meter(manager.clock, manager.sessions.ledger)
        # Nothing comes from it until the input is open.
        self.source: RowSource = GivenRows(iter(()))
        self.intake: Intake
        self.stopped: StopCause | None = None
        self._open_source = open_source
        self._parser = parser
        backend = CallBackend if settings.backend == "calls" else ServerBackend
        self._backend: Backend = backend(self)
        self._number = 0
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Answer all rows, or those before the run is stopped.

        Raises:
            JournalError: The output cannot be used.
            ConfigurationError: The input cannot be read.
            OSError: The output cannot be written any more.
        """
        error: BaseException | None = None
        self._task = asyncio.current_task()
        event = BatchEvent(
            model=self._parser.model,
            backend=self.settings.backend,
            progress=self.progress,
        )
        try:
            try:
                # Opening may block on a pipe or a slow disk, and must come to its end even when
                # cancelled: else the file would stay open.
                await to_the_end(self._open)
                with work_block(self.manager.settings.hooks, event):
                    await self._run()
            finally:
                await self.source.aclose()
        except asyncio.CancelledError:
            raise  # whoever reads comes to an end, and is not cancelled
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.outbox.end(error)
            del error

    def _open(self) -> None:
        # Kept by the thread: a task that is cancelled meanwhile gets no result.
        self.source = self._open_source()

    async def _run(self) -> None:
        journal, settings, config = self.journal, self.settings, self._parser.settings
        digest = canonical_digest("run", config).hex()
        source = self.source.path
        try:
            # The input is opened before the output: a misspelt path must not leave an empty output.
            # A cancel comes out of here when the output is open, and must not leave it so.
            await to_the_end(lambda: journal.open(source, digest, force=settings.force_resume))
            # Only what JSON can hold goes into the manifest, which people read.
            plain = msgspec.json.decode(msgspec.json.encode(config))
            journal.begin(digest, plain)
            await to_the_end(journal.save)
            for model, found in journal.manifest.limits.items():
                # Half of it, as things may have changed: the search is over after a step or two.
                self.manager.sessions.queues.expect(model, found // 2)
            self.intake = Intake(self._parser, journal.recovery.index, settings.resume)
            self.meter.start()
            with ExitStack() as stack:
                if settings.handle_signals:
                    stack.enter_context(on_stop_signals(self._stop_by_signal, self.abort))
                await self._work()
        finally:
            await to_the_end(journal.close)

    async def _work(self) -> None:
        """Have the backend work, tell how far it is, and write down how it ended."""
        failure: BaseException | None = None
        watching = asyncio.get_running_loop().create_task(self._watch())
        try:
            await self._backend.work()
        except BaseException as error:
            failure = error
            raise
        finally:
            # Before the last word is written: it would be overwritten by an older one.
            watching.cancel()
            await asyncio.wait([watching])  # it may be writing the manifest
            cause = self.stopped
            if cause is None and failure is not None:
                cancelled = isinstance(failure, asyncio.CancelledError)
                reason = "cancelled" if cancelled else type(failure).__name__
                cause = StopCause("stopped", reason, "the run did not come to its end")
            del failure
            # Also when cancelled: the answers that are here are paid, and belong on the disk.
            with anyio.CancelScope(shield=True):
                try:
                    await self.journal.settle()
                finally:
                    self._note()
                    self.journal.conclude(cause)
                    await to_the_end(self.journal.save)
        await self._report_progress()

    async def _watch(self) -> None:
        """Tell how far the run is, and keep the manifest up to date."""
        round_ = 0
        while True:
            await anyio.sleep(_PROGRESS)
            round_ += 1
            await self._report_progress()
            if round_ % _SAVES == 0:
                self._note()
                try:
                    await to_the_end(self.journal.save)
                except OSError as error:
                    # Said at the end, too. What counts is the output, which may lie elsewhere.
                    _log.warning("the manifest cannot be written: %s", error)

    def _note(self) -> None:
        """Have the manifest say how far the run is."""
        meter, limits = self.meter, self._backend.limits
        self.journal.note(tokens=meter.tokens, cost=meter.cost, limits=limits)

    async def _report_progress(self) -> None:
        on_progress = self.settings.on_progress
        if on_progress is None:
            return
        try:
            told = on_progress(self.progress())
            if inspect.isawaitable(told):
                await told
        except Exception:  # noqa: BLE001 - what paints a bar must not cost answers on their way
            _log.exception("on_progress failed")

    def progress(self) -> BatchProgress:
        """Return how far the run is."""
        total, backend = self.source.total, self._backend
        return self.meter.progress(total=total, in_flight=backend.in_flight, limit=backend.limit)

    def stop(self, cause: StopCause) -> None:
        """Take no more rows; those that are worked on come to their end."""
        if self.stopped is None:
            self.stopped = cause
        self._backend.stop()

    def _stop_by_signal(self, name: str) -> None:
        self.stop(StopCause("stopped", "signal", f"stopped by {name}"))
        flying = self._backend.in_flight
        _log.info("%s: waiting for %d rows in flight; again to stop at once", name, flying)

    def abort(self) -> None:
        """Stop at once: what is in flight is lost."""
        self.stopped = self.stopped or StopCause("stopped", "caller", "stopped at once")
        if self._task is not None:
            # The task itself and not the backend: it may be waiting for the disk or the input.
            self._task.cancel()

    def abandon(self) -> None:
        """Come to an end, as nobody reads the results any more."""
        self.stop(StopCause("stopped", "caller", "nobody reads the results any more"))
        # After the stop: what still comes in goes to the disk and to nobody else.
        self.outbox.discard()

    def read_on(self) -> None:
        """Note that somebody has read a result."""
        self._backend.notice()

    def number(self) -> int:
        """Return the place of the next row in the order of results."""
        self._number += 1
        return self._number - 1

    def settle(self, number: int, result: Result, request: RowRequest | None = None) -> None:
        """Write down what became of a row, and hand it out afterwards."""
        failed, operation = (
            isinstance(result, Failed),
            CHAT if request is None else request.operation,
        )
        item, key = (number, result, request), digest_of(result.key)
        known = self.journal.recovery.index.get(key) if request is None else None
        if known is not None and known.failed:
            self._deliver([item])  # a row that could not be read by the last run either
            return
        line = encode_failed(result) if isinstance(result, Failed) else encode_ok(result, operation)
        self.journal.append(line, item, key, failed=failed)

    async def pass_over(self, known: KnownRow) -> None:
        """Count a row that is not worked on, and hand out its answer if that is asked for.

        Raises:
            JournalError: The answer is not in the output any more.
            OSError: The output cannot be read.
        """
        self.meter.skipped += 1
        # Answers of earlier runs pass through the same queue, so that the order holds for all.
        if self.settings.replay and known.position is not None:
            found = await self.journal.read(known.position)
            self.outbox.put(self.number(), judged(found, self.answer_format))

    def give_up(self, number: int, cause: StopCause) -> None:
        """Stop because of a row that stays without result, as all others would."""
        # In its order the row is passed over: those behind it would wait forever.
        self.outbox.put(number, None)
        self.stop(cause)

    def _deliver(self, results: list[tuple[int, Result, RowRequest | None]]) -> None:
        for number, result, request in results:
            if request is not None:
                self._backend.delivered(result, request)
            self.meter.count(result, None if request is None else request.model)
            self.outbox.put(number, result)
        self._backend.notice()
