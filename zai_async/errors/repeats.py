"""Errors that are raised more than once: nobody sees, or keeps alive, the frames of another."""

import copy
from types import TracebackType
from typing import TypeVar

__all__ = ["own_copy", "raised_again"]

E = TypeVar("E", bound=BaseException)


def own_copy(error: E) -> E:
    """Return an error for one of several callers that all fail for the same reason.

    What is raised collects the frames that it passes, and with them the variables of each caller.
    """
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception of others, which is made of who knows what
        return error
    if hasattr(error, "__notes__"):
        own.__notes__ = [*error.__notes__]
    own.__cause__, own.__suppress_context__ = error.__cause__, error.__suppress_context__
    return own.with_traceback(error.__traceback__)


def raised_again(error: E, trace: TracebackType | None = None) -> E:
    """Return an error that was raised before, without the frames that it has passed since.

    ``trace`` is what it had when it was caught to be kept, which says where others have failed.
    """
    return error.with_traceback(trace)
