"""Rows answered by batches of the platform: files of requests, worked through within a day.

A part of the rows is one batch. What is about to be sent lies on the disk before it is sent, and
the id of a batch is in the manifest before anybody asks how far it is: whenever the process ends,
the next run goes on with the same batches. Documented for bigmodel.cn only.
Source: https://docs.bigmodel.cn/cn/guide/tools/batch
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from zai_async import _operations as ep
from zai_async._threads import ANSWER_THREADS, abandonable, to_the_end
from zai_async._wire import Operation
from zai_async.batch.intake import KnownRow
from zai_async.batch.journal import ServerPart
from zai_async.batch.results import Failed, Ok, RowError, StopCause
from zai_async.batch.rows import RowRequest, operation_at
from zai_async.batch.server_lines import SERVED, key_line, request_line, results_of, url_of
from zai_async.batch.values import judged
from zai_async.errors import BudgetExceededError, ConfigurationError, TaskFailedError, ZaiError
from zai_async.models import Batch
from zai_async.tasks import BATCHES, Task

if TYPE_CHECKING:
    from zai_async.batch.engine import Engine

__all__ = ["ServerBackend"]

_MOST_ROWS: Final = 50_000
_MOST_BYTES: Final = 90 * 2**20
"""What one file may hold."""
_MOST_PARTS: Final = 4
"""Batches at a time, where the caller says nothing else."""
_MOST_READY: Final = 256
"""Answers of earlier runs that nobody has read yet, at which no more rows are pulled."""


class ServerBackend:
    """Has the rows of a run answered by batches of the platform."""

    def __init__(self, engine: "Engine") -> None:
        settings, own = engine.settings, engine.manager.settings
        if settings.ordered:
            raise ConfigurationError("batches of the platform know no order: ordered=False")
        # What is not done must not be passed over in silence: it may be why the run costs little.
        for name in ("dedupe", "cache", "fallbacks"):
            if getattr(settings, name):
                raise ConfigurationError(f"batches of the platform know no {name}=")
        self._engine = engine
        self._budgets = tuple(filter(None, (own.budget, settings.options.budget)))
        self._tag = settings.options.tag or own.tag
        self._read = asyncio.Event()
        self._parts: dict[asyncio.Task[None], int] = {}
        self._puller: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._number = 0  # of the last part

    @property
    def in_flight(self) -> int:
        """Rows in batches that are not done."""
        return sum(self._parts.values())

    @property
    def limit(self) -> int | None:
        """None: the platform works as fast as it likes."""
        return None

    @property
    def limits(self) -> Mapping[str, int]:
        """None either."""
        return {}

    def stop(self) -> None:
        """Wait no longer; the batches go on, and the next run waits for them."""
        for task in (*self._parts, *filter(None, [self._puller])):
            task.cancel()

    def notice(self) -> None:
        """Look again whether there is room for another answer of an earlier run."""
        self._read.set()

    def delivered(self, result: Ok | Failed, request: RowRequest) -> None:
        """Nobody shares an answer here."""

    async def work(self) -> None:
        """Go on with the batches of earlier runs, and make those that are missing."""
        self._puller = asyncio.get_running_loop().create_task(self._pull())
        if self._engine.stopped is not None:
            self.stop()
        try:
            await asyncio.wait([self._puller])
            if self._parts:
                await asyncio.wait(self._parts)
        finally:
            self.stop()
            await asyncio.wait([self._puller, *self._parts])
        if self._failure is not None:
            raise self._failure
        if not self._puller.cancelled():
            self._puller.result()

    async def _pull(self) -> None:
        engine = self._engine
        # First of all those that are paid: their rows must not be bought again.
        for part in tuple(engine.journal.manifest.parts):
            self._begin(part)
        if self._parts:
            await asyncio.wait(self._parts)
        # A batch is of one operation.
        gathered: dict[Operation[Any], list[RowRequest]] = {each: [] for each in SERVED}
        sizes = Counter[Operation[Any]]()
        async with aclosing(aiter(engine.source)) as rows:
            async for row in rows:
                taken = engine.intake.take(row)
                if isinstance(taken, KnownRow):
                    await engine.pass_over(taken)
                    while engine.outbox.backlog >= _MOST_READY:
                        self._read.clear()
                        await self._read.wait()
                    continue
                fault = self._fault_of(taken) if isinstance(taken, RowRequest) else None
                if fault is not None:
                    taken = Failed(key=taken.key, error=fault, row=taken.row)
                if isinstance(taken, Failed):
                    engine.settle(engine.number(), taken)
                    continue
                requests = gathered[taken.operation]
                requests.append(taken)
                size = sizes[taken.operation] = sizes[taken.operation] + len(taken.body)
                if len(requests) >= _MOST_ROWS or size >= _MOST_BYTES:
                    await self._add(requests)
                    gathered[taken.operation], sizes[taken.operation] = [], 0
        # What is left is less than a file holds.
        for requests in filter(None, gathered.values()):
            await self._add(requests)

    def _fault_of(self, request: RowRequest) -> RowError | None:
        """Return why a row cannot be in a batch, None if it can."""
        if request.operation not in SERVED:
            text = f"batches of the platform have no {request.operation.name}"
            return RowError(kind="input", message=text)
        in_money = any(budget.cost is not None for budget in self._budgets)
        if in_money and self._engine.manager.sessions.ledger.price(request.model) is None:
            text = f"a budget in money needs the price of {request.model!r}: AsyncZai(prices=...)"
            return RowError(kind="config", message=text)
        return None

    async def _add(self, requests: list[RowRequest]) -> None:
        """Write a part to the disk, and begin it when there is room for another batch."""
        journal, most = self._engine.journal, self._engine.settings.concurrency or _MOST_PARTS
        while len(self._parts) >= most:
            await asyncio.wait(self._parts, return_when=asyncio.FIRST_COMPLETED)
        # Never that of a part which is over: its files may be about to be removed.
        self._number = 1 + max([self._number, *(part.number for part in journal.manifest.parts)])
        part = ServerPart(
            number=self._number, rows=len(requests), url=url_of(requests[0].operation)
        )
        # The files come first, then the note, then the upload: whenever the process ends, the next
        # run finds either nothing or all that it needs to go on.
        lines, keys = self._paths(part)
        await to_the_end(lambda: _write(keys, map(key_line, requests)))
        await to_the_end(lambda: _write(lines, map(request_line, requests)))
        await self._note(part)
        self._begin(part)

    def _begin(self, part: ServerPart) -> None:
        def leave(task: asyncio.Task[None]) -> None:
            del self._parts[task]
            if not task.cancelled() and task.exception() is not None:
                # Told at once: the platform may work on the others for hours, and the next run
                # waits for them.
                self._failure = self._failure or task.exception()
                self.stop()

        working = asyncio.get_running_loop().create_task(self._finish(part))
        self._parts[working] = part.rows
        working.add_done_callback(leave)

    def _paths(self, part: ServerPart) -> tuple[Path, Path]:
        """Return where the requests of a part are, and the keys of its rows."""
        front = f"{os.fspath(self._engine.settings.out)}.part-{part.number}"
        return Path(f"{front}.jsonl"), Path(f"{front}.keys")

    async def _note(self, part: ServerPart, *, over: bool = False) -> None:
        """Write down in the manifest how far a part is."""
        journal = self._engine.journal
        others = [each for each in journal.manifest.parts if each.number != part.number]
        journal.manifest = msgspec.structs.replace(
            journal.manifest, parts=others if over else [*others, part]
        )
        await to_the_end(journal.save)

    async def _finish(self, part: ServerPart) -> None:
        """Have a part worked on, and write down what became of its rows."""
        try:
            batch = await self._wait_for(part)
            await self._collect(part, batch)
        except ZaiError as error:
            # The batch may have been made all the same: the next run finds out.
            reason = "budget" if isinstance(error, BudgetExceededError) else error.kind
            self._engine.stop(StopCause("paused", reason, str(error), error.retry_at))

    async def _wait_for(self, part: ServerPart) -> Batch:
        manager = self._engine.manager
        if part.batch_id is None and part.file_id is not None:
            # The upload was noted and the batch was not: it may have been made all the same, and
            # making it twice would cost twice.
            part.batch_id = await self._find(part.file_id)
        if part.batch_id is None:
            # What batches that are under way will cost is known when they are over.
            for budget in self._budgets:
                budget.require_rest()
            if part.file_id is None:
                params = {"file": self._paths(part)[0], "purpose": "batch"}
                part.file_id = (await manager.call(ep.FILE_UPLOAD, params)).id
                await self._note(part)
            params = {"input_file_id": part.file_id, "endpoint": part.url}
            part.batch_id = (await manager.call(ep.BATCH_CREATE, params)).id
        await self._note(part)
        try:
            return await Task(BATCHES, {"batch_id": part.batch_id}, engine=manager).wait()
        except TaskFailedError as error:
            if isinstance(error.partial, Batch):
                return error.partial  # what it has done until then is paid for
            raise

    async def _find(self, file_id: str) -> str | None:
        """Return the batch that was made of a file, if the process ended before it was noted."""
        params: dict[str, str] = {}
        while True:
            page = await self._engine.manager.call(ep.BATCH_LIST, params)
            for batch in page.data:
                if batch.input_file_id == file_id:
                    return str(batch.id)
            after = page.next_after
            if after is None or after == params.get("after"):
                return None
            params = {"after": after}

    async def _collect(self, part: ServerPart, batch: Batch) -> None:
        engine, paths, operation = self._engine, self._paths(part), operation_at(part.url)
        pairs = (await to_the_end(paths[1].read_bytes)).splitlines()
        keys = dict(map(msgspec.json.Decoder(tuple[str, str]).decode, pairs))
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            file = await engine.manager.fetch(ep.FILE_CONTENT, {"file_id": file_id})
            judge = partial(results_of, file.content, keys, operation)
            for result in await abandonable(judge, ANSWER_THREADS):
                self._settle(judged(result, engine.answer_format), operation)
        # What the platform has left out without a word is told as a failure, or the row would be
        # missing from the output.
        for key in keys.values():
            text = f"the batch is {batch.status or 'over'}, and has no answer for this row"
            failed = Failed(key=key, error=RowError(kind="task", message=text))
            self._settle(failed, operation)
        # The part is forgotten only when all its rows are on the disk.
        await engine.journal.settle()
        await self._note(part, over=True)
        for path in paths:
            await to_the_end(partial(path.unlink, missing_ok=True))

    def _settle(self, result: Ok | Failed, operation: Operation[Any]) -> None:
        answer = result.answer if isinstance(result, Ok) else None
        model = str(getattr(answer, "model", ""))
        if answer is not None or result.usage is not None:
            self._engine.manager.sessions.ledger.record(
                model or operation.name,
                self._tag,
                attempts=1,
                usage=result.usage,
                billed=answer is not None,
                budgets=self._budgets,
            )
        # The row itself has gone, perhaps with the process that read it: what is still needed is
        # its key, and the model that is paid.
        request = RowRequest(key=result.key, operation=operation, model=model, body=b"{}")
        self._engine.settle(self._engine.number(), result, request)


def _write(path: Path, lines: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for line in lines:
            file.write(line.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        file.flush()
        # Before the batch is made: without its keys the answers would belong to nobody.
        os.fsync(file.fileno())
