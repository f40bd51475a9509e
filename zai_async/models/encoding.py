"""JSON that is written: exactly what the caller gave, or a refusal that names the place."""

import enum
import json
import math
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Final

import msgspec

from zai_async.models.extra import EXTRA_KEY, flattened

__all__ = ["encode", "to_plain"]

_EXTRA_MARK: Final = EXTRA_KEY.encode()
_FINE: Final[frozenset[Any]] = frozenset({str, int, bool, NoneType})
_TEXT: Final[frozenset[Any]] = frozenset({str})
_BUFFERS: Final = (bytes, bytearray, memoryview)


def encode(value: object) -> bytes:
    r"""Encode a request body as JSON in UTF-8; any Mapping or Sequence will do.

    Lone surrogates, which UTF-8 has no bytes for, make the whole body ASCII with ``\u`` escapes.
    Raises ValueError for NaN, infinity and values that contain themselves, and TypeError for what
    JSON has no form for, naming the place: bytes, decimals, sets, dates and the like are refused,
    because a model would take whatever stood in their place for the text.
    """
    try:
        body = _encoder.encode(value)
    except UnicodeEncodeError:
        body = _EXTRA_MARK  # the long way has to be gone
    except TypeError:
        _refuse(value)
        raise  # pragma: no cover - what msgspec refuses and the walk does not is not known
    except RecursionError:
        raise ValueError("the body contains itself or is nested too deeply") from None
    if not _is_sendable(value):
        _refuse(value)
    if _EXTRA_MARK not in body:
        return body
    plain = flattened(msgspec.to_builtins(value, enc_hook=_plain, str_keys=True))
    try:
        return _encoder.encode(plain)
    except UnicodeEncodeError:
        return json.dumps(plain, separators=(",", ":")).encode()


def to_plain(value: object) -> Any:
    """Return a value as dicts, lists and scalars that survive JSON; files stand there as base64.

    Raises TypeError and ValueError as :func:`encode` does, and TypeError for a file that is read
    while it is sent.
    """

    def keep(part: Any) -> object:
        # Files of a request are strings that know what is sent in their place.
        inline = getattr(part, "inline", None)
        return _plain(part) if inline is None else inline()

    try:
        plain = msgspec.to_builtins(value, enc_hook=keep, str_keys=True)
    except TypeError:
        _refuse(value)
        raise
    except RecursionError:
        raise ValueError("the value contains itself or is nested too deeply") from None
    if not _is_sendable(value):
        _refuse(value)
    return flattened(plain)


def _plain(value: Any) -> object:
    # msgspec knows tuples: one that comes here is the key of a dictionary.
    if not isinstance(value, (*_BUFFERS, tuple)):
        for kind, plain in _PLAIN_KINDS:
            if isinstance(value, kind):
                return plain(value)
    raise TypeError


# Subclasses of scalars, which msgspec refuses (numpy's float64 is one), and what acts as a
# container. The order counts: strings are sequences too.
_PLAIN_KINDS: Final[tuple[tuple[type, type], ...]] = (
    (str, str),
    (int, int),
    (float, float),
    (Mapping, dict),
    (Sequence, list),
)
_encoder: Final = msgspec.json.Encoder(enc_hook=_plain)


def _is_sendable(value: object) -> bool:
    """Tell whether JSON has a form for all of a value; msgspec makes up forms of its own."""
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        kind = item.__class__
        # Almost all there is, with as few calls as possible: this runs for every request.
        if kind in _FINE:
            continue
        if kind is list:
            waiting += item
        elif kind is dict and _TEXT.issuperset(map(type, item)):
            waiting += item.values()
        else:
            parts = _parts(item)
            if parts is None:
                return False
            waiting += parts.values()
    return True


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Return what a value consists of by place, nothing for a scalar; None if JSON lacks it."""
    kind = value.__class__
    names: Any = getattr(kind, "__struct_fields__", getattr(kind, "__dataclass_fields__", None))
    parts: Mapping[str, Any] | None = None
    if names is not None:
        as_base64 = getattr(kind, "_as_base64", ())
        parts = {f".{name}": getattr(value, name) for name in names if name not in as_base64}
    elif isinstance(value, enum.Enum):
        parts = {"": value.value}
    elif isinstance(value, float):
        parts = {} if math.isfinite(value) else None
    elif value is None or isinstance(value, str | int | msgspec.Raw | msgspec.UnsetType):
        parts = {}
    elif issubclass(kind, Mapping):
        if all(isinstance(key, str | int | float) for key in value):
            parts = {f".{key}": part for key, part in value.items()}
    elif issubclass(kind, Sequence) and not isinstance(value, _BUFFERS):
        parts = {f"[{index}]": part for index, part in enumerate(value)}
    return parts


def _refuse(value: object) -> None:
    """Raise what names the first value that JSON has no form for, if there is one."""
    waiting: list[tuple[str, Any]] = [("$", value)]
    while waiting:
        place, item = waiting.pop()
        parts = _parts(item)
        if parts is None:
            where = f" - at `{place.encode(errors='backslashreplace').decode()}`"
            name = item.__class__.__qualname__
            if isinstance(item, float):
                raise ValueError(f"NaN and infinity cannot be sent as JSON{where}")
            if isinstance(item, Mapping):
                raise TypeError(f"{name} has a key that cannot be sent as JSON{where}")
            hint = ": text must be a str, and files go into image(), audio_part() or file_part()"
            hint = hint if isinstance(item, _BUFFERS) else ""
            raise TypeError(f"{name} cannot be sent as JSON{where}{hint}")
        waiting += [(place + step, part) for step, part in reversed([*parts.items()])]
