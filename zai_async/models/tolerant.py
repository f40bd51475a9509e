"""JSON that is read: a value that does not fit is given up, rather than the document.

msgspec decodes what is as it should be in one go. Everything else, odd types and unknown fields
alike, is read by functions that are made from the annotations of the structs, one for each type.
They walk through a document once, whatever is wrong in it: nobody can send a document that takes
longer than its size explains.
"""

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from zai_async.models.extra import extended_class

__all__ = ["Count", "decode", "read"]

T = TypeVar("T")
Read = Callable[[Any], Any]

_COUNTS: Final = range(2**53)
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""A number of tokens or things, or a position: what no counter could reach is absent."""

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ABSENT: Final[Any] = object()
# NaN, Infinity or 1e999: the standard library reads them, and JSON knows no such numbers.
_NO_NUMBER: Final[Any] = object()
_EXACT: Final[frozenset[Any]] = frozenset({str, int, float, bool, NoneType})
_NO_TEXT: Final = "a number that JSON lacks stands in place of a text"
_MOST_READERS: Final = 512
_PART: Final = 2**16
_LONE: Final = re.compile("[\ud800-\udfff]")


class _Way(NamedTuple):
    """How the values of one document are read."""

    hook: Callable[[type[Any], Any], Any] | None = None
    has_no_numbers: bool = False


_PLAIN: Final = _Way()


class _Field(NamedTuple):
    """How one field of a struct is read."""

    name: str
    exact: frozenset[Any]
    """Types of values that are taken as they are."""
    read: Read


def decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode ``data`` into the decoder's type, giving up a value rather than the document.

    What does not fit is coerced when it can be (a number for a string, a numeric string for a
    number, an object for its JSON text or for a list of one) and else treated as absent, so that
    the field's default applies. Unknown fields of structs that refuse them are kept in ``extra``.
    A number that JSON lacks is absent too, but never a part of a text or a list without a trace.
    The type must not contain msgspec.Raw.
    Raises msgspec.ValidationError when the top level itself does not fit (a list for an object)
    and msgspec.DecodeError, nothing else, when ``data`` is not JSON.
    """
    try:
        return decoder.decode(data)
    except UNREADABLE:
        return decode_tolerantly(decoder, data)


