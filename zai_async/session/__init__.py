"""The engine: connections for each event loop, and calls with their attempts and deadlines."""

from zai_async.session.call import Call
from zai_async.session.gate import LimitsView
from zai_async.session.hooks import Hooks, RequestEvent, ResponseEvent, RetryEvent
from zai_async.session.loops import LoopSession, Sessions
from zai_async.session.manager import SessionManager
from zai_async.session.settings import Settings

__all__ = [
    "Call",
    "Hooks",
    "LimitsView",
    "LoopSession",
    "RequestEvent",
    "ResponseEvent",
    "RetryEvent",
    "SessionManager",
    "Sessions",
    "Settings",
]
