"""What all objects of the API have in common: their unknown fields, and their plain form."""

from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

from zai_async.models.encoding import to_plain
from zai_async.models.extra import NO_EXTRA
from zai_async.models.tolerant import read

__all__ = ["JSONObject", "PlainForm"]


class PlainForm:
    """What has a plain form of dicts, lists and scalars."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the object as plain data, which ``json.dumps`` and web frameworks can write.

        Unknown fields stand where they stood, and files of the caller as base64.

        Raises:
            TypeError: It holds what JSON has no form for, or a file that can be read only once.
        """
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the object that plain data describes, read as tolerantly as an answer.

        Raises:
            TypeError: ``data`` is no mapping.
        """
        plain: object = to_plain(data)
        if not isinstance(plain, dict):
            raise TypeError(
                f"{cls.__name__}.from_dict() takes a mapping, not {type(data).__name__}"
            )
        return read(cls, plain)


class JSONObject(PlainForm, Struct, kw_only=True, forbid_unknown_fields=True):
    """An object of the API, whose unknown fields are kept.

    msgspec itself refuses unknown fields of these structs: decode JSON of your own with
    ``from_dict(json.loads(text))``.
    """

    @property
    def extra(self) -> Mapping[str, Any]:
        """The fields that this package does not know, as they came; empty when there are none."""
        return NO_EXTRA
