"""Numbers and texts for a JSON schema."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count

from zai_async.testing.emulator.pattern_text import PatternError, matching_texts
from zai_async.testing.emulator.requests import Json
from zai_async.testing.emulator.schema_check import bounds, number

MAX_WORK = 20_000
"""Values, and hundreds of characters, that may be tried for one schema."""

_FORMATS = {
    "date": "2026-10-09",
    "date-time": "2026-10-09T08:30:00Z",
    "time": "08:30:00Z",
    "duration": "PT15M",
    "email": "someone@example.com",
    "idn-email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/page",
    "iri": "https://example.com/",
    "uuid": "6f2c1f0e-8a55-4c1b-9d8e-2f60b1a7c3d4",
    "regex": "^a$",
    "json-pointer": "/a",
    **{
        f"uuid{version}": f"6f2c1f0e-8a55-{version}c1b-9d8e-2f60b1a7c3d4" for version in range(1, 9)
    },
    "ipv4network": "192.0.2.0/24",
    "ipv6network": "2001:db8::/32",
    "json-string": "1",
    "decimal": "1.5",
    "byte": "dGV4dA==",
    "base64": "dGV4dA==",
    "binary": "text",
}
_WORDS = ("other", "Beta", "")
_NAMES = {
    **{name: _FORMATS[name] for name in ("date", "time", "email", "uri", "uuid")},
    "city": "Beijing",
    "location": "Beijing",
    "country": "China",
    "name": "Ada",
    "language": "English",
    "unit": "celsius",
}


class SchemaError(ValueError):
    """The schema asks for too much, or for something that cannot be."""


def numbers(schema: Json, *, whole: bool) -> Iterator[float]:
    """Yield numbers that may fit: the natural one, the bounds, then step by step."""
    low, _, high, _ = bounds(schema)
    step = number(schema, "multipleOf")
    unit = Fraction(1) if whole else None
    if step is not None and step > 0:
        unit = Fraction(str(step))  # as it was written: 0.1 is a tenth here
        unit = Fraction(unit.numerator) if whole else unit  # multiples of 2/3 are whole by 2
    # Neither 0 nor negative: examples should look like something.
    wanted = 1 if whole else 21.5
    middle: list[float] = []
    if low is not None and high is not None:
        middle = [low / 2 + high / 2]
    elif low is not None:
        middle = [low, low + 1, low + abs(low) / 2]
    elif high is not None:
        middle = [high, high - 1, high - abs(high) / 2]
    start = low if low is not None else high if high is not None else wanted
    if unit is None:
        yield from (wanted, start, *middle)
        yield from map(float, count(1))
    else:
        # Multiples next to each place, then one after the other, away from the only bound.
        unit = -unit if low is None and high is not None else unit
        for place in (wanted, start, *middle, 0):
            yield _plain(-(-Fraction(place) // unit) * unit, whole=whole)
        first = -(-Fraction(start) // unit)
        yield from (_plain((first + more) * unit, whole=whole) for more in count(0))


def _plain(value: Fraction, *, whole: bool) -> float:
    return int(value) if whole else float(value)


def strings(schema: Json, name: str) -> Iterator[str]:
    """Yield texts that may fit: by format, by name, by pattern, then numbered ones."""
    least, most = int(number(schema, "minLength") or 0), number(schema, "maxLength")
    # Checked before it is written, not while.
    if least > 100 * MAX_WORK:
        raise SchemaError("the schema asks for a longer text than the emulator writes")
    end = None if most is None else int(most)
    natural = _FORMATS.get(str(schema.get("format", ""))) or _NAMES.get(
        name.lower(), name or "text"
    )
    yield natural.ljust(least, ".")[:end]
    if "pattern" in schema:
        try:
            yield from (text[:end] for text in matching_texts(str(schema["pattern"]), least))
        except PatternError:
            return
    # Other words too, where the natural one is just what is not wanted.
    place = 1
    while True:
        place += 1
        for word in (natural, *_WORDS):
            tail = str(place)
            room = None if end is None else max(0, end - len(tail))
            yield (word[:room] + tail).ljust(least, ".")[:end]
