"""The asyncio client for the Z.AI platform.

Names are imported when first used: a command line that shows its help, or a module that only
catches our errors, does not pay for the client.
"""

from importlib import import_module

from zai_async._version import __version__

# Type checkers take it for that of `typing`, whose import is most of what starting `zai` takes; a
# Ctrl-C in the meantime would end in a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from zai_async._codes import Outcome
    from zai_async._protocol import (
        AgentDecoder,
        ChatDecoder,
        Decoder,
        DecoderState,
        SpeechDecoder,
        TranscriptionDecoder,
    )
    from zai_async._protocol.events import (
        ChatEvent,
        Finished,
        Reset,
        TextDelta,
        ThinkingDelta,
        ToolCallDelta,
        ToolCallStarted,
        WebSearch,
    )
    from zai_async.client import AsyncZai
    from zai_async.errors import (
        AccountError,
        APIError,
        Attempt,
        AuthenticationError,
        BadRequestError,
        BillingError,
        BudgetExceededError,
        ClientClosedError,
        ClientDrainingError,
        ConfigurationError,
        ConnectError,
        ConnectionLostError,
        ConnectTimeoutError,
        ContentPolicyError,
        DeadlineError,
        EmptyAnswerError,
        EventTooLargeError,
        GenerationFailedError,
        HTTPAnswer,
        IncompleteError,
        InvalidBodyError,
        InvalidFileError,
        LimitError,
        LocalResourceError,
        MissingKeyError,
        NotFoundError,
        PermissionDeniedError,
        ProxyError,
        QuotaError,
        RateLimitError,
        RequestTimeoutError,
        ResponseError,
        ServerError,
        StreamConsumedError,
        StreamMalformedError,
        StreamRestartedError,
        StreamStalledError,
        StreamTruncatedError,
        SubmitUnknownError,
        TaskError,
        TaskFailedError,
        TaskTimeoutError,
        Timing,
        TLSError,
        ToolCallError,
        ToolCallIncompleteError,
        ToolCallMalformedError,
        TransportError,
        ZaiError,
    )
    from zai_async.ledger import Ledger, Spending
    from zai_async.limiter import Limits, SharedWindow, WindowReply, WindowReport
    from zai_async.models import (
        Budget,
        CallOptions,
        ChatCompletion,
        ChatCompletionChunk,
        Message,
        MessageParam,
        Price,
        Timeout,
        ToolCall,
        Usage,
    )
    from zai_async.providers import (
        BIGMODEL,
        BIGMODEL_CODING,
        LOWCODEAPI,
        LOWCODEAPI_CODING,
        ZAI,
        ZAI_CODING,
        Provider,
        truto,
    )
    from zai_async.resources.account import EndpointCheck
    from zai_async.retry import Backoff, RetryPolicy, no_retries
    from zai_async.session import (
        Coordinator,
        FinishEvent,
        Hooks,
        MachineSlots,
        QueueEvent,
        RequestEvent,
        ResponseEvent,
        RetryEvent,
        StartEvent,
    )
    from zai_async.streams import ChatStream, EventStream
    from zai_async.streams.combinators import broadcast, coalesce, merge
    from zai_async.streams.serialization import from_dict, to_dict
    from zai_async.tasks import Task, as_completed, wait_all
    from zai_async.tools import Tool, ToolError, tool
    from zai_async.uploads import audio_part, file_part, image, video_part

__all__ = [
    "BIGMODEL",
    "BIGMODEL_CODING",
    "LOWCODEAPI",
    "LOWCODEAPI_CODING",
    "ZAI",
    "ZAI_CODING",
    "APIError",
    "AccountError",
    "AgentDecoder",
    "AsyncZai",
    "Attempt",
    "AuthenticationError",
    "Backoff",
    "BadRequestError",
    "BillingError",
    "Budget",
    "BudgetExceededError",
    "CallOptions",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatDecoder",
    "ChatEvent",
    "ChatStream",
    "ClientClosedError",
    "ClientDrainingError",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "ContentPolicyError",
    "Coordinator",
    "DeadlineError",
    "Decoder",
    "DecoderState",
    "EmptyAnswerError",
    "EndpointCheck",
    "EventStream",
    "EventTooLargeError",
    "FinishEvent",
    "Finished",
    "GenerationFailedError",
    "HTTPAnswer",
    "Hooks",
    "IncompleteError",
    "InvalidBodyError",
    "InvalidFileError",
    "Ledger",
    "LimitError",
    "Limits",
    "LocalResourceError",
    "MachineSlots",
    "Message",
    "MessageParam",
    "MissingKeyError",
    "NotFoundError",
    "Outcome",
    "PermissionDeniedError",
    "Price",
    "Provider",
    "ProxyError",
    "QueueEvent",
    "QuotaError",
    "RateLimitError",
    "RequestEvent",
    "RequestTimeoutError",
    "Reset",
    "ResponseError",
    "ResponseEvent",
    "RetryEvent",
    "RetryPolicy",
    "ServerError",
    "SharedWindow",
    "SpeechDecoder",
    "Spending",
    "StartEvent",
    "StreamConsumedError",
    "StreamMalformedError",
    "StreamRestartedError",
    "StreamStalledError",
    "StreamTruncatedError",
    "SubmitUnknownError",
    "TLSError",
    "Task",
    "TaskError",
    "TaskFailedError",
    "TaskTimeoutError",
    "TextDelta",
    "ThinkingDelta",
    "Timeout",
    "Timing",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallError",
    "ToolCallIncompleteError",
    "ToolCallMalformedError",
    "ToolCallStarted",
    "ToolError",
    "TranscriptionDecoder",
    "TransportError",
    "Usage",
    "WebSearch",
    "WindowReply",
    "WindowReport",
    "ZaiError",
    "__version__",
    "as_completed",
    "audio_part",
    "broadcast",
    "coalesce",
    "file_part",
    "from_dict",
    "image",
    "merge",
    "no_retries",
    "to_dict",
    "tool",
    "truto",
    "video_part",
    "wait_all",
]

# Where the names live, the cheapest room first.
_HOMES = (
    "_codes",
    "errors",
    "providers",
    "retry",
    "models",
    "limiter",
    "ledger",
    "uploads",
    "_protocol",
    "_protocol.events",
    "streams.serialization",
    "session",
    "streams",
    "streams.combinators",
    "tasks",
    "tools",
    "resources.account",
    "client",
)


def __getattr__(name: str) -> object:
    for home in _HOMES if name in __all__ else ():
        module = import_module(f"{__name__}.{home}")
        if name in module.__all__:
            value = globals()[name] = getattr(module, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
