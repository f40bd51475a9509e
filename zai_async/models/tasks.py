"""Long-running work: https://docs.z.ai/api-reference/video/get-video-status."""

from typing import Literal

from zai_async.models.chat import ChatCompletion
from zai_async.models.options import CallParams
from zai_async.models.reply import Reply

TaskState = Literal["processing", "succeeded", "failed"]
"""How far a task is, in one vocabulary for all operations."""

_STATES: dict[str, TaskState] = {
    "processing": "processing",
    "pending": "processing",
    "validating": "processing",
    "in_progress": "processing",
    "finalizing": "processing",
    "cancelling": "processing",
    "success": "succeeded",
    "succeeded": "succeeded",
    "completed": "succeeded",
    "fail": "failed",
    "failed": "failed",
    "expired": "failed",
    "cancelled": "failed",
}


def state_of(status: str) -> TaskState:
    """Name the state that a status of the API stands for; one that is not known still runs."""
    return _STATES.get(status.lower(), "processing")


def is_known(status: str) -> bool:
    """Tell whether a status of the API is one of those that are documented or were seen."""
    return status.lower() in _STATES


class TaskIdParams(CallParams):
    """Name the task that is asked about."""

    id: str


class TaskStatus(Reply, kw_only=True):
    """Hold the receipt for a task, or the word that it is not done yet."""

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
    """Hold a completion that was submitted, empty until the task is done (bigmodel.cn).

    Source: https://docs.bigmodel.cn/api-reference
    """

    task_status: str = ""
    """``PROCESSING``, ``SUCCESS`` or ``FAIL``; other values may be added."""

    @property
    def state(self) -> TaskState:
        """How far the task is."""
        return state_of(self.task_status)
