"""What seems to hold nothing is looked at again: it may be meant so, be a text, or lie deeper."""

import codecs
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

import msgspec

from zai_async._wire.envelopes import ENVELOPES
from zai_async._wire.operation import Operation
from zai_async.models.tasks import state_of
from zai_async.models.tolerant import UNREADABLE, decode

__all__ = ["bare_text", "is_of_another", "read_again"]

T = TypeVar("T")

_documents: Final = msgspec.json.Decoder(dict[str, Any])
# By which receipts, files and batches are asked for: an empty one is none.
_NAMES = frozenset({"id", "task_id", "voice", "output_file_id"})
# What chat, JSON-RPC and GraphQL have beside an id.
_NOT_OF_NAMED = ("choices", "jsonrpc", "errors")


def read_again(operation: Operation[T], data: bytes, result: T) -> T | None:
    """Return an answer that seems empty if it is meant so, or what lies in its envelope."""
    try:
        document = decode(_documents, data)
    except msgspec.DecodeError:
        return result  # it came as bare text
    # A failure is told without content, and judged by what it says.
    if state_of(str(document.get("status"))) == "failed":
        return result
    if _holds(operation, document, result):
        return result
    # Knowledge services and many relays answer {"code": 200, "data": {...}}.
    for key in ENVELOPES:
        inner = document.get(key)
        if isinstance(inner, str) and operation.bare_text:
            return decode(operation.decoder, msgspec.json.encode({operation.bare_text: inner}))
        if isinstance(inner, dict):
            found = decode(operation.decoder, msgspec.json.encode(inner))
            if _holds(operation, cast("dict[str, object]", inner), found):
                return found
    return None


def _holds(operation: Operation[T], document: Mapping[str, object], result: T) -> bool:
    """Tell whether an answer has a field of its operation, if only to say that it is empty."""
    if is_of_another(operation, document):
        return False
    for path, content in zip(operation.essential, operation.contents, strict=True):
        told, read = _told(document, path), content(result)
        # What is there and could not be read is not empty: it is something else of the same name.
        if read or (path not in _NAMES and told is not None and told == read):
            return True
    return False


def is_of_another(operation: Operation[Any], document: Mapping[str, object]) -> bool:
    """Tell whether what has the name that is asked for has also what only other answers have."""
    named = _NAMES.intersection(operation.essential)
    return bool(named) and any(document.get(name) for name in _NOT_OF_NAMED)


def _told(document: object, path: str) -> object:
    """Return what a document says at a dotted path; None if that is nothing."""
    for name in path.split("."):
        if not isinstance(document, dict):
            return None
        document = cast("dict[str, object]", document).get(name)
    return document


def bare_text(operation: Operation[Any], data: bytes, headers: Mapping[str, str]) -> bytes | None:
    """Return the JSON that a bare text stands for where the operation may answer with one."""
    if operation.bare_text is None:
        return None
    kind = headers.get("Content-Type", "").lower()
    text = _decoded(data, kind)
    if text is None:
        return None
    try:
        text = msgspec.json.decode(text, type=str)
    except UNREADABLE:
        text = text.strip()
        # Half an object and a page are no transcript, whatever their label says.
        sounds = kind.startswith("text/") or "subrip" in kind
        if not sounds or "html" in kind or text[:1] in {"", "{", "[", "<"}:
            return None
    return msgspec.json.encode({operation.bare_text: text})


def _decoded(data: bytes, kind: str) -> str | None:
    """Return a text by the characters that its label names, None if it has others."""
    label = kind.partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        name = codecs.lookup(label or "utf-8").name
    except LookupError:
        name = "utf-8"
    # Servers say Latin-1 where nobody has chosen anything; no text of it reads as UTF-8 by chance.
    for each in ("utf-8", name) if name == "iso8859-1" else (name,):
        with suppress(UnicodeError, LookupError):
            return data.decode(each).removeprefix("\ufeff")
    return None
