"""Plain data for JSON columns, queues and web frameworks: ``to_dict`` and ``from_dict``."""

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from zai_async.models import Message
from zai_async.models.encoding import to_plain
from zai_async.models.tolerant import read

__all__ = ["from_dict", "to_dict"]

T = TypeVar("T")


def to_dict(value: object) -> Any:
    """Return a result, a message, an event, or a list or mapping of such as plain data.

    ``json.dumps(to_dict(history))`` keeps everything: unknown fields of messages, and pictures as
    base64. Files given by their path are read here and now.

    Raises:
        TypeError: Something has no form in JSON, or is a file that can be read only once.
        ValueError: A number is not finite.
    """
    return to_plain(value)


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
            answers become messages again; or one message of it.
    """
    plain: Any = to_plain(data)
    if into is not None:
        return read(into, plain)
    return _restored(plain)


def _restored(plain: Any) -> Any:
    match plain:
        case [*items]:
            return [_restored(each) for each in items]
        case {"role": "assistant"}:
            message = read(Message, plain)
            # What a caller has written himself may hold more nulls or fewer lists than a message.
            return message if message.to_dict() == plain else plain
        case _:
            return plain
