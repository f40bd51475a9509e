"""What runs in the actors of Ray: answers on one side, the limits of all on the other.

Nothing here needs Ray to be imported, but for finding out who an actor is.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from zai_async import AsyncZai
from zai_async._threads import to_the_end
from zai_async.batch import BatchRun, Failed, Ok, RowError
from zai_async.batch.folder import RunFolder
from zai_async.batch.keys import KeyIndex, digest_of
from zai_async.batch.outputs import arrow_schema, columns_of, last_result
from zai_async.batch.rows import RowFaultError, RowParser, RowRequest
from zai_async.limiter import SharedWindow, WindowReply, WindowReport

__all__ = ["ChatActor", "RayCoordinator", "SlotsActor"]

_PREFIX: Final = "answer_"


class SlotsActor:
    """Keeps the windows of a cluster; one call after the other."""

    def __init__(self) -> None:
        self._windows: dict[str, SharedWindow] = {}
        self._lives: dict[str, str] = {}

    def exchange(self, window: str, report: WindowReport, actor: str, life: str) -> WindowReply:
        """Pass a report on; an actor that begins anew gives back what it had before it died."""
        before = self._lives.get(actor, life)
        if before != life:
            for shared in self._windows.values():
                for member in shared.members:
                    if member.startswith(before):
                        shared.drop(member)
        self._lives[actor] = life
        shared = self._windows.setdefault(window, SharedWindow(report.limits))
        report = msgspec.structs.replace(report, member=f"{life}.{report.member}")
        return shared.exchange(report, time.monotonic())

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return what is known about each window, as plain data."""
        return {name: msgspec.to_builtins(each.figures) for name, each in self._windows.items()}


class RayCoordinator:
    """Shares limits through an actor.

    Args:
        slots: The handle of a ``SlotsActor``.
        actor: Who this is, also after it was started again.
        life: Who it is this time.
    """

    def __init__(self, slots: Any, actor: str, life: str) -> None:
        self._slots = slots
        self._who = actor, life

    async def exchange(self, window: str, report: WindowReport) -> WindowReply:
        """Ask the actor."""
        reply: WindowReply = await self._slots.exchange.remote(window, report, *self._who)
        return reply


class ChatActor:
    """Answers batches of rows, with one client and one output for its whole life.

    Args:
        spec: A ``ChatSpec`` as plain data.
        out: The folder of the outputs.
        limit: Requests in flight, of the whole cluster.
        slots: Name and namespace of the actor with the limits.
    """

    def __init__(
        self, spec: Mapping[str, Any], out: str, limit: int | None, slots: tuple[str, str]
    ) -> None:
        ray: Any = import_module("ray")
        name, namespace = slots
        context, life = ray.get_runtime_context(), secrets.token_hex(8)
        handle = ray.get_actor(name, namespace=namespace)
        self._zai = AsyncZai(
            provider=spec["provider"],
            base_url=spec["base_url"],
            limits=limit,
            coordinator=RayCoordinator(handle, context.get_actor_id(), life),
        )
        about_rows = ("model", "system", "template", "params", "url", "schema")
        self._asked = {key: spec[key] for key in about_rows}
        self._parser = RowParser(**self._asked)
        self._folder = RunFolder(out, self._parser.settings)
        self._own = str(Path(out) / f"{context.get_node_id()[:8]}-{os.getpid()}-{life}.jsonl")
        self._flying: dict[str, asyncio.Future[Ok | Failed]] = {}
        self._answered = KeyIndex(positions=False)
        self._waiting: asyncio.Queue[RowRequest] = asyncio.Queue()
        self._run: BatchRun | None = None
        self._reader: asyncio.Task[None] | None = None
        self._over: RowError | None = None

    async def __call__(self, table: Any) -> Any:
        """Return a table of rows with the columns of their answers."""
        arrow: Any = import_module("pyarrow")
        results = await asyncio.gather(*map(self.answer, table.to_pylist()))
        rows = [msgspec.structs.asdict(columns_of(each)) for each in results]
        answers = arrow.Table.from_pylist(rows, schema=arrow_schema(arrow))
        for name in answers.column_names:
            column = f"{_PREFIX}{name}"
            if column in table.column_names:  # of a run before this one
                table = table.drop_columns([column])
            table = table.append_column(column, answers[name])
        return table

    def answer(self, row: Mapping[str, Any]) -> Awaitable[Ok | Failed]:
        """Return what becomes of a row; nothing is raised."""
        # No coroutine of its own: a task for each row would cost as much as its journal.
        loop = asyncio.get_running_loop()
        known = loop.create_future()
        try:
            request = self._parser.parse(row)
            key = request.key = request.key or request.hash_key
        except RowFaultError as fault:
            error = RowError(kind="input", message=fault.message)
            known.set_result(Failed(key=fault.key or "", error=error))
            return known
        read = self._folder.find(key)
        if read is None and key not in self._flying:
            # Ray may repeat a batch while its actor lives.
            if self._answered.get(digest_of(key)) is not None:
                read = partial(last_result, self._own, key)
            elif self._over is not None:
                known.set_result(Failed(key=key, error=self._over))
                return known
            else:
                self._flying[key] = known
                self._waiting.put_nowait(request)
                if self._reader is None:
                    self._reader = loop.create_task(self._read())
        return to_the_end(read) if read is not None else asyncio.shield(self._flying[key])

    async def aclose(self) -> None:
        """Stop at once; Ray does not ask for it, and kills the process."""
        if self._run is not None:
            await self._run.aclose()
        await self._zai.aclose()

    async def _read(self) -> None:
        """Hand results to whoever waits; when the run ends, tell all why."""

        async def rows() -> AsyncIterator[RowRequest]:
            while True:
                yield await self._waiting.get()

        run = self._run = self._zai.batch.run(rows(), out=self._own, **self._asked)
        try:
            async for result in run:
                self._answered.record(digest_of(result.key), 0, failed=False)
                self._flying.pop(result.key).set_result(result)
            report = await run.report()
            self._over = RowError(
                kind=report.reason or "closed",
                message=report.message or "the run has ended",
                retry_at=report.retry_at,
            )
        except Exception as error:  # noqa: BLE001 - a raised one would end the job and lose rows
            self._over = RowError(kind="internal", message=f"{type(error).__name__}: {error}")
        for key, future in self._flying.items():
            future.set_result(Failed(key=key, error=self._over))
        self._flying.clear()
