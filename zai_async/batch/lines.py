"""The lines of an output: written, recognised and read, without I/O.

A line is an object of the OpenAI batch output with ``custom_id`` first and ``error`` second, so
that the first bytes of a line say which row it is about and whether that is done.
"""

import re
from typing import Any, Final, Literal, TypeAlias

import msgspec

from zai_async._operations import CHAT
from zai_async._wire import Operation
from zai_async.batch.results import Failed, Ok, RowError
from zai_async.batch.rows import operation_at
from zai_async.models.tolerant import decode

__all__ = [
    "LineHead",
    "encode_failed",
    "encode_ok",
    "error_kind",
    "head_of",
    "parse_line",
    "whole_json",
]

_START: Final = b'{"custom_id":'
# A key without escapes, and what follows it; everything else is decoded.
_QUICK: Final = re.compile(rb'\{"custom_id":"([^"\\]*)","error":(null|\{)')
# Inside of JSON these stand between tokens only: strings have them escaped.
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")

LineKind: TypeAlias = Literal["ok", "failed"]


class LineHead(msgspec.Struct, frozen=True):
    """What a resumed run needs to know of a line."""

    key: str
    failed: bool


class _Response(msgspec.Struct):
    status_code: int = 0
    request_id: str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: RowError | None = None
    url: str | None = None
    attempts: int = 0
    deduplicated_from: str | None = None


class _Loose(msgspec.Struct):
    """A line of somebody else's batch, whose error may look different."""

    custom_id: str
    response: Any = msgspec.UNSET
    error: Any = msgspec.UNSET


class _Kind(msgspec.Struct):
    kind: str


class _KindOfError(msgspec.Struct):
    error: _Kind


_kinds: Final = msgspec.json.Decoder(_KindOfError)
_encode: Final = msgspec.json.Encoder().encode
_lines: Final = msgspec.json.Decoder(_Line)
_loose: Final = msgspec.json.Decoder(_Loose)
_raw: Final = msgspec.json.Decoder(msgspec.Raw)


def encode_ok(result: Ok, operation: Operation[Any]) -> bytes:
    """Return the line of an answer; one of another operation than chat says what it is of."""
    facts: dict[str, object] = {"attempts": result.attempts}
    if operation.name != "chat.completions.create":
        facts["url"] = f"/{operation.path}"
    if result.deduplicated_from is not None:
        facts["deduplicated_from"] = result.deduplicated_from
    return b"".join(
        (
            b'{"custom_id":',
            _encode(result.key),
            b',"error":null,"response":{"status_code":200,"request_id":',
            _encode(result.answer.request_id),
            b',"body":',
            # JSON allows line ends between its tokens, which would cut this line in two.
            result.body.translate(_LINE_ENDS),
            b"},",
            _encode(facts)[1:],
            b"\n",
        )
    )


def encode_failed(result: Failed) -> bytes:
    """Return the line of a failure, with what there is of an answer."""
    response: bytes = b"null"
    if result.partial is not None:
        status, request_id = _encode(result.error.status_code or 0), result.error.request_id
        response = b'{"status_code":%b,"request_id":%b,"body":%b}' % (
            status,
            _encode(request_id),
            result.partial.translate(_LINE_ENDS),
        )
    return b'{"custom_id":%b,"error":%b,"response":%b,"attempts":%d}\n' % (
        _encode(result.key),
        _encode(result.error),
        response,
        result.attempts,
    )


def head_of(line: bytes, *, torn: bool = False) -> LineHead | None:
    """Return which row a line is about; None for a line that is no result of a batch.

    Also lines of other batches are understood, in whichever order their fields come. ``torn``
    tells that the end of the line may be missing.
    """
    # Lines of our own begin alike: a pattern is enough for them, and a fraction of decoding.
    quick = None if torn else _QUICK.match(line)
    if quick is not None and line.rstrip().endswith(b"}"):
        try:
            return LineHead(quick[1].decode(), quick[2] == b"{")
        except UnicodeDecodeError:
            return None
    try:
        found = _loose.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if found.response is msgspec.UNSET and found.error is msgspec.UNSET:
        return None  # a request of a batch has an id as well
    return LineHead(found.custom_id, found.error is not msgspec.UNSET and found.error is not None)


def parse_line(line: bytes) -> Ok | Failed:
    """Return the result that a line holds.

    Raises msgspec.DecodeError, or UnicodeError, for a line that holds none.
    """
    found = _lines.decode(line)
    if found.error is None and found.response is not None:
        body = bytes(found.response.body)
        operation = CHAT if found.url is None else operation_at(found.url)
        answer = decode(operation.decoder, body)
        return Ok(
            key=found.custom_id,
            answer=answer,
            body=body,
            attempts=found.attempts,
            deduplicated_from=found.deduplicated_from,
            source="output",
        )
    partial = None if found.response is None else bytes(found.response.body)
    error = found.error or RowError(kind="protocol", message="the line holds no answer")
    return Failed(key=found.custom_id, error=error, partial=partial, attempts=found.attempts)


def error_kind(line: bytes) -> str:
    """Return the kind of the error in a line; that of another batch says something else."""
    try:
        return _kinds.decode(line).error.kind
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "protocol"


def whole_json(data: bytes, decoder: msgspec.json.Decoder[Any] = _raw) -> bool:
    """Tell whether bytes are one JSON object in UTF-8, which may be embedded as they are.

    ``decoder`` must accept the object, if only some will do.
    """
    if not data.startswith(b"{"):
        return False
    try:
        data.decode()
        decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
