"""Rows, as people and other tools write them, turned into requests; nothing is read or sent here.

A row is a prompt, ``{"prompt": ...}``, ``{"messages": [...]}``, or a line of an OpenAI batch:
``{"custom_id", "method", "url", "body"}``, of which only ``body`` is needed.
Source of the envelope: https://docs.bigmodel.cn/cn/guide/tools/batch
"""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Any, Final, cast

import msgspec

from zai_async import _operations as ep
from zai_async._wire import Operation
from zai_async.batch.keys import canonical_digest
from zai_async.errors import ConfigurationError
from zai_async.models.encoding import encode
from zai_async.structured import AnswerFormat

__all__ = ["OPERATIONS", "RowFaultError", "RowParser", "RowRequest", "operation_at"]

OPERATIONS: Final[Mapping[str, Operation[Any]]] = {
    each.path.partition("/")[2].removeprefix("v4/"): each
    for each in (
        ep.CHAT,
        ep.EMBEDDINGS,
        ep.IMAGES,
        ep.TRANSCRIPTION,
        ep.MODERATIONS,
        ep.RERANK,
        ep.TOKENIZER,
        ep.LAYOUT,
        ep.SEARCH,
        ep.READER,
        ep.AGENT,
    )
}
"""What a row may ask for, by the end of its url."""
_URL: Final = re.compile(r"(?:https?://[^/?#]+)?(?:/api)?(?:/coding)?(?:/paas)?(?:/v[14])?/(.+)")
_BOM: Final = b"\xef\xbb\xbf"
# Integers of thousands of digits, too, are a ValueError, and so is what cannot be decoded.
_UNREADABLE: Final = (ValueError, RecursionError)
_NO_SCHEMA: Final = "a schema is for the answers of chats"
_ENVELOPE: Final = frozenset({"custom_id", "id", "method", "url", "body"})

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything: Final = msgspec.json.Decoder()
_turns: Final = msgspec.json.Decoder(list[dict[str, Any]])


