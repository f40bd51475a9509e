"""Functions that a model may call, and the turns of a conversation in which it does."""

from zai_async.models.tool_runs import Decision, ResumeParams, RunOptions, RunParams
from zai_async.tools.events import (
    RoundStarted,
    RunEvent,
    RunFinished,
    RunOutcome,
    ToolFinished,
    ToolOutcome,
    ToolProgress,
    ToolStarted,
)
from zai_async.tools.execution import current_tool_call, report_progress
from zai_async.tools.params import ToolLike
from zai_async.tools.run import ToolRun
from zai_async.tools.state import RunState, ToolRecord
from zai_async.tools.tool import Tool, ToolError, ToolOptions, tool

__all__ = [
    "Decision",
    "ResumeParams",
    "RoundStarted",
    "RunEvent",
    "RunFinished",
    "RunOptions",
    "RunOutcome",
    "RunParams",
    "RunState",
    "Tool",
    "ToolError",
    "ToolFinished",
    "ToolLike",
    "ToolOptions",
    "ToolOutcome",
    "ToolProgress",
    "ToolRecord",
    "ToolRun",
    "ToolStarted",
    "current_tool_call",
    "report_progress",
    "tool",
]
