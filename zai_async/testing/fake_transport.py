"""Tests without a socket: a transport that answers from a script."""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import NoneType
from typing import Any, Self

import anyio
import msgspec

from zai_async._kinds import is_a
from zai_async._transport import Request
from zai_async.errors import ConfigurationError, ConnectionLostError

__all__ = ["FakeReply", "FakeTransport"]

Step = bytes | float | BaseException
"""A piece of the body, a silence in seconds, or a failure of the network."""


_NO_ENTRY = "FakeTransport: a script has FakeReply objects, or functions that return one, not {!r}"
_FITTING = {
    "status": ((int,), "a whole number"),
    "header fields": ((str,), "texts, such as retry_after='5'"),
    "steps": ((bytes, int, float, BaseException), "bytes, seconds or exceptions"),
    "delay": ((int, float), "a number of seconds"),
    "failure": ((BaseException, NoneType), "an exception"),
}


class FakeReply(msgspec.Struct, frozen=True, kw_only=True):
    """Script one answer of a ``FakeTransport``.

    Raises:
        ConfigurationError: A field has a value that it cannot have.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    steps: tuple[Step, ...] = ()
    """What happens while the body is read; after the last step the body is at its end."""
    delay: float = 0.0
    """Seconds before the headers."""
    failure: BaseException | None = None
    """Raised in place of an answer."""

    def __post_init__(self) -> None:
        pieces: Any = self.steps
        # Bytes are a sequence of numbers, and those would be silences.
        steps: list[object] = [*pieces] if isinstance(pieces, tuple | list) else [str(pieces)]
        values: tuple[tuple[str, object], ...] = (
            *(("status", self.status), ("delay", self.delay), ("failure", self.failure)),
            *(("header fields", text) for text in dict(self.headers).values()),
            # One of each type: scripts of benchmarks have many thousands of them.
            *(("steps", step) for step in dict(zip(map(type, steps), steps, strict=True)).values()),
        )
        for name, value in values:
            kinds, words = _FITTING[name]
            if not is_a(value, *kinds):
                raise ConfigurationError(f"FakeReply: {name} must be {words}, not {value!r}")

    @classmethod
    def json(cls, value: object, *, status: int = 200, **headers: str) -> Self:
        """Answer with a JSON body."""
        fields = {"Content-Type": "application/json", **_dashed(headers)}
        return cls(status=status, headers=fields, steps=(msgspec.json.encode(value),))

    @classmethod
    def sse(cls, *events: object, done: bool = True, **headers: str) -> Self:
        """Answer with an event stream: bytes and strings as they are, other values as JSON."""
        steps: list[bytes] = []
        for event in events:
            data = event.encode() if isinstance(event, str) else event
            if not isinstance(data, bytes):
                data = msgspec.json.encode(data)
            steps.append(event if isinstance(event, bytes) else b"data: " + data + b"\n\n")
        steps += [b"data: [DONE]\n\n"] * done
        fields = {"Content-Type": "text/event-stream;charset=UTF-8", **_dashed(headers)}
        return cls(headers=fields, steps=tuple(steps))

    @classmethod
    def stream(cls, *steps: Step, **headers: str) -> Self:
        """Answer with an event stream of raw pieces, silences and failures."""
        fields = {"Content-Type": "text/event-stream;charset=UTF-8", **_dashed(headers)}
        return cls(headers=fields, steps=steps)


Script = FakeReply | Callable[[Request], FakeReply]


class FakeTransport:
    """Answer requests from a script, the last entry for ever; ``requests`` holds what was sent.

    Pass it as ``AsyncZai(api_key="test", transport=FakeTransport(...))``.

    Args:
        script: Answers, or functions that take a request and return one; none where nothing
            should be sent.

    Raises:
        ConfigurationError: An entry is neither.
    """

    def __init__(self, *script: Script) -> None:
        for entry in script:
            if not (isinstance(entry, FakeReply) or callable(entry)):
                raise ConfigurationError(_NO_ENTRY.format(entry))
        self._script = deque(script)
        self.requests: list[Request] = []
        self.responses: list[FakeResponse] = []
        self._sent: list[bytes | None] = []
        self.closed = False

    async def send(self, request: Request) -> "FakeResponse":
        """Answer with the next entry of the script."""
        self.requests.append(request)
        body = request.body
        if body is not None and not isinstance(body, bytes):
            body = b"".join([piece async for piece in body])
        self._sent.append(body)
        if not self._script:
            raise ConfigurationError(
                f"FakeTransport: no answer is scripted, to {request.operation}"
            )
        # The last entry stays: a client that retries for ever must not run out of answers.
        entry = self._script.popleft() if len(self._script) > 1 else self._script[0]
        reply: Any = entry if isinstance(entry, FakeReply) else entry(request)
        if not isinstance(reply, FakeReply):
            raise ConfigurationError(_NO_ENTRY.format(reply))
        await anyio.sleep(reply.delay)
        if reply.failure is not None:
            raise reply.failure
        response = FakeResponse(reply)
        self.responses.append(response)
        return response

    @property
    def bodies(self) -> list[Any]:
        """The bodies of all requests: decoded JSON, the bytes of a form, ``None`` for no body."""
        bodies: list[Any] = [*self._sent]
        for place, body in enumerate(self._sent):
            with suppress(msgspec.DecodeError):  # a form stays as it is
                bodies[place] = body and msgspec.json.decode(body)
        return bodies

    @property
    def open_responses(self) -> int:
        """How many responses have neither been read to their end nor closed."""
        return sum(not (response.closed or response.at_end()) for response in self.responses)

    def close_now(self) -> None:
        """Close all responses."""
        self.closed = True
        for response in self.responses:
            response.close()

    async def aclose(self) -> None:
        """Close all responses."""
        self.close_now()


class FakeResponse:
    """A scripted answer."""

    def __init__(self, reply: FakeReply) -> None:
        self.status = reply.status
        self.headers: Mapping[str, str] = _Headers(reply.headers)
        self.connection_reused: bool | None = False
        self.closed = False
        self._steps = deque(reply.steps)
        self._closing = anyio.Event()

    async def read(self) -> bytes:
        """Return the next piece."""
        while self._steps and not self.closed:
            # A silence stays in front until it is over: a read that is cancelled in it, as by a
            # heartbeat, has lost nothing.
            step = self._steps[0]
            if isinstance(step, int | float):
                with anyio.move_on_after(step):
                    await self._closing.wait()
                if self.closed:
                    break
            self._steps.popleft()
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, bytes):
                return step
        if self.closed:
            raise ConnectionLostError("the response was closed")
        return b""

    def at_end(self) -> bool:
        """Tell whether no step is left."""
        return not self._steps

    def close(self) -> None:
        """Wake up a reader with a failure, as a real connection does."""
        # What is closed after its end was complete; closing is no failure then.
        if not self.at_end():
            self.closed = True
        self._closing.set()


class _Headers(dict[str, str]):
    """Header fields; look-up ignores case."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in fields.items()})

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key.lower(), default)

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key.lower())

    def __contains__(self, key: object) -> bool:
        return super().__contains__(str(key).lower())


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
