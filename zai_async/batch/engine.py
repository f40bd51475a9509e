"""The engine of a batch: it pulls rows, has them answered, and journals what comes of them.

One task pulls, and pulls no more than is worked on; each row that is worked on has a task, which
ends when its answer is handed to the journal. What is on the disk goes to whoever reads.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from zai_async._threads import to_the_end
from zai_async._wire import with_raw_body
from zai_async.batch.journal import Journal, now
from zai_async.batch.keys import KeyIndex, canonical_digest, digest_of
from zai_async.batch.lines import encode_failed, encode_ok, whole_json
from zai_async.batch.outbox import Outbox
from zai_async.batch.progress import Meter
from zai_async.batch.results import BatchProgress, Failed, Ok, RowError
from zai_async.batch.rows import RowFaultError, RowParser, RowRequest
from zai_async.batch.settings import RunSettings
from zai_async.batch.sources import RowSource
from zai_async.errors import BudgetExceededError, ClientClosedError, ZaiError
from zai_async.models import CallOptions, Reply
from zai_async.models.encoding import encode
from zai_async.session import SessionManager

__all__ = ["Engine", "StopCause"]

Result: TypeAlias = Ok | Failed

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


class StopCause(msgspec.Struct, frozen=True):
    """Why no more rows are pulled."""

    state: Any
    reason: str
    message: str
    retry_at: Any = None


class Engine:
    """Answers the rows of one run.

    Args:
        manager: Makes the calls.
        settings: What the caller has said.
    """

    def __init__(
        self,
        manager: SessionManager,
        source: RowSource,
        parser: RowParser,
        settings: RunSettings,
    ) -> None:
        self.outbox: Outbox[Result] = Outbox(ordered=settings.ordered)
        self.journal: Journal[tuple[int, Result]] = Journal(settings.out, self._deliver)
        self.meter = Meter(manager.clock)
        self._manager = manager
        self._source = source
        self._parser = parser
        self._settings = settings
        self.stopped: StopCause | None = None
        self._changed = asyncio.Event()
        self._puller: asyncio.Task[None] | None = None
        self._rows: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._repeated: dict[str, int] = {}
        self._number = 0

    @property
    def _index(self) -> KeyIndex:
        return self.journal.recovery.index

    async def run(self) -> None:
        """Answer all rows, or those before the run is stopped."""
        error: BaseException | None = None
        try:
            await self._run()
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.outbox.end(error)

    async def _run(self) -> None:
        journal, settings = self.journal, self._settings
        self.meter.start()
        config = self._parser.settings
        digest = canonical_digest("run", config).hex()
        await to_the_end(
            lambda: journal.open(self._source.path, digest, force=settings.force_resume)
        )
        try:
            plain = msgspec.json.decode(msgspec.json.encode(config))
            started = journal.manifest.started or now()
            facts = {"config": digest, "settings": plain, "started": started}
            clean = {"state": "running", "reason": None, "message": None, "retry_at": None}
            await to_the_end(lambda: journal.save(**facts, **clean, ended=None))
            try:
                await self._answer_all()
            finally:
                for task in tuple(self._rows):
                    task.cancel()
                if self._rows:
                    await asyncio.wait(self._rows)
                await journal.settle()
                await self._conclude()
        finally:
            await to_the_end(journal.close)
            await self._source.aclose()

    async def _answer_all(self) -> None:
        self._puller = asyncio.get_running_loop().create_task(self._pull())
        try:
            await asyncio.wait([self._puller])
            if not self._puller.cancelled():
                self._puller.result()
            while self._rows and self._failure is None:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._puller.cancel()
        if self._failure is not None:
            raise self._failure

    async def _conclude(self) -> None:
        cause = self.stopped
        facts: dict[str, Any] = (
            {"state": "finished"}
            if cause is None
            else {
                "state": cause.state,
                "reason": cause.reason,
                "message": cause.message,
                "retry_at": cause.retry_at,
            }
        )
        await to_the_end(lambda: self.journal.save(**facts, ended=now()))

    def stop(self, cause: StopCause) -> None:
        """Pull no more rows; those that are worked on come to their end."""
        if self.stopped is None:
            self.stopped = cause
        if self._puller is not None:
            self._puller.cancel()
        self._changed.set()

    def progress(self) -> BatchProgress:
        """Return how far the run is."""
        return self.meter.progress(
            total=self._source.total, in_flight=len(self._rows), limit=self._limit()
        )

    def notice(self) -> None:
        """Look again whether there is room for another row."""
        self._changed.set()

    async def _pull(self) -> None:
        async for row in self._source:
            request, key = self._identify(row)
            if request is None:
                continue
            while not self._has_room():
                self._changed.clear()
                await self._changed.wait()
            task = asyncio.get_running_loop().create_task(self._process(self._number, key, request))
            self._number += 1
            self._rows.add(task)
            task.add_done_callback(self._leave)

    def _identify(self, row: object) -> tuple[RowRequest | None, str]:
        """Return what is to be sent for a row, and its key; None if nothing is."""
        request, fault, key = None, "", None
        try:
            request = self._parser.parse(row)
            key = request.custom_id
        except RowFaultError as error:
            fault, key = error.message, error.key
        named = key is not None
        if key is None:
            key = f"sha256-{digest_of(repr(row)).hex()}" if request is None else request.hash_key
        before = self._index.see(digest_of(key))
        if before is not None and before.seen:
            # Rows without id may well be equal; an id that is used twice is a mistake of the input,
            # and what came first must not be overwritten.
            count = self._repeated[key] = self._repeated.get(key, 1) + 1
            if named:
                request = None
                fault = f"custom_id {key!r} is used more than once; this is its row number {count}"
            key = f"{key}#{count}"
            before = self._index.see(digest_of(key))
        if before is not None and before.done:
            self.meter.skipped += 1
            return None, key
        if request is None:
            self._fail(key, fault)
        return request, key

    def _fail(self, key: str, message: str) -> None:
        """Journal a row that was not sent."""
        failed = Failed(key=key, error=RowError(kind="input", message=message))
        self._settle(self._number, failed, encode_failed(failed))
        self._number += 1

    def _has_room(self) -> bool:
        flying, limit = len(self._rows), self._settings.concurrency
        if self.outbox.backlog >= _MOST_READY:
            return False
        if limit is not None:
            if flying + self.journal.pending < limit:
                return True
            self.journal.flush()  # rows wait for nothing but the disk
            return False
        return flying < self._limit() + _QUEUED and self.journal.pending < _UNCOMMITTED

    def _limit(self) -> int:
        known = self._manager.sessions.queues.snapshot()
        limits = [figures.limit for figures in known.values()]
        return sum(_UNLIMITED if each is None else each for each in limits) if limits else 1

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._rows.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self.stop(StopCause("stopped", "error", "a row could not be worked on"))
        self._changed.set()

    async def _process(self, number: int, key: str, request: RowRequest) -> None:
        try:
            answer = await self._call(request)
        except (BudgetExceededError, ClientClosedError) as error:
            reason = "budget" if isinstance(error, BudgetExceededError) else "client"
            self._give_up(number, StopCause("paused", reason, str(error)))
        except ZaiError as error:
            if error.kind in _PAUSING:
                cause = StopCause("paused", error.kind, str(error), error.retry_at)
                self._give_up(number, cause)
                return
            partial = None if error.partial is None else encode(error.partial)
            failed = Failed(
                key=key,
                error=RowError.of(error),
                partial=partial,
                attempts=len(error.attempts),
                row=request.row,
            )
            self._settle(number, failed, encode_failed(failed))
        else:
            ok = Ok(
                key=key,
                answer=answer,
                body=self._body_of(answer),
                attempts=len(answer.attempts),
                row=request.row,
            )
            self._settle(number, ok, encode_ok(ok, request_id=answer.request_id))

    def _give_up(self, number: int, cause: StopCause) -> None:
        self.outbox.put(number, None)
        self.stop(cause)

    async def _call(self, request: RowRequest) -> Reply:
        options: CallOptions = self._settings.call_options
        operation = with_raw_body(request.operation)
        params: Mapping[str, Any] = {
            "raw": request.body,
            "model": request.model,
            "options": options,
        }
        answer: Reply = await self._manager.call(operation, params)
        return answer

    def _body_of(self, answer: Reply) -> bytes:
        """Return an answer as JSON: as it came, if that was plain."""
        provider, raw = self._manager.settings.provider, answer.raw
        if raw is not None and not (provider.envelope or provider.statuses) and whole_json(raw):
            return raw
        return encode(answer)

    def _settle(self, number: int, result: Result, line: bytes) -> None:
        failed = isinstance(result, Failed)
        self.journal.append(line, (number, result), digest_of(result.key), failed=failed)

    def _deliver(self, results: list[tuple[int, Result]]) -> None:
        for number, result in results:
            self.meter.count(result)
            self.outbox.put(number, result)
        self._changed.set()
