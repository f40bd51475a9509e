"""Unknown fields of JSON objects: kept beside the known ones, and put back when sent.

Structs of this package refuse unknown fields while they are decoded, which costs nothing where
there are none. Where there are some, the object becomes an instance of a subclass that has a field
more, ``extra``. Only such instances pay for it: a chunk of a stream is as small as before.

msgspec writes that field under ``EXTRA_KEY``, and :func:`flattened` moves its content to the place
where it stood. The key is fixed, so what a caller has encoded with msgspec and stored can be sent
by another process.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeGuard, TypeVar

import msgspec
from msgspec import Struct

__all__ = [
    "EXTRA_KEY",
    "NO_EXTRA",
    "ExtraAccumulator",
    "extra_of",
    "flattened",
    "with_extra",
]

S = TypeVar("S", bound=Struct)

EXTRA_KEY: Final = "zai:extra"
_OPEN_ITEMS: Final = 64
_GROWING: Final = frozenset({dict, list, tuple})
NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})


def extra_of(value: Struct) -> Mapping[str, Any]:
    """Return the unknown fields of a struct, empty when there are none."""
    extra: Mapping[str, Any] = getattr(value, "extra", NO_EXTRA)
    return extra


def with_extra(struct: S, extra: Mapping[str, Any]) -> S:
    """Return the struct with these unknown fields in place of the ones it has."""
    if not extra and not extra_of(struct):
        return struct
    # A new object: the class decides whether there is room for unknown fields.
    plain = plain_class(type(struct))
    known = {name: getattr(struct, name) for name in plain.__struct_fields__}
    made: S = extended_class(plain)(**known, extra=dict(extra)) if extra else plain(**known)
    if hasattr(struct, "__dict__"):
        vars(made).update(vars(struct))
    return made


def plain_class(kind: Any) -> Any:
    """Return the public class of a struct that may have unknown fields."""
    return kind.__bases__[0] if kind.__dict__.get("is_extended") else kind


@cache
def extended_class(kind: Any) -> Any:
    """Return the subclass of a struct whose instances have unknown fields."""
    return msgspec.defstruct(
        kind.__name__,
        [("extra", dict[str, Any], msgspec.field(name=EXTRA_KEY))],
        bases=(kind,),
        module=kind.__module__,
        namespace={"is_extended": True, "__reduce__": reduce_extended, "__doc__": kind.__doc__},
        kw_only=True,
    )


def reduce_extended(self: Any) -> tuple[Any, ...]:
    """Reduce an object with unknown fields for pickles and copies."""
    # A pickle names classes, and the subclass has no name that could be imported.
    kind = plain_class(type(self))
    _, (_, fields), *state = kind.__reduce__(self)
    return (restore_extended, (kind, fields), *state)


def restore_extended(kind: Any, fields: dict[str, Any]) -> Any:
    """Return an object with unknown fields out of a pickle."""
    return extended_class(kind)(**fields)


def flattened(document: Any) -> Any:
    """Return plain data with the unknown fields of each object put among the known ones."""
    if _is_object(document):
        whole = {key: flattened(value) for key, value in document.items() if key != EXTRA_KEY}
        return _merged(whole, document[EXTRA_KEY]) if EXTRA_KEY in document else whole
    if _is_array(document):
        return [flattened(value) for value in document]
    return document


def _merged(known: dict[str, Any], extra: Any) -> dict[str, Any]:
    if not _is_object(extra):
        return known
    # The reasoning goes back under the name it came by, unless the caller has removed it.
    if isinstance(extra.get("reasoning"), str) and "role" in known:
        text = known.get("reasoning_content")
        extra = {key: value for key, value in extra.items() if text or key != "reasoning"}
        if text == extra.get("reasoning"):
            known.pop("reasoning_content", None)
    # A call of another type has a payload under that name, and no function.
    if known.get("type") in extra and known.get("function") == {"name": "", "arguments": ""}:
        del known["function"]
    for key, value in extra.items():
        known.setdefault(key, value)
    return known


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


class ExtraAccumulator:
    """The unknown fields of all chunks of an answer, in pieces that are joined when asked for.

    Texts grow, unless a chunk only repeats what is known; lists grow too, and of their objects
    those with the same ``index`` are one. Of anything else the latest counts.
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def add(self, extra: Mapping[str, Any]) -> None:
        """Add the unknown fields of one chunk."""
        _merge(self._known, extra)

    def joined(self) -> dict[str, Any]:
        """Return the fields so far."""
        whole: dict[str, Any] = _joined(self._known)
        return whole


class _Text(list[str]):
    """Pieces of a text: adding strings to each other would copy the whole each time."""


def _merge(known: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        # What a chunk says first decides how the rest is added: text to text, list to list.
        before = known.get(key)
        if isinstance(value, str):
            if not isinstance(before, _Text):
                known[key] = _Text([value])
            elif before != [value]:
                before.append(value)
        elif _is_object(value):
            if not _is_object(before):
                before = known[key] = {}
            _merge(before, value)
        elif _is_array(value):
            if isinstance(before, _Text) or not _is_array(before):
                before = known[key] = []
            _merge_items(before, value)
        elif value is not None or before is None:
            known[key] = value


def _merge_items(known: Any, more: Any) -> None:
    for item in more:
        # No list nor object: nothing is ever added to it.
        if item.__class__ not in _GROWING:
            known.append(item)
            continue
        index = item.get("index") if _is_object(item) else None
        # Not further back: a list may have been made long to keep its reader busy.
        latest = known[-_OPEN_ITEMS:] if index is not None else ()
        same = [each for each in latest if _is_object(each) and each.get("index") == index]
        if same:
            _merge(same[0], item)
        else:
            entry: dict[str, Any] = {}
            _merge(entry, {"item": item})
            known.append(entry["item"])


def _joined(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if _is_object(value):
        return {key: _joined(part) for key, part in value.items()}
    return [_joined(part) for part in value] if _is_array(value) else value
