"""A JSON Schema as a type, by which what a model has written is read."""

from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Annotated, Any, Final, Literal, NotRequired, Required, TypedDict, Union

import msgspec

__all__ = ["type_from"]

_SCALARS: Final[Mapping[str, tuple[Any, ...]]] = {
    "boolean": (bool,),
    "integer": (int,),
    "null": (NoneType,),
    "number": (int, float),
    "string": (str,),
}
_LIMITS: Final = {
    "minItems": "min_length",
    "maxItems": "max_length",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_NUMBERS: Final = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_LIMITED: Final[Mapping[str, set[str]]] = {
    "array": {"minItems", "maxItems"},
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "string": {"minLength", "maxLength", "pattern"},
}

# Used at run time, of which no checker has to know.
_typed_dict: Final[Any] = TypedDict
_union: Final[Any] = Union


def type_from(schema: Mapping[str, Any]) -> Any:
    """Return the type of the values that fit a JSON Schema without references.

    Objects are dicts of the properties that are named. What no type can say, such as a choice
    between two kinds of objects, is fitted by any value.

    Raises TypeError, ValueError or KeyError for what is no JSON Schema.
    """
    if "enum" in schema or "const" in schema:
        choices = [schema["const"]] if "const" in schema else schema["enum"]
        # Other values than these cannot be literals.
        plain = all(each is None or type(each) in {str, int} for each in choices)
        return Literal[tuple(choices)] if choices and plain else Any
    # Whether one or several of them fit makes no difference to what is read.
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _either(type_from(each) for each in schema[word])
    words = schema.get("type", "object" if "properties" in schema else [])
    return _either(_one(word, schema) for word in ([words] if isinstance(words, str) else words))


def _one(word: str, schema: Mapping[str, Any]) -> Any:
    """Return the type of values of one kind."""
    kinds: tuple[Any, ...]
    if word == "object":
        required = schema.get("required", [])
        members = dict.fromkeys(required, Any) | {
            name: type_from(each) for name, each in schema.get("properties", {}).items()
        }
        # A dictionary that is checked: a class of its own would be nobody's.
        fields = {
            name: Required[each] if name in required else NotRequired[each]
            for name, each in members.items()
        }
        kinds = (_typed_dict("Object", fields) if fields else dict[str, Any],)
    elif word == "array":
        kinds = (list[type_from(schema.get("items", {}))],)  # type: ignore[misc]
    else:
        kinds = _SCALARS[word]
    limits = {_LIMITS[name]: schema[name] for name in _LIMITED.get(word, set()) & schema.keys()}
    # Of each one by itself: those of a union would not count.
    return _union[
        tuple(Annotated[kind, msgspec.Meta(**limits)] if limits else kind for kind in kinds)
    ]


def _either(kinds: Iterable[Any]) -> Any:
    """Return the union of types, where values tell which one they are of."""
    given = tuple(kinds)
    if not given:
        return Any
    union = _union[given]
    # Two kinds of objects or of lists are told apart by no decoder.
    try:
        msgspec.json.Decoder(union)
    except TypeError:
        return Any
    return union
