"""JSON Schema of types, in the form that a model is shown: no references, nothing to look up."""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

__all__ = ["inlined", "is_pydantic", "schema_of"]

_REFERENCE: Final = "#/$defs/"
# What stands below these is data or a name, whatever it is called: no schema.
_DATA: Final = frozenset({"const", "default", "enum", "examples", "required"})
_NAMED: Final = frozenset({"properties", "patternProperties"})
# Titles repeat names; a mapping of tags leads to definitions that are not there any more.
_DROPPED: Final = frozenset({"$defs", "$ref", "discriminator", "title"})


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema of a type with all definitions inlined.

    Structs, dataclasses, TypedDicts, unions, collections and enums are read by msgspec; pydantic's
    models write their own schema, also inside of others.

    Raises:
        TypeError: The type has no schema, or one that refers to itself.
    """
    (top,), definitions = msgspec.json.schema_components([kind], schema_hook=_foreign_schema)
    return inlined(top, definitions)


def inlined(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema with a copy of a definition in place of each reference to it.

    Raises TypeError for one that refers to itself, and KeyError for a definition that is missing.
    """
    whole: dict[str, Any] = _inlined({**schema}, definitions, ())
    return whole


def is_pydantic(kind: Any) -> bool:
    """Tell whether a type is a model of pydantic, which is never imported here."""
    return isinstance(kind, type) and hasattr(kind, "__pydantic_core_schema__")


def _foreign_schema(kind: Any) -> dict[str, Any]:
    if not is_pydantic(kind):
        name = getattr(kind, "__qualname__", repr(kind))
        raise TypeError(f"{name} has no JSON Schema")
    schema: dict[str, Any] = kind.model_json_schema()
    return schema


def _inlined(node: object, definitions: Mapping[str, Any], inside: tuple[int, ...]) -> Any:
    if isinstance(node, list):
        items = cast("list[object]", node)
        return [_inlined(each, definitions, inside) for each in items]
    if not isinstance(node, dict):
        return node
    schema = cast("dict[str, Any]", node)
    # Those of pydantic come with each schema, and mean no others of the same name.
    definitions = {**definitions, **schema.get("$defs", {})}
    result: dict[str, Any] = {}
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        definition = definitions[name]
        if id(definition) in inside:
            text = f"{name} refers to itself, and functions have no place for definitions"
            raise TypeError(text)
        result = _inlined(definition, definitions, (*inside, id(definition)))
    for key, value in schema.items():
        if key in _DATA:
            result[key] = value
        elif key in _NAMED:
            result[key] = {
                name: _inlined(each, definitions, inside) for name, each in value.items()
            }
        elif key not in _DROPPED:
            result[key] = _inlined(value, definitions, inside)
    return result
