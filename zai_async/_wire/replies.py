"""From the bytes of an answer, out of the envelope of a gateway, to its struct or its error."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_origin

import msgspec

from zai_async._secrets import Secret
from zai_async._wire.faults import error_in_body, not_the_api
from zai_async._wire.operation import Operation
from zai_async.models import Reply
from zai_async.models.tolerant import decode
from zai_async.providers import ZAI, Provider

__all__ = ["open_envelope", "parse_reply"]

T = TypeVar("T")

_NATIVE_TO_ALL = frozenset(Reply.__struct_encode_fields__)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse_reply(
    operation: Operation[T],
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    secrets: Iterable[Secret] = (),
    provider: Provider = ZAI,
) -> T:
    """Return the decoded answer of an operation; ``now`` in seconds since the epoch.

    Raises:
        APIError: The body reports an error, whatever the status says.
        ResponseError: The body is not an answer of the API.
    """
    data = open_envelope(provider, operation.result, data)
    error = error_in_body(data, status=status, headers=headers, now=now, secrets=secrets)
    if error is not None:
        raise error
    try:
        result = decode(operation.decoder, data)
    except msgspec.DecodeError:
        raise not_the_api(data, status=status, headers=headers, secrets=secrets) from None
    if isinstance(result, Reply) and result.request_id is None:
        result.request_id = headers.get("X-Log-Id")
    return result


def open_envelope(provider: Provider, result: type[Any], data: bytes) -> bytes:
    """Return a body as the platform would have sent it; ``result`` is what it will be decoded to.

    A body is taken out of an envelope only if it lacks every field of the result itself.
    """
    if provider.envelope:
        data = _peeled(data, provider.envelope, _fields(result))
    if provider.statuses and "task_status" in _fields(result):
        data = _native_task(data, provider.statuses)
    return data


def _fields(result: type[Any]) -> frozenset[str]:
    struct = get_origin(result) or result
    return frozenset(getattr(struct, "__struct_encode_fields__", ())) - _NATIVE_TO_ALL


def _peeled(data: bytes, keys: tuple[str, ...], fields: frozenset[str]) -> bytes:
    document = _raw_object(data)
    found = [key for key in keys if key in document]
    if len(found) != 1 or (fields - {*keys}) & document.keys():
        return data
    inner = bytes(document[found[0]])
    if inner.startswith(b"{"):
        return inner
    # A list that has lost its frame on the way.
    whole = inner.startswith(b"[") and "data" in fields and found != ["data"]
    return b'{"data":' + inner + b"}" if whole else data


def _native_task(data: bytes, statuses: Mapping[str, str]) -> bytes:
    """Translate the ``status`` and ``url`` of a task into what the platform says."""
    document = _raw_object(data)
    status = statuses.get(_text(document.pop("status", None)))
    if status is None or "task_status" in document:
        return data
    task: dict[str, Any] = {**document, "task_status": status}
    if "url" in document:
        task.setdefault("video_result", [{"url": document["url"]}])
    return msgspec.json.encode(task)


def _raw_object(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _objects.decode(data)
    except _UNREADABLE:
        return {}


def _text(value: msgspec.Raw | None) -> str:
    return "" if value is None else bytes(value).strip(b'"').decode("utf-8", "replace").lower()


_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
