"""When to come back: what headers and messages of refusals say about time.

Sources: RFC 9110 sections 5.6.7 and 10.2.3; https://docs.z.ai/api-reference/api-code, where the
messages of 1308 and 1310 tell a moment.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

__all__ = [
    "BEIJING",
    "parse_http_date",
    "parse_reset_time",
    "parse_retry_after",
    "window_named_in",
]

BEIJING: Final = timezone(timedelta(hours=8))
"""What the times in messages are in, without saying so, on both hosts."""

# Nine digits are 31 years; more of them is no wait, and thousands would not even be a number.
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
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


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that ``retry-after-ms`` or ``Retry-After`` ask for, None without them.

    ``now`` in seconds since the epoch. Signs, exponents and dates without a zone are no values.
    """
    # Azure's gateways tell milliseconds beside the standard field, which rounds them up.
    value = ""
    for name, unit in (("retry-after-ms", 1000.0), ("Retry-After", 1.0)):
        value = headers.get(name, "").strip(" \t")
        if _SECONDS.fullmatch(value):
            return float(value) / unit
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
