"""Batches: a file of requests goes in, a file of answers comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from zai_async.testing.emulator.files import FileStore
from zai_async.testing.emulator.operation import OperationCall, Route, read_body, require
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json
from zai_async.testing.emulator.tasks import TaskHandlers

# Documented are four more statuses (failed, expired, cancelling, cancelled); these come in order.
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


class _BatchRequest(Struct):
    input_file_id: str
    endpoint: Literal["/v4/chat/completions", "/v4/embeddings", "/v4/images/generations"]
    auto_delete_input_file: bool = True
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None


class _BatchQuery(Struct):
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


# Documented without a limit; live, a `custom_id` of less than six characters refuses the file.
class _Row(Struct):  # one line of the input file
    custom_id: Annotated[str, Meta(min_length=6)]
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


@dataclass(slots=True, eq=False, kw_only=True)
class _Batch:
    id: str
    request: _BatchRequest
    rows: list[_Row]
    document: Json = field(init=False)
    seen: int = 0

    def __post_init__(self) -> None:
        self.document = {
            "id": self.id,
            "object": "batch",
            "endpoint": self.request.endpoint,
            "input_file_id": self.request.input_file_id,
            # Recorded live, against the description: no window, counts as an object, moments in
            # milliseconds.
            "completion_window": None,
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": milliseconds(),
            **{f"{moment}_at": None for moment in _MOMENTS},
            "request_counts": {"total": len(self.rows), "completed": None, "failed": None},
            "metadata": self.request.metadata,
        }

    @property
    def status(self) -> str:
        status: str = self.document["status"]
        return status

    def become(self, status: str) -> None:
        self.document |= {"status": status, f"{status}_at": milliseconds()}


class BatchHandlers:
    """Answer the rows of a file: chats, scripted ones first, embeddings and images.

    ``emulator.tasks.polls`` says at which poll a batch is completed. As live, moments are in
    milliseconds, ids that are not there yet are ``null`` at first and ``""`` later.
    """

    def __init__(
        self,
        answers: Mapping[str, Callable[[OperationCall], PlannedReply]],
        files: FileStore,
        tasks: TaskHandlers,
    ) -> None:
        self._answers = answers
        self._files = files
        self._tasks = tasks
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._batches: RecentItems[_Batch] = RecentItems(max_items=1_000)

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        path = "paas/v4/batches"
        return [
            Route("batches.create", "POST", path, self.create),
            Route("batches.list", "GET", path, self.list),
            Route("batches.retrieve", "GET", f"{path}/{{id}}", self.retrieve),
            Route("batches.cancel", "POST", f"{path}/{{id}}/cancel", self.cancel),
        ]

    def create(self, call: OperationCall) -> PlannedReply:
        """Read the rows of the file; one that is not legal refuses them all with 1210."""
        request = call.read(_BatchRequest)
        file = self._files.find(request.input_file_id)
        require(file.purpose == "batch", "input_file_id: not uploaded for a batch")
        rows = [read_body(line, _Row) for line in file.data.splitlines() if line.strip()]
        require(bool(rows), "input_file_id: the file is empty")
        require(all(row.url == request.endpoint for row in rows), f"url: not {request.endpoint}")
        names = {row.custom_id for row in rows}
        require(len(names) == len(rows), "custom_id: one comes more than once")
        batch = _Batch(id=f"batch_{call.id}", request=request, rows=rows)
        self._batches[batch.id] = batch
        return call.reply(batch.document)

    def list(self, call: OperationCall) -> PlannedReply:
        """List the batches, oldest first, a page at a time."""
        request = call.read_query(_BatchQuery)
        ids = list(self._batches)
        start = 0 if request.after is None else ids.index(self._find(request.after).id) + 1
        page = [self._batches[one].document for one in ids[start:][: request.limit]]
        more = len(ids) - start > len(page)
        return call.reply({"object": "list", "data": page, "has_more": more})

    def retrieve(self, call: OperationCall) -> PlannedReply:
        """Answer a poll, which is what brings a batch forward."""
        batch = self._find(call.parameters["id"])
        if batch.status not in _OVER:
            # Recorded live: ids that are not there yet turn from null to "" once the batch runs.
            batch.document |= {"output_file_id": "", "error_file_id": ""}
            batch.seen += 1
            if batch.status == "cancelling":
                batch.become("cancelled")
            elif batch.seen >= self._tasks.polls:
                self._complete(call, batch)
            else:
                batch.become(_STAGES[batch.seen * len(_STAGES) // self._tasks.polls])
        return call.reply(batch.document)

    def cancel(self, call: OperationCall) -> PlannedReply:
        """Stop a batch; the next poll finds it cancelled."""
        batch = self._find(call.parameters["id"])
        require(batch.status not in _OVER, f"the batch is {batch.status}")
        batch.become("cancelling")
        return call.reply(batch.document)

    def _find(self, id: str) -> _Batch:
        require(id in self._batches, f"batch: {id} does not exist")
        return self._batches[id]

    def _complete(self, call: OperationCall, batch: _Batch) -> None:
        good: list[Json] = []
        bad: list[Json] = []
        answer_row = self._answers[batch.request.endpoint]
        for number, row in enumerate(batch.rows):
            # A file has no place for a stream, so the field is ignored rather than refused.
            body = msgspec.json.encode(row.body | {"stream": False})
            request = replace(call.request, body=body)
            try:
                reply = answer_row(OperationCall(request=request, id=f"{call.id}{number:04x}"))
                status, answer = 200, reply.pieces[0]
            except Refusal as refusal:
                status, answer = refusal.status, msgspec.json.encode(refusal.document)
            response = {"status_code": status, "body": msgspec.Raw(answer)}
            (good if status == 200 else bad).append(
                {"response": response, "custom_id": row.custom_id}
            )

        for kind, lines in (("output", good), ("error", bad)):
            # A file without lines is not made: its id stays empty.
            if lines:
                data = msgspec.json.Encoder().encode_lines(lines)
                name, purpose = f"{batch.id}_{kind}.jsonl", f"batch_{kind}"
                batch.document[f"{kind}_file_id"] = self._files.keep(call, name, purpose, data).id
        counts = {"total": len(batch.rows), "completed": len(good), "failed": len(bad)}
        batch.document["request_counts"] = counts
        batch.become("completed")
        if batch.request.auto_delete_input_file:
            self._files.discard(batch.request.input_file_id)


def milliseconds() -> int:
    """Return the time as batches have it: in milliseconds, where files have seconds."""
    return int(time.time() * 1000)
