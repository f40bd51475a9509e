"""Requests of several tasks leave together."""

import asyncio
from typing import NamedTuple

__all__ = ["Outbox"]


class _Letter(NamedTuple):
    transport: asyncio.WriteTransport
    data: bytes

    def send(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.data)


class Outbox:
    """Writes at once what is alone, and the rest one after the other when all tasks have run.

    A write that wakes the other side takes several times as long as one that finds it awake.
    """

    def __init__(self) -> None:
        self.waiting = 0
        """Requests that wait for their answers."""
        self._letters: list[_Letter] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Send a request now, or at the end of this turn of the loop."""
        letter = _Letter(transport, data)
        if self.waiting <= 1:
            letter.send()
            return
        if not self._letters:
            asyncio.get_running_loop().call_soon(self._empty)
        self._letters.append(letter)

    def _empty(self) -> None:
        letters, self._letters = self._letters, []
        for letter in letters:
            letter.send()