class RowFaultError(Exception):
    """A row cannot be read; the message says what is wrong with it."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        """The id of the row, if it has one that can be read."""


class RowRequest(msgspec.Struct, kw_only=True, gc=False):
    """What a row asks for."""

    key: str
    """Its id; empty until it has got the hash of what it asks for."""
    operation: Operation[Any]
    model: str
    """What it is counted under: its model, or else its operation."""
    body: bytes
    """The body as it is sent, or the fields of a form."""
    row: Mapping[str, Any] | None = None

    @property
    def hash_key(self) -> str:
        """The key of a row without id.

        Raises:
            RowFaultError: The body holds what nobody can read, such as a number out of range.
        """
        try:
            return f"sha256-{self.digest.hex()}"
        except _UNREADABLE as error:
            raise RowFaultError(f"the row cannot be read: {error}") from None

    @property
    def digest(self) -> bytes:
        """The hash of the request, by which equal ones are known."""
        return canonical_digest(self.operation.path, _anything.decode(self.body))


def operation_at(url: str) -> Operation[Any]:
    """Return the operation that a url of a batch names.

    ``/v1``, ``/v4`` and ``/paas/v4`` in front of it, and a whole address, mean the same.

    Raises:
        RowFaultError: A batch has no such operation.
    """
    found = _URL.fullmatch(url if url.startswith(("/", "http")) else f"/{url}")
    operation = OPERATIONS.get(found[1].rstrip("/")) if found else None
    if operation is None:
        known = ", ".join(sorted(OPERATIONS))
        raise RowFaultError(f"url {url[:100]!r} is none of a batch: {known}")
    return operation


class RowParser:
    """Turns rows into requests, with what the run says about all of them.

    Args:
        model: For rows that name none.
        url: The operation of rows that name none.
        system: A system message for rows of ``prompt`` and ``messages`` that have none.
        template: The prompt, with the columns of a row in braces.
        params: Body fields for rows that do not have them.
        schema: The type of the answers of chats, or a JSON Schema that they are to fit.

    Raises:
        ConfigurationError: An argument is invalid.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        url: str = "/v4/chat/completions",
        system: str | None = None,
        template: str | None = None,
        params: Mapping[str, Any] | None = None,
        schema: Any = None,
    ) -> None:
        try:
            self.operation = operation_at(url)
            self._params = encode(dict(params or {}))
        except RowFaultError as fault:
            raise ConfigurationError(fault.message) from None
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"params: {error}") from None
        if schema is not None and self.operation is not ep.CHAT:
            raise ConfigurationError(f"{_NO_SCHEMA}, not {self.operation.name}")
        self.model = model
        self._system = system
        self._template = None if template is None else _columns_of(template)
        self._defaults = {**_fields.decode(self._params)}
        if model is not None:
            self._defaults["model"] = msgspec.Raw(msgspec.json.encode(model))
        self._texts = template, system
        self.answer_format = None if schema is None else AnswerFormat[Any](schema)
        self._body_fields = self.operation.keywords - {"options", "extra", "on_progress"}
        columns = {column for _, column in self._template or () if column is not None}
        self._columns = self._body_fields | _ENVELOPE | {"messages", "prompt"} | columns

    @property
    def settings(self) -> Mapping[str, Any]:
        """What changes answers, as plain data."""
        template, system = self._texts
        settings: dict[str, Any] = {
            "operation": self.operation.name,
            "model": self.model,
            "system": system,
            "template": template,
            "params": msgspec.Raw(self._params),
        }
        if self.answer_format is not None:
            settings["schema"] = self.answer_format.schema
        return settings

    def parse(self, row: object) -> RowRequest:
        """Return the request of a row: a line of JSON, a mapping, or a prompt.

        Raises:
            RowFaultError: It cannot be read, or asks for nothing that can be sent.
        """
        if isinstance(row, bytes):
            return self._parse_line(row)
        if isinstance(row, str):
            row = {"prompt": row}
        if not isinstance(row, Mapping):
            raise RowFaultError(f"a row must be an object, not {type(row).__name__}")
        mapping = cast("Mapping[str, Any]", row)
        fields: dict[str, msgspec.Raw] = {}
        # Of a table only the columns that are asked for: others may hold what JSON has no form for.
        for name in self._columns & mapping.keys():
            value = mapping[name]
            try:
                if name == "body" and isinstance(value, bytes):
                    value.decode()  # it goes out as it is
                    raw = value
                else:
                    raw = encode(value)
            except (TypeError, ValueError) as error:
                raise RowFaultError(f"{name}: {error}") from None
            fields[name] = msgspec.Raw(raw)
        request = self._request(fields)
        request.row = mapping
        return request

    def _parse_line(self, line: bytes) -> RowRequest:
        if line.startswith(_BOM):
            raise RowFaultError("a byte order mark stands in front of the row")
        try:
            # What is not looked at is not decoded, and would go out as it is.
            line.decode()
            if line.lstrip()[:1] == b'"':
                return self._request({"prompt": msgspec.Raw(line.strip())})
            fields = _fields.decode(line)
        except UnicodeDecodeError as error:
            raise RowFaultError(f"the row is not UTF-8: byte {error.start}") from None
        except _UNREADABLE as error:
            raise RowFaultError(f"the row is no JSON object: {error}") from None
        return self._request(fields)

    def _request(self, fields: dict[str, msgspec.Raw]) -> RowRequest:
        name = None
        try:
            name = _custom_id(fields)
            if "body" in fields:
                return self._of_envelope(name, fields)
            # A row of columns; those that are no field of its operation stay behind.
            operation, known = self.operation, self._body_fields
            given = {key: value for key, value in fields.items() if key in known}
            body = {**self._defaults, **given}
            if "messages" in known:
                body["messages"] = self._messages(fields)
            if self.answer_format is not None:
                body = _asking_for(self.answer_format, body)
            return _checked(name, operation, body, msgspec.json.encode(body))
        except RowFaultError as fault:
            fault.key = name
            raise
        except _UNREADABLE as error:
            # Fields are taken apart before they are decoded: what is wrong inside shows only here.
            raise RowFaultError(f"the row cannot be read: {error}", name) from None

    def _of_envelope(self, name: str | None, fields: dict[str, msgspec.Raw]) -> RowRequest:
        """Return the request of a line of a batch; its body stays as it is wherever it can."""
        operation = self.operation
        if _told(fields, "url"):
            operation = operation_at(_text(fields, "url"))
        if _told(fields, "method") and _text(fields, "method").upper() != "POST":
            raise RowFaultError("method must be POST")
        # Kept as bytes: what needs no default goes out exactly as it was written.
        body = bytes(fields["body"])
        try:
            given = _fields.decode(body)
        except _UNREADABLE as error:
            raise RowFaultError(f"body must be an object: {error}") from None
        missing = {key: value for key, value in self._defaults.items() if key not in given}
        if operation is not self.operation:  # the defaults are for another one
            missing = {key: value for key, value in missing.items() if key == "model"}
        if "model" not in operation.keywords:
            missing.pop("model", None)
        whole = {**given, **missing}
        if self.answer_format is not None:
            if operation is not ep.CHAT:
                raise RowFaultError(f"{_NO_SCHEMA}, not {operation.name}")
            whole = _asking_for(self.answer_format, whole)
        if missing or self.answer_format is not None:
            body = msgspec.json.encode(whole)
        return _checked(name, operation, whole, body)

    def _messages(self, fields: dict[str, msgspec.Raw]) -> msgspec.Raw:
        """Return the conversation that a row asks to go on with."""
        if self._template is not None:
            content: Any = self._filled(self._template, fields)
        elif _told(fields, "messages"):
            content = _anything.decode(fields["messages"])
            if not isinstance(content, str):
                try:
                    turns = _turns.decode(fields["messages"])
                except _UNREADABLE as error:
                    raise RowFaultError(f"messages must be a list of messages: {error}") from None
                if self._system is None or (turns and turns[0].get("role") == "system"):
                    return fields["messages"]
                turns.insert(0, {"role": "system", "content": self._system})
                return msgspec.Raw(msgspec.json.encode(turns))
        elif _told(fields, "prompt"):
            content = _anything.decode(fields["prompt"])
        else:
            raise RowFaultError("the row has neither a prompt nor messages")
        if not isinstance(content, str) or not content:
            raise RowFaultError("prompt must be a text that is not empty")
        turns = [{"role": "user", "content": content}]
        if self._system is not None:
            turns.insert(0, {"role": "system", "content": self._system})
        return msgspec.Raw(msgspec.json.encode(turns))

    @staticmethod
    def _filled(template: list[tuple[str, str | None]], fields: dict[str, msgspec.Raw]) -> str:
        text: list[str] = []
        for before, column in template:
            text.append(before)
            if column is None:
                continue
            if column not in fields:
                raise RowFaultError(f"the row has no column {column!r}, which the template names")
            value = _anything.decode(fields[column])
            text.append(value if isinstance(value, str) else bytes(fields[column]).decode())
        return "".join(text)


