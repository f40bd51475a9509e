"""What each kind of stream defines."""

import abc
from typing import Any, Generic, TypeVar

from zai_async.models import Outcome, Usage

__all__ = ["StreamKind"]

T = TypeVar("T")


class StreamKind(abc.ABC, Generic[T]):
    """What the events of a stream mean, and what makes a proper end of it."""

    @abc.abstractmethod
    def _accept(self, data: bytes) -> T | None:
        """Decode an event and take note of it; None for one that is not for the caller."""

    @abc.abstractmethod
    def _accept_stray(self, line: bytes) -> None:
        """Make sense of a line that is no part of any event."""

    @abc.abstractmethod
    def _judge(self, *, done: bool) -> Outcome:
        """Say how the stream ended, or raise what is wrong with its end."""

    @abc.abstractmethod
    def _finished(self) -> bool:
        """Tell whether nothing but the end mark is still to come."""

    @abc.abstractmethod
    def _partial(self) -> Any:
        """Return what has arrived so far."""

    def _settle(self) -> None:
        """Take note of what was put off; ``_progress`` counts it from here on."""

    def _spent(self) -> Usage | None:
        """Return what the platform told about tokens; None if it counts none here."""
        return None
