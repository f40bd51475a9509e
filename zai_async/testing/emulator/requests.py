"""What clients sent: JSON, forms, the record of their requests, and waiting for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from functools import cached_property
from typing import Any, TypeGuard

import msgspec

Json = dict[str, Any]


def is_object(value: object) -> TypeGuard[Json]:
    """Say whether a decoded value is a JSON object."""
    return isinstance(value, dict)


@dataclass(frozen=True, slots=True)
class FormFile:
    """Hold one file of a form."""

    filename: str
    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class ParsedForm:
    """Hold the parts of a form: texts (a list where a name came more than once) and files."""

    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    files: Mapping[str, FormFile] = field(default_factory=dict[str, FormFile])


def read_form(content_type: str, body: bytes) -> ParsedForm:
    """Take a body apart; one that is not ``multipart/form-data`` gives an empty form."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = head.get_boundary()
    if head.get_content_type() != "multipart/form-data" or not boundary:
        return ParsedForm()
    texts: dict[str, list[str]] = {}
    files: dict[str, FormFile] = {}
    for part, data in _parts(boundary.encode(errors="replace"), body):
        name = str(part.get_param("name", "", "Content-Disposition")).removesuffix("[]")
        filename = part.get_filename()
        if filename is None:
            texts.setdefault(name, []).append(data.decode(errors="replace"))
        else:
            files[name] = FormFile(filename, data, part.get_content_type())
    return ParsedForm({name: _one(name, values) for name, values in texts.items()}, files)


def _parts(boundary: bytes, body: bytes) -> Iterator[tuple[Message, bytes]]:
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        yield HeaderParser().parsestr(head.decode(errors="replace").strip()), data


def _one(name: str, values: list[str]) -> Any:
    return values if name == "hotwords" or len(values) > 1 else values[0]


@dataclass(kw_only=True, eq=False)
class RecordedRequest:
    """Remember one request as it arrived, and what became of it.

    ``headers`` are looked up in any case. Times are those of the event loop's clock (monotonic
    seconds). ``disconnected_at`` is set when the client left before its answer was complete.
    ``connection`` numbers the connections from 1; ``reused`` says whether it had carried a request
    before.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    connection: int
    reused: bool
    received_at: float
    operation: str = ""
    body: bytes = b""
    status: int | None = None
    finished_at: float | None = None
    disconnected_at: float | None = None

    def __repr__(self) -> str:
        """Show the request without its key and without its body."""
        headers = {name: _masked(name, value) for name, value in self.headers.items()}
        outcome = "disconnected" if self.disconnected_at is not None else self.status
        return (
            f"<RecordedRequest {self.method} {self.path} {outcome}"
            f" connection={self.connection} headers={headers}>"
        )

    @cached_property
    def json(self) -> Any:
        """Decode the body; ``None`` when it is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    @cached_property
    def form(self) -> ParsedForm:
        """Take a multipart body apart; empty when it is something else."""
        return read_form(self.headers.get("Content-Type", ""), self.body)

    @property
    def streams(self) -> bool:
        """Say whether the client asked for a stream."""
        if is_object(self.json):
            return self.json.get("stream") is True
        return self.form.fields.get("stream") == "true"


def _masked(name: str, value: str) -> str:
    return "***" if name.lower() == "authorization" else value


class Waiting:
    """Wait for the emulator to see something: ``await`` it, or call ``result()`` in a thread."""

    def __init__(self, condition: Callable[[], bool], timeout: float, subject: str) -> None:
        self._condition = condition
        self._timeout = timeout
        self._subject = subject
        self._met: Future[None] = Future()
        self.check()

    def check(self) -> bool:
        """Look again; say whether the wait is over."""
        if not self._met.done() and self._condition():
            with suppress(InvalidStateError):  # given up, or seen by another thread, just now
                self._met.set_result(None)
        return self._met.done()

    def __await__(self) -> Generator[Any, None, None]:
        """Wait in an event loop; any loop, not only the emulator's."""
        return self._wait().__await__()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._met), self._timeout)
        except TimeoutError:
            raise self._late() from None

    def result(self) -> None:
        """Block this thread until the condition holds."""
        try:
            self._met.result(self._timeout)
        except TimeoutError:
            raise self._late() from None

    def _late(self) -> TimeoutError:
        return TimeoutError(f"{self._subject}: not seen within {self._timeout} s")


class RequestLog:
    """Keep the figures of one test; ``reset()`` of the emulator starts a new one."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.connections = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self._waiting: list[Waiting] = []

    def connected(self) -> int:
        """Count a connection and give its number."""
        self.connections += 1
        self.notify()
        return self.connections

    def start(self, request: RecordedRequest) -> None:
        """Write down a request whose headers have arrived."""
        self.requests.append(request)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.notify()

    def finish(self) -> None:
        """Write down that a request needs nothing any more."""
        self.in_flight -= 1
        self.notify()

    def disconnected(self) -> int:
        """Count the requests whose client left early."""
        return sum(request.disconnected_at is not None for request in self.requests)

    def wait(self, condition: Callable[[], bool], timeout: float, subject: str) -> Waiting:
        """Register a condition that is looked at after each change."""
        waiting = Waiting(condition, timeout, subject)
        self._waiting.append(waiting)
        waiting.check()  # a change may have come between the first look and the registration
        return waiting

    def notify(self) -> None:
        """Let the waiting look again."""
        for waiting in list(self._waiting):
            if waiting.check():
                self._waiting.remove(waiting)
