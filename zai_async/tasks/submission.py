"""Submitting a task, once: what may have been accepted is never sent again."""

from collections.abc import Mapping
from typing import Any, TypeVar

from zai_async._wire import Operation
from zai_async.errors import ZaiError
from zai_async.models import AgentReply, CallOptions, FileParserTask, ParsedFile, Reply, TaskStatus
from zai_async.tasks.polling import AGENTS, PARSED_FILES, PARSED_LINKS, TaskType
from zai_async.tasks.task import Task, TaskEngine

__all__ = ["submit", "submit_agent", "submit_file"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

_HINT = "It may run and be billed: look for it in the console before you submit it again."


async def submit(
    engine: TaskEngine,
    operation: Operation[TaskStatus],
    params: Mapping[str, Any],
    task_type: TaskType[R],
) -> Task[R]:
    """Submit a task of the platform's own kind.

    Raises:
        SubmitUnknownError: It is unknown whether the task was accepted.
        APIError: It was refused.
        TransportError: The request was not sent.
    """
    receipt = await _send(engine, operation, params)
    options: CallOptions | None = params.get("options")
    return Task(
        task_type,
        {"id": receipt.id},
        engine=engine,
        model=receipt.model or params["model"],
        request_id=receipt.request_id,
        submitted=True,
        allow=options.allow if options is not None else (),
    )


async def submit_agent(
    engine: TaskEngine, operation: Operation[AgentReply], params: Mapping[str, Any]
) -> Task[AgentReply]:
    """Submit a task to an agent; one that answers at once makes it a task that is done.

    Raises:
        SubmitUnknownError: It is unknown whether the task was accepted.
    """
    reply = await _send(engine, operation, params)
    names = {"agent_id": params["agent_id"], "async_id": reply.async_id or reply.id}
    # Nothing but its documentation says whether an agent answers at once or begins a task.
    if reply.async_id:
        return Task(AGENTS, names, engine=engine, request_id=reply.request_id, submitted=True)
    return Task(AGENTS, names, engine=engine, request_id=reply.request_id, result=reply)


async def submit_file(
    engine: TaskEngine,
    operation: Operation[FileParserTask],
    params: Mapping[str, Any],
    format_type: str,
) -> Task[ParsedFile]:
    """Submit a file to be parsed.

    Raises:
        SubmitUnknownError: It is unknown whether the task was accepted.
    """
    receipt = await _send(engine, operation, params)
    names = {"task_id": receipt.task_id, "format_type": format_type}
    kind = PARSED_LINKS if format_type == "download_link" else PARSED_FILES
    return Task(kind, names, engine=engine, request_id=receipt.request_id, submitted=True)


async def _send(engine: TaskEngine, operation: Operation[T], params: Mapping[str, Any]) -> T:
    """Send a submission; the engine raises an error of its own where that leaves its fate open."""
    try:
        return await engine.call(operation, params)
    except ZaiError:
        raise
    except BaseException as error:
        # A cancellation, for one; the answer that names the task may be on its way.
        error.add_note(f"while submitting a task ({operation.name}). {_HINT}")
        raise
