"""JSON that is written: exactly what the caller gave, or a refusal that names the place."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from zai_async.models.extra import EXTRA_KEY, flattened

__all__ = ["encode"]

_EXTRA_MARK = EXTRA_KEY.encode()


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
    if _EXTRA_MARK in body:
        plain = flattened(msgspec.to_builtins(value, enc_hook=_plain, str_keys=True))
        body = _dump(plain)
    # msgspec writes null for a number that is not finite, the standard library writes its name.
    suspect = b"null" in body or b"NaN" in body or b"Infinity" in body
    if suspect and (place := _whereabouts(value)):
        raise ValueError(f"NaN and infinity cannot be sent as JSON{place}")
    return body


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
