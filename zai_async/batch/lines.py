"""The lines of an output: written, recognised and read, without I/O.

A line is an object of the OpenAI batch output with ``custom_id`` first and ``error`` second, so
that a look at the beginning of a line says which row it is about and whether that is done.
"""

from typing import Any, Final

import msgspec

from zai_async._operations import CHAT
from zai_async._wire import Fault, Operation, find_fault, meaning_of
from zai_async.batch.results import Failed, Ok, RowError
from zai_async.batch.rows import RowFaultError, operation_at
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

# Inside of JSON these stand between tokens only: strings have them escaped.
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")
_NO_ANSWER: Final = Fault(None, "the line holds no answer")


class LineHead(msgspec.Struct, frozen=True):
    """What a resumed run needs to know of a line."""

    key: str
    failed: bool


class _Response(msgspec.Struct, gc=False):
    status_code: Any = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct, gc=False):
    """A line of ours, or of somebody else's batch, whose error looks different."""

    custom_id: str
    response: _Response | msgspec.UnsetType | None = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    url: str | None = None
    attempts: int = 0
    deduplicated_from: str | None = None

    @property
    def body(self) -> bytes | None:
        """What the service has said, as JSON."""
        return bytes(self.response.body) if isinstance(self.response, _Response) else None

    @property
    def status(self) -> int:
        """The status beside it; 0 without any."""
        told = self.response.status_code if isinstance(self.response, _Response) else 0
        return told if isinstance(told, int) else 0

    @property
    def failed(self) -> bool:
        """Whether the row has no answer."""
        told = isinstance(self.error, msgspec.Raw) and bytes(self.error) != b"null"
        # Others leave the error out where the status says it.
        return told or self.status >= 400 or not (self.body or b"").startswith(b"{")

    @property
    def fault(self) -> RowError:
        """Why it has none."""
        error = b"null" if self.error is msgspec.UNSET else bytes(self.error)
        try:
            return _errors.decode(error)
        except msgspec.ValidationError:  # none of ours
            told = decode(_anything, error)
        # Some words for what went wrong stand beside the answer, others in its place.
        document = {"error": told} if told else decode(_anything, self.body or b"null")
        fault = find_fault(document, status=self.status)
        code, message, request_id = fault or _NO_ANSWER
        return RowError(
            kind=meaning_of(code, self.status, message).kind if fault else "protocol",
            message=message or "the row was refused",
            code=code,
            status_code=self.status or None,
            request_id=request_id,
        )


_UNREADABLE: Final = (ValueError, RecursionError)
_encode: Final = msgspec.json.Encoder().encode
_anything: Final = msgspec.json.Decoder()
_errors: Final = msgspec.json.Decoder(RowError)
_lines: Final = msgspec.json.Decoder(_Line)
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


def head_of(line: bytes) -> LineHead | None:
    """Return which row a line is about; None for a line that is no result of a batch.

    Also lines of other batches are understood, in whichever order their fields come.
    """
    try:
        # All of it is looked through, though nothing of an answer is kept: a row whose answer a
        # disk has spoilt is not done. Texts that are passed over may be anything but UTF-8.
        line.decode()
        found = _lines.decode(line)
        if found.url is not None:
            operation_at(found.url)
    except (*_UNREADABLE, RowFaultError):
        return None
    if found.response is msgspec.UNSET and found.error is msgspec.UNSET:
        return None  # a request of a batch has an id as well
    return LineHead(found.custom_id, found.failed)


def parse_line(line: bytes) -> Ok | Failed:
    """Return the result that a line holds.

    Raises ValueError, RecursionError or RowFaultError for a line that holds none.
    """
    found = _lines.decode(line)
    body = found.body
    if body is None or found.failed:
        return Failed(key=found.custom_id, error=found.fault, partial=body, attempts=found.attempts)
    operation = CHAT if found.url is None else operation_at(found.url)
    return Ok(
        key=found.custom_id,
        answer=decode(operation.decoder, body),
        body=body,
        attempts=found.attempts,
        deduplicated_from=found.deduplicated_from,
        source="output",
    )


def error_kind(line: bytes) -> str:
    """Return the kind of the error in a line that has no answer."""
    return _lines.decode(line).fault.kind


def whole_json(data: bytes, decoder: msgspec.json.Decoder[Any] = _raw) -> bool:
    """Tell whether bytes are one JSON object in UTF-8, which may be embedded as they are.

    ``decoder`` must accept the object, if only some will do.
    """
    if not data.startswith(b"{"):
        return False
    try:
        data.decode()
        decoder.decode(data)
    except _UNREADABLE:
        return False
    return True
