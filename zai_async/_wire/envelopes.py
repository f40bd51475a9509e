"""The envelopes of gateways, and the words in which they tell how far a task is."""

from collections.abc import Iterable, Mapping
from typing import Any, get_origin

import msgspec

from zai_async.models import Reply
from zai_async.models.tolerant import UNREADABLE
from zai_async.providers import Provider

__all__ = ["ENVELOPES", "native_task", "open_envelope", "peeled", "single_object", "within"]

ENVELOPES = ("data", "result", "output", "response")
"""What relays put around an answer: ``{"code": 200, "data": {...}}``."""
_PADDING = b" \t\r\n\0"
_NATIVE_TO_ALL = frozenset(Reply.__struct_encode_fields__)


def open_envelope(provider: Provider, result: type[Any], data: bytes) -> bytes:
    """Return a body as the platform would have sent it; ``result`` is what it will be decoded to.

    A body is taken out of an envelope only if it lacks every field of the result itself.
    """
    if provider.envelope:
        data = peeled(data, provider.envelope, _fields(result))
    if provider.statuses and "task_status" in _fields(result):
        data = native_task(data, provider.statuses)
    return data


def single_object(data: bytes) -> bytes:
    """Return the object that a body holds once the end of a stream, or padding, is taken off.

    It may also be the only one of a list, or be written into a string.
    """
    body = data.strip(_PADDING)
    if body.endswith(b"[DONE]"):
        body = body.removesuffix(b"[DONE]").rstrip().removesuffix(b"data:").rstrip(_PADDING)
    inner = body
    if body[:1] in {b"[", b'"'}:
        try:
            told = msgspec.json.decode(body, type=list[msgspec.Raw] | str)
        except UNREADABLE:
            return data
        if isinstance(told, str):
            inner = told.encode()
        elif len(told) == 1:
            inner = bytes(told[0])
    return inner if inner.startswith(b"{") and inner.endswith(b"}") else data


def _fields(result: type[Any]) -> frozenset[str]:
    struct = get_origin(result) or result
    return frozenset(getattr(struct, "__struct_encode_fields__", ())) - _NATIVE_TO_ALL


def peeled(data: bytes, keys: tuple[str, ...], fields: frozenset[str]) -> bytes:
    """Return what lies in the envelope of a gateway, or the body itself if it is none."""
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


def within(data: bytes, names: Iterable[str] = ("choices",)) -> bytes:
    """Return the answer in the envelope of a relay, or the body itself if there is none.

    What has none of the ``names``, which are those of a chat answer, is no answer.
    """
    fields = frozenset(names)
    inner = peeled(data, ENVELOPES, fields)
    return inner if any(b'"%b"' % name.encode() in inner for name in fields) else data


def native_task(data: bytes, statuses: Mapping[str, str]) -> bytes:
    """Translate the ``status`` and ``url`` of a task into what the platform says."""
    document = _raw_object(data)
    told = bytes(document.pop("status", b"")).strip(b'"')
    status = statuses.get(told.decode("utf-8", "replace").lower())
    if status is None or "task_status" in document:
        return data
    task: dict[str, Any] = {**document, "task_status": status}
    if "url" in document:
        task.setdefault("video_result", [{"url": document["url"]}])
    return msgspec.json.encode(task)


def _raw_object(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _objects.decode(data)
    except UNREADABLE:
        return {}


_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
