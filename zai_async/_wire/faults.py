"""What went wrong, and when to come back: one reading of all that refusals say.

The platform, its gateways and the proxies before them use two dozen shapes, some with HTTP 200,
and relays wrap what the platform said into texts and objects of their own.
Sources: https://docs.z.ai/api-reference/api-code and the Error schema of the OpenAPI document,
which describes a flat object that the wire does not use; for times, RFC 9110 sections 5.6.7 and
10.2.3, and the messages of 1308 and 1310.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any, Final, NamedTuple, cast

import msgspec

from zai_async._codes import CODES

__all__ = [
    "BEIJING",
    "MARKUP",
    "Fault",
    "error_of",
    "find_fault",
    "hidden_fault",
    "is_failure",
    "name_of",
    "objects_in",
    "parse_http_date",
    "parse_reset_time",
    "parse_retry_after",
    "told_fault",
    "window_named_in",
]


MARKUP: Final = re.compile(r"<(?:!doctype|\?xml|html|head|body|title)", re.IGNORECASE)

# A code or an id that is longer than this is a text in the wrong place.
_LONGEST_NAME = 64
# The codes of the platform, which nobody else uses; "500" and words are anybody's.
_OWN_CODES = frozenset(code for code in CODES if len(code) == 4)
# What gateways put at "code" beside an answer that is none of an error.
_FINE = frozenset({"", "0", "200", "ok", "success"})
# The Anthropic-style surface squeezes code, text and request id into the message.
_BRACKETS = re.compile(r"\[(\w+)\]\[(.*)\]\[([\w-]*)\]", re.DOTALL)
# Names in the order of how much they tell, without case and separators.
_CODE_NAMES = ("code", "errorcode", "errcode")
_MESSAGE_NAMES = (
    "message",
    "msg",
    "detail",
    "errormessage",
    "errormsg",
    "errmsg",
    "errordescription",
    "details",
    "description",
    "failreason",
    "failurereason",
    "reason",
    "title",
)
# "message" alone is said by good answers too; under these names only errors speak.
_ONLY_IN_ERRORS = ("errormessage", "errormsg", "errmsg", "errordescription")
# How relays print a code of the platform into a sentence: as JSON, escaped or not, as the repr of
# another language, or in words; and the platform's own "[code][text][id]".
_CODE_IN_TEXT = re.compile(r"(?:code|\u7801)\W{0,8}(1\d{3})(?!\d)|\[(1\d{3})\]\[", re.IGNORECASE)
# Where relays put what they were told, in place of an answer or around one.
_WRAPPERS = (
    *("detail", "details", "data", "result", "output", "response", "body"),
    *("exception", "fault", "message", "delta", "choices"),
)
# The status that a relay was told, where its own is 200.
_STATUS_NAMES = ("status", "statusCode", "status_code")
_REFUSED = re.compile(r"[45]\d\d", re.ASCII)
# Bounds for the search: whoever answers chooses how wide and how deep a body is.
_MOST_NAMES = 64
_MOST_PLACES = 200
_LONGEST_TEXT = 16_384
BEIJING: Final = timezone(timedelta(hours=8))
"""What the times in messages are in, without saying so, on both hosts."""

# Nine digits are 31 years. More of them say "never" just the same, and thousands of them would
# not even be a number.
_SECONDS = re.compile(r"\d+(\.\d{1,9})?", re.ASCII)
_MOST_SECONDS: Final = 999_999_999.0
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_ZONE = r"(?:GMT|(?P<zone>[+-]\d{4}))"
# RFC 9110 obliges recipients to read all three: IMF-fixdate, RFC 850 and asctime. A numeric zone,
# as in mails, is read as well: relays write one, and it cannot be misunderstood.
_DATES: Final = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_DAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} {_ZONE}",
        rf"{_LONG_DAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_CLOCK} GMT",
        rf"{_DAY} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
    )
)
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_HOURS = re.compile(r"(?<!\d)(\d{1,3})[\s-]*(?:hour|小时)", re.IGNORECASE)
_DAYS = re.compile(r"(?<!\d)(\d{1,3})[\s-]*(?:day|天)", re.IGNORECASE)
# The longest allowance that is told without its name is a week, give or take a clock.
_LONGEST_UNNAMED = timedelta(days=8)


Object = Mapping[str, Any]


class Fault(NamedTuple):
    """An error as the wire reports it."""

    code: str | None
    message: str
    request_id: str | None = None


def find_fault(document: object, *, status: int = 200) -> Fault | None:
    """Return the error that a decoded body or event reports, None when it reports none."""
    # Some frameworks put the only error into a list.
    if status >= 400 and isinstance(document, list):
        document = next(iter(cast("list[object]", document)), None)
    if not isinstance(document, dict):
        return None
    body = cast("dict[str, Any]", document)
    # As the platform itself reports, which needs no search.
    inner = body.get("error")
    if not isinstance(inner, dict) or not inner or "error" in inner or "statusCode" in body:
        inner = error_of(body)
    if inner is None and not is_failure(body, status):
        return None
    fault = _read(body if inner is None or isinstance(inner, str) else cast("Object", inner))
    if status < 400 and fault.code is None:
        words = (name_of(body.get(name)) for name in _STATUS_NAMES)
        fault = fault._replace(code=next(filter(_REFUSED.fullmatch, words), None))
    # An error without any known word for its message is quoted: better odd than silent.
    if not fault.message and inner:
        text = inner if isinstance(inner, str) else msgspec.json.encode(inner).decode()
        fault = fault._replace(message=text.strip())
    outer_id = body.get("request_id") or body.get("id")
    if outer_id and not fault.request_id:
        fault = fault._replace(request_id=name_of(outer_id) or None)
    # A relay reports under a code of its own, such as the status, which says less.
    hidden = None if fault.code in _OWN_CODES else hidden_fault(body)
    if hidden is None:
        return fault
    told = fault.message
    if hidden.message and hidden.message not in told:
        told = f"{told}: {hidden.message}" if told else hidden.message
    return Fault(hidden.code, told, fault.request_id or hidden.request_id)


def told_fault(document: object) -> Fault | None:
    """Return the error in what came in place of an answer with HTTP 200, whatever is around it.

    Good answers may have all that counts here: whoever asks knows that this is none.
    """
    places = deque([document])
    for _ in range(_MOST_PLACES):
        if not places:
            break
        place = places.popleft()
        if isinstance(place, str):
            places.extend(objects_in(place[:_LONGEST_TEXT]))
        elif isinstance(place, list):
            places.extend(islice(cast("list[object]", place), _MOST_NAMES))
        elif isinstance(place, dict):
            found = cast("dict[str, object]", place)
            told = _plainly(found)
            fault = find_fault(found) or find_fault({"error": told.get("error")})
            if fault is not None:
                return fault
            places.extend(told[name] for name in _WRAPPERS if name in told)
    # What a model says, or thinks, may be about codes.
    body = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    if body.get("choices"):
        return None
    # FastAPI has nothing but this, be it a text, an object or all that is wrong with a request.
    detail = body.get("detail")
    return find_fault({**body, "error": {"message": detail}}) if detail else hidden_fault(body)


def hidden_fault(value: object) -> Fault | None:
    """Return the first fault with a code of the platform, however deep objects or texts hide it."""
    # Breadth first: what a relay says on the outside is about this call, while deeper places may
    # hold a history of others.
    places = deque([value])
    last_resort: Fault | None = None
    for _ in range(_MOST_PLACES):
        if not places:
            break
        place = places.popleft()
        if isinstance(place, dict):
            found = cast("dict[str, object]", place)
            fault = _read(found)
            if fault.code in _OWN_CODES:
                return fault
            places.extend(islice(found.values(), _MOST_NAMES))
        elif isinstance(place, list):
            places.extend(islice(cast("list[object]", place), _MOST_NAMES))
        elif isinstance(place, str):
            text = place[:_LONGEST_TEXT]
            places.extend(objects_in(text))
            # JSON that was cut, or is the repr of another language, is still good for its code.
            codes = ("".join(found.groups("")) for found in _CODE_IN_TEXT.finditer(text))
            code = next((code for code in codes if code in _OWN_CODES), None)
            last_resort = last_resort or (code and Fault(code, "")) or None
    return last_resort


def name_of(value: object) -> str:
    """Return a code or an id as text, ``""`` for what can be neither."""
    # Codes come as numbers and as strings, for one and the same error, and from languages that
    # have only one kind of number as 1302.0.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_name = isinstance(value, str | int) and not isinstance(value, bool)
    name = str(value).strip() if is_name else ""
    fits = len(name) <= _LONGEST_NAME and name.isprintable()
    return name if fits and not MARKUP.search(name) else ""


def objects_in(text: str) -> Iterator[object]:
    """Yield the JSON object that a text is, or that stands behind its first words."""
    # "RateLimitError: ZaiException - {...}" is how relays pass on what they caught.
    start = text.find("{")
    try:
        if start >= 0:
            yield json.JSONDecoder().raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return


def error_of(document: Mapping[str, Any]) -> Mapping[str, Any] | str | None:
    """Return what stands at ``error``, one level deeper where a gateway has wrapped it."""
    error: object = document.get("error")
    if "statusCode" in document:
        # Truto reports with words of its own, and has the platform's body in "details".
        details: object = document.get("details")
        error = error or details if not isinstance(details, dict) else cast("object", details)
    elif error is None and "choices" not in document:
        # Where this is an object it belongs to a batch, or holds the fields of a form by name.
        errors: object = document.get("errors")
        error = cast("object", errors) if isinstance(errors, list) else None
    if isinstance(error, list):
        error = next(iter(cast("list[object]", error)), None)
    if isinstance(error, dict):
        found = cast("dict[str, Any]", error)
        inner = found.get("error")
        return cast("dict[str, Any]", inner) if isinstance(inner, dict) and inner else found or None
    return error if isinstance(error, str) and error else None


def is_failure(document: Mapping[str, Any], status: int) -> bool:
    """Tell whether a body without an ``error`` is one all the same."""
    if status >= 400 or document.get("success") is False:
        return True
    # Agents refuse with HTTP 200, and so does the framework below all services.
    if document.get("status") == "failed" and "agent_id" in document:
        return True
    if name_of(document.get("task_status")).upper() == "FAIL":
        return True
    # An answer may carry a message and a code of its own.
    if "choices" in document:
        return False
    told = _plainly(document)
    code = next((name_of(told[name]) for name in _CODE_NAMES if name in told), "").lower()
    if code in _FINE:
        says_error = not code and any(told.get(name) for name in _ONLY_IN_ERRORS)
        return says_error or (document.get("status") == "error" and bool(told.get("message")))
    # With a code of the platform any word will do: RFC 9457 has "title", as good answers have.
    words = _MESSAGE_NAMES if code in _OWN_CODES else ("message", "msg", *_ONLY_IN_ERRORS)
    return any(name in told for name in words)


def _read(error: Mapping[str, Any]) -> Fault:
    """Read an error object by whatever names it uses; without a message that is empty."""
    told, message, code = error, error.get("message"), error.get("code")
    if not isinstance(code, str) or code not in CODES:
        code = name_of(code)
    if not code or not message or not isinstance(message, str):
        # Not as the platform puts it.
        told = _plainly(error)
        message = next((told[name] for name in _MESSAGE_NAMES if told.get(name)), "")
        if not isinstance(message, str):
            message = msgspec.json.encode(message).decode()
        code = next(filter(None, (name_of(told.get(name)) for name in _CODE_NAMES)), "")
        if not code and name_of(told.get("type")) in CODES:
            code = name_of(told["type"])
    fields = told.get("errors")
    if fields and isinstance(fields, dict):
        # What is wrong with each field of a form, by name.
        text = msgspec.json.encode(cast("object", fields)).decode()
        message = f"{message}: {text}" if message else text
    message = message.strip()
    # A code outside the brackets is the newer one, if it is a code and not a word.
    if bracket := _BRACKETS.fullmatch(message):
        own = code if code.isdigit() else bracket[1]
        return Fault(own, bracket[2].strip(), bracket[3] or None)
    request_id = told.get("request_id") or told.get("requestid")
    return Fault(code or None, message, (name_of(request_id) if request_id else "") or None)


def _plainly(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first members of an object under names without case and separators."""
    members = islice(error.items(), _MOST_NAMES)
    return {name.replace("_", "").replace("-", "").lower(): value for name, value in members}


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that ``retry-after-ms`` or ``Retry-After`` ask for, None without them.

    ``now`` in seconds since the epoch. Signs, exponents and dates without a zone are no values.
    """
    # Azure's gateways tell milliseconds beside the standard field, which rounds them up.
    value = ""
    for name, unit in (("retry-after-ms", 1000.0), ("Retry-After", 1.0)):
        value = headers.get(name, "").strip(" \t")
        if _SECONDS.fullmatch(value):
            return min(float(value), _MOST_SECONDS) / unit
    moment = parse_http_date(value, now)
    return None if moment is None else max(0.0, moment - now)


def parse_http_date(value: str, now: float) -> float | None:
    """Return an HTTP date in seconds since the epoch."""
    found = next(filter(None, (form.fullmatch(value) for form in _DATES)), None)
    if found is None:
        return None
    parts = found.groupdict()
    year = int(parts["year"])
    zone = parts.get("zone") or "+0000"
    try:
        present = datetime.fromtimestamp(now, UTC)
        if len(parts["year"]) == 2:
            # Section 5.6.7: what seems more than 50 years ahead is of the century before.
            year += present.year // 100 * 100
            year -= 100 if year > present.year + 50 else 0
        moment = datetime(
            year,
            _MONTHS.index(parts["month"].lower()) + 1,
            int(parts["day"]),
            int(parts["hour"]),
            int(parts["minute"]),
            59 if parts["second"] == "60" else int(parts["second"]),  # a leap second
            tzinfo=UTC,
        )
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
        return (moment - offset if zone[0] == "+" else moment + offset).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def parse_reset_time(message: str, now: float) -> datetime | None:
    """Return the moment a plan's allowance comes back, as an aware datetime in UTC+8.

    A moment later than the window that the message names is cut to the end of that window.
    None when no time is printed, or one that is past or implausibly far away.
    """
    found = _STAMP.search(message)
    if found is None:
        return None
    day, time, zone = found.groups()
    # Request ids and usage records show that both hosts mean UTC+8 where they name no zone.
    try:
        offset = {None: "+08:00", "Z": "+00:00"}.get(zone, zone)
        moment = datetime.fromisoformat(f"{day}T{time}{offset}").astimezone(BEIJING)
    except (ValueError, OverflowError):
        return None
    present = datetime.fromtimestamp(now, UTC)
    if moment <= present:
        return None
    window = window_named_in(message)
    if not window:
        return moment if moment - present <= _LONGEST_UNNAMED else None
    return min(moment, (present + window).astimezone(BEIJING))


def window_named_in(message: str) -> timedelta | None:
    """Return the length of the window that a message names."""
    if hours := _HOURS.search(message):
        return timedelta(hours=int(hours[1]))
    if days := _DAYS.search(message):
        return timedelta(days=int(days[1]))
    text = message.lower()
    if "month" in text or "月" in text:
        return timedelta(days=31)
    return timedelta(days=7) if "week" in text or "周" in text else None
