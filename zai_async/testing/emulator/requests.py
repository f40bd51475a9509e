"""Requests as they arrived: JSON, forms, the log of them, and waiting for what happens."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from functools import cached_property
from typing import Any, TypeGuard

import msgspec

Json = dict[str, Any]

MAX_REQUEST_BYTES = 64 * 2**20


def is_object(value: object) -> TypeGuard[Json]:
    """Whether a decoded value is a JSON object."""
    return isinstance(value, dict)


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a form."""

    filename: str
    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class ParsedForm:
    """The parts of a form: texts (a list where a name came more than once) and files."""

    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    files: Mapping[str, FormFile] = field(default_factory=dict[str, FormFile])


def read_form(content_type: str, body: bytes) -> ParsedForm:
    """Split a ``multipart/form-data`` body (RFC 7578); any other body gives an empty form."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = head.get_boundary()
    if head.get_content_type() != "multipart/form-data" or not boundary:
        return ParsedForm()

    texts: dict[str, list[str]] = {}
    files: dict[str, FormFile] = {}
    # The first delimiter needs no line break before it (RFC 2046, 5.1.1); with one added, all
    # delimiters look alike. What precedes the first and follows the last is no part.
    delimiter = b"\r\n--" + boundary.encode(errors="replace")
    for raw in (b"\r\n" + body).split(delimiter)[1:-1]:
        header, _, data = raw.partition(b"\r\n\r\n")
        part = HeaderParser().parsestr(header.decode(errors="replace").strip())
        name = str(part.get_param("name", "", "Content-Disposition")).removesuffix("[]")
        filename = part.get_filename()
        if filename is None:
            texts.setdefault(name, []).append(data.decode(errors="replace"))
        else:
            files[name] = FormFile(filename, data, part.get_content_type())

    # A list with one entry looks like a plain field; of these only `hotwords` is always a list.
    fields: Json = {
        name: values if name == "hotwords" or len(values) > 1 else values[0]
        for name, values in texts.items()
    }
    return ParsedForm(fields, files)


@dataclass(kw_only=True, eq=False)
class RecordedRequest:
    """One request as it arrived, and what became of it.

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
        headers = {
            name: "***" if name.lower() == "authorization" else value
            for name, value in self.headers.items()
        }
        outcome = "disconnected" if self.disconnected_at is not None else self.status
        return (
            f"<RecordedRequest {self.method} {self.path} {outcome}"
            f" connection={self.connection} headers={headers}>"
        )

    @cached_property
    def json(self) -> Any:
        """The decoded body; ``None`` when it is not JSON."""
        # Whatever arrives is recorded; a test may send damage on purpose.
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    @cached_property
    def form(self) -> ParsedForm:
        """The parts of a multipart body; empty when it is something else."""
        return read_form(self.headers.get("Content-Type", ""), self.body)

    @property
    def streams(self) -> bool:
        """Whether the client asked for a stream."""
        if is_object(self.json):
            return self.json.get("stream") is True
        # In a form everything is text.
        return self.form.fields.get("stream") == "true"


class Waiting:
    """A condition on the figures: ``await`` it, or call ``result()`` in a thread."""

    def __init__(self, condition: Callable[[], bool], timeout: float, subject: str) -> None:
        self._condition = condition
        self._timeout = timeout
        self._late = f"{subject}: not seen within {timeout} s"
        # A concurrent future, not an asyncio one: the waiter may sit in another thread or loop.
        self._met: Future[None] = Future()
        self.check()

    def check(self) -> bool:
        """Look again; return whether the wait is over."""
        if not self._met.done() and self._condition():
            with suppress(InvalidStateError):  # cancelled, or seen by another thread, just now
                self._met.set_result(None)
        return self._met.done()

    def __await__(self) -> Generator[Any, None, None]:
        """Wait in an event loop; any loop, not only the emulator's."""

        async def wait() -> None:
            try:
                async with asyncio.timeout(self._timeout):
                    await asyncio.wrap_future(self._met)
            except TimeoutError:
                raise TimeoutError(self._late) from None

        return wait().__await__()

    def result(self) -> None:
        """Block this thread until the condition holds."""
        try:
            self._met.result(self._timeout)
        except TimeoutError:
            raise TimeoutError(self._late) from None


class RequestLog:
    """The requests and figures of one test; ``reset()`` of the emulator starts a new one.

    The requests form a ring: beyond ``keep`` requests, or ``MAX_REQUEST_BYTES`` of their bodies,
    the oldest are dropped. The counts go on.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        # Each request with the bytes of its body that were counted.
        self._kept: OrderedDict[RecordedRequest, int] = OrderedDict()
        self._body_bytes = 0
        self.arrived = 0
        self.disconnected = 0
        self.connections = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self._waiting: list[Waiting] = []

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests that are still kept, in order of arrival."""
        return list(self._kept)

    def connected(self) -> int:
        """Count a connection and return its number."""
        self.connections += 1
        self.notify()
        return self.connections

    def start(self, request: RecordedRequest) -> None:
        """Add a request whose headers have arrived."""
        self._kept[request] = 0
        self.arrived += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self._trim()
        self.notify()

    def receive(self, request: RecordedRequest, body: bytes) -> None:
        """Add the body of a request."""
        request.body = body
        if request in self._kept:
            self._kept[request] = len(body)
            self._body_bytes += len(body)
            self._trim()

    def _trim(self) -> None:
        # The newest request stays whatever it weighs: a test that uploads 100 MB looks at it.
        while len(self._kept) > 1 and (
            len(self._kept) > self._keep or self._body_bytes > MAX_REQUEST_BYTES
        ):
            _, size = self._kept.popitem(last=False)
            self._body_bytes -= size

    def disconnect(self, request: RecordedRequest, now: float) -> None:
        """Mark a request whose client left early."""
        request.disconnected_at = now
        self.disconnected += 1

    def finish(self, request: RecordedRequest) -> None:
        """Count a request as done."""
        # Decoded, a body takes several times its bytes; a test that looks decodes it again.
        for cached in ("json", "form"):
            vars(request).pop(cached, None)
        self.in_flight -= 1
        self.notify()

    def wait(self, condition: Callable[[], bool], timeout: float, subject: str) -> Waiting:
        """Register a condition that is looked at after each change."""
        waiting = Waiting(condition, timeout, subject)
        self._waiting.append(waiting)
        waiting.check()  # a change may have come between the first look and the registration
        return waiting

    def notify(self) -> None:
        """Let every waiting condition look again."""
        for waiting in list(self._waiting):
            if waiting.check():
                self._waiting.remove(waiting)
