"""Tasks: what takes a while is started with one request and asked for with others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._refusal import Refusal
from zai_async.testing._reply import Reply

_POLLS = 2


@dataclass(slots=True, eq=False, kw_only=True)
class _Outcome:
    status: str = "SUCCESS"
    result: Mapping[str, Any] | None = None
    polls: int | None = None
    missing: int = 0
    left: float = 1


@dataclass(slots=True, eq=False, kw_only=True)
class _Task:
    id: str
    head: Json
    result: Mapping[str, Any]
    outcome: _Outcome
    seen: int = 0


class Tasks:
    """Keep the tasks of videos, images and asynchronous chats; script how they end.

    ``polls`` says at which poll a task, or anything else that is polled for (agents' tasks, file
    parsing, batches), is finished: with 2, the first one still sees it running.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget tasks and scripts."""
        self.polls = _POLLS
        self._scripts: list[_Outcome] = []
        self._tasks: dict[str, _Task] = {}

    def script(
        self,
        status: str = "SUCCESS",
        *,
        result: Mapping[str, Any] | None = None,
        polls: int | None = None,
        missing: int = 0,
        times: int | None = 1,
    ) -> None:
        """Script how the next tasks end; scripts are used in the order in which they were made.

        Args:
            status: ``task_status`` at the end: ``"FAIL"``, or one that nobody has heard of.
            result: Fields to answer at the end instead of the task's own, such as
                ``{"video_result": [{}]}`` for a video without an address or
                ``{"error": {"code": "1301", "message": "..."}}`` for the reason of a failure.
                Without it a success has its result and anything else nothing.
            polls: At which poll it is finished, instead of ``tasks.polls``.
            missing: How many polls, before all others, find no task (404).
            times: How many tasks end like this; ``None`` for every one from now on.
        """
        left = math.inf if times is None else times
        self._scripts.append(
            _Outcome(status=status, result=result, polls=polls, missing=missing, left=left)
        )

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [Operation("tasks.retrieve", "GET", "paas/v4/async-result/{id}", self.retrieve)]

    def start(
        self, call: Call, model: str, request_id: str | None, result: Mapping[str, Any]
    ) -> Reply:
        """Answer the request that creates a task; ``result`` is what polls find in the end."""
        head = {"id": call.id, "request_id": request_id or call.id}
        self._tasks[call.id] = _Task(
            id=call.id, head=head | {"model": model}, result=result, outcome=self._next()
        )
        return call.reply({"model": model, **head, "task_status": "PROCESSING"})

    def _next(self) -> _Outcome:
        for outcome in self._scripts:
            if outcome.left > 0:
                outcome.left -= 1
                return outcome
        return _Outcome()

    def retrieve(self, call: Call) -> Reply:
        """Answer a poll; an unknown id is refused with 400 and 1233, in Chinese, as live."""
        task = self._tasks.get(call.parameters["id"])
        if task is None:
            raise _unknown(call.parameters["id"])
        task.seen += 1
        if task.seen <= task.outcome.missing:
            raise _unknown(task.id, status=404)
        polls = self.polls if task.outcome.polls is None else task.outcome.polls
        if task.seen - task.outcome.missing < polls:
            # a task that still runs does not name its model
            running = {"id": task.id, "request_id": task.head["request_id"]}
            return call.reply(running | {"task_status": "PROCESSING"})
        return call.reply(_end(task))


def _end(task: _Task) -> Json:
    result = task.outcome.result
    if result is None and task.outcome.status == "SUCCESS":
        result = task.result
    return task.head | {"task_status": task.outcome.status} | dict(result or {})


def _unknown(id: str, status: int | None = None) -> Refusal:
    return Refusal("1233", f"任务：{id}不存在。", status)  # noqa: RUF001 - as it was recorded
