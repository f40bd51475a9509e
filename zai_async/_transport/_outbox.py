"""Requests of several tasks leave together."""

import asyncio

__all__ = ["Outbox"]


class Outbox:
    """Writes at once what is alone, and the rest one after the other when all tasks have run.

    A write that wakes the other side takes several times as long as one that finds it awake.
    """

    def __init__(self) -> None:
        self.waiting = 0
        """Requests that wait for their answers."""
        self._letters: list[tuple[asyncio.WriteTransport, bytes]] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Send a request now, or at the end of this turn of the loop."""
        if self.waiting <= 1:
            _send(transport, data)
            return
        if not self._letters:
            asyncio.get_running_loop().call_soon(self._empty)
        self._letters.append((transport, data))

    def _empty(self) -> None:
        letters, self._letters = self._letters, []
        for letter in letters:
            _send(*letter)


def _send(transport: asyncio.WriteTransport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)
