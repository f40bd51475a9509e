"""Requests whose bodies are JSON already: they go out as they are."""

from functools import cache
from typing import Any, NotRequired, Required, TypedDict, cast

import msgspec

from zai_async._wire.operation import Body, Operation
from zai_async._wire.requests import RequestFactory
from zai_async.models import CallOptions

__all__ = ["RawParams", "RawRequestFactory", "with_raw_body"]


class RawParams(TypedDict):
    """Parameters of a call whose body is there."""

    raw: Required[bytes]
    """The body."""
    model: NotRequired[str]
    """What the call is counted under; in the body it stands already."""
    options: NotRequired[CallOptions]


@cache
def with_raw_body(operation: Operation[Any]) -> Operation[Any]:
    """Return the same operation for bodies that are JSON already."""
    return Operation(
        operation.name,
        operation.path,
        operation.result,
        RawParams,
        repeatable=operation.repeatable,
        free=not operation.spends,
        essential=" ".join(operation.essential),
        judge=operation.judge,
        bare_text=operation.bare_text,
        raw_of=operation,
    )


class RawRequestFactory(RequestFactory):
    """Makes the requests of an operation out of bodies that are JSON already."""

    def _body(self, params: Any) -> tuple[str, Body]:
        raw: bytes = params["raw"]
        original = self.operation.raw_of
        named = self.operation.name in self._provider.plain_prompts
        if original is not None and (self._renames or named):
            # The gateway has words of its own: the body cannot stay as it is.
            factory = RequestFactory(original, self._provider, None, {})
            fields = msgspec.json.decode(raw, type=Body)
            return factory._body(fields)  # noqa: SLF001 - one way to word a body, for both
        return self._path, cast("Body", msgspec.Raw(raw))
