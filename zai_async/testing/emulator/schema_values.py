"""Values for a JSON schema: arguments of tool calls, structured answers.

Candidates are written from what a schema says, most natural first, and the first one that a check
finds right is taken. Work is bounded: a schema that asks for a million items is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import Any

from zai_async.testing.emulator.requests import Json, is_object
from zai_async.testing.emulator.scalar_values import MAX_WORK, SchemaError, numbers, strings
from zai_async.testing.emulator.schema_check import (
    MAX_LEVEL,
    REFERENCES,
    SchemaCheck,
    item_schemas,
    listed,
    named,
    number,
    property_schemas,
    resolve,
    same,
)

_FULL_LEVEL = 6  # a schema may contain itself; deeper down only what is required is written
_FIRST = 10  # candidates of one way to satisfy a schema before the next way is tried
_COMBINATIONS = 300
_CANDIDATES = 100  # that may fail one after the other
_KEYWORDS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def sample(schema: Any, *, name: str = "") -> Any:
    """Build a value that satisfies the schema, the same one each time.

    ``name`` is the property's own name, which hints at what a string may hold.

    Raises:
        SchemaError: It asks for too much, or refers to itself without an end.
    """
    sampler = _Sampler(schema)
    try:
        return sampler.value(schema, name, 0)
    except RecursionError as error:
        raise SchemaError("the schema is nested too deeply") from error


class _Sampler:
    """Walk one schema; references are looked up in its root."""

    def __init__(self, root: Any) -> None:
        self._check = SchemaCheck(root)
        self._work = 0

    def value(self, schema: Any, name: str, level: int) -> Any:
        """Return the first candidate that fits, the first of all when none does."""
        found = next(self._fitting(schema, name, level), _NOTHING)
        if found is _NOTHING:
            raise SchemaError("no value satisfies the schema")
        return found

    def _fitting(self, schema: Any, name: str, level: int) -> Iterator[Any]:
        """Yield the candidates that fit; the first of all where none does."""
        first, failed = _NOTHING, 0
        for candidate in self._candidates(schema, name, level):
            if self._check.fits(candidate, schema):
                first, failed = None, 0
                yield candidate
                continue
            first = candidate if first is _NOTHING else first
            failed += 1
            if failed > _CANDIDATES:
                break
        if failed and first is not None:
            # What no candidate fits is rather beyond this module than impossible.
            yield first

    def _is_deep(self, level: int) -> bool:
        # A type with eight properties of its own type would be large long before it is deep.
        return level >= _FULL_LEVEL or self._work > MAX_WORK // 4

    def _charge(self, work: int = 1) -> None:
        self._work += work
        if self._work > MAX_WORK:
            raise SchemaError(f"the schema asks for more than {MAX_WORK} values")

    def _candidates(self, schema: Any, name: str, level: int) -> Iterator[Any]:
        """Yield some candidates of each way to satisfy a schema, then the others in turn."""
        sources: list[Iterator[Any]] = []
        for flat in self._flattened(schema, level):
            self._charge()
            for one in by_type(flat):
                source = self._written(one, name, level)
                sources.append(source)
                yield from islice(source, _FIRST)
        while sources:
            for source in list(sources):
                self._charge()
                candidate = next(source, _NOTHING)
                if candidate is _NOTHING:
                    sources.remove(source)
                else:
                    yield candidate

    def _written(self, flat: Json, name: str, level: int) -> Iterator[Any]:
        # None is a value here: it must not be mistaken for a keyword that is missing.
        if "const" in flat:
            yield flat["const"]
            return
        if flat.get("default") is not None:
            yield flat["default"]
        if "enum" in flat:
            yield from listed(flat["enum"])
            return
        yield from listed(flat.get("examples"))
        yield from self._typed(flat, name, level)

    # What a schema says in several places, said in one

    def _flattened(self, schema: Any, level: int) -> Iterator[Json]:
        """Yield schemas without references and combinations, one for each way to satisfy them."""
        if not is_object(schema):
            if schema is not False:
                yield {}
            return
        if level > MAX_LEVEL:
            return  # it refers to itself without an end; another way may end
        self._charge()
        own = {key: part for key, part in schema.items() if key not in _COMBINING}
        conditions: list[list[Any]] = [[part] for part in listed(schema.get("allOf"))]
        conditions += [
            [resolve(self._check.root, schema[key])] for key in REFERENCES if key in schema
        ]
        for key in ("anyOf", "oneOf"):
            if parts := listed(schema.get(key)):
                # Null is nobody's first wish; what refers to something may do so for ever.
                deep = self._is_deep(level)
                conditions.append(sorted(parts, key=lambda part: reluctance(part, deep=deep)))
        for key in ("dependentSchemas", "dependencies"):
            for part in named(schema.get(key)).values():
                # Satisfied whether or not the property comes that asks for it, else without it.
                if is_object(part):
                    conditions.append([part, {}])
        if "if" in schema:
            then = {"allOf": [schema["if"], schema.get("then", {})]}
            conditions.append([then, schema.get("else", {})])
        yield from self._combined(own, conditions, level)

    def _combined(self, own: Json, conditions: list[list[Any]], level: int) -> Iterator[Json]:
        if not conditions:
            yield own
            return
        for part in conditions[0]:
            for flat in self._flattened(part, level + 1):
                yield from self._combined(merged(own, flat), conditions[1:], level)

    # Values by type

    def _typed(self, flat: Json, name: str, level: int) -> Iterator[Any]:
        match flat["type"]:
            case "object":
                yield from self._objects(flat, level)
            case "array":
                yield from self._arrays(flat, name, level)
            case "integer" | "number" as kind:
                yield from numbers(flat, whole=kind == "integer")
            case "boolean":
                yield from (True, False)
            case "null":
                yield None
            case _:
                if "contentSchema" in flat:  # JSON inside of a text
                    inner = self._fitting(flat["contentSchema"], name, level + 1)
                    yield from (json.dumps(value) for value in inner)
                for text in strings(flat, name):
                    self._charge(1 + len(text) // 100)
                    yield text

    def _objects(self, flat: Json, level: int) -> Iterator[Json]:
        required = list(dict.fromkeys(map(str, listed(flat.get("required")))))
        properties = named(flat.get("properties"))
        least, most = int(number(flat, "minProperties") or 0), number(flat, "maxProperties")
        self._charge(max(least, len(required)))

        # In the order of the schema, which is the order in which a model would write.
        names = list(dict.fromkeys([*properties, *required]))
        for part in named(flat.get("dependentRequired") or flat.get("dependencies")).values():
            names += [str(name) for name in listed(part) if name not in names]
        if self._is_deep(level):
            names = required
        elif most is not None and len(names) > most:
            room = max(0, int(most) - len(required))
            optional = [name for name in names if name not in required][:room]
            names = [name for name in names if name in required or name in optional]
        names += self._more_names(flat, least - len(names), names)

        whole = self._object(flat, names, required, level)
        if whole is None:
            return
        yield whole
        # With less: what forbids some property, or a number of them, fits then.
        bare = self._object(flat, required, required, level)
        if bare is not None and len(bare) < len(whole):
            yield bare
        # For lists of unique objects, and for what depends on one property's value.
        sources = [self._property(flat, name, level) for name in whole]
        yield from (dict(zip(whole, values, strict=True)) for values in combinations(sources))

    def _object(
        self, flat: Json, names: Iterable[str], required: list[str], level: int
    ) -> Json | None:
        """Write an object, ``None`` when a required property has no value."""
        result: Json = {}
        for name in names:
            found = next(self._property(flat, name, level), _NOTHING)
            if found is not _NOTHING:
                result[name] = found
            elif name in required:
                return None
        return result

    def _property(self, flat: Json, name: str, level: int) -> Iterator[Any]:
        return self._fitting(_all_of(property_schemas(flat, name)), name, level + 1)

    def _more_names(self, flat: Json, missing: int, taken: list[str]) -> list[str]:
        """Invent names of properties, which may have to match a pattern."""
        if missing <= 0:
            return []
        patterns = [*named(flat.get("patternProperties"))]
        schema: Json = {"type": "string", **named(flat.get("propertyNames"))}
        if patterns and flat.get("additionalProperties", False) is False:
            schema.setdefault("pattern", patterns[0])
        found: list[str] = []
        for name in islice(self._fitting(schema, "key", 0), 10 * (missing + len(taken))):
            if name not in taken and name not in found:
                found.append(name)
            if len(found) == missing:
                break
        return found

    def _arrays(self, flat: Json, name: str, level: int) -> Iterator[list[Any]]:
        first, rest = item_schemas(flat)
        least, most = int(number(flat, "minItems") or 0), number(flat, "maxItems")
        contained = int(number(flat, "minContains") or 1) if "contains" in flat else 0
        size = max(least, len(first) + contained, 0 if self._is_deep(level) else 1)
        if rest is False:
            size = max(least, len(first))
        if most is not None:
            size = min(size, int(most))
        self._charge(size)

        # Tuples come first; what `contains` asks for stands at the end, where no tuple reaches.
        items: list[Any] = []
        unique = flat.get("uniqueItems") is True
        for index in range(size):
            part = first[index] if index < len(first) else rest
            if index >= size - contained:
                part = _all_of([part, flat["contains"]])
            elif "maxContains" in flat:
                part = _all_of([part, {"not": flat["contains"]}])
            if not unique and len(first) < index < size - contained:
                items.append(items[-1])  # the same again, without the work
                continue
            seen = items if unique else ()
            different = (
                item
                for item in self._fitting(part, name, level + 1)
                if not any(same(item, other) for other in seen)
            )
            found = next(different, _NOTHING)
            if found is _NOTHING:
                break
            items.append(found)
        yield items
        yield items[:least]
        # For lists of unique lists.
        parts = [*first, *[rest] * size][: len(items)]
        sources = [self._fitting(part, name, level + 1) for part in parts]
        yield from (list(values) for values in combinations(sources))


_NOTHING = object()
_COMBINING = frozenset({"allOf", "anyOf", "oneOf", "if", "then", "else", *REFERENCES})


def combinations(sources: list[Iterator[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield values of all sources together, each time with another one."""
    # Few of each and few in all: a list of unique items asks for one after the other.
    values = [list(islice(source, _FIRST)) for source in sources]
    yield from islice(product(*values), 1, _COMBINATIONS)


