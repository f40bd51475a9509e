"""What each kind of stream defines, and what it needs of the call that it belongs to."""

import abc
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from zai_async._clock import Clock
from zai_async._secrets import Secret
from zai_async._transport import Response
from zai_async._wire import Operation
from zai_async.errors import Attempt, Timing, ZaiError
from zai_async.models import CallOptions, Outcome, Timeout, Usage
from zai_async.providers import Provider

__all__ = ["Source", "StreamKind"]

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


class Limits(Protocol):
    """The settings that a stream heeds."""

    @property
    def clock(self) -> Clock:
        """Time and chance."""
        ...

    @property
    def provider(self) -> Provider:
        """The gateway."""
        ...

    @property
    def max_event_bytes(self) -> int:
        """The size of the largest event that is accepted."""
        ...


class Watch(Protocol):
    """Looks after the clocks of open streams."""

    def add(self, watched: Any, /) -> None:
        """Begin to look after a stream."""
        ...

    def remove(self, watched: Any, /) -> None:
        """Stop looking after a stream."""
        ...


class Home(Protocol):
    """What lives as long as the event loop."""

    @property
    def watchdog(self) -> Watch:
        """Look after the clocks of streams."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], cleanup: Callable[[], None], /) -> None:
        """Run a small task in the background, and the cleanup after it in any case."""
        ...


class Source(Protocol):
    """One logical call, which can open a response several times."""

    @property
    def operation(self) -> Operation[Any]:
        """What is called."""
        ...

    @property
    def options(self) -> CallOptions:
        """What the caller said about this call."""
        ...

    @property
    def timeout(self) -> Timeout:
        """The clocks of this call."""
        ...

    @property
    def settings(self) -> Limits:
        """What the client is set to."""
        ...

    @property
    def session(self) -> Home:
        """What lives on the event loop of the last request."""
        ...

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request so far."""
        ...

    @property
    def timing(self) -> Timing:
        """How long everything took so far."""
        ...

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be repeated in a message."""
        ...

    @property
    def deadline_at(self) -> float | None:
        """When everything must be over, on the monotonic clock."""
        ...

    async def open(self) -> Response:
        """Send the request, again if need be, until an event stream answers."""
        ...

    async def recover(self, error: ZaiError) -> None:
        """Return when the request may be sent again, raise the error when it may not."""
        ...

    def note(self, error: ZaiError) -> None:
        """Write a failure down that will not be tried again."""
        ...

    def progressed(self) -> None:
        """Note that the first content has arrived."""
        ...

    def leave(self, usage: Usage | None = None, *, completed: bool = False) -> None:
        """Be over, and give the slot of the limiter back; again is harmless."""
        ...
