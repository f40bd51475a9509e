"""Submitting a task, once: what may have been accepted is never sent again."""

from collections.abc import Mapping
from typing import Any, TypeVar

from zai_async._wire import Operation
from zai_async.errors import SubmitUnknownError, ZaiError
from zai_async.models import AgentReply, FileParserTask, ParsedFile, Reply, TaskStatus
from zai_async.retry import is_safe_to_retry
from zai_async.tasks.polling import AGENTS, PARSED_FILES, Family, Pace
from zai_async.tasks.task import Engine, Task

__all__ = ["submit", "submit_agent", "submit_file"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

_HINT = "It may run and be billed: look for it in the console before you submit it again."


async def submit(
    engine: Engine,
    operation: Operation[TaskStatus],
    params: Mapping[str, Any],
    family: Family[R],
) -> Task[R]:
    """Submit a task of the platform's own kind.

    Raises:
        SubmitUnknownError: Nobody knows whether it was accepted.
        APIError: It was refused.
        TransportError: The request was not sent.
    """
    receipt = await _send(engine, operation, params)
    names = {"id": _named(receipt.id, receipt)}
    return _task(engine, family, names, receipt, receipt.model or params["model"])


async def submit_agent(
    engine: Engine, operation: Operation[AgentReply], params: Mapping[str, Any]
) -> Task[AgentReply]:
    """Submit a task to an agent; one that answers at once makes it a task that is done.

    Raises:
        SubmitUnknownError: Nobody knows whether it was accepted.
    """
    reply = await _send(engine, operation, params)
    agent = params["agent_id"]
    if not reply.async_id and reply.messages:
        names = {"agent_id": agent, "async_id": reply.id}
        return Task(AGENTS, names, engine=engine, request_id=reply.request_id, result=reply)
    names = {"agent_id": agent, "async_id": _named(reply.async_id, reply)}
    return _task(engine, AGENTS, names, reply)


async def submit_file(
    engine: Engine,
    operation: Operation[FileParserTask],
    params: Mapping[str, Any],
    format_type: str,
) -> Task[ParsedFile]:
    """Submit a file to be parsed.

    Raises:
        SubmitUnknownError: Nobody knows whether it was accepted.
    """
    receipt = await _send(engine, operation, params)
    names = {"task_id": _named(receipt.task_id, receipt), "format_type": format_type}
    return _task(engine, PARSED_FILES, names, receipt)


async def _send(engine: Engine, operation: Operation[T], params: Mapping[str, Any]) -> T:
    try:
        return await engine.call(operation, params)
    except ZaiError as error:
        if not error.attempts or is_safe_to_retry(error):
            raise
        raise _unknown(error) from error


def _unknown(error: ZaiError) -> SubmitUnknownError:
    unknown = SubmitUnknownError(
        f"nobody knows whether the task was accepted: {error.message}",
        kind=error.kind,
        code=error.code,
        status_code=error.status_code,
        request_id=error.request_id,
        hint=_HINT,
        body=error.body,
    )
    unknown.attempts, unknown.operation = error.attempts, error.operation
    unknown.timing = error.timing
    return unknown


def _named(id: str, receipt: Reply) -> str:
    if id:
        return id
    sentence = "the task was accepted but not given a name"
    unknown = SubmitUnknownError(sentence, request_id=receipt.request_id, hint=_HINT)
    unknown.attempts, unknown.timing = receipt.attempts, receipt.timing
    raise unknown


def _task(
    engine: Engine,
    family: Family[R],
    names: Mapping[str, Any],
    receipt: Reply,
    model: str | None = None,
) -> Task[R]:
    pace = Pace(family.schedule)
    pace.submitted(engine.clock.monotonic(), engine.clock.random())
    return Task(family, names, engine=engine, model=model, request_id=receipt.request_id, pace=pace)
