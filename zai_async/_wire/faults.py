"""What went wrong, and when to come back: one reading of all error shapes, in bodies and events.

The platform, its gateways and the proxies before them use a dozen shapes, some with HTTP 200.
Sources: https://docs.z.ai/api-reference/api-code (1308 and 1310 tell a time), RFC 9110 section
10.2.3, and the Error schema of the OpenAPI document, which describes a flat object that the wire
does not use.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from zai_async._codes import BAND, CODES, STATUSES, UNKNOWN_STATUS, Meaning
from zai_async._secrets import Secret, redact
from zai_async._wire.operation import Operation
from zai_async._wire.time_hints import parse_reset_time, parse_retry_after
from zai_async.errors import APIError, ResponseError, ZaiError, api_error_class

__all__ = [
    "Fault",
    "error_in_body",
    "find_fault",
    "meaning_of",
    "not_the_api",
    "shown_body",
    "to_error",
]

_LONGEST_MESSAGE = 500
_LONGEST_BODY = 2000
_LONGEST_SNIPPET = 200
_LONGEST_NAME = 64
_BRACKETS = re.compile(r"\[(\w+)\]\[(.*)\]\[([\w-]*)\]", re.DOTALL)
_NOT_FOUND = re.compile(r"\b404\W{0,3}NOT[_ ]?FOUND", re.IGNORECASE)
_MARKUP = re.compile(r"<(?:!doctype|\?xml|html|head|body|title)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{3,4}", re.ASCII)
_FINE = frozenset({"", "0", "200"})


Object = Mapping[str, Any]


class Fault(NamedTuple):
    """An error as the wire reports it."""

    code: str | None
    message: str
    request_id: str | None = None


def find_fault(document: object, *, status: int = 200) -> Fault | None:
    """Return the error that a decoded body or event reports, None when it reports none."""
    body = _as_object(document)
    if body is None:
        return None
    inner = _inner(body)
    if inner is None and not _failed(body, status):
        return None
    fault = _read(body if inner is None or isinstance(inner, str) else inner, inner)
    outer_id = body.get("request_id") or body.get("id")
    return fault._replace(request_id=fault.request_id or _text(outer_id) or None)


def _as_object(value: object) -> Object | None:
    return cast("Object", value) if isinstance(value, dict) else None


def _inner(document: Object) -> Object | str | None:
    """Return what stands at ``error``, one level deeper where a gateway has wrapped it."""
    # Truto reports with words of its own, and has the platform's body in "details".
    details = document.get("details") if "statusCode" in document else None
    error = _as_object(details) or document.get("error") or details
    if isinstance(error, str):
        return error or None
    found = _as_object(error)
    return (found and (_as_object(found.get("error")) or found)) or None


def _failed(document: Object, status: int) -> bool:
    """Tell whether a body without an ``error`` is one all the same."""
    if status >= 400 or document.get("success") is False:
        return True
    if document.get("status") == "failed" and "agent_id" in document:
        return True
    if _text(document.get("task_status")).upper() == "FAIL":
        return True
    speaks = "message" in document or "msg" in document
    return speaks and "choices" not in document and _text(document.get("code")) not in _FINE


def _read(error: Object, inner: object) -> Fault:
    message = next((error[key] for key in ("message", "msg", "detail") if error.get(key)), inner)
    if not isinstance(message, str):
        message = "" if message is None else msgspec.json.encode(message).decode()
    message = message.strip()
    code = _text(error.get("code"))
    if bracket := _BRACKETS.fullmatch(message):
        own = code if code.isdigit() else bracket[1]
        return Fault(own, bracket[2].strip(), bracket[3] or None)
    return Fault(code or None, message, _text(error.get("request_id")) or None)


def _text(value: object) -> str:
    """Return a code or an id as text, ``""`` for what can be neither."""
    name = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return name if len(name) <= _LONGEST_NAME and not _MARKUP.search(name) else ""


def meaning_of(code: str | None, status: int, message: str = "") -> Meaning:
    """Classify by business code first, by HTTP status second."""
    if code == "500" and _NOT_FOUND.search(message):
        return STATUSES[404]
    if code and (known := CODES.get(code) or _by_number(code, status)):
        return known
    return STATUSES.get(status) or UNKNOWN_STATUS.get(status // 100) or UNKNOWN_STATUS[2]


def _by_number(code: str, status: int) -> Meaning | None:
    """Classify an unlisted code: a status that stands in its place, or a member of a band."""
    if not _NUMBER.fullmatch(code):
        return None
    if len(code) == 3:
        return STATUSES.get(int(code))
    # Most of 13xx is about limits, but a status of its own says more than that.
    limits = code.startswith("13") and status < 400
    return STATUSES[429] if limits else BAND.get(code[:2])


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
    retry_at = parse_reset_time(fault.message, now) if meaning.kind in _TIMED else None
    if retry_at is not None and meaning.kind == "throttle":
        meaning = Meaning("quota", "reset")
    message = redact(_presentable(fault.message, status, headers), secrets)
    return api_error_class(meaning.kind)(
        message[:_LONGEST_MESSAGE],
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


_TIMED = frozenset({"quota", "throttle"})


def _presentable(message: str, status: int, headers: Mapping[str, str]) -> str:
    """Return a message that can be shown; some gateways wrap a whole page in JSON."""
    if _MARKUP.search(message):
        return _describe(message, status, headers)
    return message or f"the API answered HTTP {status}"


def error_in_body(
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    secrets: Iterable[Secret] = (),
) -> ZaiError | None:
    """Return the error that a whole body reports, None when it is no error."""
    if status < 400 and not _may_report(data):
        return None
    document = _decode(data)
    fault = find_fault(document, status=status)
    if fault is None and status < 400:
        return None
    text = shown_body(data, secrets)
    if fault is None:
        fault = Fault(None, _describe(text, status, headers))
    error = to_error(fault, status=status, headers=headers, now=now, body=text, secrets=secrets)
    # Of a long body, only the beginning is kept.
    body = _as_object(document) or {}
    error.status = redact(_text(body.get("status")), secrets)
    error.task_status = redact(_text(body.get("task_status")), secrets)
    return error


class _Signs(msgspec.Struct, gc=False, rename={"status_code": "statusCode"}):
    """The keys without one of which a body reports no fault."""

    error: msgspec.Raw | None = None
    code: msgspec.Raw | None = None
    success: msgspec.Raw | None = None
    task_status: msgspec.Raw | None = None
    agent_id: msgspec.Raw | None = None
    status_code: msgspec.Raw | None = None


_NO_SIGN = _Signs()
_signs = msgspec.json.Decoder(_Signs).decode


def _may_report(data: bytes) -> bool:
    """Tell whether a body has any sign of a fault; costs a fraction of decoding it."""
    try:
        return _signs(data) != _NO_SIGN
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True


def _decode(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def shown_body(data: bytes, secrets: Iterable[Secret]) -> str:
    """Return the beginning of a body for an error; redacted before it is cut."""
    return redact(data[: 4 * _LONGEST_BODY].decode("utf-8", "replace"), secrets)[:_LONGEST_BODY]


def _describe(text: str, status: int, headers: Mapping[str, str]) -> str:
    """Say in one line what came instead of an error object; never quote markup."""
    kind = headers.get("Content-Type", "no content type").partition(";")[0]
    plain = " ".join(text.split())
    if not plain:
        return f"HTTP {status} with an empty body"
    if plain.startswith("<") or _MARKUP.search(plain):
        return f"HTTP {status} with a page ({kind}) instead of an API answer"
    return f"HTTP {status} ({kind}): {plain[:_LONGEST_SNIPPET]}"


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
    return ResponseError(
        f"{what}: {_describe(shown_body(data, secrets), status, headers)}",
        status_code=status,
        request_id=headers.get("X-Log-Id"),
        body=shown_body(data, secrets),
        hint="Check the base URL; a proxy or another server may have answered.",
    )
