"""What differs between kinds of tasks: how they are named, asked about, and found to be done."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import msgspec

from zai_async import _endpoints as ep
from zai_async._wire import Endpoint
from zai_async.models import Reply
from zai_async.streams import ensure_proper_end
from zai_async.tasks.pace import Schedule

__all__ = ["AGENTS", "BATCHES", "CHATS", "FAMILIES", "IMAGES", "PARSED_FILES", "VIDEOS", "Family"]

R = TypeVar("R", bound=Reply)


class Family(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A kind of task."""

    name: str
    endpoint: Endpoint[R]
    """Asks how far a task is."""
    key: str
    """The keyword of the endpoint that holds the id of the task."""
    schedule: Schedule
    has_result: Callable[[R], bool]
    """Whether the answer about a task that succeeded holds what it was submitted for."""
    judge: Callable[[R], object] = bool
    """Raises if the result is none that one can use."""
    status_field: str = "status"
    fails_like_refusals: bool = False
    """Whether a question that is refused looks like a task that failed."""


VIDEOS: Final = Family(
    name="videos",
    endpoint=ep.VIDEO_RESULT,
    key="id",
    schedule=Schedule(5.0, 15.0),
    has_result=lambda video: bool(video.urls),
    status_field="task_status",
)
IMAGES: Final = Family(
    name="images",
    endpoint=ep.IMAGE_RESULT,
    key="id",
    schedule=Schedule(2.0, 8.0),
    has_result=lambda image: bool(image.urls),
    status_field="task_status",
)
CHATS: Final = Family(
    name="chat.completions",
    endpoint=ep.CHAT_RESULT,
    key="id",
    schedule=Schedule(3.0, 10.0),
    has_result=lambda answer: bool(answer.choices),
    judge=ensure_proper_end,
    status_field="task_status",
)
AGENTS: Final = Family(
    name="agents",
    endpoint=ep.AGENT_RESULT,
    key="async_id",
    schedule=Schedule(3.0, 10.0),
    has_result=lambda reply: bool(reply.messages),
    fails_like_refusals=True,
)
PARSED_FILES: Final = Family(
    name="file_parser",
    endpoint=ep.FILE_PARSER_RESULT,
    key="task_id",
    schedule=Schedule(2.0, 10.0),
    # A blank page has no text.
    has_result=lambda _: True,
)
BATCHES: Final = Family(
    name="batches",
    endpoint=ep.BATCH_RETRIEVE,
    key="batch_id",
    schedule=Schedule(10.0, 60.0),
    has_result=lambda batch: bool(batch.output_file_id or batch.error_file_id),
)

FAMILIES: Final[Mapping[str, Family[Any]]] = MappingProxyType(
    {family.name: family for family in (VIDEOS, IMAGES, CHATS, AGENTS, PARSED_FILES, BATCHES)}
)
