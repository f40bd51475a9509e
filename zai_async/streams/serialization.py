"""Plain data for JSON columns, queues and web frameworks: ``to_dict`` and ``from_dict``."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast, get_args, overload

import msgspec

from zai_async._protocol.events import ChatEvent
from zai_async.models import Message, ToolCall, Usage
from zai_async.models.encoding import to_plain
from zai_async.models.extra import plain_class
from zai_async.models.tolerant import read

__all__ = ["from_dict", "to_dict"]

T = TypeVar("T")

# Inside of an answer token counts need no type; among events they do.
_USAGE: Final = "usage"
_EVENTS: Final[Mapping[str, Any]] = {
    kind.__struct_config__.tag: kind
    for kind in get_args(ChatEvent)
    if kind.__struct_config__.tag is not None
}


def to_dict(value: object) -> Any:
    """Return a result, a message, an event, or a list or mapping of such as plain data.

    ``json.dumps(to_dict(history))`` keeps everything: unknown fields of messages, and pictures as
    base64. Files given by their path are read here and now. Every event has a ``type``.

    Raises:
        TypeError: Something has no form in JSON, or is a file that can be read only once.
        ValueError: A number is not finite.
    """
    plain: Any = to_plain(value)
    # The whole has been checked; only token counts among the items want their type.
    if isinstance(value, list):
        return [to_dict(each) for each in cast("list[object]", value)]
    return {"type": _USAGE, **plain} if plain_class(type(value)) is Usage else plain


@overload
def from_dict(data: Mapping[str, Any]) -> Any: ...
@overload
def from_dict(data: list[Any]) -> list[Any]: ...
@overload
def from_dict(data: object, into: type[T]) -> T: ...
def from_dict(data: object, into: Any = None) -> Any:
    """Return what ``to_dict`` was given.

    Args:
        data: What ``json.loads`` returns.
        into: The type of a result, such as ``Video``. Without it ``data`` is a history, whose
            answers become messages again; a list of events; or one message or event.
    """
    plain: Any = to_plain(data)
    if into is not None:
        return read(into, plain)
    return _restored(plain)


def _restored(plain: Any) -> Any:
    kind: Any = None
    match plain:
        case [*items]:
            return [_restored(each) for each in items]
        case {"role": "assistant"}:
            kind = Message
        case {"type": "usage", **counts}:
            return read(Usage, counts)
        case {"type": "function", "id": _, "function": {"arguments": _}}:
            kind = ToolCall
        case {"type": str(tag)}:
            kind = _EVENTS.get(tag)
        case _:
            pass
    if kind is None:
        return plain
    # What a caller has written himself may hold more nulls or fewer lists than a message, or be
    # something else with the same type: that stays what it is.
    try:
        made = read(kind, plain)
    except msgspec.ValidationError:
        return plain
    return made if made.to_dict() == plain else plain
