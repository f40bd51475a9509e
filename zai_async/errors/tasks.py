"""Errors of work that takes a while."""

from typing import Any

from zai_async._codes import Kind
from zai_async.errors.root import ZaiError

__all__ = ["SubmitUnknownError", "TaskError", "TaskFailedError", "TaskTimeoutError"]


class TaskError(ZaiError):
    """Something about a task; ``task`` is its handle, which survives a pickle without its client.

    What is asked of a task too early is this class itself.
    """

    kind: Kind = "task"

    def __init__(self, message: str, *, task: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.task = task


class TaskFailedError(TaskError):
    """The task has ended without a result; ``kind`` says why where the platform does.

    ``body`` holds the answer that said so, ``partial`` what could be read of it.
    """


class TaskTimeoutError(TaskError, TimeoutError):
    """The time for waiting is over; the task goes on, and can be waited for again."""

    kind: Kind = "timeout"
    retryable = True


class SubmitUnknownError(TaskError):
    """Nobody knows whether the task was accepted; it was not submitted a second time.

    The cause is the failure that hid the answer.
    """
