"""How tasks are polled: at which intervals, and what differs between their types."""

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

from zai_async import _operations as ep
from zai_async._outcomes import ensure_proper_end, has_image, says_something
from zai_async._wire import Operation
from zai_async.errors import (
    APIError,
    ConfigurationError,
    LimitError,
    NotFoundError,
    ResponseError,
    TransportError,
    ZaiError,
)
from zai_async.models import Image, Reply, VideoFile
from zai_async.streams.combinators import SteadyIterator

__all__ = [
    "AGENTS",
    "BATCHES",
    "CHATS",
    "IMAGES",
    "PARSED_FILES",
    "PARSED_LINKS",
    "TASK_TYPES",
    "VIDEOS",
    "PollBackoff",
    "PollSchedule",
    "TaskType",
    "Updates",
    "check_seconds",
]

# No page says how often to poll. Growing intervals find a short task soon, and a film of ten
# minutes with some forty polls.
_GROWTH = 1.5
_JITTER = 0.2
_LONGEST_BACKOFF = 60.0
# 404 or 1233 right after the receipt may come from a part that has not heard of the task yet.
_TOLERATED_ABSENCES = 3
_TEMPORARY = frozenset({"short", "throttle", "overload"})

R = TypeVar("R", bound=Reply)


class PollSchedule(msgspec.Struct, frozen=True):
    """Seconds between two polls: from ``start``, growing by half each time, to ``cap``."""

    start: float
    cap: float


class PollBackoff:
    """Say when a task may be polled next; all times in seconds on one clock.

    All who wait for a task share its backoff, so that each interval sees one poll at most. A
    jitter in [0, 1) makes intervals up to a fifth longer: what was submitted at once is not
    polled at once.
    """

    def __init__(self, schedule: PollSchedule) -> None:
        self._schedule = schedule
        self._interval = self._pause = schedule.start
        # Before any poll, all that the next one waits for is over.
        self._polled = self._not_before = -math.inf
        self.asked_until = -math.inf
        """When polls may go on that the service has put off, by all who wait."""
        self._failing_since: float | None = None
        self._failures = 0
        self._absences = _TOLERATED_ABSENCES

    def submitted(self, now: float, jitter: float) -> None:
        """Note that the task is new: not every part of the platform knows it yet."""
        self._absences = 0
        self.polled(now, jitter)

    def wait(self, now: float, interval: float | None = None) -> float:
        """Return the seconds until the next poll, 0 or less if it is due.

        An ``interval`` takes the place of the schedule, not that of a back-off.
        """
        pause = self._pause if interval is None else interval
        return max(self._polled + pause, self._not_before) - now

    def polled(self, now: float, jitter: float) -> None:
        """Note that a poll is sent, which puts the next one off."""
        # Before the answer is known: a poll that hangs or is cancelled counts as well.
        self._polled = now
        self._pause = self._interval * (1.0 + _JITTER * jitter)
        self._interval = min(self._interval * _GROWTH, self._schedule.cap)

    def answered(self, status: str) -> None:
        """Note that the platform knew the task, if it told how far that is."""
        if not status:
            return
        self._absences = _TOLERATED_ABSENCES
        self._failing_since, self._failures = None, 0

    def tolerates(self, error: ZaiError, now: float, jitter: float, max_failure: float) -> bool:
        """Tell whether a poll that failed is repeated, and put that off.

        ``max_failure`` is the time in seconds in which polls may do nothing but fail.
        """
        temporary = isinstance(error, APIError | TransportError) and error.repeat in _TEMPORARY
        if isinstance(error, NotFoundError) and self._absences < _TOLERATED_ABSENCES:
            self._absences += 1
        elif isinstance(error, ResponseError) or error.kind == "protocol":
            # A page of a proxy, its redirect, half an answer or that of somebody else: none of
            # these says anything about this task.
            if isinstance(error, LimitError):
                return False
        elif not temporary or error.kind == "account":
            return False
        self._failures += 1
        # Bounded, because 2.0 to the power of a long outage is no float any more.
        backoff = min(self._schedule.start * 2.0 ** min(self._failures, 32), _LONGEST_BACKOFF)
        wait = max(backoff, error.retry_after or backoff) * (1.0 + _JITTER * jitter)
        self._not_before = max(self._not_before, now + wait)
        if error.retry_after:
            self.asked_until = self._not_before
        return self.misses(now, self._not_before, max_failure)

    def misses(self, now: float, until: float, max_failure: float) -> bool:
        """Tell whether to poll on at ``until``, after one that has said nothing of the task."""
        # A row of those is measured from its first poll, and ends with any that has.
        if self._failing_since is None:
            self._failing_since = now
        if until - self._failing_since <= max_failure:
            return True
        self._failing_since, self._failures = None, 0
        return False


