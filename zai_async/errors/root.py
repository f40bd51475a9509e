"""The root of all errors, and those of the caller's own making."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from zai_async._codes import Kind, Repeat
from zai_async.errors.http import HTTPAnswer, to_http

if TYPE_CHECKING:
    from zai_async.models import Reply

__all__ = [
    "Attempt",
    "BudgetExceededError",
    "ClientClosedError",
    "ClientDrainingError",
    "ConfigurationError",
    "DeadlineError",
    "InvalidBodyError",
    "InvalidFileError",
    "MissingKeyError",
    "StreamConsumedError",
    "Timing",
    "ZaiError",
]


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Describe one request of a call; times in seconds."""

    number: int
    """1 for the first request of the call."""
    started: float
    """Seconds between the start of the call and this request."""
    duration: float
    """Seconds until the answer, or until the failure."""
    wait: float = 0.0
    """Seconds slept before this request."""
    status_code: int | None = None
    code: str | None = None
    error: str | None = None
    """Name of the error class when the request failed."""
    request_id: str | None = None
    connection_reused: bool | None = None
    """Whether the connection had served an earlier request; None where unknown."""
    maybe_billed: bool = False
    """Whether the server may have done paid work although no answer arrived."""


class Timing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Say how long a call took, in seconds since its beginning; None for what did not happen."""

    queued: float = 0.0
    """Spent waiting for slots of the limiter, after refusals included."""
    first_byte: float | None = None
    """Until the headers of the last answer."""
    first_token: float | None = None
    """Until the first content of a stream, thinking included."""
    total: float = 0.0
    """Until its end, or until now."""


class ZaiError(Exception):
    """Base of what goes wrong with a call."""

    kind: Kind = "protocol"
    """What to do about it, in one word; finer than the class."""
    retryable: bool = False
    """Whether the same call may succeed when it is made again later."""
    repeat: Repeat = "never"
    """How this package retries the request on its own, while nothing has been handed out."""
    http_status: int | None = None
    """What ``to_http()`` says in place of what it says about errors of this kind."""
    http_message: str | None = None

    def __init__(
        self,
        message: str,
        *,
        kind: Kind | None = None,
        code: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
        repeat: Repeat | None = None,
        retry_at: datetime | None = None,
        retry_after: float | None = None,
        body: str | None = None,
        partial: "Reply | None" = None,
    ) -> None:
        # Only the message is an argument: all else is attributes, which pickle and copy take along.
        super().__init__(message)
        self.message = message
        self.code = code
        self.status_code = status_code
        self.request_id = request_id
        self.hint = hint
        self.retry_at = retry_at
        self.retry_after = retry_after
        self.body = body
        self.partial: Reply | None = partial
        """What there is of an answer that is cut, lost or empty."""
        self.attempts: tuple[Attempt, ...] = ()
        self.timing = Timing()
        self.operation: str | None = None
        self.task: Any = None
        """The handle of the task that the error is about; it can be waited for again."""
        self.in_stream = False
        self.emitted = False
        # Left to the class where nothing is said, so that an error stays small and prints short.
        if kind is not None:
            self.kind = kind
        if retryable is not None:
            self.retryable = retryable
        if repeat is not None:
            self.repeat = repeat

    def to_http(self) -> HTTPAnswer:
        """Return how a web backend tells a stranger of this error: status, headers and body.

        ``Retry-After`` is in seconds. The body names kind, code and request id, and says one
        sentence for people; nothing of it is about the key, the account or the network.
        """
        return to_http(self)

    def __str__(self) -> str:
        facts = {
            "code": self.code,
            "HTTP": self.status_code,
            "request id": self.request_id,
            "attempts": len(self.attempts) if len(self.attempts) > 1 else None,
        }
        shown = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
        # Many trackers and logs keep this line and nothing else of an error.
        text = f"{self.message} ({shown})" if shown else self.message
        return f"{text.removesuffix('.')}. {self.hint}" if self.hint else text


class ConfigurationError(ZaiError, ValueError):
    """An argument or an environment variable is wrong; nothing was sent."""

    kind: Kind = "config"


class MissingKeyError(ConfigurationError):
    """No API key was given or found in the environment."""

    kind: Kind = "auth"


class InvalidBodyError(ConfigurationError):
    """What a web client posted is not what it should be; nothing was sent."""

    kind: Kind = "request"

    def to_http(self) -> HTTPAnswer:
        """Return an answer that names the place, a 400 as a rule: it is the client's own body."""
        answer = super().to_http()
        answer.body["error"]["message"] = self.message
        return answer


class InvalidFileError(ConfigurationError):
    """A file breaks a documented limit, which ``limit`` names, or is not there any more.

    Nothing was sent, or only a part of what comes in pieces and told no size.
    """

    http_status = 400
    http_message = "The file cannot be used."

    def __init__(self, message: str, *, limit: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.limit = limit


class BudgetExceededError(ZaiError):
    """A budget is used up; the request was not sent."""

    kind: Kind = "limit"
    http_status = 429
    http_message = "The budget for this is used up."


class ClientClosedError(ZaiError, RuntimeError):
    """The client has been closed."""

    kind: Kind = "config"
    http_status = 503
    http_message = "This service is shutting down. Please try again."


class ClientDrainingError(ClientClosedError):
    """The call was rejected while draining, or unfinished after the grace period."""


class StreamConsumedError(ZaiError, RuntimeError):
    """A stream is consumed twice, through two views, by two tasks at once, or in a forked child."""

    kind: Kind = "config"


class DeadlineError(ZaiError, TimeoutError):
    """The deadline of the call has passed."""

    kind: Kind = "timeout"