def by_type(flat: Json) -> Iterator[Json]:
    """Yield a schema once for each type that it allows, null last."""
    given = flat.get("type")
    kinds: list[str] = [given] if isinstance(given, str) else listed(given)
    if not kinds:
        # Without a type the keywords tell; where there are none, anything goes.
        guessed = (kind for kind, keys in _KEYWORDS.items() if any(key in flat for key in keys))
        kinds = [next(guessed, "string")]
    for kind in sorted(kinds, key=lambda kind: kind == "null"):
        yield flat | {"type": kind}


def reluctance(part: Any, *, deep: bool) -> int:
    """Return how late a way to satisfy a schema should be tried."""
    if part == {"type": "null"}:
        return 0 if deep else 2
    return int(deep and is_object(part) and any(key in part for key in REFERENCES))


def merged(a: Json, b: Json) -> Json:
    """Return one schema that says what both say."""
    # What only one of them says holds for both.
    result = a | b
    for key in a.keys() & b.keys():
        result[key] = narrowed(key, a[key], b[key])
    if "properties" in result:
        # Each side's own rule for other properties concerns what only the other side names.
        result["properties"] = {
            name: _all_of(property_schemas(a, name) + property_schemas(b, name))
            for name in dict.fromkeys([*named(a.get("properties")), *named(b.get("properties"))])
        }
    return result


