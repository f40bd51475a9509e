"""From the bytes of an answer, out of the envelope of a gateway, to its struct or its error."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar, cast, get_origin

import msgspec

from zai_async._outcomes import accept
from zai_async._secrets import Secret
from zai_async._wire.operation import Operation
from zai_async._wire.refusals import (
    NO_SIGN,
    UNREADABLE,
    error_in_body,
    not_the_api,
    shown_body,
    signs_of,
)
from zai_async.errors import ZaiError
from zai_async.models import Reply
from zai_async.models.tasks import state_of
from zai_async.models.tolerant import decode, decode_tolerantly
from zai_async.providers import ZAI, Provider

__all__ = [
    "bare_text",
    "may_report",
    "native_task",
    "open_envelope",
    "parse_reply",
    "peeled",
]

T = TypeVar("T")

_NATIVE_TO_ALL = frozenset(Reply.__struct_encode_fields__)
# What gateways put around an answer, tried when nothing of the answer stands outside.
_ENVELOPES = ("data", "result", "output", "response")


def parse_reply(
    operation: Operation[T],
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    secrets: Iterable[Secret] = (),
    provider: Provider = ZAI,
    allow: Collection[str] = (),
) -> T:
    """Return the decoded answer of an operation, judged; ``now`` in seconds since the epoch.

    Raises:
        APIError: The body reports an error, whatever the status says.
        ResponseError: The body is not an answer of this operation.
        IncompleteError: The answer is cut, lost or empty, and ``allow`` does not name that.
    """
    # A gateway's own envelope hides errors, too, so it is opened before anything is judged.
    if provider.envelope or provider.statuses:
        data = open_envelope(provider, operation.result, data)
    # Errors come with HTTP 200 as well, and never look like answers of the operation.
    if status >= 400 or may_report(data):
        error = error_in_body(data, status=status, headers=headers, now=now, secrets=secrets)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads here, and would keep the body alive
    result = _decoded(operation, data, status, headers, secrets)
    if isinstance(result, Reply) and result.request_id is None:
        result.request_id = headers.get("X-Log-Id")
    if operation.judge is accept:
        return result
    try:
        outcome = operation.judge(result, allow)
    except ZaiError as verdict:
        # A whole answer is paid for: whether to ask for another one is the caller's decision.
        verdict.repeat = "never"
        verdict.status_code = status
        verdict.body = shown_body(data, secrets)
        raise
    if outcome in allow and isinstance(result, Reply):
        vars(result)["outcome"] = outcome
    return result


def may_report(data: bytes) -> bool:
    """Tell whether a body has any sign of a fault; costs a fraction of decoding it."""
    try:
        signs = signs_of(data)
    except UNREADABLE:
        return True
    # Every poll tells how far a task is, which is a sign only of those that failed.
    if signs.task_status is not None and str(signs.task_status).upper() != "FAIL":
        signs.task_status = None
    return bool(signs != NO_SIGN)


def _decoded(
    operation: Operation[T],
    data: bytes,
    status: int,
    headers: Mapping[str, str],
    secrets: Iterable[Secret],
) -> T:
    """Decode an answer, and insist that it has what makes it one of the operation."""
    try:
        try:
            result = operation.decoder.decode(data)
        except UNREADABLE:
            result = decode_tolerantly(operation.decoder, data)
    except msgspec.DecodeError:
        text = bare_text(operation, data, headers)
        if text is None:
            raise not_the_api(data, status=status, headers=headers, secrets=secrets) from None
        result = decode(operation.decoder, text)
    if not operation.contents:
        return result
    for content in operation.contents:
        if content(result):
            return result
    # Only an answer that seems to hold nothing costs a second look at its bytes.
    found = _read_again(operation, data, result)
    if found is not None:
        return found
    error = not_the_api(data, status=status, headers=headers, secrets=secrets, operation=operation)
    error.request_id = error.request_id or getattr(result, "request_id", None)
    raise error


def _read_again(operation: Operation[T], data: bytes, result: T) -> T | None:
    """Return an answer that seems empty if it is meant so, or what lies in its envelope."""
    try:
        document = decode(_documents, data)
    except msgspec.DecodeError:
        return result  # it came as bare text
    # A failure is told without content, and judged by what it says.
    failed = state_of(str(document.get("status"))) == "failed"
    if failed or any(_is_told(document, path) for path in operation.essential):
        return result
    # Knowledge services and many relays answer {"code": 200, "data": {...}}.
    for key in _ENVELOPES:
        inner = document.get(key)
        if isinstance(inner, str) and operation.bare_text:
            return decode(operation.decoder, msgspec.json.encode({operation.bare_text: inner}))
        if any(_is_told(inner, path) for path in operation.essential):
            return decode(operation.decoder, msgspec.json.encode(inner))
    return None


def _is_told(document: object, path: str) -> bool:
    """Tell whether a document says anything but null at a dotted path."""
    for name in path.split("."):
        if not isinstance(document, dict):
            return False
        document = cast("dict[str, object]", document).get(name)
    return document is not None


def bare_text(operation: Operation[Any], data: bytes, headers: Mapping[str, str]) -> bytes | None:
    """Return the JSON that a bare text stands for where the operation may answer with one."""
    if operation.bare_text is None:
        return None
    kind = headers.get("Content-Type", "").lower()
    try:
        text = msgspec.json.decode(data, type=str)
    except UNREADABLE:
        text = data.decode("utf-8", "replace").strip()
        # Half an object and a page are no transcript, whatever their label says.
        sounds = kind.startswith("text/") or "subrip" in kind
        if not sounds or "html" in kind or text[:1] in {"", "{", "[", "<"}:
            return None
    return msgspec.json.encode({operation.bare_text: text})


def open_envelope(provider: Provider, result: type[Any], data: bytes) -> bytes:
    """Return a body as the platform would have sent it; ``result`` is what it will be decoded to.

    A body is taken out of an envelope only if it lacks every field of the result itself.
    """
    if provider.envelope:
        data = peeled(data, provider.envelope, _fields(result))
    if provider.statuses and "task_status" in _fields(result):
        data = native_task(data, provider.statuses)
    return data


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
_documents = msgspec.json.Decoder(dict[str, Any])
