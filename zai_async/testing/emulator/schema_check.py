"""Whether a value satisfies a JSON schema (drafts 4 to 2020-12), as far as schemas of tools go."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeGuard
from urllib.parse import unquote

from zai_async.testing.emulator.requests import Json, is_object

MAX_LEVEL = 60
"""Levels of references and values; a schema that needs more refers to itself without an end."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number; in JSON ``true`` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a JSON array."""
    return isinstance(value, list)


TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and value == value // 1,
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": is_list,
    "object": is_object,
}


def listed(value: object) -> list[Any]:
    """Return a list as it is, and nothing for what is none: schemas come from clients."""
    return value if is_list(value) else []


def named(value: object) -> Json:
    """Return an object as it is, and an empty one for what is none."""
    return value if is_object(value) else {}


def number(schema: Json, key: str) -> Any:
    """Return a number, ``None`` for what is none."""
    return schema[key] if is_number(schema.get(key)) else None


def resolve(root: object, reference: object) -> Any:
    """Return the schema that a local reference names, ``{}`` when there is none."""
    if not isinstance(reference, str):
        return {}
    if not reference.startswith("#") or (len(reference) > 1 and reference[1] != "/"):
        return _anchored(root, reference, 0) or {}
    found: Any = root
    for part in reference[2:].split("/") if len(reference) > 2 else ():
        # RFC 6901, with the percent-encoding of a URI fragment around it.
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if is_object(found):
            found = found.get(key, {})
        else:
            items = listed(found)
            found = items[int(key)] if key.isdecimal() and int(key) < len(items) else {}
    return found


def _anchored(part: object, reference: str, level: int) -> Any:
    """Find the schema with this ``$id`` or ``$anchor``."""
    if level > MAX_LEVEL:
        return None
    if is_object(part):
        if reference in {part.get("$id"), part.get("id"), f"#{part.get('$anchor')}"}:
            return part
        parts: list[Any] = list(part.values())
    else:
        parts = listed(part)
    found = (_anchored(inner, reference, level + 1) for inner in parts)
    return next((one for one in found if one is not None), None)


def same(a: object, b: object) -> bool:
    """Whether two JSON values are equal; ``1`` equals ``1.0`` but not ``true``."""
    # Python takes True for 1, JSON does not.
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if is_list(a) and is_list(b):
        return len(a) == len(b) and all(map(same, a, b))
    if is_object(a) and is_object(b):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


# Repeated groups that hold repetitions or alternatives, or several repetitions in a row: with them
# a search may take a time that doubles with each character. Schemas come from clients.
_COSTLY = re.compile(r"[*+}|][^()]*\)[*+{]|(?:[*+][^*+]*){4}")
_CHEAP_LENGTH = 16
_SEARCHED = 1_000  # characters of a pattern


def matches(pattern: object, text: str) -> bool:
    """Whether a pattern is found in a text; what cannot be told in time counts as found."""
    if len(text) > _CHEAP_LENGTH and _COSTLY.search(str(pattern)[:_SEARCHED]):
        return True
    try:
        return re.search(str(pattern), text) is not None
    except re.error:
        return True


REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class SchemaCheck:
    """Check values against a schema whose references are looked up in ``root``."""

    def __init__(self, root: object) -> None:
        self.root = root

    def fits(self, value: Any, schema: object, level: int = 0) -> bool:
        """Whether a value satisfies a schema."""
        if not is_object(schema):
            return schema is not False
        if level > MAX_LEVEL:
            return False
        return (
            self.fits_combinations(value, schema, level + 1)
            and self.fits_type(value, schema)
            and (not is_number(value) or fits_number(value, schema))
            and (not isinstance(value, str) or fits_string(value, schema))
            and (not is_list(value) or self.fits_array(value, schema, level + 1))
            and (not is_object(value) or self.fits_object(value, schema, level + 1))
        )

    def fits_type(self, value: Any, schema: Json) -> bool:
        """Whether a value has the type, and is one of the values, that are listed."""
        # A type that is no word of JSON Schema matches nothing, as with other validators.
        kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type")
        if kinds is not None and not any(
            TYPES[kind](value) for kind in listed(kinds) if kind in TYPES
        ):
            return False
        if "const" in schema and not same(value, schema["const"]):
            return False
        return "enum" not in schema or any(same(value, one) for one in listed(schema["enum"]))

    def fits_combinations(self, value: Any, schema: Json, level: int) -> bool:
        """Whether a value satisfies what a schema says by way of other schemas."""
        parts = [*listed(schema.get("allOf"))]
        parts += [resolve(self.root, schema[key]) for key in REFERENCES if key in schema]
        if "if" in schema:
            branch = "then" if self.fits(value, schema["if"], level) else "else"
            parts.append(schema.get(branch, True))
        some, one = listed(schema.get("anyOf")), listed(schema.get("oneOf"))
        return (
            all(self.fits(value, part, level) for part in parts)
            and (not some or any(self.fits(value, part, level) for part in some))
            and (not one or sum(self.fits(value, part, level) for part in one) == 1)
            and ("not" not in schema or not self.fits(value, schema["not"], level))
        )

    def fits_array(self, value: list[Any], schema: Json, level: int) -> bool:
        """Whether a list has the length and the items that a schema asks for."""
        first, rest = item_schemas(schema)
        if schema.get("uniqueItems") is True and any(
            same(item, other) for index, item in enumerate(value) for other in value[:index]
        ):
            return False
        if "contains" in schema:
            found = sum(self.fits(item, schema["contains"], level) for item in value)
            least = schema.get("minContains", 1)
            limits: Json = {"least": least, "most": schema.get("maxContains")}
            if not within(found, limits, "least", "most"):
                return False
        return within(len(value), schema, "minItems", "maxItems") and all(
            self.fits(item, first[index] if index < len(first) else rest, level)
            for index, item in enumerate(value)
        )

    def fits_object(self, value: Json, schema: Json, level: int) -> bool:
        """Whether an object has the properties that a schema asks for."""
        needed = [*listed(schema.get("required"))]
        parts: list[Any] = []
        for key in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, dependent in named(schema.get(key)).items():
                if name in value:
                    needed += listed(dependent)
                    parts += [] if is_list(dependent) else [dependent]
        return (
            within(len(value), schema, "minProperties", "maxProperties")
            and all(name in value for name in needed)
            and all(self.fits(value, part, level) for part in parts)
            and all(self.fits(name, schema.get("propertyNames", True), level) for name in value)
            and all(
                self.fits(inner, part, level)
                for name, inner in value.items()
                for part in property_schemas(schema, name)
            )
        )


def within(size: int, schema: Json, low: str, high: str) -> bool:
    """Whether a size keeps two bounds, either of which may be missing."""
    least, most = number(schema, low), number(schema, high)
    return (least is None or size >= least) and (most is None or size <= most)


def fits_number(value: float, schema: Json) -> bool:
    """Whether a number keeps its bounds and is a multiple of what it must be."""
    low, low_open, high, high_open = bounds(schema)
    if low is not None and (value < low or (low_open and value == low)):
        return False
    if high is not None and (value > high or (high_open and value == high)):
        return False
    step = number(schema, "multipleOf")
    if step is None or step <= 0:
        return True
    # Validators divide floats, by which 0.07 is no multiple of 0.01; exact ones find that 0.3 is
    # none of 0.1. A value has to please both.
    if isinstance(step, float):
        quotient = value / step
        return math.isfinite(quotient) and quotient == int(quotient)
    return bool(Fraction(value) % step == 0)


def bounds(schema: Json) -> tuple[Any, bool, Any, bool]:
    """Return the lower bound and whether it is exclusive, and the same of the upper one."""
    found: list[Any] = []
    for plain, exclusive, pick in (
        ("minimum", "exclusiveMinimum", max),
        ("maximum", "exclusiveMaximum", min),
    ):
        bound, other = number(schema, plain), number(schema, exclusive)
        # Draft 4 has a boolean there, which makes the plain bound exclusive.
        is_open = schema.get(exclusive) is True
        if other is not None and (bound is None or pick(bound, other) == other):
            bound, is_open = other, True
        found += [bound, is_open]
    return found[0], found[1], found[2], found[3]


def fits_string(value: str, schema: Json) -> bool:
    """Whether a text keeps its length and its pattern."""
    if not within(len(value), schema, "minLength", "maxLength"):
        return False
    return "pattern" not in schema or matches(schema["pattern"], value)


def item_schemas(schema: Json) -> tuple[list[Any], Any]:
    """Return the schemas of the first items and the one of all others."""
    if is_list(schema.get("items")):  # until draft 2019-09
        return listed(schema["items"]), schema.get("additionalItems", True)
    return listed(schema.get("prefixItems")), schema.get("items", True)


def property_schemas(schema: Json, name: str) -> list[Any]:
    """Return every schema that concerns the property of this name."""
    properties, patterns = named(schema.get("properties")), named(schema.get("patternProperties"))
    found = [properties[name]] if name in properties else []
    found += [part for pattern, part in patterns.items() if matches(pattern, name)]
    return found or [schema.get("additionalProperties", True)]
