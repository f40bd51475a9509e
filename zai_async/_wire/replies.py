"""From the bytes of an answer to its struct, or to the error that a refused one is raised as."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

import msgspec

from zai_async._codes import BAND, CODES, STATUSES, UNKNOWN_STATUS, Meaning
from zai_async._outcomes import accept
from zai_async._secrets import UNPRINTABLE, Secret, printable, redact
from zai_async._wire.envelopes import open_envelope, single_object, within
from zai_async._wire.faults import (
    MARKUP,
    Fault,
    find_fault,
    hidden_fault,
    name_of,
    objects_in,
    parse_reset_time,
    parse_retry_after,
    told_fault,
)
from zai_async._wire.operation import Operation
from zai_async._wire.second_looks import bare_text, is_of_another, read_again
from zai_async.errors import API_ERRORS, APIError, EmptyAnswerError, ResponseError, ZaiError
from zai_async.models import Reply
from zai_async.models.tolerant import UNREADABLE, decode, decode_tolerantly
from zai_async.providers import ZAI, Provider

__all__ = [
    "error_in_body",
    "may_report",
    "meaning_of",
    "not_the_api",
    "parse_reply",
    "refused_by",
    "shown_body",
    "to_error",
]

T = TypeVar("T")

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
# What FastAPI says to a request that does not fit: each field with its place and what is wrong.
_MISFITS = re.compile(r'\[\{.*"loc":\[', re.DOTALL)
# Frameworks have no other words for a status where nobody has written any.
_PHRASES: Final = {status.phrase.lower(): status.value for status in HTTPStatus if status >= 400}
_PHRASES["not authenticated"] = 401
_NUMBER = re.compile(r"\d{3,4}", re.ASCII)
_TIMED = frozenset({"quota", "throttle"})


def parse_reply(
    operation: Operation[T],
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    secrets: Iterable[Secret] = (),
    provider: Provider = ZAI,
    allow: Collection[str] = (),
) -> T:
    """Return the decoded answer of an operation, judged; ``now`` in seconds since the epoch.

    Raises:
        APIError: The body reports an error, whatever the status says.
        ResponseError: The body is not an answer of this operation.
        IncompleteError: The answer is cut, lost or empty, and ``allow`` does not name that.
    """
    # A gateway's own envelope hides errors, too, so it is opened before anything is judged.
    if provider.envelope or provider.statuses:
        data = open_envelope(provider, operation.result, single_object(data))
    # Errors come with HTTP 200 as well, and never look like answers of the operation.
    if status >= 400 or may_report(data):
        data = single_object(data) if status < 400 else data
        error = error_in_body(data, status=status, headers=headers, now=now, secrets=secrets)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads here, and would keep the body alive
    result = _decoded(operation, data, status, headers, now=now, secrets=secrets)
    if isinstance(result, Reply) and result.request_id is None:
        result.request_id = headers.get("X-Log-Id")
    if operation.judge is accept:
        return result
    try:
        try:
            outcome = operation.judge(result, allow)
        except EmptyAnswerError:
            # As with those above, only what seems to hold nothing is looked at again.
            names = [path.partition(".")[0] for path in operation.essential]
            inner = within(data, names or ("choices",))
            if inner is data:
                raise
            result = decode(operation.decoder, inner)
            outcome = operation.judge(result, allow)
    except ZaiError as verdict:
        # Made apart: an error that a local name holds would keep, by its traceback, the body alive.
        raise refused_by(
            verdict, data, status=status, headers=headers, now=now, secrets=secrets
        ) from None
    if outcome in allow and isinstance(result, Reply):
        vars(result)["outcome"] = outcome
    return result


def may_report(data: bytes) -> bool:
    """Tell whether a body has any sign of a fault; costs a fraction of decoding it."""
    try:
        signs = _signs_of(data)
    except UNREADABLE:
        return True
    # Every poll tells how far a task is, which is a sign only of those that failed.
    if signs.task_status is not None and str(signs.task_status).upper() != "FAIL":
        signs.task_status = None
    return bool(signs != _NO_SIGN)


def _decoded(
    operation: Operation[T],
    data: bytes,
    status: int,
    headers: Mapping[str, str],
    *,
    now: float,
    secrets: Iterable[Secret],
) -> T:
    """Decode an answer, and insist that it has what makes it one of the operation."""
    foreign = False
    try:
        try:
            result = operation.decoder.decode(data)
        except UNREADABLE:
            result = decode_tolerantly(operation.decoder, data)
            # A name alone proves nothing: answers of chat have an id, too.
            foreign = is_of_another(operation, getattr(result, "extra", {}))
    except msgspec.DecodeError:
        text = bare_text(operation, data, headers)
        if text is None:
            raise not_the_api(
                data, status=status, headers=headers, now=now, secrets=secrets
            ) from None
        result = decode(operation.decoder, text)
    if not operation.contents:
        return result
    for content in operation.contents:
        if content(result) and not foreign:
            return result
    # Only an answer that seems to hold nothing costs a second look at its bytes.
    found = read_again(operation, data, result)
    if found is not None:
        return found
    error = not_the_api(
        data, status=status, headers=headers, now=now, secrets=secrets, operation=operation
    )
    error.request_id = error.request_id or getattr(result, "request_id", None)
    raise error


def meaning_of(code: str | None, status: int, message: str = "") -> Meaning:
    """Classify by business code first, by HTTP status second."""
    if code == "500" and _NOT_FOUND.search(message):
        return STATUSES[404]
    if code == "500" and _CALLERS_FAULT.search(message):
        return STATUSES[400]
    if not code and status < 400:
        told = 422 if _MISFITS.match(message) else _PHRASES.get(message.lower(), status)
        status = told
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
    told = fault.message[:_LONGEST_READ]
    meaning = meaning_of(fault.code, status, told)
    # Only what has the colon of a clock in it can tell a moment.
    timed = meaning.kind in _TIMED and ":" in told
    retry_at = parse_reset_time(told, now) if timed else None
    # A limit that tells a moment is no matter of seconds, whatever its code.
    if retry_at is not None and meaning.kind == "throttle":
        meaning = Meaning("quota", "reset")
    # Some gateways wrap a whole page in JSON.
    message = told or f"the API answered HTTP {status}"
    if not told and body.strip(" {}[]\r\n") and status >= 400:
        message = f"{message}: {body}"  # in words that nobody here knows
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
    in_place: bool = False,
) -> ZaiError | None:
    """Return the error that a whole body reports, None when it is no error.

    Of what came ``in_place`` of an answer, and is known to be none, also the error that it wraps.
    """
    try:
        document = msgspec.json.decode(data)
    except UNREADABLE:
        document = data.decode("utf-8-sig", "replace") if status >= 400 else None
    if isinstance(document, str) and not MARKUP.search(document):
        # Encoded twice, or behind the first words of a relay.
        document = next(objects_in(document), None)
    fault = find_fault(document, status=status)
    if fault is None and in_place and status < 400:
        fault = told_fault(document)
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
    now: float,
    secrets: Iterable[Secret] = (),
    operation: Operation[Any] | None = None,
) -> ZaiError:
    """Make the exception for what is no answer of the API, or none of this ``operation``.

    It is the error that this tells, if it tells one.
    """
    secrets = tuple(secrets)
    told = error_in_body(
        data, status=status, headers=headers, now=now, secrets=secrets, in_place=True
    )
    if told is not None:
        return told
    what = "not an API answer"
    if operation is not None:
        fields = " or ".join(operation.essential)
        what = f"not an answer of {operation.name}, which has {fields}"
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


def refused_by(
    verdict: ZaiError,
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    secrets: Iterable[Secret],
) -> ZaiError:
    """Return why an answer was judged a failure: by what it says beside it, or by the verdict."""
    secrets = tuple(secrets)
    told = error_in_body(
        data, status=status, headers=headers, now=now, secrets=secrets, in_place=True
    )
    if told is not None:
        told.partial = verdict.partial
        return told
    # A whole answer is paid for: whether to ask for another one is the caller's decision.
    verdict.repeat = "never"
    verdict.status_code = status
    verdict.body = shown_body(data, secrets)
    return verdict


# Most answers have none of the keys without which a body reports no fault, and to see that costs
# a fraction of decoding them.
_SIGNS: Final = (
    *("error", "errors", "code", "success", "task_status", "agent_id", "statusCode", "errcode"),
    *("errorCode", "error_code", "errorMessage", "error_message", "errorMsg", "error_msg"),
    *("errmsg", "message", "msg"),
)
_Signs = msgspec.defstruct("_Signs", [(name, Any, None) for name in _SIGNS], gc=False)
_NO_SIGN: Final[Any] = _Signs()
_signs_of: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(_Signs).decode
"""Returns what a body has of the keys that errors have, to be compared with ``_NO_SIGN``."""
