"""What was begun and came to no proper end: generations and tasks."""

from collections.abc import Sequence
from typing import Any, Self

from zai_async._codes import Kind, Outcome, Repeat
from zai_async.errors.root import ZaiError

__all__ = [
    "EmptyAnswerError",
    "GenerationFailedError",
    "IncompleteError",
    "RepetitionError",
    "RunLimitError",
    "StreamMalformedError",
    "StreamRestartedError",
    "StreamStalledError",
    "StreamTruncatedError",
    "StructuredOutputError",
    "SubmitUnknownError",
    "TaskError",
    "TaskFailedError",
    "TaskTimeoutError",
    "ToolCallError",
    "ToolCallIncompleteError",
    "ToolCallMalformedError",
    "TranscriptionIncompleteError",
]


class IncompleteError(ZaiError):
    """A generation did not come to a proper end; ``partial`` holds what arrived."""

    kind: Kind = "stream"
    outcome: Outcome = "error"


class StreamTruncatedError(IncompleteError):
    """The stream stopped before its end."""

    outcome: Outcome = "truncated"
    # Retried by this package only while nothing of the stream has been handed out.
    retryable = True
    repeat: Repeat = "short"


class StreamMalformedError(IncompleteError):
    """A frame of the stream could not be read; ``body`` holds its beginning."""


class StreamRestartedError(IncompleteError):
    """The gateway began a second generation after text of the first had been handed out."""

    outcome: Outcome = "restarted"
    retryable = True

    def __init__(
        self, message: str, *, old_id: str | None = None, new_id: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.old_id = old_id
        self.new_id = new_id


class StreamStalledError(IncompleteError, TimeoutError):
    """No data was received for too long: ``phase``, and ``waited`` in seconds."""

    kind: Kind = "timeout"
    outcome: Outcome = "truncated"
    retryable = True

    def __init__(self, message: str, *, phase: str = "", waited: float = 0.0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.phase = phase
        self.waited = waited


class GenerationFailedError(IncompleteError):
    """The platform lost the generation (finish reason ``network_error``)."""

    # Not retried by this package: the lost tokens may be billed, and new ones are.
    outcome: Outcome = "network_error"
    retryable = True


class RepetitionError(IncompleteError):
    """The model repeated one phrase, ``unit``, until a ``RepetitionGuard`` closed the stream."""

    outcome: Outcome = "repetition"
    retryable = True

    def __init__(self, message: str, *, unit: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.unit = unit


class EmptyAnswerError(IncompleteError):
    """The answer has no content: only reasoning, or nothing at all."""

    outcome: Outcome = "empty"


class ToolCallError(IncompleteError):
    """A tool call cannot be used; ``raw`` holds its arguments as they arrived."""

    def __init__(
        self, message: str, *, name: str = "", call_id: str = "", raw: str = "", **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.name = name
        self.call_id = call_id
        self.raw = raw


class ToolCallIncompleteError(ToolCallError, StreamTruncatedError):
    """The stream ended inside the arguments of a tool call."""


class ToolCallMalformedError(ToolCallError):
    """The arguments of a tool call are not one JSON object."""


class TranscriptionIncompleteError(IncompleteError):
    """A part of a long recording was not transcribed, the one from ``start`` to ``end`` (seconds).

    ``finished`` are the parts that were; give them to the next call, and it transcribes the others.
    ``partial`` is what they say. The cause is what went wrong, and decides whether to try again.
    """

    def __init__(
        self,
        message: str,
        *,
        start: float = 0.0,
        end: float = 0.0,
        finished: Sequence[Any] = (),
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.start = start
        self.end = end
        self.finished = list(finished)


class RunLimitError(ZaiError):
    """A run with tools was ended by ``limit``; ``partial`` is the last answer.

    ``state`` is where it stands: the run can be resumed with other limits.
    """

    kind: Kind = "limit"

    def __init__(self, message: str, *, limit: str = "", state: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.limit = limit
        self.state = state


class StructuredOutputError(ZaiError):
    """An answer does not fit the type that was asked for.

    ``raw`` is its text, ``reason`` what is wrong with it, ``partial`` the whole answer. ``usage``
    counts the tokens of all answers, of those before it as well.
    """

    def __init__(
        self, message: str, *, raw: str = "", reason: str = "", usage: Any = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.raw = raw
        self.reason = reason
        self.usage = usage


class TaskError(ZaiError):
    """Something about a task; ``task`` is its handle, which survives a pickle without its client.

    What is asked of a task too early is this class itself.
    """

    kind: Kind = "task"

    def __init__(self, message: str, *, task: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        # Every error may have one; these always do, as far as there is a task.
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
    """It is unknown whether the task was accepted; it was not submitted a second time.

    The cause is the failure that hid the answer.
    """

    @classmethod
    def hidden_by(cls, error: ZaiError) -> Self:
        """Return the error for a submission whose answer a failure has hidden."""
        unknown = cls(
            f"it is unknown whether the task was accepted: {error.message}",
            kind=error.kind,
            code=error.code,
            status_code=error.status_code,
            request_id=error.request_id,
            hint="It may run and be billed: look for it in the console before you submit it again.",
            body=error.body,
        )
        unknown.__cause__ = error
        return unknown
