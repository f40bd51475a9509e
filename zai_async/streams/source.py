"""What a stream needs of the call that it belongs to."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from zai_async._clock import Clock
from zai_async._secrets import Secret
from zai_async._transport import Response
from zai_async._wire import Endpoint
from zai_async.errors import Attempt, ZaiError
from zai_async.models import CallOptions, Timeout

__all__ = ["Source"]


class Limits(Protocol):
    """The settings that a stream heeds."""

    @property
    def clock(self) -> Clock: ...
    @property
    def max_event_bytes(self) -> int: ...


class Watch(Protocol):
    """Looks after the clocks of open streams."""

    def add(self, watched: Any, /) -> None: ...
    def remove(self, watched: Any, /) -> None: ...


class Home(Protocol):
    """What lives as long as the event loop."""

    @property
    def watchdog(self) -> Watch: ...
    def spawn(self, work: Coroutine[Any, Any, None], cleanup: Callable[[], None], /) -> None: ...


class Source(Protocol):
    """One logical call, which can open a response several times."""

    @property
    def endpoint(self) -> Endpoint[Any]: ...
    @property
    def options(self) -> CallOptions: ...
    @property
    def timeout(self) -> Timeout: ...
    @property
    def settings(self) -> Limits: ...
    @property
    def session(self) -> Home: ...
    @property
    def attempts(self) -> tuple[Attempt, ...]: ...
    @property
    def secrets(self) -> tuple[Secret, ...]: ...
    @property
    def deadline_at(self) -> float | None: ...

    async def open(self) -> Response:
        """Send the request, again if need be, until an event stream answers."""
        ...

    async def recover(self, error: ZaiError) -> None:
        """Return when the request may be sent again, raise the error when it may not."""
        ...

    def note(self, error: ZaiError) -> None:
        """Write a failure down that will not be tried again."""
        ...
