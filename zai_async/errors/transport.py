"""What fails between client and platform: the network, and answers that are refusals or worse."""

import errno
from typing import Any, ClassVar, Self

from zai_async._codes import Kind, Repeat
from zai_async.errors.root import ZaiError

__all__ = [
    "API_ERRORS",
    "APIError",
    "AccountError",
    "AuthenticationError",
    "BadRequestError",
    "BillingError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "ContentPolicyError",
    "EventTooLargeError",
    "LimitError",
    "LocalResourceError",
    "NotFoundError",
    "PermissionDeniedError",
    "ProxyError",
    "QuotaError",
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseError",
    "ServerError",
    "TLSError",
    "TransportError",
]


class TransportError(ZaiError):
    """The network failed."""

    kind: Kind = "connection"
    retryable = True
    repeat: Repeat = "short"
    # The careful assumption: a request that may have arrived may have been billed.
    request_sent = True
    """Whether the server may have received the request."""


class ConnectError(TransportError, ConnectionError):
    """No connection to the server came about; the request was not sent."""

    request_sent = False


class LocalResourceError(ConnectError):
    """This machine has run out of something: open files, ports, threads or memory."""

    kind: Kind = "local"
    # Others of this process give back what is missing here, sooner or later.
    repeat: Repeat = "throttle"

    files_hint: ClassVar[str] = (
        "Raise the limit of open files (ulimit -n), or lower the number of calls at once."
    )

    @classmethod
    def of_files(cls, error: BaseException) -> Self | None:
        """Return the error for a file that could not be opened as too many are, None for others.

        What may have to wait for a pipe needs a thread, of which there may be too many as well.
        """
        if isinstance(error, BlockingIOError):
            return cls.of_threads()
        if not isinstance(error, OSError) or error.errno not in {errno.EMFILE, errno.ENFILE}:
            return None
        text = f"this machine cannot open another file: {error.strerror}"
        return cls(text, hint=cls.files_hint)

    @classmethod
    def of_threads(cls) -> Self:
        """Return the error for what needs a thread, of which the system has no more."""
        text = "this machine cannot start another thread"
        return cls(text, hint="Raise the limit of processes (ulimit -u), or do less at once.")


class TLSError(ConnectError):
    """The certificate or the handshake is not good; never tried again."""

    retryable = False
    repeat: Repeat = "never"


class ProxyError(ConnectError):
    """The proxy could not be reached or refused, for good unless it says that it fails itself."""

    retryable = False
    repeat: Repeat = "never"


class ConnectionLostError(TransportError, ConnectionError):
    """An open connection broke before the answer was whole."""

    stale = False
    """Whether a kept connection broke before the first byte of an answer, as idle ones do."""
    unclosed = False
    """Whether the end of the connection, which would have been that of the body, was a cut."""


class RequestTimeoutError(TransportError, TimeoutError):
    """Waiting for the first byte of the answer took too long."""

    kind: Kind = "timeout"


class ConnectTimeoutError(RequestTimeoutError):
    """Connecting took too long; the request was not sent."""

    request_sent = False


class ResponseError(ZaiError):
    """What came back is not what the API speaks, such as a page of a proxy."""

    kind: Kind = "protocol"


class LimitError(ResponseError):
    """What came back is larger than the client accepts: ``limit`` in bytes, or in values.

    ``setting`` names the argument of the client that sets this limit, if one does.
    """

    kind: Kind = "limit"

    def __init__(self, message: str, *, limit: int = 0, setting: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.limit = limit
        self.setting = setting
        if setting:
            self.hint = f"AsyncZai({setting}=) sets this limit."


class EventTooLargeError(LimitError):
    """An event of a stream is larger than ``max_event_bytes``, or holds too many values."""


class APIError(ZaiError):
    """The API answered with an error."""

    kind: Kind = "request"
    request_sent = True
    """Whether the server may have received the whole request; False if it answered before."""
    status: str = ""
    """What the answer says under this name, and under the next: how far a task is."""
    task_status: str = ""


class AuthenticationError(APIError):
    """The key or token is wrong, or does not belong to this endpoint."""

    kind: Kind = "auth"


class PermissionDeniedError(APIError):
    """The key may not use this operation."""

    kind: Kind = "permission"


class BadRequestError(APIError):
    """The request is wrong."""


class ContentPolicyError(BadRequestError):
    """The request was refused for what it says."""

    kind: Kind = "content"


class NotFoundError(APIError):
    """The model, file, task or address does not exist."""

    kind: Kind = "not_found"


class RateLimitError(APIError):
    """Too many requests at once: kind "throttle" (this account) or "overload" (the model)."""

    kind: Kind = "throttle"
    retryable = True


class QuotaError(APIError):
    """The allowance of a plan is used up; ``retry_at`` tells until when, where it is known."""

    kind: Kind = "quota"


class BillingError(APIError):
    """There is no balance or package here, or the key belongs to another endpoint."""

    kind: Kind = "billing"


class AccountError(APIError):
    """A person has to act on the account or the plan."""

    kind: Kind = "account"


class ServerError(APIError):
    """The platform failed."""

    kind: Kind = "server"
    retryable = True


API_ERRORS: dict[str, type[APIError]] = {
    "auth": AuthenticationError,
    "account": AccountError,
    "billing": BillingError,
    "permission": PermissionDeniedError,
    "request": BadRequestError,
    "not_found": NotFoundError,
    "content": ContentPolicyError,
    "throttle": RateLimitError,
    "overload": RateLimitError,
    "quota": QuotaError,
    "server": ServerError,
}
"""The class that an API error of a kind is raised as; of any other kind it is APIError."""