def _all_of(parts: list[Any]) -> Any:
    if False in parts:
        return False
    parts = [part for part in parts if part is not True]
    return parts[0] if len(parts) == 1 else {"allOf": parts}


def narrowed(key: str, a: Any, b: Any) -> Any:
    """Return what one keyword says when it says two things."""
    match key:
        case "minimum" | "minLength" | "minItems" | "minProperties":
            both: Any = max(a, b)
        case "maximum" | "maxLength" | "maxItems" | "maxProperties":
            both = min(a, b)
        case "type":
            kinds = [[kind] if isinstance(kind, str) else listed(kind) for kind in (a, b)]
            both = [kind for kind in kinds[0] if kind in kinds[1]]
            # Nothing in common: the narrower of the two numbers, or a contradiction.
            both = both or (["integer"] if "integer" in kinds[0] + kinds[1] else kinds[1])
        case "enum":
            both = [one for one in listed(a) if any(same(one, other) for other in listed(b))]
        case "pattern":
            # For the writer of texts: what both match stands in one of them, or in both.
            both = f"(?=(?:{a}))(?:{b})"
        case "required":
            both = list(dict.fromkeys([*listed(a), *listed(b)]))
        case "items" | "additionalProperties" | "contains" if not isinstance(a, list):
            both = _all_of([a, b])
        case _:
            both = b
    return both
