"""What all objects of the API have in common: their unknown fields, and their plain form."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from zai_async.models.extra import NO_EXTRA

__all__ = ["JSONObject"]


class JSONObject(Struct, kw_only=True, forbid_unknown_fields=True):
    """An object of the API, whose unknown fields are kept.

    msgspec itself refuses unknown fields of these structs: decode JSON of your own with
    ``from_dict(json.loads(text))``.
    """

    @property
    def extra(self) -> Mapping[str, Any]:
        """The fields that this package does not know, as they came; empty when there are none."""
        return NO_EXTRA
