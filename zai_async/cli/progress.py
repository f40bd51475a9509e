"""How far something is: a line on stderr that changes, or a few lines where nobody watches."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from zai_async.cli.terminal import Terminal

__all__ = ["Progress"]

_MEGABYTE: Final = 1_000_000
_TICK: Final = 0.5
# Seconds between two lines about a transfer in a log; a short one needs none.
_LULL: Final = 5.0


class Progress:
    """Show how far something is, unless nobody wants to know."""

    def __init__(self, terminal: Terminal, *, quiet: bool) -> None:
        self._terminal = terminal
        self._quiet = quiet
        self._shown = ""
        self._shown_at = time.monotonic()

    def show(self, text: str) -> None:
        """Show a text unless it is the one that is shown."""
        if text != self._shown and not self._quiet:
            self._shown = text
            self._shown_at = time.monotonic()
            self._terminal.progress(text)

    def transfer(self, name: str) -> Callable[[int, int | None], None]:
        """Return what shows the progress of a transfer: bytes so far, and the total or None."""

        def show(done: int, total: int | None) -> None:
            if self._terminal.redraws or time.monotonic() >= self._shown_at + _LULL:
                self.show(f"{name}: {_part(done, total)}")

        return show

    @asynccontextmanager
    async def waiting(self, describe: Callable[[], str]) -> AsyncGenerator[None]:
        """Show for the length of a block what is waited for, on a terminal with the seconds."""
        ticker = asyncio.create_task(self._tick(describe))
        try:
            yield
        finally:
            ticker.cancel()
            self._terminal.erase()

    async def _tick(self, describe: Callable[[], str]) -> None:
        begun = time.monotonic()
        while True:
            seconds = f", {time.monotonic() - begun:.0f} s" if self._terminal.redraws else ""
            self.show(f"{describe()}{seconds}")
            await anyio.sleep(_TICK)


def _part(done: int, total: int | None) -> str:
    if not total:
        return f"{done / _MEGABYTE:.1f} MB"
    return f"{100 * done // total} % of {total / _MEGABYTE:.1f} MB"
