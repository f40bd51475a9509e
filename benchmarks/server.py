"""A server that costs less than any client: `python -m benchmarks.server EVENTS [FOLDER]`.

It looks at the first segment of the path and writes bytes that were built before. It prints its
port, and with a folder of certificates another one for TLS. The path ``/control`` is a line to the
benchmark:

    t      sends one event down every open stream
    p50 9  sends 50 events a second down every open stream, out of step, 9 events in all
    s      stops that, and is answered with the moments at which they were sent
    c      is answered with the seconds of CPU so far
    n      is answered with the number of open streams
"""

import asyncio
import re
import ssl
import sys
import time
from pathlib import Path
from typing import Final, cast

import uvloop

from benchmarks.certificates import CERTIFICATE
from benchmarks.scenarios.work import need_descriptors
from benchmarks.wire import ANSWER, FILE, HEAD, event, framed, spoken_stream, whole_stream

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ONE: Final = framed(event(1))
_FLOOD: Final = 20_000
_LONG: Final = 10


class Pace:
    """Sends events down one stream after the other, so many a second each, and notes when."""

    def __init__(self, streams: list[asyncio.Transport], rate: int, events: int) -> None:
        self.sent: list[float] = []
        self._streams = streams
        self._rate = rate * len(streams)
        self._events = events
        self._began = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._send()

    def _send(self) -> None:
        self._timer = self._loop.call_later(0.001, self._send)
        due = min(self._events, int((time.monotonic() - self._began) * self._rate))
        for number in range(len(self.sent), due):
            stream = self._streams[number % len(self._streams)]
            if stream.is_closing():  # the benchmark was killed
                return self.stop()
            self.sent.append(time.monotonic())
            stream.write(_ONE)
        return None

    def stop(self) -> None:
        self._timer.cancel()


class Connection(asyncio.Protocol):
    """One connection; a request is answered when its body is there."""

    streams: Final[dict[asyncio.Transport, None]] = {}  # in the order in which they were opened
    answers: dict[bytes, bytes]

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0
        self._room = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.streams.pop(self._transport, None)

    def data_received(self, data: bytes) -> None:
        if self._room == b"control":
            self._obey(data)
        elif self._missing:
            self._count(len(data))
        else:
            self._begin(self._head + data)

    def _begin(self, data: bytes) -> None:
        head, end, body = data.partition(b"\r\n\r\n")
        self._head = b"" if end else data
        if end:
            self._room = head.split(b"/", 2)[1].split(b" ")[0]
            found = _LENGTH.search(head)
            self._missing = int(found[1]) if found else 0
            self._count(len(body))

    def _count(self, size: int) -> None:
        self._missing -= size
        if not self._missing:
            self._answer()

    def _answer(self) -> None:
        if self._room == b"step":
            self.streams[self._transport] = None
        self._transport.write(self.answers.get(self._room, b""))

    def _obey(self, order: bytes) -> None:
        if order == b"t":
            for transport in self.streams:
                transport.write(_ONE)
        elif order.startswith(b"p"):
            rate, events = order[1:].split()
            self._pace = Pace(list(self.streams), int(rate), int(events))
        else:
            self._tell(self._figures(order))

    def _figures(self, order: bytes) -> list[float]:
        if order == b"s":
            self._pace.stop()
            return self._pace.sent
        return [time.process_time() if order == b"c" else len(self.streams)]

    def _tell(self, figures: list[float]) -> None:
        self._transport.write(b" ".join(b"%.6f" % figure for figure in figures) + b"\n")


def answers(events: int) -> dict[bytes, bytes]:
    """Return what is said in each room."""
    return {
        b"burst": whole_stream(events),
        b"spoken": spoken_stream(events),
        b"long": whole_stream(_LONG * events),
        b"flood": whole_stream(_FLOOD),
        b"warm": whole_stream(8),
        b"first": whole_stream(1),
        b"step": HEAD,
        b"answer": ANSWER,
        b"upload": FILE,
    }


async def serve(events: int, folder: str = "") -> None:
    Connection.answers = answers(events)
    await _listen(None)
    if folder:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(Path(folder) / CERTIFICATE)
        await _listen(context)
    await asyncio.Event().wait()


async def _listen(context: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", backlog=8192, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    need_descriptors(0)
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
