"""What a turn with tools is asked for: https://docs.z.ai/guides/capabilities/function-calling."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Required, TypeAlias, TypedDict

from zai_async.models.chat import ToolCall
from zai_async.models.chat_params import AnswerParams
from zai_async.models.options import Budget, CallOptions

if TYPE_CHECKING:
    # They stand far above, and are only named here: the methods that take these keywords show them
    # to `help()`, which must not load what makes the calls.
    from zai_async.tools import RunState, ToolLike

__all__ = ["Decision", "ResumeParams", "RunOptions", "RunParams"]

Decision: TypeAlias = bool | str
"""Whether a call may be made; a text is the reason why not, which the model is told."""


class RunOptions(TypedDict, total=False):
    """When a run with tools ends, and what it asks of its caller."""

    max_rounds: int
    """How often the model is asked; default 8."""
    max_equal_calls: int
    """How often the same call with the same arguments is made; default 3. The model is told once
    that it repeats itself, then the run ends."""
    max_failures: int
    """After how many rounds in a row in which every call failed the run ends; default 3."""
    budget: Budget
    """What all rounds are charged to."""
    approve: Callable[[ToolCall], Awaitable[Decision | None]]
    """Asked, one call at a time, for calls that need approval; None puts the decision off."""
    expose_errors: bool
    """Whether the model reads the messages of all exceptions, and not of ``ToolError`` only."""
    on_checkpoint: Callable[["RunState"], Awaitable[None]]
    """Called with the state before and after each tool runs, and after each round; what it stores
    is enough to resume the run after a crash."""


class RunParams(AnswerParams, RunOptions, total=False):
    """Parameters of a turn with tools."""

    tools: Required[Sequence["ToolLike"]]
    """What ``@tool`` makes, functions, or the platform's own tools as dicts."""


class ResumeParams(RunOptions, total=False):
    """Parameters of a turn that goes on."""

    tools: Required[Sequence["ToolLike"]]
    """As before: functions are no part of the state."""
    decisions: Mapping[str, Decision]
    """Whether calls may be made, by their ids."""
    options: CallOptions
    """As for every call."""
