"""The table of routes: what the emulator reads and answers under which path."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields

from zai_async.testing.emulator.reply import DONE, STREAM_TYPE, PlannedReply, Refusal, frame
from zai_async.testing.emulator.requests import Json, RecordedRequest, is_object

_S = TypeVar("_S", bound=Struct)

Access = Literal["bearer", "key", "open"]
UserId = Annotated[str, Meta(min_length=6, max_length=128)]
"""What every operation takes as ``user_id``."""


def read_body(body: bytes, shape: type[_S]) -> _S:
    """Decode a JSON body, raise ``Refusal`` with 1210, 1213 or 1214 when it does not fit."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("1210", f"The request body is not JSON: {error}") from error
    if is_object(document):
        # Where a field may be left out it may be null: the official clients send one for each
        # that is not set.
        optional = optional_fields(shape)
        document = {
            name: value
            for name, value in document.items()
            if value is not None or name not in optional
        }
    return _converted(document, shape, strict=True)


@cache
def optional_fields(shape: type[Struct]) -> frozenset[str]:
    """Return the names of the fields that may be left out."""
    return frozenset(field.encode_name for field in fields(shape) if not field.required)


def read_fields(texts: Mapping[str, Any], shape: type[_S]) -> _S:
    """Convert the fields of a form or a query, where everything is text; as ``read_body``.

    An empty text counts as left out.
    """
    # Form fields that are empty come from clients that send every field they know.
    given = {name: text for name, text in texts.items() if text != ""}
    return _converted(given, shape, strict=False)


def _converted(document: object, shape: type[_S], *, strict: bool) -> _S:
    """Choose the code: missing is 1213, wrong in the conversation 1214, in a setting 1210."""
    try:
        return msgspec.convert(document, shape, strict=strict)
    except msgspec.ValidationError as error:
        # msgspec's messages name the place as a path, which is what decides about the code.
        problem = str(error)
        if problem.startswith("Object missing required field"):
            raise Refusal("1213", f"A parameter was not received: {problem}") from error
        if "`$.messages" in problem or "`$.model" in problem:
            raise Refusal("1214", f"A parameter is not valid: {problem}") from error
        raise Refusal("1210", f"API parameters are wrong: {problem}") from error


def require(legal: bool, problem: str, code: str = "1210") -> None:
    """Raise ``Refusal`` unless a condition holds."""
    if not legal:
        raise Refusal(code, problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCall:
    """One request for an operation: the record, parameters of its path, the reply's id.

    ``answer_as`` comes from a fault: it overrules what the request says about streaming.
    """

    request: RecordedRequest
    id: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    answer_as: Literal["json", "stream"] | None = None
    origin: str = ""

    def read(self, shape: type[_S]) -> _S:
        """Decode the JSON body, ``Refusal`` when it does not fit."""
        return self._overruled(read_body(self.request.body, shape))

    def read_form(self, shape: type[_S]) -> _S:
        """Convert the text parts of the multipart body, ``Refusal`` when they do not fit."""
        return self._overruled(read_fields(self.request.form.fields, shape))

    def read_query(self, shape: type[_S]) -> _S:
        """Convert the query, ``Refusal`` when it does not fit."""
        return read_fields(self.request.query, shape)

    def _overruled(self, request: _S) -> _S:
        if self.answer_as is not None and hasattr(request, "stream"):
            setattr(request, "stream", self.answer_as == "stream")  # noqa: B010 - typed as any struct
        return request

    def stamp(self, request_id: str | None) -> Json:
        """Return the three fields that most answers begin with."""
        return {"id": self.id, "created": int(time.time()), "request_id": request_id or self.id}

    def reply(self, document: Any, latency: float = 0.0) -> PlannedReply:
        """Answer with a JSON document."""
        body = msgspec.json.encode(document)
        return PlannedReply(pieces=(body,), log_id=self.id, latency=latency)

    def stream(
        self, documents: Iterable[Any], latency: float = 0.0, pause: float = 0.0
    ) -> PlannedReply:
        """Answer with events and ``[DONE]``."""
        # Documented for chats; other streams end like this here, too, since clients accept both
        # ends.
        return PlannedReply(
            pieces=(*map(frame, documents), DONE),
            log_id=self.id,
            content_type=STREAM_TYPE,
            latency=latency,
            pause=pause,
        )

    def data(self, body: bytes, content_type: str) -> PlannedReply:
        """Answer with bytes."""
        return PlannedReply(pieces=(body,), log_id=self.id, content_type=content_type)

    def link(self, path: str) -> str:
        """Return the address of something that this emulator serves."""
        # A client behind a forwarded port reaches the file by the name that it used itself;
        # HTTP/1.0 requests need not name a host (RFC 9112, 3.2).
        host = self.request.headers.get("Host")
        return f"http://{host}/{path}" if host else f"{self.origin}/{path}"


def error(call: OperationCall, refusal: Refusal) -> PlannedReply:
    """Answer with the usual shape of an error."""
    return refusal.reply(call.id)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation; ``path`` is relative to the root and may hold ``{parameters}``.

    A path with a leading slash is absolute. ``access`` says what ``Authorization`` must hold:
    ``"bearer"`` and the key, the ``"key"`` with or without that word, or anything (``"open"``).
    ``refused`` words its errors.
    """

    name: str
    method: str
    path: str
    answer: Callable[[OperationCall], PlannedReply]
    access: Access = "bearer"
    refused: Callable[[OperationCall, Refusal], PlannedReply] = error

    @property
    def absolute_path(self) -> str:
        """The path from the root of the server."""
        return self.path if self.path.startswith("/") else f"/api/{self.path}"


class RouteTable:
    """Find the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._patterns = [
            re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.absolute_path))
            for route in self.routes
        ]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route and the parameters in its path, or ``None``."""
        for route, pattern in zip(self.routes, self._patterns, strict=True):
            match = pattern.fullmatch(path)
            if match is not None and route.method == method:
                return route, match.groupdict()
        return None
