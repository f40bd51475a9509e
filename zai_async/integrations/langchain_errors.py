"""Errors that are ours and LangChain's at once, as its middleware tells them apart by class."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from zai_async._codes import Kind
from zai_async.errors import ZaiError

__all__ = ["model_errors"]

# By our kinds, not by the status: refusals of many kinds come as 429.
_KINDS: Final[Mapping[Kind, type[ModelError]]] = {
    "auth": ModelAuthenticationError,
    "account": ModelPermissionDeniedError,
    "billing": ModelPermissionDeniedError,
    "permission": ModelPermissionDeniedError,
    "request": ModelInvalidRequestError,
    "content": ModelInvalidRequestError,
    "not_found": ModelNotFoundError,
    "throttle": ModelRateLimitError,
    "quota": ModelRateLimitError,
    "overload": ModelAPIError,
    "server": ModelAPIError,
    "protocol": ModelAPIError,
    "stream": ModelAPIError,
    "connection": ModelConnectionError,
    "timeout": ModelTimeoutError,
}
_TOO_LONG: Final = "1261"
_classes: Final[dict[tuple[type[ZaiError], type[ModelError]], type[ZaiError]]] = {}


@contextmanager
def model_errors() -> Generator[None]:
    """Make errors of calls those of LangChain as well; everything about them stays."""
    try:
        yield
    except ZaiError as error:
        theirs = ContextOverflowError if error.code == _TOO_LONG else _KINDS.get(error.kind)
        if theirs is not None and not isinstance(error, ModelError):
            # The very same object: another one would have neither its frames nor its attempts.
            error.__class__ = both(type(error), theirs)
        raise


def both(ours: type[ZaiError], theirs: type[ModelError]) -> type[ZaiError]:
    """Return the one class of errors that is caught as either."""
    known = _classes.get((ours, theirs))
    if known is not None:
        return known

    # Made at run time, it has no name by which pickle would find it.
    def reduced(error: ZaiError) -> tuple[Any, ...]:
        return unpickled, (ours, theirs, error.args, vars(error))

    # It is as retryable as it is, whatever others of its kind are.
    facts = {
        "__module__": ours.__module__,
        "__qualname__": ours.__qualname__,
        "__doc__": ours.__doc__,
        "__reduce__": reduced,
        "is_retryable": property(lambda error: error.retryable),
    }
    return _classes.setdefault((ours, theirs), type(ours.__name__, (ours, theirs), facts))


def unpickled(
    ours: type[ZaiError], theirs: type[ModelError], args: tuple[Any, ...], facts: dict[str, Any]
) -> ZaiError:
    """Return an error as it was before it was pickled."""
    error = both(ours, theirs)(*args)
    vars(error).update(facts)
    return error
