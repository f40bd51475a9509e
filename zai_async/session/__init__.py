"""The engine: connections for each event loop, and calls with their attempts and deadlines."""

from zai_async.session.call import Call
from zai_async.session.coordination import Coordinator, MachineSlots
from zai_async.session.hooks import (
    BatchEvent,
    CallEnd,
    FinishEvent,
    Hooks,
    QueueEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    StartEvent,
    ToolEvent,
)
from zai_async.session.in_flight import LimitsView
from zai_async.session.keys import manager_for
from zai_async.session.manager import LoopSession, SessionManager, Sessions
from zai_async.session.observer import work_block
from zai_async.session.settings import Settings, clocks_of, limits_of, own_headers

__all__ = [
    "BatchEvent",
    "Call",
    "CallEnd",
    "Coordinator",
    "FinishEvent",
    "Hooks",
    "LimitsView",
    "LoopSession",
    "MachineSlots",
    "QueueEvent",
    "RequestEvent",
    "ResponseEvent",
    "RetryEvent",
    "SessionManager",
    "Sessions",
    "Settings",
    "StartEvent",
    "ToolEvent",
    "clocks_of",
    "limits_of",
    "manager_for",
    "own_headers",
    "work_block",
]
