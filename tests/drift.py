"""Compare the models with the published OpenAPI document: `python -m tests.drift openapi.json`.

The command rewrites tests/fields.json, a table of bare facts: the fields of each operation, their
JSON types, and whether they are required. The test beside this file compares the models with it.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from zai_async._wire import Operation
from zai_async.models import UploadParams

TABLE = Path(__file__).with_name("fields.json")

Facts = dict[str, dict[str, dict[str, str]]]
"""Operation, then request, response or event, then field: "string|array, required"."""

_DIRECTIONS = {"application/json": "response", "text/event-stream": "event"}
_OURS = get_type_hints(UploadParams)  # keywords that are not sent
_SCALARS = {str: "string", bool: "boolean", int: "number", float: "number", NoneType: "null"}


# --- from the document to the table ---------------------------------------------------------


def facts(document: Any) -> Facts:
    """Return the table of a document."""
    table: Facts = defaultdict(dict)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for direction, schema in _schemas(operation):
                fields = _rows(_Schemas(document), [schema])
                table[f"{method.upper()} {path}"][direction] = dict(sorted(fields))
    return dict(table)


def _schemas(operation: Any) -> Iterator[tuple[str, Any]]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield "request", content["schema"]
    for media_type, content in operation["responses"]["200"]["content"].items():
        yield _DIRECTIONS[media_type], content["schema"]


class _Schemas:
    """Look through references and alternatives of a document."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def plain(self, schemas: Iterable[Any]) -> list[Any]:
        """Return all plain schemas that a value may follow; parts of one object are joined."""
        return [plain for schema in schemas for plain in self._plain(schema)]

    def _plain(self, schema: Any) -> list[Any]:
        if "$ref" in schema:
            return self._plain(self._resolve(schema["$ref"]))
        if alternatives := schema.get("oneOf") or schema.get("anyOf"):
            return self.plain(alternatives)
        return [_joined(self.plain(schema["allOf"]))] if "allOf" in schema else [schema]

    def _resolve(self, reference: str) -> Any:
        found = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found


def _joined(parts: list[Any]) -> Any:
    properties = {name: each for part in parts for name, each in part["properties"].items()}
    required = [name for part in parts for name in part.get("required", [])]
    return {"type": "object", "properties": properties, "required": required}


def _rows(schemas: _Schemas, values: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field below these values with its types."""
    variants = schemas.plain(values)
    if items := [each["items"] for each in variants if "items" in each]:
        yield from _rows(schemas, items, f"{prefix}[]")
    objects = [each for each in variants if each.get("properties")]
    for name in dict.fromkeys(name for each in objects for name in each["properties"]):
        found = [each["properties"][name] for each in objects if name in each["properties"]]
        needed = all(name in each.get("required", []) for each in objects)
        field = f"{prefix}.{name}".removeprefix(".")
        yield field, _fact(schemas.plain(found), required=needed)
        yield from _rows(schemas, found, field)


def _fact(variants: list[Any], *, required: bool) -> str:
    kinds = {each.get("type", "any").replace("integer", "number") for each in variants}
    return "|".join(sorted(kinds)) + (", required" if required else "")


# --- from the models to the differences -----------------------------------------------------


def differences(table: Facts, rows: Iterable[Operation[Any]]) -> set[tuple[str, str, str, str]]:
    """Return (operation, direction, field, what is different) for all that is."""
    rows = list(rows)
    found = set()
    for operation, directions in table.items():
        of_it = [row for row in rows if f"{row.method} /{row.path}" == operation]
        for direction, fields in directions.items():
            kinds = _kinds(of_it, direction)
            known = {*_missing(kinds, fields), *_mistyped(kinds, fields)}
            if direction == "request":
                known |= {*_unlisted(kinds, fields), *_requirements(kinds, fields)}
            found |= {(operation, direction, *each) for each in known}
    return found


def _kinds(rows: Sequence[Operation[Any]], direction: str) -> list[Any]:
    if direction == "request":
        return list({row.params for row in rows})
    return [row.result for row in rows if row.stream == (direction == "event")]


def _missing(kinds: list[Any], fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    missing = [field for field in fields if not annotations(kinds, field)]
    for field in missing:
        # What a missing object holds is missing too; once is enough to say.
        if not any(field.startswith((f"{other}.", f"{other}[]")) for other in missing):
            yield field, "missing"


def _mistyped(kinds: list[Any], fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for field, fact in fields.items():
        found = annotations(kinds, field)
        theirs = set(fact.removesuffix(", required").split("|")) - {"any"}
        ours = {kind for each in found for kind in json_types(each)}
        if found and "any" not in ours and not theirs <= ours:
            yield field, f"{'|'.join(sorted(ours))}, not {'|'.join(sorted(theirs))}"


def _unlisted(kinds: list[Any], fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in {name for kind in kinds for name in get_type_hints(kind)} - {*fields, *_OURS}:
        yield name, "unlisted"


def _requirements(kinds: list[Any], fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    theirs = {field for field, fact in fields.items() if fact.endswith(", required")}
    ours = {name for kind in kinds for name in kind.__required_keys__}
    plain = {field for field in theirs if not {".", "["} & set(field)}
    yield from ((name, "optional here") for name in plain - ours)
    yield from ((name, "required here") for name in ours - plain)


def annotations(kinds: Iterable[Any], field: str) -> list[Any]:
    """Return what stands for a field such as ``choices[].message.role`` in any of these types."""
    found = list(kinds)
    for step in field.replace("[]", ".[]").split("."):
        found = [part for kind in found for part in _step(kind, step)]
    return found


def _step(kind: Any, step: str) -> list[Any]:
    """Return the annotations one step below a type; a free mapping holds anything."""
    if get_origin(kind) in {Union, UnionType}:
        members = get_args(kind)
        # A plain dict is accepted beside what is described, and says nothing about fields.
        described = [each for each in members if is_typeddict(each)]
        members = [each for each in members if not described or get_origin(each) is not Mapping]
        return [part for each in members for part in _step(each, step)]
    if kind is Any:
        return [Any]
    if step == "[]":
        return [get_args(kind)[0]] if "array" in json_types(kind) else []
    if get_origin(kind) in {dict, Mapping}:
        return [Any]
    fields = _fields(kind)
    return [fields[step]] if step in fields else []


def _fields(kind: Any) -> dict[str, Any]:
    if is_typeddict(kind):
        return get_type_hints(kind)
    if not hasattr(get_origin(kind) or kind, "__struct_fields__"):
        return {}
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def json_types(kind: Any) -> set[str]:
    """Return the JSON types that an annotation allows, with "any" where it allows all."""
    origin = get_origin(kind) or kind
    if kind is Any:
        return {"any"}
    if origin is Annotated:
        return json_types(get_args(kind)[0])
    if origin in {Union, UnionType}:
        return {each for part in get_args(kind) for each in json_types(part)}
    if origin is Literal:
        return {_SCALARS[type(value)] for value in get_args(kind)}
    if origin in {list, Sequence}:
        return {"array"}
    return {_SCALARS.get(origin, "object")}


def main(document: str, table: str | Path = TABLE) -> None:
    """Write the table of a document."""
    found = facts(json.loads(Path(document).read_bytes()))
    Path(table).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
