"""How tasks are asked about: at which pace, and what differs between their kinds."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import msgspec

from zai_async import _operations as ep
from zai_async._wire import Operation
from zai_async.errors import APIError, NotFoundError, TransportError, ZaiError
from zai_async.models import Reply
from zai_async.streams import ensure_proper_end

__all__ = [
    "AGENTS",
    "BATCHES",
    "CHATS",
    "FAMILIES",
    "IMAGES",
    "PARSED_FILES",
    "VIDEOS",
    "Family",
    "Pace",
    "Schedule",
]

_GROWTH = 1.5
_JITTER = 0.2
_LONGEST_MISS = 60.0
_TOLERATED_ABSENCES = 3
_TEMPORARY = frozenset({"short", "throttle", "overload"})

R = TypeVar("R", bound=Reply)


class Schedule(msgspec.Struct, frozen=True):
    """Seconds between two questions: from ``start``, growing by half each time, to ``cap``."""

    start: float
    cap: float


class Pace:
    """Say when a task may be asked about next; all times in seconds on one clock.

    All who wait for a task share its pace, so that each interval sees one question at most. A
    chance in [0, 1) makes intervals up to a fifth longer: what was submitted at once is not asked
    about at once.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._interval = schedule.start
        self._due = 0.0
        self._missing_since: float | None = None
        self._misses = 0
        self._absences = _TOLERATED_ABSENCES

    def submitted(self, now: float, chance: float) -> None:
        """Note that the task is new: not every part of the platform knows it yet."""
        self._absences = 0
        self.ask(now, chance)

    def wait(self, now: float) -> float:
        """Return the seconds until the next question, 0 or less if it is due."""
        return self._due - now

    def ask(self, now: float, chance: float) -> None:
        """Note that a question is sent, which puts the next one off."""
        self._due = now + _spread(self._interval, chance)
        self._interval = min(self._interval * _GROWTH, self._schedule.cap)

    def answered(self) -> None:
        """Note that the platform knew the task."""
        self._absences = _TOLERATED_ABSENCES
        self._forgive()

    def forgives(self, error: ZaiError, now: float, chance: float, patience: float) -> bool:
        """Tell whether a question that failed is asked again, and put that off.

        ``patience`` is the time that nothing but failures may take.
        """
        if not self._is_miss(error):
            return False
        if self._missing_since is None:
            self._missing_since = now
        self._misses += 1
        backoff = min(self._schedule.start * 2.0 ** min(self._misses, 32), _LONGEST_MISS)
        wait = max(backoff, error.retry_after or 0.0)
        self._due = max(self._due, now + _spread(wait, chance))
        if self._due - self._missing_since <= patience:
            return True
        self._forgive()
        return False

    def _is_miss(self, error: ZaiError) -> bool:
        if isinstance(error, NotFoundError) and self._absences < _TOLERATED_ABSENCES:
            self._absences += 1
            return True
        passes = isinstance(error, APIError | TransportError) and error.kind != "human"
        return passes and error.repeat in _TEMPORARY

    def _forgive(self) -> None:
        self._missing_since = None
        self._misses = 0


def _spread(seconds: float, chance: float) -> float:
    return seconds * (1.0 + _JITTER * chance)


class Family(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A kind of task."""

    name: str
    operation: Operation[R]
    """Asks how far a task is."""
    key: str
    """The keyword of the operation that holds the id of the task."""
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
    operation=ep.VIDEO_RESULT,
    key="id",
    schedule=Schedule(5.0, 15.0),
    has_result=lambda video: bool(video.urls),
    status_field="task_status",
)
IMAGES: Final = Family(
    name="images",
    operation=ep.IMAGE_RESULT,
    key="id",
    schedule=Schedule(2.0, 8.0),
    has_result=lambda image: bool(image.urls),
    status_field="task_status",
)
CHATS: Final = Family(
    name="chat.completions",
    operation=ep.CHAT_RESULT,
    key="id",
    schedule=Schedule(3.0, 10.0),
    has_result=lambda answer: bool(answer.choices),
    judge=ensure_proper_end,
    status_field="task_status",
)
AGENTS: Final = Family(
    name="agents",
    operation=ep.AGENT_RESULT,
    key="async_id",
    schedule=Schedule(3.0, 10.0),
    has_result=lambda reply: bool(reply.messages),
    fails_like_refusals=True,
)
PARSED_FILES: Final = Family(
    name="file_parser",
    operation=ep.FILE_PARSER_RESULT,
    key="task_id",
    schedule=Schedule(2.0, 10.0),
    # A blank page has no text.
    has_result=lambda _: True,
)
BATCHES: Final = Family(
    name="batches",
    operation=ep.BATCH_RETRIEVE,
    key="batch_id",
    schedule=Schedule(10.0, 60.0),
    has_result=lambda batch: bool(batch.output_file_id or batch.error_file_id),
)

FAMILIES: Final[Mapping[str, Family[Any]]] = MappingProxyType(
    {family.name: family for family in (VIDEOS, IMAGES, CHATS, AGENTS, PARSED_FILES, BATCHES)}
)
