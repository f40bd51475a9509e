"""Operations that nobody has written an answer for: made from the table of operations.

A new operation can be tried as soon as it has a row in that table. The answer has every field of
its type, filled by what the field is called and annotated; it says nothing that makes sense.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec.structs import fields

from zai_async import _operations
from zai_async._wire import Operation
from zai_async.testing.emulator.operation import OperationCall, Route, require
from zai_async.testing.emulator.reply import PlannedReply, Refusal

_DEEPEST = 4
_SCALARS: dict[Any, Any] = {str: "text", int: 1, float: 0.5, bool: True}


def unscripted(scripted: Iterable[Route]) -> list[Route]:
    """Return a route for every operation of the table that has none."""
    taken = {(route.method, _shape(route.path)) for route in scripted}
    found: dict[tuple[str, str], Route] = {}
    rows: list[Operation[Any]] = [
        row for row in vars(_operations).values() if isinstance(row, Operation)
    ]
    for row in rows:
        if not row.stream:
            place = (row.method, _shape(row.path))
            if place not in taken:
                found[place] = Route(row.name, row.method, row.path, _answering(row))
    return [*found.values()]


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path.removeprefix("/api/"))


def _answering(row: Operation[Any]) -> Any:
    def answer(call: OperationCall) -> PlannedReply:
        sent: Any = call.parameters
        if row.upload is not None:
            sent = {**sent, **call.request.form.fields, "file": b""}
        elif row.has_body:
            try:
                sent = msgspec.json.decode(call.request.body or b"{}", type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise Refusal("1210", "The request body is not a JSON object") from None
        else:
            sent = {**sent, **call.request.query}
        for name in sorted(row.required):
            require(name in sent, f"A parameter was not received: {name}", code="1213")
        if row.result is bytes:
            return call.data(b"bytes", "application/octet-stream")
        # Every operation answers with an object, which the table is checked for.
        document: dict[str, Any] = sample_of(row.result)
        return call.reply({**document, "id": call.id, "request_id": call.id})

    return answer


def sample_of(kind: Any, depth: int = 0) -> Any:
    """Return plain data that a type can be read from, with every field filled."""
    origin, parts = get_origin(kind), get_args(kind)
    found: Any = _SCALARS.get(kind)
    if origin is Literal:
        found = parts[0]
    elif origin is list:
        # A type may contain its like.
        found = [sample_of(parts[0], depth + 1)] if depth < _DEEPEST else []
    elif origin is dict:
        found = {}
    elif hasattr(origin or kind, "__struct_fields__"):
        found = {each.encode_name: sample_of(each.type, depth + 1) for each in fields(kind)}
    elif parts:
        # Of a union, its first member is what is meant to be there; the rest of Annotated is facts.
        found = sample_of(parts[0], depth)
    return found
