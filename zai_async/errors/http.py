"""What a web backend may tell a stranger about an error: a status, a pause, one sentence."""

import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from zai_async._codes import Kind

if TYPE_CHECKING:
    from zai_async.errors.root import ZaiError

__all__ = ["HTTPAnswer"]

# Messages and hints of errors may speak of the account, its balance or the addresses of proxies.
_BROKEN: Final = (502, "The model did not answer properly. Please try again.")
_OURS: Final = (502, "This service cannot use the model at the moment.")
_ANSWERS: Final[Mapping[Kind, tuple[int, str]]] = {
    "auth": _OURS,
    "account": _OURS,
    "billing": _OURS,
    "permission": _OURS,
    "request": (400, "The model does not accept this request."),
    "not_found": (404, "What was asked for does not exist."),
    "content": (422, "The request was refused for what it says."),
    "throttle": (429, "Too many requests at the moment. Please try again in a little while."),
    "overload": (503, "The model is busy at the moment. Please try again in a little while."),
    "quota": (429, "The allowance for now is used up. Please try again later."),
    "server": _BROKEN,
    "connection": (502, "The model cannot be reached at the moment. Please try again."),
    "local": (503, "This service is busy at the moment. Please try again in a little while."),
    "timeout": (504, "The model took too long to answer. Please try again."),
    "protocol": _BROKEN,
    "stream": (502, "The answer broke off. Please try again."),
    "config": (500, "This service is not set up properly."),
    "task": _BROKEN,
    "limit": (502, "The answer of the model is too large."),
}


class HTTPAnswer(msgspec.Struct, frozen=True):
    """An error as the answer of a web backend; it unpacks into status, headers and body."""

    status: int
    headers: dict[str, str]
    """``Content-Type``, and ``Retry-After`` in seconds where it is known."""
    body: dict[str, Any]
    """``{"error": {"message", "type", "param", "code", ...}}``, as clients of OpenAI read it."""

    @property
    def message(self) -> str:
        """The sentence that a person may read."""
        text: str = self.body["error"]["message"]
        return text

    @property
    def content(self) -> bytes:
        """The body as JSON."""
        return msgspec.json.encode(self.body)

    def __iter__(self) -> Any:
        return iter((self.status, self.headers, self.body))


def to_http(error: "ZaiError") -> HTTPAnswer:
    """Return the answer to somebody whose request ended in this error."""
    status, message = _ANSWERS[error.kind]
    status, message = error.http_status or status, error.http_message or message
    wait = error.retry_after
    if wait is None and error.retry_at is not None:
        wait = error.retry_at.timestamp() - time.time()
    headers = {"Content-Type": "application/json"}
    if wait is not None and wait > 0 and math.isfinite(wait):
        headers["Retry-After"] = str(math.ceil(wait))
    body = {
        "message": message,
        "type": error.kind,
        "param": None,
        "code": error.code,
        # 503 is about this process: where it is about to end, another one may answer.
        "retryable": error.retryable or status == HTTPStatus.SERVICE_UNAVAILABLE,
        "request_id": error.request_id,
    }
    return HTTPAnswer(status, headers, {"error": body})
