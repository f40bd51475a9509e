"""The table of operations: what the emulator answers under which path."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from zai_async.testing._json import Json
from zai_async.testing._keys import Access
from zai_async.testing._ledger import RecordedRequest
from zai_async.testing._reading import read_body, read_fields
from zai_async.testing._refusal import Refusal
from zai_async.testing._reply import DONE, STREAM_TYPE, Reply, frame

_S = TypeVar("_S", bound=Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Hold one request for an operation: the record, parameters of its path, the reply's id."""

    request: RecordedRequest
    id: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    def read(self, shape: type[_S]) -> _S:
        """Decode the JSON body, ``Refusal`` when it does not fit."""
        return read_body(self.request.body, shape)

    def read_form(self, shape: type[_S]) -> _S:
        """Convert the text parts of the multipart body, ``Refusal`` when they do not fit."""
        return read_fields(self.request.form.fields, shape)

    def read_query(self, shape: type[_S]) -> _S:
        """Convert the query, ``Refusal`` when it does not fit."""
        return read_fields(self.request.query, shape)

    def stamp(self, request_id: str | None) -> Json:
        """Give the three fields that most answers begin with."""
        return {"id": self.id, "created": int(time.time()), "request_id": request_id or self.id}

    def reply(self, document: Any, latency: float = 0.0) -> Reply:
        """Answer with a JSON document."""
        body = msgspec.json.encode(document)
        return Reply(pieces=(body,), log_id=self.id, latency=latency)

    def stream(self, documents: Iterable[Any], latency: float = 0.0, pause: float = 0.0) -> Reply:
        """Answer with events and ``[DONE]``."""
        return Reply(
            pieces=(*map(frame, documents), DONE),
            log_id=self.id,
            content_type=STREAM_TYPE,
            latency=latency,
            pause=pause,
        )

    def data(self, body: bytes, content_type: str) -> Reply:
        """Answer with bytes."""
        return Reply(pieces=(body,), log_id=self.id, content_type=content_type)

    def link(self, path: str) -> str:
        """Give the address of something that this emulator serves."""
        return f"http://{self.request.headers['Host']}/{path}"


def error(call: Call, refusal: Refusal) -> Reply:
    """Answer with the usual shape of an error."""
    return Reply(pieces=(refusal.body,), log_id=call.id, status=refusal.status)


@dataclass(frozen=True, slots=True)
class Operation:
    """Name one operation; ``path`` is relative to the root and may hold ``{parameters}``.

    A path with a leading slash is absolute. ``access`` says what ``Authorization`` must hold:
    ``"bearer"`` and the key, the ``"key"`` with or without that word, or anything (``"open"``).
    ``refused`` words its errors.
    """

    name: str
    method: str
    path: str
    answer: Callable[[Call], Reply]
    access: Access = "bearer"
    refused: Callable[[Call, Refusal], Reply] = error


class Table:
    """Find the operation of a request."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._rows = [(_pattern(operation.path), operation) for operation in operations]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Return the operation and the parameters in its path, or ``None``."""
        for pattern, operation in self._rows:
            match = pattern.fullmatch(path)
            if match is not None and operation.method == method:
                return operation, match.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    absolute = path if path.startswith("/") else f"/api/{path}"
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", absolute))
