"""Web backends: answers relayed to browsers, in the protocols that front ends speak.

ASGI is a calling convention, so nothing but the package itself is needed. Names are imported when
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zai_async.web.aiohttp_server import aiohttp_app, aiohttp_respond, aiohttp_response
    from zai_async.web.encoders import AnswerEncoder, Protocol, TextEncoder
    from zai_async.web.openai_server import OpenAIRouter, openai_router
    from zai_async.web.openai_stream import OpenAIEncoder
    from zai_async.web.parts import (
        DataPart,
        DocumentSource,
        MetadataPart,
        RelayedFile,
        ToolApprovalRequest,
        ToolFailure,
        ToolOutput,
        UrlSource,
    )
    from zai_async.web.redis_replay import RedisReplay
    from zai_async.web.relay import Relay
    from zai_async.web.replay import KeptAnswer, MemoryReplay, Replay, ReplayGap, ReplayHead
    from zai_async.web.responses import EventResponse, sse_response
    from zai_async.web.ui_messages import UIMessageEncoder
    from zai_async.web.ui_requests import (
        ToolApproval,
        UIRequest,
        parse_ui_messages,
        parse_ui_request,
    )

__all__ = [
    "AnswerEncoder",
    "DataPart",
    "DocumentSource",
    "EventResponse",
    "KeptAnswer",
    "MemoryReplay",
    "MetadataPart",
    "OpenAIEncoder",
    "OpenAIRouter",
    "Protocol",
    "RedisReplay",
    "Relay",
    "RelayedFile",
    "Replay",
    "ReplayGap",
    "ReplayHead",
    "TextEncoder",
    "ToolApproval",
    "ToolApprovalRequest",
    "ToolFailure",
    "ToolOutput",
    "UIMessageEncoder",
    "UIRequest",
    "UrlSource",
    "aiohttp_app",
    "aiohttp_respond",
    "aiohttp_response",
    "openai_router",
    "parse_ui_messages",
    "parse_ui_request",
    "sse_response",
]

_HOMES = (
    "encoders",
    "parts",
    "ui_messages",
    "ui_requests",
    "openai_stream",
    "openai_server",
    "responses",
    "replay",
    "redis_replay",
    "relay",
    "aiohttp_server",
)


def __getattr__(name: str) -> Any:
    for home in _HOMES if name in __all__ else ():
        module = import_module(f"{__name__}.{home}")
        if name in module.__all__:
            value = globals()[name] = getattr(module, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
