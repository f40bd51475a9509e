"""The record that describes a gateway."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

__all__ = ["Provider"]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_RENAMES: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one gateway; make your own for a gateway that is not listed.

    Endpoint paths begin with a family (``paas/v4`` or ``v1``); ``families`` says where below
    ``base_url`` each family lives. Operations are named as in ``zai.<operation>``, for example
    ``"chat.completions.create"``.
    """

    name: str
    """What ``AsyncZai(provider=...)`` and hints call it."""
    base_url: str
    """Address that the families hang below, without a trailing slash."""
    families: Mapping[str, str] = MappingProxyType({"paas/v4": "paas/v4", "v1": "v1"})
    """Path prefix of each family of endpoints."""
    paths: Mapping[str, str] = _NOTHING
    """Literal path of an operation whose path follows no rule; braces hold keywords of the call."""
    operations: frozenset[str] | None = None
    """Operations that exist here; None means all."""
    key_variables: tuple[str, ...] = ("ZAI_API_KEY",)
    """Environment variables that may hold the key, first one first."""
    url_variables: tuple[str, ...] = ("ZAI_BASE_URL",)
    """Environment variables that may hold another base URL."""
    key_in: Literal["header", "query", "jwt"] = "header"
    """Whether the key travels as a bearer token, in the query, or signs a short-lived token."""
    key_parameter: str = "api_token"
    """Name of that query parameter."""
    key_prefix: str = ""
    """What every key begins with; another one, perhaps meant for another service, is not sent."""
    query: Mapping[str, str] = _NOTHING
    """Query parameters of every request; they are no secrets."""
    renames: Mapping[str, Mapping[str, str]] = _NO_RENAMES
    """For each operation, what body fields are called here; what is in ``extra`` stays as it is."""
    plain_prompts: frozenset[str] = frozenset()
    """Operations that take one plain text in place of ``messages``."""
    envelope: tuple[str, ...] = ()
    """Keys of which one may hold the actual answer."""
    statuses: Mapping[str, str] = _NOTHING
    """What the platform calls the values of a task's ``status``."""
    buffered_streams: bool = False
    """Whether streams arrive all at once, after their last token."""
    hints: Mapping[str, str] = _NOTHING
    """What to say about an error kind that has a special meaning here."""

    def has(self, operation: str) -> bool:
        """Tell whether an operation exists here."""
        return self.operations is None or operation in self.operations
