"""Work that takes a while: submitted once, asked about at a decent pace, waited for."""

from zai_async.tasks.groups import AsCompleted, as_completed, wait_all
from zai_async.tasks.parsed import ParsedResult, parsed_chats
from zai_async.tasks.polling import (
    AGENTS,
    BATCHES,
    CHATS,
    IMAGES,
    PARSED_FILES,
    PARSED_LINKS,
    VIDEOS,
    PollBackoff,
    PollSchedule,
    TaskType,
    Updates,
)
from zai_async.tasks.submission import submit, submit_agent, submit_file
from zai_async.tasks.task import OnUpdate, Task, TaskEngine

__all__ = [
    "AGENTS",
    "BATCHES",
    "CHATS",
    "IMAGES",
    "PARSED_FILES",
    "PARSED_LINKS",
    "VIDEOS",
    "AsCompleted",
    "OnUpdate",
    "ParsedResult",
    "PollBackoff",
    "PollSchedule",
    "Task",
    "TaskEngine",
    "TaskType",
    "Updates",
    "as_completed",
    "parsed_chats",
    "submit",
    "submit_agent",
    "submit_file",
    "wait_all",
]
