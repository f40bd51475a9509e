"""The lines of the files that batches of the platform are made of; no I/O.

Source: https://docs.bigmodel.cn/cn/guide/tools/batch
"""

from typing import Any, Final

import msgspec

from zai_async import _operations as ep
from zai_async._codes import CODES
from zai_async._wire import Operation, find_fault, told_fault
from zai_async.batch.keys import digest_of
from zai_async.batch.results import Failed, Ok, RowError
from zai_async.batch.rows import RowRequest
from zai_async.errors import ZaiError
from zai_async.models import BatchError
from zai_async.models.tolerant import decode, read

__all__ = ["SERVED", "key_line", "request_line", "results_of", "url_of"]

SERVED: Final = (ep.CHAT, ep.EMBEDDINGS, ep.IMAGES)
"""The operations that the platform is documented to answer in batches."""


class _ServedResponse(msgspec.Struct):
    status_code: Any = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _ServerLine(msgspec.Struct):
    custom_id: str
    # Its body stays as it came: what is in the output is what the platform has written.
    response: _ServedResponse | None = None
    error: dict[str, Any] | None = None


_lines: Final = msgspec.json.Decoder(_ServerLine)
_anything: Final = msgspec.json.Decoder()


def url_of(operation: Operation[Any]) -> str:
    """Return how a batch names an operation."""
    return f"/{operation.path.removeprefix('paas/')}"


def _server_id(key: str) -> str:
    """Return the id of a row within a batch, where ids of fewer than six characters are refused."""
    return f"row-{digest_of(key).hex()}"


def key_line(request: RowRequest) -> bytes:
    """Return a line that says which row an id of a batch stands for."""
    return msgspec.json.encode((_server_id(request.key), request.key))


def request_line(request: RowRequest) -> bytes:
    """Return the line of a row in the file that is uploaded."""
    url = url_of(request.operation).encode()
    front = b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}'
    return front % (_server_id(request.key).encode(), url, request.body)


def results_of(
    content: bytes, keys: dict[str, str], operation: Operation[Any]
) -> list[Ok | Failed]:
    """Return what became of rows, and take their ids out of ``keys``.

    A line that cannot be read is passed over, as those behind it are paid for.
    """
    results: list[Ok | Failed] = []
    for line in content.splitlines():
        try:
            found = _lines.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        key = keys.pop(found.custom_id, None)
        if key is not None:
            results.append(_result_of(key, found, operation))
    return results


def _result_of(key: str, line: _ServerLine, operation: Operation[Any]) -> Ok | Failed:
    response = line.response or _ServedResponse()
    body = bytes(response.body)
    # Some words for what went wrong stand beside the answer, others in its place.
    told = BatchError() if line.error is None else read(BatchError, line.error)
    # HTTP 200 is written beside refusals here, too.
    document = _anything.decode(body)
    fault = find_fault(document)
    status = response.status_code if isinstance(response.status_code, int) else 0
    if line.error is None and fault is None and status < 400:
        try:
            answer = decode(operation.decoder, body)
            operation.judge(answer, ())
        except ZaiError as error:
            fault = told_fault(document)
            if fault is None:
                return Failed.of(error, key, None, 1)
        except msgspec.DecodeError:
            told = BatchError(message="the response has no answer")
        else:
            return Ok(key=key, answer=answer, body=body)
    if fault is not None:
        told = BatchError(code=fault.code or told.code, message=fault.message or told.message)
    known = CODES.get(told.code)
    unknown = "stream" if fault is None else "server"
    refusal = RowError(
        kind=unknown if known is None else known.kind,
        message=told.message or "the row was refused",
        code=told.code or None,
        status_code=status or None,
    )
    return Failed(key=key, error=refusal, attempts=1)
