"""What a stream needs of the call that it belongs to; the engine provides it."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from zai_async._clock import Clock
from zai_async._secrets import Secret
from zai_async._transport import Response
from zai_async.errors import Attempt, Timing, ZaiError
from zai_async.models import CallOptions, Timeout, Usage
from zai_async.providers import Provider

__all__ = ["StreamCall"]


class StreamSettings(Protocol):
    """The settings that a stream heeds."""

    @property
    def clock(self) -> Clock:
        """Time and randomness."""
        ...

    @property
    def provider(self) -> Provider:
        """The gateway."""
        ...

    @property
    def max_response_bytes(self) -> int:
        """The size of the largest answer that is accepted."""
        ...

    @property
    def max_event_bytes(self) -> int:
        """The size of the largest event that is accepted."""
        ...

    @property
    def max_event_values(self) -> int:
        """How much an event may hold that is accepted."""
        ...


class StreamWatchdog(Protocol):
    """Looks after the timeouts of open streams."""

    def add(self, watched: Any, /) -> None:
        """Begin to look after a stream."""
        ...

    def remove(self, watched: Any, /) -> None:
        """Stop looking after a stream."""
        ...


class StreamSession(Protocol):
    """What lives as long as the event loop."""

    @property
    def process(self) -> int:
        """The id of the process that it belongs to."""
        ...

    @property
    def watchdog(self) -> StreamWatchdog:
        """Look after the timeouts of streams."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], cleanup: Callable[[], None], /) -> None:
        """Run a small task in the background, and the cleanup after it in any case."""
        ...


class StreamPermit(Protocol):
    """What allows the request of a stream to be in flight."""

    def adopt(self) -> None:
        """Note that the running task holds it: another one may have opened the response."""
        ...

    def received(self) -> None:
        """Give it back, as the platform has sent all of the answer."""
        ...


class StreamCall(Protocol):
    """One logical call, which can open a response several times, from any task."""

    @property
    def options(self) -> CallOptions:
        """What the caller said about this call."""
        ...

    @property
    def timeout(self) -> Timeout:
        """The timeouts of this call."""
        ...

    @property
    def settings(self) -> StreamSettings:
        """What the client is set to."""
        ...

    @property
    def session(self) -> StreamSession:
        """What lives on the event loop of the last request."""
        ...

    @property
    def permit(self) -> StreamPermit:
        """What allows the request to be in flight."""
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
        """Send the request, again if need be, until it is answered with a status below 300."""
        ...

    async def recover(self, error: ZaiError) -> None:
        """Return when the request may be sent again, raise the error when it may not."""
        ...

    def fail(self, error: ZaiError) -> None:
        """Write a failure down that will not be tried again."""
        ...

    def progressed(self) -> None:
        """Note that the first content has arrived."""
        ...

    def leave(
        self,
        usage: Usage | None = None,
        *,
        completed: bool = False,
        snapshot: Callable[[], object] | None = None,
    ) -> None:
        """Be over, and give the permit of the limiter back; again is harmless."""
        ...
