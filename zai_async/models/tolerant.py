"""JSON at the edge of the SDK: forgiving where it is read, exact where it is written."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeGuard, TypeVar

import msgspec

T = TypeVar("T")
Step = str | int

# Equal faults are mended together, so this many different ones mean a foreign document.
_MAX_REPAIRS = 100

# A fault in a dictionary's entry ("[...]") or key does not say which, so it does not match here.
_MISMATCH = re.compile(r"Expected `([^`]+)`, got `\w+` - at `\$(?:\.\w+|\[\d+\])+`")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_DROP = object()
_SCALARS: dict[str, Any] = {"int": int, "float": float, "bool": bool}


def decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode ``data`` into the decoder's type, giving up a value rather than the document.

    What does not fit is coerced when it can be (a number for a string, a numeric string for a
    number, an object for its JSON text or for a list of one) and else treated as absent, so that
    the field's default applies. The type must not contain msgspec.Raw.
    Raises msgspec.ValidationError when the top level itself does not fit (a list for an object)
    and msgspec.DecodeError, nothing else, when ``data`` is not JSON.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_slowly(decoder, data)


def encode(value: object) -> bytes:
    r"""Encode a request body as JSON in UTF-8; any Mapping or Sequence will do.

    Lone surrogates, which UTF-8 has no bytes for, make the whole body ASCII with ``\u`` escapes.
    Raises ValueError for NaN, infinity and values that contain themselves, and TypeError for what
    JSON has no form for, naming the place.
    """
    try:
        body = _dump(value)
    except TypeError as exc:
        raise TypeError(f"{exc}{_whereabouts(value)}") from None
    except RecursionError:
        raise ValueError("the body contains itself or is nested too deeply") from None
    # msgspec writes null for a number that is not finite, the standard library writes its name.
    suspect = b"null" in body or b"NaN" in body or b"Infinity" in body
    if suspect and (place := _whereabouts(value)):
        raise ValueError(f"NaN and infinity cannot be sent as JSON{place}")
    return body


def _decode_slowly(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return _fit(_load(data), decoder)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None


def _load(data: bytes) -> Any:
    # The standard library reads what msgspec refuses: lone surrogates, NaN, a byte order mark.
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except ValueError as exc:
        raise msgspec.DecodeError(f"JSON is malformed: {exc}") from exc
    return _mended(document) if b"\\u" in data else document


def _mended(document: Any) -> Any:
    """Replace lone surrogates, which no file, socket or terminal would take, by U+FFFD."""
    text = json.dumps(document, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _fit(document: Any, decoder: msgspec.json.Decoder[T]) -> T:
    repairs = 0
    while True:
        try:
            return msgspec.convert(document, decoder.type, dec_hook=decoder.dec_hook, str_keys=True)
        except msgspec.ValidationError as exc:
            if not _repair(document, str(exc), coarsely=repairs >= _MAX_REPAIRS):
                raise
            repairs += 1


def _repair(document: Any, fault: str, *, coarsely: bool) -> bool:
    """Mend the value that msgspec complains of, or say that it is the document itself."""
    path = _path(fault)
    mismatch = _MISMATCH.fullmatch(fault)
    if path and mismatch and not coarsely:
        _mend(document, path, mismatch[1].split(" | "))
    elif path:
        _delete(document, path[:1] if coarsely else path)
    return bool(path)


def _path(fault: str) -> list[Step]:
    """Read the steps of "... - at `$.choices[0].delta`", up to an unnamed entry if there is one."""
    named = fault.rpartition("`$")[2].partition("[...]")[0] if "`$" in fault else ""
    return [name or int(index) for name, index in _STEP.findall(named)]


def _delete(document: Any, path: list[Step]) -> None:
    *way, last = path
    del _value(document, way)[last]


def _mend(document: Any, path: list[Step], expected: list[str]) -> None:
    """Coerce or delete the value at ``path``, and its like in the other elements of its lists.

    All elements of a list have one type: a kind of value that is wrong in one is wrong in each.
    """
    *way, last = path
    kind = _kind(_value(document, path))
    for container in _containers(document, way):
        for step in _steps(container, last):
            if _kind(container[step]) is kind:
                _mend_one(container, step, expected)


def _kind(value: object) -> type:
    return type(value)


def _mend_one(container: Any, step: Step, expected: list[str]) -> None:
    mended = _coerce(container[step], expected)
    if mended is _DROP:
        del container[step]
    else:
        container[step] = mended


def _coerce(value: Any, expected: list[str]) -> Any:
    if _is_object(value) and "array" in expected:
        return [value]
    if value is not None and "str" in expected:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for scalar in [_SCALARS[name] for name in expected if name in _SCALARS]:
        with suppress(msgspec.ValidationError):
            return msgspec.convert(value, scalar, strict=False)
    return _DROP


def _value(document: Any, path: list[Step]) -> Any:
    for step in path:
        document = document[step]
    return document


def _containers(document: Any, way: list[Step]) -> list[Any]:
    found = [document]
    for step in way:
        found = [parent[own] for parent in found for own in _steps(parent, step)]
    return found


def _steps(container: object, step: Step) -> list[Step]:
    # An index stands for every index; the last comes first, so that deleting moves none to come.
    if isinstance(step, int):
        return [*reversed(range(len(container)))] if _is_array(container) else []
    return [step] if _is_object(container) and step in container else []


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _dump(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)
        return json.dumps(plain, separators=(",", ":")).encode()


def _plain(value: Any) -> object:
    # msgspec knows tuples: one that comes here is the key of a dictionary.
    for kind, plain in _PLAIN_KINDS:
        if isinstance(value, kind) and not issubclass(type(value), tuple):
            return plain(value)
    raise TypeError(f"{type(value).__qualname__} cannot be sent as JSON")


# Subclasses of scalars, which msgspec refuses (numpy's float64 is one), and what acts as a
# container. The order counts: strings and bytes are sequences too.
_PLAIN_KINDS: list[tuple[type, type]] = [
    (str, str),
    (bytes, bytes),
    (int, int),
    (float, float),
    (Mapping, dict),
    (Sequence, list),
]
_encoder = msgspec.json.Encoder(enc_hook=_plain)


def _whereabouts(value: object) -> str:
    """Describe the place of the first value that JSON has no form for, or return ""."""
    builtins = msgspec.to_builtins(value, enc_hook=_plain_or_nan)
    places = (path for path, leaf in _leaves(builtins) if not _is_finite(leaf))
    return next((f" - at `{_printable(path)}`" for path in places), "")


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _plain_or_nan(value: object) -> object:
    try:
        return _plain(value)
    except TypeError:
        return math.nan


def _is_finite(leaf: object) -> bool:
    return not isinstance(leaf, float) or math.isfinite(leaf)


def _leaves(value: Any, path: str = "$") -> Iterator[tuple[str, object]]:
    if _is_object(value):
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}")
    elif _is_array(value):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}[{index}]")
    else:
        yield path, value
