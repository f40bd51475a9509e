"""A server that costs less than any client: `python -m benchmarks.server EVENTS`.

It looks at the first segment of the path and writes bytes that were built before. The path
``/control`` is a line to the benchmark: ``t`` sends one event down every open stream, ``c`` is
answered with the seconds of CPU so far, and ``n`` with the number of open streams.
"""

import asyncio
import re
import sys
import time
from typing import Final, cast

import uvloop

from benchmarks.wire import ANSWER, FILE, HEAD, event, framed, whole_stream

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ONE: Final = framed(event(1))


class Connection(asyncio.Protocol):
    """One connection; a request is answered when its body is there."""

    streams: Final[set[asyncio.Transport]] = set()
    answers: dict[bytes, bytes]

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0
        self._room = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.streams.discard(self._transport)

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
            self.streams.add(self._transport)
        self._transport.write(self.answers.get(self._room, b""))

    def _obey(self, orders: bytes) -> None:
        if orders != b"t":
            figure = time.process_time() if orders == b"c" else len(self.streams)
            self._transport.write(b"%.6f\n" % figure)
        for transport in self.streams if orders == b"t" else ():
            transport.write(_ONE)


async def serve(events: int) -> None:
    Connection.answers = {
        b"burst": whole_stream(events),
        b"warm": whole_stream(8),
        b"first": whole_stream(1),
        b"step": HEAD,
        b"answer": ANSWER,
        b"upload": FILE,
    }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
