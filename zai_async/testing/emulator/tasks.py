"""Tasks, asked for with polls until they are over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zai_async.testing.emulator.operation import OperationCall, Route
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json

_POLLS = 2


@dataclass(slots=True, eq=False, kw_only=True)
class _ScriptedEnd:
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
    end: _ScriptedEnd
    seen: int = 0


class TaskHandlers:
    """Keep the tasks of videos, images and asynchronous chats; script how they end.

    ``polls`` says at which poll a task, or anything else that is polled for (agents' tasks, file
    parsing, batches), is finished: with 2, the first one still sees it running.

    ``form`` is the shape of the answers: ``"platform"`` (``task_status``, ``video_result``), or the
    plain one that other gateways and older descriptions show, ``{"id", "status": "processing"}``
    and then ``"completed"`` with the address in ``"video_url"`` or in ``"url"``.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget tasks and scripts."""
        self.polls = _POLLS
        self.form: Literal["platform", "video_url", "url"] = "platform"
        self._scripts: list[_ScriptedEnd] = []
        self._tasks: RecentItems[_Task] = RecentItems()

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
            _ScriptedEnd(status=status, result=result, polls=polls, missing=missing, left=left)
        )

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [Route("tasks.retrieve", "GET", "paas/v4/async-result/{id}", self.retrieve)]

    def start(
        self, call: OperationCall, model: str, request_id: str | None, result: Mapping[str, Any]
    ) -> PlannedReply:
        """Answer the request that creates a task; ``result`` is what polls find in the end."""
        end = _ScriptedEnd()
        for scripted in self._scripts:
            if scripted.left > 0:
                scripted.left -= 1
                end = scripted
                break
        # A request that brings no id gets the one of its task.
        head = {"id": call.id, "request_id": request_id or call.id}
        self._tasks[call.id] = _Task(
            id=call.id, head=head | {"model": model}, result=result, end=end
        )
        return call.reply(self._shaped({"model": model, **head, "task_status": "PROCESSING"}))

    def retrieve(self, call: OperationCall) -> PlannedReply:
        """Answer a poll; an unknown id is refused with 400 and 1233, in Chinese, as live."""
        asked = call.parameters["id"]
        task = self._tasks.get(asked)
        unknown = f"任务：{asked}不存在。"  # noqa: RUF001 - as it was recorded
        if task is None:
            raise Refusal("1233", unknown)
        task.seen += 1
        # A server that is asked right after the submission may not know the task yet.
        if task.seen <= task.end.missing:
            raise Refusal("1233", unknown, 404)
        polls = self.polls if task.end.polls is None else task.end.polls
        if task.seen - task.end.missing < polls:
            # Recorded live: a task that still runs does not name its model.
            running = {"id": task.id, "request_id": task.head["request_id"]}
            return call.reply(self._shaped(running | {"task_status": "PROCESSING"}))
        result = task.end.result
        if result is None and task.end.status == "SUCCESS":
            result = task.result
        document = task.head | {"task_status": task.end.status} | dict(result or {})
        return call.reply(self._shaped(document))

    def _shaped(self, document: Json) -> Json:
        """Return an answer in the chosen form."""
        if self.form == "platform":
            return document
        # The plain reference of the API has these words, and LowCodeAPI's examples, too.
        words = {"PROCESSING": "processing", "SUCCESS": "completed", "FAIL": "failed"}
        state = document["task_status"]
        plain: Json = {"id": document["id"], "status": words.get(state, state)}
        for name in ("video_result", "image_result"):
            for made in document.get(name, ()):
                plain[self.form] = made.get("url", "")
        return plain | {name: document[name] for name in ("error", "choices") if name in document}
