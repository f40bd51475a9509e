"""One operation of the API as data."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from zai_async.uploads import FileLimits

__all__ = ["Operation"]

T = TypeVar("T")
Body = dict[str, Any]


def _unchanged(body: Body) -> Body:
    return body


class Operation(Generic[T]):
    """Everything about the wire that differs between operations."""

    def __init__(
        self,
        name: str,
        path: str,
        result: type[T],
        params: type[Any],
        *,
        method: str = "POST",
        stream: bool = False,
        repeatable: bool = True,
        free: bool = False,
        upload: tuple[str, FileLimits] | None = None,
        prepare: Callable[[Body], Body] = _unchanged,
    ) -> None:
        self.name = name
        self.path = path
        self.result = result
        self.params = params
        self.method = method
        self.stream = stream
        self.repeatable = repeatable
        """Whether the request may be sent again when nobody knows if the first one arrived."""
        self.spends = method == "POST" and not free
        """Whether a call may use tokens."""
        self.upload = upload
        """The field that is a file, which makes the body a form, and what is accepted there."""
        self.prepare = prepare

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[T]:
        """Decode a whole body, or one event of a stream."""
        return msgspec.json.Decoder(self.result)

    @cached_property
    def keywords(self) -> frozenset[str]:
        """Return all keywords of the operation."""
        return frozenset(self.params.__required_keys__ | self.params.__optional_keys__)

    @cached_property
    def required(self) -> frozenset[str]:
        """Return the keywords that cannot be left out."""
        return frozenset(self.params.__required_keys__)
