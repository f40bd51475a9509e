"""What goes wrong with a call.

::

    ZaiError
    ├── ConfigurationError (ValueError)           an argument is wrong; nothing was sent
    │   ├── MissingKeyError                       no API key was given or found
    │   ├── InvalidBodyError                      a web client posted something else
    │   └── InvalidFileError                      a file breaks a documented limit
    ├── BudgetExceededError                       a budget is used up; nothing was sent
    ├── ClientClosedError (RuntimeError)          the client has been closed
    │   └── ClientDrainingError                   ... or is about to be
    ├── TransportError                            the network failed
    │   ├── ConnectError (ConnectionError)        no connection came about
    │   │   ├── LocalResourceError                this machine has no file or port left
    │   │   ├── TLSError                          the certificate or the handshake is not good
    │   │   └── ProxyError                        the proxy refused
    │   ├── ConnectionLostError (ConnectionError) an open connection broke
    │   └── RequestTimeoutError (TimeoutError)    the first byte of the answer took too long
    │       └── ConnectTimeoutError               connecting took too long
    ├── DeadlineError (TimeoutError)              the deadline of the call has passed
    ├── ResponseError                             what came back is not what the API speaks
    │   └── LimitError                            what came back is larger than allowed
    │       └── EventTooLargeError                ... a single event of a stream
    ├── APIError                                  the API answered with an error
    │   ├── AuthenticationError                   key or token wrong
    │   ├── PermissionDeniedError                 the key may not do this
    │   ├── BadRequestError                       the request is wrong
    │   │   └── ContentPolicyError                refused for what it says
    │   ├── NotFoundError                         no such model, file, task or address
    │   ├── RateLimitError                        kind "throttle" or "overload"
    │   ├── QuotaError                            the plan is used up until ``retry_at``
    │   ├── BillingError                          no balance, or the wrong endpoint for the key
    │   ├── AccountError                          a person has to act on account or plan
    │   └── ServerError                           the platform failed
    ├── IncompleteError                           a generation without a proper end; ``partial``
    │   ├── StreamTruncatedError                  the stream stopped before its end
    │   ├── StreamMalformedError                  a frame could not be read
    │   ├── StreamRestartedError                  a second generation began after shown text
    │   ├── StreamStalledError (TimeoutError)     no data received for too long
    │   ├── GenerationFailedError                 finish reason ``network_error``
    │   ├── RepetitionError                       the model went in circles; ``unit``
    │   ├── EmptyAnswerError                      reasoning only, or nothing at all
    │   ├── ToolCallError                         a tool call that cannot be used; ``raw``
    │   │   ├── ToolCallIncompleteError           ... because it was cut; a StreamTruncatedError too
    │   │   └── ToolCallMalformedError            ... because its arguments are no JSON object
    │   └── TranscriptionIncompleteError          a part of a recording is missing; ``finished``
    ├── RunLimitError                             a run with tools went on for too long; ``state``
    ├── StructuredOutputError                     an answer does not fit its type; ``raw``
    ├── TaskError                                 about a task; ``task``
    │   ├── TaskFailedError                       the task has ended without a result
    │   ├── TaskTimeoutError (TimeoutError)       waited for long enough; can be waited for again
    │   └── SubmitUnknownError                    unknown whether the task was accepted
    └── StreamConsumedError (RuntimeError)        a stream is consumed twice, or by two tasks

All attributes are plain data, so that every error survives pickle, copy and another process.
"""

from zai_async.errors.generations import (
    EmptyAnswerError,
    GenerationFailedError,
    IncompleteError,
    RepetitionError,
    RunLimitError,
    StreamMalformedError,
    StreamRestartedError,
    StreamStalledError,
    StreamTruncatedError,
    StructuredOutputError,
    SubmitUnknownError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    ToolCallError,
    ToolCallIncompleteError,
    ToolCallMalformedError,
    TranscriptionIncompleteError,
)
from zai_async.errors.http import HTTPAnswer
from zai_async.errors.root import (
    Attempt,
    BudgetExceededError,
    ClientClosedError,
    ClientDrainingError,
    ConfigurationError,
    DeadlineError,
    InvalidBodyError,
    InvalidFileError,
    MissingKeyError,
    StreamConsumedError,
    Timing,
    ZaiError,
)
from zai_async.errors.transport import (
    API_ERRORS,
    AccountError,
    APIError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ContentPolicyError,
    EventTooLargeError,
    LimitError,
    LocalResourceError,
    NotFoundError,
    PermissionDeniedError,
    ProxyError,
    QuotaError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
    ServerError,
    TLSError,
    TransportError,
)

__all__ = [
    "API_ERRORS",
    "APIError",
    "AccountError",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BillingError",
    "BudgetExceededError",
    "ClientClosedError",
    "ClientDrainingError",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "ContentPolicyError",
    "DeadlineError",
    "EmptyAnswerError",
    "EventTooLargeError",
    "GenerationFailedError",
    "HTTPAnswer",
    "IncompleteError",
    "InvalidBodyError",
    "InvalidFileError",
    "LimitError",
    "LocalResourceError",
    "MissingKeyError",
    "NotFoundError",
    "PermissionDeniedError",
    "ProxyError",
    "QuotaError",
    "RateLimitError",
    "RepetitionError",
    "RequestTimeoutError",
    "ResponseError",
    "RunLimitError",
    "ServerError",
    "StreamConsumedError",
    "StreamMalformedError",
    "StreamRestartedError",
    "StreamStalledError",
    "StreamTruncatedError",
    "StructuredOutputError",
    "SubmitUnknownError",
    "TLSError",
    "TaskError",
    "TaskFailedError",
    "TaskTimeoutError",
    "Timing",
    "ToolCallError",
    "ToolCallIncompleteError",
    "ToolCallMalformedError",
    "TranscriptionIncompleteError",
    "TransportError",
    "ZaiError",
]
