"""The errors that refused, failed and foreign answers are raised as."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from zai_async._codes import BAND, CODES, STATUSES, UNKNOWN_STATUS, Meaning
from zai_async._secrets import UNPRINTABLE, Secret, printable, redact
from zai_async._wire.faults import MARKUP, Fault, find_fault, hidden_fault, name_of, objects_in
from zai_async._wire.operation import Operation
from zai_async._wire.time_hints import parse_reset_time, parse_retry_after
from zai_async.errors import API_ERRORS, APIError, ResponseError, ZaiError

__all__ = [
    "NO_SIGN",
    "UNREADABLE",
    "error_in_body",
    "meaning_of",
    "not_the_api",
    "shown_body",
    "signs_of",
    "to_error",
]

_LONGEST_MESSAGE = 500
_LONGEST_BODY = 2000
_LONGEST_SNIPPET = 200
# Of a larger body not even the beginning of what redaction leaves of this much is shown.
_LONGEST_READ = 2**20
_NOT_FOUND = re.compile(r"\b404\W{0,3}NOT[_ ]?FOUND", re.IGNORECASE)
# The framework below the platform reports requests that it cannot map as code 500, with HTTP 200.
_CALLERS_FAULT = re.compile(
    r"Required \w+ (?:\w+ )?'?[\w.]*'? ?(?:for method|is (?:missing|not present))"
    r"|Required request \w+|JSON parse error|is not supported|Failed to convert"
    r"|must not be (?:null|empty|blank)|\u4e0d\u80fd\u4e3a\u7a7a|\u53c2\u6570",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{3,4}", re.ASCII)
_TIMED = frozenset({"quota", "throttle"})
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def meaning_of(code: str | None, status: int, message: str = "") -> Meaning:
    """Classify by business code first, by HTTP status second."""
    if code == "500" and _NOT_FOUND.search(message):
        return STATUSES[404]
    if code == "500" and _CALLERS_FAULT.search(message):
        return STATUSES[400]
    # The code decides: with HTTP 429 come a busy model, an empty purse and an expired plan.
    known = CODES.get(code) if code else None
    if known is None and code and _NUMBER.fullmatch(code):
        # A status that stands in the place of a code, or a member of a band that is not listed.
        # Most of 13xx is about limits, but a status of its own says more than that.
        limits = code.startswith("13") and status < 400
        known = STATUSES[429] if limits else BAND.get(code[:2])
        if len(code) == 3:
            known = STATUSES.get(int(code))
    return known or STATUSES.get(status) or UNKNOWN_STATUS.get(status // 100) or UNKNOWN_STATUS[2]


def to_error(
    fault: Fault,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    body: str = "",
    secrets: Iterable[Secret] = (),
) -> APIError:
    """Make the exception for a fault; ``now`` in seconds since the epoch."""
    secrets = tuple(secrets)
    meaning = meaning_of(fault.code, status, fault.message)
    # Only what has the colon of a clock in it can tell a moment.
    timed = meaning.kind in _TIMED and ":" in fault.message
    retry_at = parse_reset_time(fault.message, now) if timed else None
    # A limit that tells a moment is no matter of seconds, whatever its code.
    if retry_at is not None and meaning.kind == "throttle":
        meaning = Meaning("quota", "reset")
    # Some gateways wrap a whole page in JSON.
    message = fault.message or f"the API answered HTTP {status}"
    if MARKUP.search(message):
        message = _describe(message, status, headers)
    # Redacted before it is cut, which could leave the better part of a key at the end.
    message = redact(message, secrets)
    if UNPRINTABLE.search(message):
        message = printable(message)
    message = message[:_LONGEST_MESSAGE]
    return API_ERRORS.get(meaning.kind, APIError)(
        message,
        kind=meaning.kind,
        code=redact(fault.code or "", secrets) or None,
        status_code=status,
        request_id=redact(fault.request_id or headers.get("X-Log-Id") or "", secrets) or None,
        hint=meaning.hint,
        retryable=meaning.repeat not in {"never", "reset"},
        repeat=meaning.repeat,
        retry_at=retry_at,
        retry_after=parse_retry_after(headers, now),
        body=redact(body, secrets)[:_LONGEST_BODY],
    )


def error_in_body(
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    secrets: Iterable[Secret] = (),
) -> ZaiError | None:
    """Return the error that a whole body reports, None when it is no error."""
    try:
        document = msgspec.json.decode(data)
    except UNREADABLE:
        document = data.decode("utf-8-sig", "replace") if status >= 400 else None
    if isinstance(document, str) and not MARKUP.search(document):
        # Encoded twice, or behind the first words of a relay.
        document = next(objects_in(document), None)
    fault = find_fault(document, status=status)
    if fault is None and status < 400:
        return None
    secrets = tuple(secrets)
    text = shown_body(data, secrets)
    if fault is None:
        hidden = None if MARKUP.search(text) else hidden_fault(text)
        fault = Fault(hidden and hidden.code, _describe(text, status, headers))
    error = to_error(fault, status=status, headers=headers, now=now, body=text, secrets=secrets)
    if isinstance(document, dict):
        # Of a long body, only the beginning is kept.
        told = cast("dict[str, object]", document)
        if "status" in told:
            error.status = redact(name_of(told["status"]), secrets)
        if "task_status" in told:
            error.task_status = redact(name_of(told["task_status"]), secrets)
    return error


def not_the_api(
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    secrets: Iterable[Secret] = (),
    operation: Operation[Any] | None = None,
) -> ResponseError:
    """Make the exception for what is no answer of the API, or none of this ``operation``."""
    what = "not an API answer"
    if operation is not None:
        fields = " or ".join(operation.essential)
        what = f"not an answer of {operation.name}, which has {fields}"
    secrets = tuple(secrets)
    text = shown_body(data, secrets)
    return ResponseError(
        f"{what}: {_describe(text, status, headers)}",
        status_code=status,
        request_id=redact(headers.get("X-Log-Id", ""), secrets) or None,
        body=text,
        hint="Check the base URL; a proxy or another server may have answered.",
    )


def shown_body(data: bytes, secrets: Iterable[Secret]) -> str:
    """Return the beginning of a body for an error; redacted before it is cut."""
    return redact(data[:_LONGEST_READ].decode("utf-8", "replace"), secrets)[:_LONGEST_BODY]


def _describe(text: str, status: int, headers: Mapping[str, str]) -> str:
    """Say in one line what came instead of an error object; never quote markup."""
    kind = printable(headers.get("Content-Type", "no content type").partition(";")[0])
    plain = " ".join(text.split())
    if not plain:
        return f"HTTP {status} with an empty body"
    if plain.startswith("<") or MARKUP.search(plain):
        return f"HTTP {status} with a page ({kind}) instead of an API answer"
    return f"HTTP {status} ({kind}): {printable(plain)[:_LONGEST_SNIPPET]}"


# Most answers have none of the keys without which a body reports no fault, and to see that costs
# a fraction of decoding them.
_SIGNS: Final = (
    *("error", "errors", "code", "success", "task_status", "agent_id", "statusCode", "errcode"),
    *("errorCode", "error_code", "errorMessage", "error_message", "errorMsg", "error_msg"),
    *("errmsg", "message", "msg"),
)
_Signs = msgspec.defstruct("_Signs", [(name, Any, None) for name in _SIGNS], gc=False)
NO_SIGN: Final[Any] = _Signs()
signs_of: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(_Signs).decode
"""Returns what a body has of the keys that errors have, to be compared with ``NO_SIGN``."""
