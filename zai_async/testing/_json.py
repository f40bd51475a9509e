"""JSON of unknown shape."""

from __future__ import annotations

from typing import Any, TypeGuard

Json = dict[str, Any]


def is_object(value: object) -> TypeGuard[Json]:
    """Say whether a decoded value is a JSON object."""
    return isinstance(value, dict)