def _asking_for(
    answer_format: AnswerFormat[Any], body: Mapping[str, msgspec.Raw]
) -> dict[str, msgspec.Raw]:
    """Return a body that asks for an answer of a type."""
    messages = _anything.decode(body.get("messages", b"null"))
    if not isinstance(messages, str | list | None):
        raise RowFaultError("messages must be a list of messages")
    asking = answer_format.request({"messages": messages})
    return {**body, **{name: msgspec.Raw(encode(value)) for name, value in asking.items()}}


def _columns_of(template: str) -> list[tuple[str, str | None]]:
    """Return what stands before each column of a template, and which column it is."""
    try:
        parts = [(before, column) for before, column, _, _ in Formatter().parse(template)]
    except ValueError as error:
        raise ConfigurationError(f"template: {error}") from None
    columns = [column for _, column in parts if column is not None]
    if not columns or "" in columns:
        raise ConfigurationError("template must name columns of the rows in braces")
    return parts


def _checked(
    name: str | None, operation: Operation[Any], given: Mapping[str, msgspec.Raw], body: bytes
) -> RowRequest:
    """Return a request that has what its operation needs."""
    for field in sorted(operation.required):
        if bytes(given.get(field, b"null")) in {b"null", b'""', b"[]"}:
            hint = "; pass model=" if field == "model" else ""
            raise RowFaultError(f"{operation.name}: {field} is missing{hint}")
    model = operation.name
    for field in ("model", "agent_id"):
        if field in given:
            model = _text(given, field)
            break
    return RowRequest(key=name or "", operation=operation, model=model, body=body)


def _custom_id(fields: Mapping[str, msgspec.Raw]) -> str | None:
    """Return the id that a row has, a number as its digits; None if it has none."""
    for field in ("custom_id", "id"):
        if _told(fields, field):
            value = _anything.decode(fields[field])
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                raise RowFaultError(f"{field} must be a text that is not empty, or a whole number")
            return str(value)
    return None


def _told(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    return name in fields and bytes(fields[name]) != b"null"


def _text(fields: Mapping[str, msgspec.Raw], name: str) -> str:
    value = _anything.decode(fields[name])
    if not isinstance(value, str) or not value:
        raise RowFaultError(f"{name} must be a text that is not empty")
    return value
