"""Work that takes a while: single tasks, and batches of requests (bigmodel.cn)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Required

import msgspec
from msgspec import field

from zai_async.models.chat import ChatCompletion
from zai_async.models.counting import require_decodable
from zai_async.models.json_object import JSONObject
from zai_async.models.options import CallParams
from zai_async.models.reply import Reply, moment
from zai_async.models.tolerant import Count, decode

__all__ = [
    "Batch",
    "BatchError",
    "BatchErrors",
    "BatchIdParams",
    "BatchListParams",
    "BatchParams",
    "BatchRequestCounts",
    "BatchResponse",
    "BatchResult",
    "ChatResult",
    "TaskIdParams",
    "TaskState",
    "TaskStatus",
]

TaskState = Literal["processing", "succeeded", "failed"]
"""How far a task is, in one vocabulary for all operations."""

# Gateways have words of their own beside those of the platform.
_WORDS: dict[TaskState, str] = {
    "processing": "processing pending validating in_progress finalizing cancelling "
    "queued queueing in_queue submitted accepted created waiting starting started running "
    "generating rendering",
    "succeeded": "success succeeded successful completed complete done finished ready",
    "failed": "fail failed failure error errored expired cancelled canceled rejected aborted "
    "timeout timed_out",
}
# Every word that a platform or a relay was seen to use. A word that is missing here is taken for
# progress, because an end that was made up would lose a result that is paid for.
STATES: dict[str, TaskState] = {
    word: state for state, words in _WORDS.items() for word in words.split()
}


def known_state(status: str) -> TaskState | None:
    """Name the state that a status stands for; None if it is neither documented nor was seen."""
    return STATES.get(status.strip().lower().replace(" ", "_").replace("-", "_"))


def state_of(status: str) -> TaskState:
    """Name the state that a status stands for; a task with an unknown one still runs."""
    return known_state(status) or "processing"


class TaskIdParams(CallParams):
    """Name the task that is asked about."""

    id: str


class TaskStatus(Reply, kw_only=True):
    """The receipt for a task, or the word that it is not done yet.

    Source: https://docs.z.ai/api-reference/video/get-video-status
    """

    id: str = ""
    """Names the task in every later question about it; some answers leave it out."""
    model: str = ""
    task_status: str = ""
    """``PROCESSING``, ``SUCCESS`` or ``FAIL``; other values may be added."""

    @property
    def state(self) -> TaskState:
        """How far the task is."""
        return state_of(self.task_status)


class ChatResult(ChatCompletion, kw_only=True):
    """A completion that was submitted, empty until the task is done (bigmodel.cn).

    Source: https://docs.bigmodel.cn/api-reference
    """

    task_status: str = ""
    """``PROCESSING``, ``SUCCESS`` or ``FAIL``; other values may be added."""

    @property
    def state(self) -> TaskState:
        """How far the task is."""
        return state_of(self.task_status)


class BatchParams(CallParams, total=False):
    """Parameters of a new batch.

    Source: https://docs.bigmodel.cn/cn/guide/tools/batch
    """

    input_file_id: Required[str]
    """A jsonl file uploaded for ``batch``; every ``custom_id`` in it has 6 characters or more."""
    endpoint: Required[str]
    """``"/v4/chat/completions"``, ``"/v4/embeddings"`` or ``"/v4/images/generations"``, for every
    line of the file."""
    auto_delete_input_file: bool
    """Whether the input is deleted when the batch is done; default true."""
    metadata: Mapping[str, str]
    """Your notes, at most 16."""


class BatchListParams(CallParams, total=False):
    """Which batches are looked for."""

    after: str
    """The id that the page begins after."""
    limit: int
    """Batches in a page, 1 to 100; default 20."""


class BatchIdParams(CallParams):
    """Name the batch."""

    batch_id: str


class BatchRequestCounts(JSONObject, kw_only=True):
    """Count the requests of a batch."""

    total: Count = 0
    completed: Count = 0
    failed: Count = 0


class BatchError(JSONObject, kw_only=True):
    """Say what is wrong with one line of the input."""

    code: str = ""
    message: str = ""
    param: str | None = None
    line: Count | None = None
    """The number of the line, when the error belongs to one."""


class BatchErrors(JSONObject, kw_only=True):
    """The reasons why a batch was refused."""

    object: str = ""
    data: list[BatchError] = field(default_factory=list)


class Batch(Reply, kw_only=True):
    """Describe a batch; stamps are 0 and ids empty as long as they are not set.

    The service writes stamps in milliseconds although its documentation says seconds: use the
    datetime properties.
    """

    id: str = ""
    object: str = ""
    endpoint: str = ""
    errors: BatchErrors | None = None
    input_file_id: str = ""
    completion_window: str = ""
    status: str = ""
    """``validating``, ``in_progress``, ``finalizing``, ``completed``, ``failed``, ``expired``,
    ``cancelling``, ``cancelled``; other values may be added."""
    output_file_id: str = ""
    """A jsonl file of answers, not in the order of the input."""
    error_file_id: str = ""
    """A jsonl file of the requests that failed."""
    # Absent, null and 0 mean the same of a stamp: not yet.
    created_at: Count = 0
    in_progress_at: Count = 0
    expires_at: Count = 0
    finalizing_at: Count = 0
    completed_at: Count = 0
    failed_at: Count = 0
    expired_at: Count = 0
    cancelling_at: Count = 0
    cancelled_at: Count = 0
    request_counts: BatchRequestCounts = field(default_factory=BatchRequestCounts)
    # The caller's own notes: whatever was stored.
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def state(self) -> TaskState:
        """How far the batch is; one that is being cancelled still runs."""
        return state_of(self.status)

    @property
    def created(self) -> datetime | None:
        """When it was created, in UTC."""
        return moment(self.created_at)

    @property
    def ended(self) -> datetime | None:
        """When it reached its end, whichever that was, in UTC."""
        return moment(self.completed_at or self.failed_at or self.expired_at or self.cancelled_at)


class BatchResponse(JSONObject, kw_only=True):
    """The answer to one request of a batch."""

    status_code: Count = 0
    request_id: str | None = None
    # Those of embeddings and images have their fields in `extra`.
    body: ChatCompletion | None = None


class BatchResult(JSONObject, kw_only=True):
    """What became of one request of a batch."""

    id: str = ""
    custom_id: str = ""
    """The name that the request had in the input file."""
    response: BatchResponse | None = None
    error: BatchError | None = None

    @property
    def completion(self) -> ChatCompletion | None:
        """The answer; None for a request that failed, or whose answer cannot be used."""
        if self.response is None or self.response.status_code >= 400 or self.error is not None:
            return None
        return self.response.body


def read_results(lines: bytes) -> list[BatchResult]:
    """Decode a jsonl file of answers; of a line that cannot be read, the result is an error."""
    results: list[BatchResult] = []
    for number, line in enumerate(lines.splitlines(), 1):
        if not line.strip():
            continue
        try:
            require_decodable(line)
            results.append(decode(_RESULT, line))
        except msgspec.DecodeError:
            # One bad line must not cost the others, which are paid for.
            message = f"line {number} of the file cannot be read: it is no whole JSON object"
            error = BatchError(code="unreadable", message=message, line=number)
            results.append(BatchResult(error=error))
    return results


_RESULT = msgspec.json.Decoder(BatchResult)
