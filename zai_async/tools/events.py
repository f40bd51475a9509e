"""What happens in a run with tools: the events of all its answers, and those between them."""

from typing import Any, Literal, TypeAlias

import msgspec

from zai_async._protocol.events import ChatEvent
from zai_async.models import ChatCompletion, Outcome, ToolCall, Usage
from zai_async.models.json_object import PlainForm

__all__ = [
    "RoundStarted",
    "RunEvent",
    "RunFinished",
    "RunOutcome",
    "ToolFinished",
    "ToolOutcome",
    "ToolProgress",
    "ToolStarted",
]

ToolOutcome: TypeAlias = Literal[
    "completed",
    "failed",
    "timeout",
    "denied",
    "invalid",
    "unknown",
    "repeated",
    "cancelled",
    "interrupted",
]
"""How a tool call ended. ``invalid``: its arguments do not fit; ``unknown``: there is no such tool;
``repeated``: the same call was made too often; ``interrupted``: the process ended while it ran, and
nobody knows whether it had an effect."""

RunOutcome: TypeAlias = Outcome | Literal["pending"]
"""How a run ended: as its last answer did, or ``pending`` until somebody has decided."""


class RoundStarted(PlainForm, msgspec.Struct, frozen=True, tag="round_started"):
    """The model is asked; rounds are counted from 1."""

    number: int


class ToolStarted(PlainForm, msgspec.Struct, frozen=True, tag="tool_started"):
    """A tool begins to run, after all approvals that it needs."""

    call_id: str
    name: str


class ToolProgress(PlainForm, msgspec.Struct, frozen=True, tag="tool_progress"):
    """What a running tool has told by ``report_progress()``."""

    call_id: str
    data: Any


class ToolFinished(PlainForm, msgspec.Struct, frozen=True, tag="tool_finished"):
    """A tool call has its answer, whether or not anything ran."""

    call_id: str
    name: str
    outcome: ToolOutcome
    content: str
    """What the model is told: the result as text or JSON, or ``{"error": ...}``."""


class RunFinished(PlainForm, msgspec.Struct, frozen=True, tag="run_finished"):
    """The run has reached its end; the last event."""

    outcome: RunOutcome
    completion: ChatCompletion
    """The last answer."""
    rounds: int
    usage: Usage
    """The tokens of all rounds."""
    pending: list[ToolCall] = []
    """The calls that wait until somebody has decided."""


# A new name for every stream's events would hide that they are the same ones.
RunEvent = ChatEvent | RoundStarted | ToolStarted | ToolProgress | ToolFinished | RunFinished
