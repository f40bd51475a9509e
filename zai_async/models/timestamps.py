"""Moments as the platform writes them: Unix seconds, for some operations milliseconds."""

from datetime import UTC, datetime

# In seconds the year 5138, in milliseconds 1973: no moment of the platform lies between.
_MILLISECONDS_FROM = 100_000_000_000


def moment(stamp: int | None) -> datetime | None:
    """Return a time stamp as an aware datetime; None for a stamp that is unset or absurd."""
    if not stamp:
        return None
    try:
        return datetime.fromtimestamp(stamp / 1000 if stamp >= _MILLISECONDS_FROM else stamp, UTC)
    except (OverflowError, OSError, ValueError):
        return None
