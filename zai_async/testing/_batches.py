"""Batches: a file of requests goes in, a file of answers comes out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from zai_async.testing._chat import Chat
from zai_async.testing._files import Files
from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._reading import read_body, require
from zai_async.testing._refusal import Refusal
from zai_async.testing._reply import Reply
from zai_async.testing._tasks import Tasks

_STAGES = ("validating", "in_progress", "finalizing")
_OVER = frozenset({"completed", "cancelled"})
_MOMENTS = (
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
)


class _Create(Struct):
    input_file_id: str
    endpoint: Literal["/v4/chat/completions"]
    auto_delete_input_file: bool = True
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None


class _List(Struct):
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class _Row(Struct):
    custom_id: Annotated[str, Meta(min_length=6)]
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


@dataclass(slots=True, eq=False, kw_only=True)
class _Batch:
    id: str
    request: _Create
    rows: list[_Row]
    document: Json = field(init=False)
    seen: int = 0

    def __post_init__(self) -> None:
        self.document = {
            "id": self.id,
            "object": "batch",
            "endpoint": self.request.endpoint,
            "input_file_id": self.request.input_file_id,
            "completion_window": None,
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": _now(),
            **{f"{moment}_at": None for moment in _MOMENTS},
            "request_counts": {"total": len(self.rows), "completed": None, "failed": None},
            "metadata": self.request.metadata,
        }

    @property
    def status(self) -> str:
        status: str = self.document["status"]
        return status

    def become(self, status: str) -> None:
        self.document |= {"status": status, f"{status}_at": _now()}


class Batches:
    """Answer the rows of a file with chat completions, scripted ones first.

    ``emulator.tasks.polls`` says at which poll a batch is completed. As live, moments are in
    milliseconds, ids that are not there yet are ``null`` at first and ``""`` later.
    """

    def __init__(self, chat: Chat, files: Files, tasks: Tasks) -> None:
        self._chat = chat
        self._files = files
        self._tasks = tasks
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._batches: dict[str, _Batch] = {}

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        path = "paas/v4/batches"
        return [
            Operation("batches.create", "POST", path, self.create),
            Operation("batches.list", "GET", path, self.list),
            Operation("batches.retrieve", "GET", f"{path}/{{id}}", self.retrieve),
            Operation("batches.cancel", "POST", f"{path}/{{id}}/cancel", self.cancel),
        ]

    def create(self, call: Call) -> Reply:
        """Read the rows of the file; one that is not legal refuses them all with 1210."""
        request = call.read(_Create)
        file = self._files.find(request.input_file_id)
        require(file.purpose == "batch", "input_file_id: not uploaded for a batch")
        rows = [read_body(line, _Row) for line in file.data.splitlines() if line.strip()]
        _check(rows, request.endpoint)
        batch = _Batch(id=f"batch_{call.id}", request=request, rows=rows)
        self._batches[batch.id] = batch
        return call.reply(batch.document)

    def list(self, call: Call) -> Reply:
        """List the batches, oldest first, a page at a time."""
        request = call.read_query(_List)
        ids = list(self._batches)
        start = 0 if request.after is None else ids.index(self._find(request.after).id) + 1
        page = [self._batches[one].document for one in ids[start:][: request.limit]]
        more = len(ids) - start > len(page)
        return call.reply({"object": "list", "data": page, "has_more": more})

    def retrieve(self, call: Call) -> Reply:
        """Answer a poll."""
        batch = self._find(call.parameters["id"])
        if batch.status not in _OVER:
            self._advance(call, batch)
        return call.reply(batch.document)

    def cancel(self, call: Call) -> Reply:
        """Stop a batch; the next poll finds it cancelled."""
        batch = self._find(call.parameters["id"])
        require(batch.status not in _OVER, f"the batch is {batch.status}")
        batch.become("cancelling")
        return call.reply(batch.document)

    def _find(self, id: str) -> _Batch:
        require(id in self._batches, f"batch: {id} does not exist")
        return self._batches[id]

    def _advance(self, call: Call, batch: _Batch) -> None:
        batch.document |= {"output_file_id": "", "error_file_id": ""}
        batch.seen += 1
        if batch.status == "cancelling":
            batch.become("cancelled")
        elif batch.seen >= self._tasks.polls:
            self._complete(call, batch)
        else:
            batch.become(_STAGES[batch.seen * len(_STAGES) // self._tasks.polls])

    def _complete(self, call: Call, batch: _Batch) -> None:
        lines = list(self._answers(call, batch.rows))
        good = [line for line in lines if line["response"]["status_code"] == 200]
        bad = [line for line in lines if line not in good]
        counts = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        batch.document["output_file_id"] = self._written(call, batch, "output", good)
        batch.document["error_file_id"] = self._written(call, batch, "error", bad)
        batch.document["request_counts"] = counts
        batch.become("completed")
        if batch.request.auto_delete_input_file:
            self._files.discard(batch.request.input_file_id)

    def _answers(self, call: Call, rows: Sequence[_Row]) -> Iterator[Json]:
        for number, row in enumerate(rows):
            body = msgspec.json.encode(row.body | {"stream": False})
            request = replace(call.request, body=body)
            try:
                reply = self._chat.complete(Call(request=request, id=f"{call.id}{number:04x}"))
                status, answer = 200, reply.pieces[0]
            except Refusal as refusal:
                status, answer = refusal.status, refusal.body
            response = {"status_code": status, "body": msgspec.Raw(answer)}
            yield {"response": response, "custom_id": row.custom_id}

    def _written(self, call: Call, batch: _Batch, kind: str, lines: Sequence[Json]) -> str:
        """Store lines, return the id of the file, or "" when there are none."""
        if not lines:
            return ""
        data = msgspec.json.Encoder().encode_lines(lines)
        name, purpose = f"{batch.id}_{kind}.jsonl", f"batch_{kind}"
        return self._files.keep(call, name, purpose, data).id


def _check(rows: list[_Row], endpoint: str) -> None:
    require(bool(rows), "input_file_id: the file is empty")
    require(all(row.url == endpoint for row in rows), f"url: not {endpoint}")
    names = {row.custom_id for row in rows}
    require(len(names) == len(rows), "custom_id: one comes more than once")


def _now() -> int:
    return int(time.time() * 1000)
