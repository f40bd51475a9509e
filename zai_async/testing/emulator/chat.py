"""Chat completions, one at a time or as a batch: scripts first, the built-in author next."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from zai_async.testing.emulator import author
from zai_async.testing.emulator.completion import (
    AnswerEnvelope,
    ModelAnswer,
    ReceivedChat,
    ScriptedCall,
    chunks,
    completion,
    read_chat,
)
from zai_async.testing.emulator.files import FileStore
from zai_async.testing.emulator.operation import OperationCall, Route, read_body, require
from zai_async.testing.emulator.prose import tokens
from zai_async.testing.emulator.reply import STREAM_TYPE, PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json
from zai_async.testing.emulator.tasks import TaskHandlers

_FIRST_TOKEN = 0.4  # seconds, as is usual for a short prompt
_TOKEN = 1 / 60  # seconds between tokens


@dataclass(slots=True, eq=False)
class _Script:
    answer: ModelAnswer
    match: Callable[[Json], bool]
    left: float


class ChatHandlers:
    """Script and serve ``chat.completions``."""

    def __init__(self, seed: int, tasks: TaskHandlers) -> None:
        self._seed = seed
        self._tasks = tasks
        self._scripts: list[_Script] = []

    def reply(
        self,
        text: str | None = None,
        *,
        thinking: str | None = None,
        tool_calls: Sequence[ScriptedCall] = (),
        finish_reason: str | None = None,
        usage: Mapping[str, Any] | Literal["counted"] | None = "counted",
        web_search: Sequence[Mapping[str, Any]] = (),
        model: str | None = None,
        times: int | None = 1,
        chunk_size: int | None = None,
        match: Callable[[Json], bool] | None = None,
    ) -> None:
        """Script an answer; answers are used in the order in which they were scripted.

        Args:
            text: The answer, sent exactly as it is; empty when left out.
            thinking: The reasoning before it.
            tool_calls: Calls as ``{"name": ..., "arguments": {...}}``, optionally with an ``id``.
            finish_reason: ``"stop"`` or ``"tool_calls"`` when left out.
            usage: ``"counted"``, a mapping to send as it is, or ``None`` for no usage.
            web_search: Sources, as on the wire.
            model: The model name in the answer, instead of the requested one.
            times: How many requests it answers; ``None`` for every one from now on.
            chunk_size: Characters per delta; about a word when left out.
            match: Answer only requests for whose JSON body this returns true.
        """
        answer = ModelAnswer(
            text=text or "",
            thinking=thinking,
            tool_calls=tool_calls,
            finish_reason=finish_reason,
            usage=usage,
            web_search=web_search,
            model=model,
            chunk_size=chunk_size,
        )
        left = math.inf if times is None else times
        self._scripts.append(_Script(answer, match or _always, left))

    def reset(self) -> None:
        """Forget what was scripted."""
        self._scripts.clear()

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        paths = ("paas/v4/chat/completions", "coding/paas/v4/chat/completions")
        later = "paas/v4/async/chat/completions"
        return [
            *(Route("chat.completions", "POST", path, self.complete) for path in paths),
            Route("chat.async_completions", "POST", later, self.complete_later),
        ]

    def complete(self, call: OperationCall) -> PlannedReply:
        """Answer one request, whole or as a stream; ``Refusal`` when it is not legal."""
        request = read_chat(call.request.body)
        answer = self._scripted(call.request.json) or author.write(request, self._seed)
        envelope = _envelope(call, request, answer)
        return _stream(answer, envelope) if request.stream else _whole(answer, envelope)

    def complete_later(self, call: OperationCall) -> PlannedReply:
        """Start a task that ends with the answer; ``stream`` is ignored, the model shouted."""
        request = read_chat(call.request.body)
        answer = self._scripted(call.request.json) or author.write(request, self._seed)
        envelope = replace(_envelope(call, request, answer), model=request.model.upper())
        return self._tasks.start(
            call, request.model, request.request_id, completion(answer, envelope)
        )

    def _scripted(self, body: Json) -> ModelAnswer | None:
        for script in list(self._scripts):
            if script.left > 0 and script.match(body):
                script.left -= 1
                return script.answer
        return None


def _always(_: Json) -> bool:
    return True


def _envelope(call: OperationCall, request: ReceivedChat, answer: ModelAnswer) -> AnswerEnvelope:
    return AnswerEnvelope(
        id=call.id,
        request_id=request.request_id or call.id,
        created=int(time.time()),
        model=answer.model or request.model,
        prompt_tokens=len(call.request.body) // 4,  # four bytes make about one token
        tool_stream=request.fragments,
        sources_first=request.search is not None and request.search.result_sequence == "before",
    )


def _stream(answer: ModelAnswer, envelope: AnswerEnvelope) -> PlannedReply:
    return PlannedReply(
        pieces=chunks(answer, envelope),
        log_id=envelope.id,
        content_type=STREAM_TYPE,
        latency=_FIRST_TOKEN,
        pause=_TOKEN,
    )


def _whole(answer: ModelAnswer, envelope: AnswerEnvelope) -> PlannedReply:
    written = len(tokens(answer.text)) + len(tokens(answer.thinking or ""))
    return PlannedReply(
        pieces=(msgspec.json.encode(completion(answer, envelope)),),
        log_id=envelope.id,
        latency=_FIRST_TOKEN + written * _TOKEN,
    )


# Batches: a file of requests goes in, a file of answers comes out

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
    endpoint: Literal["/v4/chat/completions"]
    auto_delete_input_file: bool = True
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None


class _BatchQuery(Struct):
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


class BatchHandlers:
    """Answer the rows of a file with chat completions, scripted ones first.

    ``emulator.tasks.polls`` says at which poll a batch is completed. As live, moments are in
    milliseconds, ids that are not there yet are ``null`` at first and ``""`` later.
    """

    def __init__(self, chat: ChatHandlers, files: FileStore, tasks: TaskHandlers) -> None:
        self._chat = chat
        self._files = files
        self._tasks = tasks
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._batches: dict[str, _Batch] = {}

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
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
        _check_rows(rows, request.endpoint)
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
        """Answer a poll."""
        batch = self._find(call.parameters["id"])
        if batch.status not in _OVER:
            self._advance(call, batch)
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

    def _advance(self, call: OperationCall, batch: _Batch) -> None:
        batch.document |= {"output_file_id": "", "error_file_id": ""}
        batch.seen += 1
        if batch.status == "cancelling":
            batch.become("cancelled")
        elif batch.seen >= self._tasks.polls:
            self._complete(call, batch)
        else:
            batch.become(_STAGES[batch.seen * len(_STAGES) // self._tasks.polls])

    def _complete(self, call: OperationCall, batch: _Batch) -> None:
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

    def _answers(self, call: OperationCall, rows: Sequence[_Row]) -> Iterator[Json]:
        for number, row in enumerate(rows):
            body = msgspec.json.encode(row.body | {"stream": False})
            request = replace(call.request, body=body)
            try:
                reply = self._chat.complete(
                    OperationCall(request=request, id=f"{call.id}{number:04x}")
                )
                status, answer = 200, reply.pieces[0]
            except Refusal as refusal:
                status, answer = refusal.status, refusal.body
            response = {"status_code": status, "body": msgspec.Raw(answer)}
            yield {"response": response, "custom_id": row.custom_id}

    def _written(self, call: OperationCall, batch: _Batch, kind: str, lines: Sequence[Json]) -> str:
        """Store lines, return the id of the file, or "" when there are none."""
        if not lines:
            return ""
        data = msgspec.json.Encoder().encode_lines(lines)
        name, purpose = f"{batch.id}_{kind}.jsonl", f"batch_{kind}"
        return self._files.keep(call, name, purpose, data).id


def _check_rows(rows: list[_Row], endpoint: str) -> None:
    require(bool(rows), "input_file_id: the file is empty")
    require(all(row.url == endpoint for row in rows), f"url: not {endpoint}")
    names = {row.custom_id for row in rows}
    require(len(names) == len(rows), "custom_id: one comes more than once")


def _now() -> int:
    return int(time.time() * 1000)