class Updates(SteadyIterator[R]):
    """The answers of the platform about a task, up to the one that ends it."""

    def __init__(
        self,
        poll: Callable[[], Awaitable[R]],
        is_done: Callable[[], bool],
        mark: Callable[[BaseException], object],
    ) -> None:
        # A heartbeat that is shorter than a poll gives up its wait, which must not drop the poll.
        super().__init__(_Polls(poll, is_done))
        self._mark = mark

    async def __anext__(self) -> R:
        try:
            return await super().__anext__()
        except asyncio.CancelledError as error:
            self._mark(error)
            raise


class _Polls(Generic[R]):
    def __init__(self, poll: Callable[[], Awaitable[R]], is_done: Callable[[], bool]) -> None:
        self._poll = poll
        self._is_done = is_done
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        if self._ended:
            raise StopAsyncIteration
        answer = await self._poll()
        self._ended = self._is_done()
        return answer


def check_seconds(**limits: Any) -> None:
    """Refuse a time that cannot be waited for; 0 is no interval, but may be a limit."""
    for name, seconds in limits.items():
        if seconds is None:
            continue
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        least = sys.float_info.min if name == "interval" else 0.0
        most = sys.float_info.max if name == "interval" else math.inf
        if not number or not least <= seconds <= most:
            raise ConfigurationError(f"{name} must be a number of seconds, not {seconds!r}")


class TaskType(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """What all tasks of one type have in common."""

    name: str
    operation: Operation[R]
    """Asks how far a task is."""
    key: str
    """The keyword of the operation that holds the id of the task."""
    answer_key: str
    """The field of an answer that repeats the id; some answers leave it out."""
    schedule: PollSchedule
    has_result: Callable[[R], bool]
    """Whether the answer about a task that succeeded holds what it was submitted for."""
    judge: Callable[[Any, Collection[str]], object] | None = None
    """Takes a result and the outcomes that are allowed, and raises if it is not usable."""
    status_field: str = "status"
    fails_like_refusals: bool = False
    """Whether a poll that is refused looks like a task that failed."""
    file_field: str | None = None
    """The field of an answer that lists the files of the result, and what they are made of."""
    file_class: type[Image | VideoFile] = VideoFile
    schema: Any = None
    """What the text of a result is read into."""


VIDEOS: Final = TaskType(
    name="videos",
    operation=ep.VIDEO_RESULT,
    key="id",
    answer_key="id",
    schedule=PollSchedule(5.0, 15.0),
    has_result=lambda video: bool(video.urls),
    status_field="task_status",
    file_field="video_result",
)
IMAGES: Final = TaskType(
    name="images",
    operation=ep.IMAGE_RESULT,
    key="id",
    answer_key="id",
    schedule=PollSchedule(2.0, 8.0),
    has_result=lambda image: any(map(has_image, image.files)),
    status_field="task_status",
    file_field="image_result",
    file_class=Image,
)
CHATS: Final = TaskType(
    name="chat.completions",
    operation=ep.CHAT_RESULT,
    key="id",
    answer_key="id",
    schedule=PollSchedule(3.0, 10.0),
    has_result=lambda answer: bool(answer.choices),
    judge=ensure_proper_end,
    status_field="task_status",
)
AGENTS: Final = TaskType(
    name="agents",
    operation=ep.AGENT_RESULT,
    key="async_id",
    answer_key="async_id",
    schedule=PollSchedule(3.0, 10.0),
    has_result=says_something,
    fails_like_refusals=True,
)
PARSED_FILES: Final = TaskType(
    name="file_parser",
    operation=ep.FILE_PARSER_RESULT,
    key="task_id",
    answer_key="task_id",
    schedule=PollSchedule(2.0, 10.0),
    # A blank page has no text.
    has_result=lambda _: True,
)
PARSED_LINKS: Final = TaskType(
    name="file_parser.links",
    operation=ep.FILE_PARSER_RESULT,
    key="task_id",
    answer_key="task_id",
    schedule=PARSED_FILES.schedule,
    has_result=lambda file: bool(file.parsing_result_url or file.content),
)
BATCHES: Final = TaskType(
    name="batches",
    operation=ep.BATCH_RETRIEVE,
    key="batch_id",
    answer_key="id",
    schedule=PollSchedule(10.0, 60.0),
    has_result=lambda batch: bool(batch.output_file_id or batch.error_file_id),
)

TASK_TYPES: Final[Mapping[str, TaskType[Any]]] = MappingProxyType(
    {
        each.name: each
        for each in (VIDEOS, IMAGES, CHATS, AGENTS, PARSED_FILES, PARSED_LINKS, BATCHES)
    }
)
