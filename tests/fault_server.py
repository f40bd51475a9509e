"""Servers that write the bytes of a script, legal or not: an HTTP framework cannot misbehave so."""

import asyncio
import os
import re
import socket
import ssl
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, NamedTuple, Self

Step = bytes | float | Literal["rst", "fin", "cut", "hang"] | Iterable[bytes]
"""Bytes to write, seconds to wait, a way to end the connection, or pieces until nobody reads.

A cut ends TCP alone: TLS would have had an alert to send.
"""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return the bytes of an ordinary answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Seen(NamedTuple):
    """A request as it arrived."""

    connection: int
    head: str
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split()[1]

    def header(self, name: str) -> str | None:
        found = re.search(rf"^{name}: *(.*?)\r$", self.head, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else None


class Listener:
    """Serve connections on loopback, each in a task that ends with the server."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._met, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self._tasks.add(asyncio.current_task())
        try:
            # Clients leave whenever they like; the server ends by cancelling.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.serve(reader, writer)
        finally:
            writer.close()
            self._tasks.discard(asyncio.current_task())

    async def all_closed(self) -> None:
        """Wait until every connection was served to its end and closed, and the client may know."""
        while self._tasks:  # noqa: ASYNC110 - there may be more of them meanwhile
            await asyncio.sleep(0.001)
        for writer in self.writers:
            with suppress(OSError):
                await writer.wait_closed()
        for _ in range(10):  # one turn reads what came, the next one reads its end
            await asyncio.sleep(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError


class FaultServer(Listener):
    """Answer each request with the next list of steps, the last one for ever.

    ``requests`` holds what has arrived, ``arrived`` is set by the first one, ``written`` counts
    the bytes of the answers.
    """

    def __init__(self, *script: list[Step], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.script = list(script)
        self.requests: list[Seen] = []
        self.arrived = asyncio.Event()
        self.written = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/api/paas/v4"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            self.requests.append(Seen(number, head.decode(), body))
            self.arrived.set()
            for step in self.script.pop(0) if len(self.script) > 1 else self.script[0]:
                if step in ("rst", "fin"):
                    return _drop(writer, step)
                await self._do(step, reader, writer)

    async def _do(
        self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if step in ("cut", "hang"):
            if step == "cut":
                with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as tcp:
                    tcp.shutdown(socket.SHUT_WR)
            await reader.read(1)
        elif isinstance(step, float):
            await asyncio.sleep(step)
        else:
            for piece in [step] if isinstance(step, bytes) else step:
                writer.write(piece)
                await writer.drain()
                self.written += len(piece)


def _drop(writer: asyncio.StreamWriter, how: str) -> None:
    if how == "rst":
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


class Proxy(Listener):
    """A forward proxy: ``CONNECT`` becomes a tunnel, any other request is passed on.

    With ``credentials`` it demands them as ``Proxy-Authorization``.
    """

    def __init__(self, credentials: str = "", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.credentials = credentials
        self.tunnels = self.passed_on = self.refused = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = Seen(0, (await reader.readuntil(b"\r\n\r\n")).decode(), b"")
        if self.credentials and seen.header("Proxy-Authorization") != self.credentials:
            self.refused += 1
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif seen.head.startswith("CONNECT "):
            self.tunnels += 1
            opening = b"HTTP/1.1 200 Connection established\r\n\r\n"
            await _join(reader, writer, seen.target, opening, b"")
        else:
            self.passed_on += 1
            await _join(reader, writer, seen.target.split("/")[2], b"", seen.head.encode())


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: str,
    opening: bytes,
    first: bytes,
) -> None:
    host, _, port = target.partition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    writer.write(opening)
    far_writer.write(first)
    back = asyncio.create_task(_pump(far_reader, writer))
    try:
        await _pump(reader, far_writer)
    finally:
        back.cancel()
        far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