def decode_tolerantly(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode what the decoder itself has just refused, as :func:`decode` does."""
    try:
        document, way = _load(data, decoder.dec_hook)
        found: T = _read(decoder.type, document, way)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from None
    return found


def read(kind: type[T], document: Any) -> T:
    """Read plain data into a type, as :func:`decode` does with JSON."""
    found: T = _read(kind, document, _PLAIN)
    return found


def _read(kind: Any, document: Any, way: _Way) -> Any:
    value = _reader(kind, way)(document)
    # What is wrong with a whole document, msgspec says best.
    return msgspec.convert(document, kind, str_keys=True) if value is _ABSENT else value


def _load(data: bytes, hook: Any) -> tuple[Any, _Way]:
    try:
        return msgspec.json.decode(data), _PLAIN if hook is None else _Way(hook)
    except UNREADABLE:
        pass
    # The standard library reads what msgspec refuses: lone surrogates, NaN, a byte order mark.
    try:
        text = data.decode("utf-8-sig")
        if "\\u" in text:
            # No file, socket or terminal would take lone surrogates: they become U+FFFD.
            whole = json.dumps(json.loads(text), ensure_ascii=False)
            # A part at a time, so that other threads have their turn in between.
            parts = range(0, len(whole), _PART)
            text = "".join(_LONE.sub("\ufffd", whole[at : at + _PART]) for at in parts)
        document = json.loads(text, parse_float=_number, parse_constant=_number)
    except ValueError as exc:
        raise msgspec.DecodeError(f"JSON is malformed: {exc}") from exc
    return document, _Way(hook, has_no_numbers=True)


def _number(text: str) -> Any:
    value = float(text)
    return value if math.isfinite(value) else _NO_NUMBER


def _plain(value: Any) -> Any:
    """Return any JSON value with null for the numbers that JSON lacks."""
    form = value.__class__
    if form is dict:
        return {key: _plain(item) for key, item in value.items()}
    if form is list:
        return [_plain(item) for item in value]
    return None if value is _NO_NUMBER else value


@lru_cache(_MOST_READERS)
def _reader(kind: Any, way: _Way) -> Read:
    """Return what reads plain data as this type, or as absent."""
    if kind is Any:
        return _plain if way.has_no_numbers else lambda value: value
    # Of a union, JSON's own types decide which member is meant, so at most one list and one struct.
    members = _members(kind)
    lists = [member for member in members if get_origin(member) is list]
    structs = [member for member in members if _is_struct(member)]
    if len(lists) > 1 or len(structs) > 1:
        return _reader_of_values(kind, (), way)
    if not lists and members == tuple(structs):
        return _reader_of_struct(kind, way)

    of_struct = _reader_of_struct(structs[0], way) if structs else None
    of_list = _reader_of_list(lists[0], way) if lists else None
    others = tuple(member for member in members if member not in {*lists, *structs})
    of_values = _reader_of_values(Union[others], others, way) if others else None  # noqa: UP007

    def read(value: Any) -> Any:
        form = value.__class__
        if form is dict and of_struct is not None:
            return of_struct(value)
        # An object in place of a list is its only element.
        if of_list is not None and (form is list or form is dict):
            return of_list(value)
        return _ABSENT if of_values is None else of_values(value)

    return read if of_struct or of_list or of_values is None else of_values


def _is_struct(kind: Any) -> bool:
    config = getattr(get_origin(kind) or kind, "__struct_config__", None)
    return config is not None and not config.array_like


def _reader_of_struct(kind: Any, way: _Way) -> Read:
    plain = get_origin(kind) or kind
    keeps = plain.__struct_config__.forbid_unknown_fields
    extended = extended_class(plain) if keeps else plain
    aliases: dict[str, tuple[str, type]] = getattr(plain, "_aliases", {})
    known: dict[str, _Field] = {}
    read_extra = _reader(Any, way)

    def read(document: Any) -> Any:
        form = document.__class__
        if form is not dict:
            return _ABSENT
        # Not before they are needed: a struct may contain its like.
        if not known:
            known.update(_fields(kind, way))
        fields: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, item in document.items():
            if key not in known:
                extra[key] = read_extra(item)
                continue
            name, exact, read_item = known[key]
            if type(item) in exact:
                fields[name] = item
            elif (value := read_item(item)) is not _ABSENT:
                fields[name] = value
        if extra and aliases:
            _take_aliases(fields, extra, aliases, known)
        try:
            return extended(**fields, extra=extra) if keeps and extra else plain(**fields)
        except (TypeError, ValueError):
            # A required field is absent, or the struct itself refuses what it is given.
            return _ABSENT

    return read


def _fields(kind: Any, way: _Way) -> dict[str, _Field]:
    """Return how the fields of a struct are read, by their names in JSON."""
    known: dict[str, _Field] = {}
    for each in msgspec.structs.fields(kind):
        exact = frozenset(_members(each.type)) & _EXACT
        known[each.encode_name] = _Field(each.name, exact, _reader(each.type, way))
    tag = (get_origin(kind) or kind).__struct_config__.tag_field
    if tag is not None:
        # It says which struct this is, which has been decided; it is no unknown field.
        read_nothing: Read = lambda _: _ABSENT  # noqa: E731 - typed, which a lambda in place is not
        known[tag] = _Field("", frozenset(), read_nothing)
    return known


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _take_aliases(
    fields: dict[str, Any],
    extra: dict[str, Any],
    aliases: dict[str, tuple[str, type]],
    known: dict[str, _Field],
) -> None:
    """Fill absent fields from their other names.

    A text that came by the other name alone stays in ``extra``: so it has to go back.
    """
    for alias, (name, form) in aliases.items():
        value = extra.get(alias)
        if not isinstance(value, form):
            continue
        found = known[name].read(value)
        absent = not fields.get(name)
        if absent:
            fields[name] = found
        if fields[name] == found and not (absent and form is str):
            del extra[alias]


def _reader_of_list(kind: Any, way: _Way) -> Read:
    (part,) = get_args(kind)
    read_item = _reader(part, way)
    converts = not any(map(_is_struct, [part, *get_args(part)]))
    of_numbers = part in {int, float}
    # Some members must not be lost without a trace: one that is empty stands in their place.
    blank = part if getattr(part, "_keeps_place", False) else None

    def read(value: Any) -> Any:
        form = value.__class__
        items: list[Any] = value if form is list else [value]
        if converts and not way.has_no_numbers:
            with suppress(msgspec.ValidationError):
                return msgspec.convert(items, kind, dec_hook=way.hook, str_keys=True)
        if way.has_no_numbers and any(item is _NO_NUMBER for item in items):
            # Without it, what follows would stand at another place.
            raise msgspec.DecodeError("a list has a number that JSON lacks")
        found = [read_item(item) for item in items]
        if of_numbers and _ABSENT in found:
            return _ABSENT  # a vector without one of its numbers is another vector
        if blank is not None:
            return [blank() if item is _ABSENT else item for item in found]
        return [item for item in found if item is not _ABSENT]

    return read


def _reader_of_values(kind: Any, members: tuple[Any, ...], way: _Way) -> Read:
    """Return what reads scalars, and what msgspec converts as a whole."""
    exact = frozenset(members) & _EXACT
    counts = Count in members
    scalars = [
        each
        for each in members
        if (get_args(each)[0] if get_origin(each) is Annotated else each) in {int, float, bool}
    ]

    def read(value: Any) -> Any:
        if type(value) in exact or (counts and type(value) is int and value in _COUNTS):
            return value
        with suppress(msgspec.ValidationError):
            found = msgspec.convert(value, kind, dec_hook=way.hook, str_keys=True)
            return _plain(found) if way.has_no_numbers else found
        if value is not None and str in exact:
            # A text that has lost a number on the way would be taken for the whole of it.
            try:
                return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            except TypeError:
                raise msgspec.DecodeError(_NO_TEXT) from None
        # Numbers in quotes are what JavaScript servers make of long integers.
        for scalar in scalars:  # none of which reads what is no number
            with suppress(msgspec.ValidationError):
                number = msgspec.convert(value, scalar, strict=False)
                # In quotes, too, NaN and infinity are no numbers of JSON.
                if math.isfinite(number):
                    return number
        return _ABSENT

    return read
