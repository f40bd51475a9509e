"""When to come back: ``Retry-After`` headers and the reset times printed in error messages.

Sources: RFC 9110 section 10.2.3; https://docs.z.ai/api-reference/api-code (codes 1308 and 1310).
The platform prints wall-clock time of UTC+8 without saying so, on both hosts.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

__all__ = ["parse_reset_time", "parse_retry_after"]

BEIJING = timezone(timedelta(hours=8))

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_HOURS = re.compile(r"(?<!\d)(\d{1,3})[\s-]*(?:hour|小时)", re.IGNORECASE)
_DAYS = re.compile(r"(?<!\d)(\d{1,3})[\s-]*(?:day|天)", re.IGNORECASE)
_LONGEST_UNNAMED = timedelta(days=8)


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that ``retry-after-ms`` or ``Retry-After`` ask for, None without them.

    ``now`` in seconds since the epoch. Signs, exponents and dates without a zone are no values.
    """
    milliseconds = _plain_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    seconds = _plain_number(value)
    return seconds if seconds is not None else _until_date(value, now)


def _plain_number(value: str | None) -> float | None:
    text = (value or "").strip(" \t")
    return float(text) if _SECONDS.fullmatch(text) else None


def _until_date(value: str | None, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(value or "")
        seconds = moment.timestamp() - now if moment.tzinfo else math.nan
    except (ValueError, TypeError, OverflowError):
        return None
    return None if math.isnan(seconds) else max(0.0, seconds)


def parse_reset_time(message: str, now: float) -> datetime | None:
    """Return the moment a plan's allowance comes back, as an aware datetime in UTC+8.

    A moment later than the window that the message names is cut to the end of that window.
    None when no time is printed, or one that is past or implausibly far away.
    """
    found = _STAMP.search(message)
    moment = _aware(*found.groups()) if found else None
    present = datetime.fromtimestamp(now, UTC)
    if moment is None or moment <= present:
        return None
    window = _window(message)
    if not window:
        return moment if moment - present <= _LONGEST_UNNAMED else None
    return min(moment, (present + window).astimezone(BEIJING))


def _aware(day: str, time: str, zone: str | None) -> datetime | None:
    offset = {None: "+08:00", "Z": "+00:00"}.get(zone, zone)
    try:
        return datetime.fromisoformat(f"{day}T{time}{offset}").astimezone(BEIJING)
    except (ValueError, OverflowError):
        return None


def _window(message: str) -> timedelta | None:
    """Return the length of the window that a message names."""
    if hours := _HOURS.search(message):
        return timedelta(hours=int(hours[1]))
    if days := _DAYS.search(message):
        return timedelta(days=int(days[1]))
    text = message.lower()
    if "month" in text or "月" in text:
        return timedelta(days=31)
    return timedelta(days=7) if "week" in text or "周" in text else None
