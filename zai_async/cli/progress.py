"""How far something is: a line on stderr that changes, or a few lines where nobody watches."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic
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
        self._shown_at = monotonic()

    def show(self, text: str) -> None:
        """Show a text unless it is the one that is shown."""
        if text != self._shown and not self._quiet:
            self._shown = text
            self._shown_at = monotonic()
            self._terminal.progress(text)

    def transfer(self, name: str) -> Callable[[int, int | None], None]:
        """Return what shows the progress of a transfer: bytes so far, and the total or None."""

        def show(done: int, total: int | None) -> None:
            if self._terminal.redraws or monotonic() >= self._shown_at + _LULL:
                self.show(f"{name}: {_part(done, total)}")

        return show

    @asynccontextmanager
    async def waiting(self, describe: Callable[[], str]) -> AsyncGenerator[Callable[[], None]]:
        """Show for the length of a block what is waited for, on a terminal with the seconds.

        The block is given a function that shows a change at once.
        """
        begun = monotonic()

        def show() -> None:
            seconds = f", {monotonic() - begun:.0f} s" if self._terminal.redraws else ""
            self.show(f"{describe()}{seconds}")

        ticker = asyncio.create_task(_tick(show))
        try:
            yield show
        finally:
            ticker.cancel()
            self._terminal.erase()


async def _tick(show: Callable[[], None]) -> None:
    while True:
        show()
        await anyio.sleep(_TICK)


def _part(done: int, total: int | None) -> str:
    if not total:
        return f"{done / _MEGABYTE:.1f} MB"
    return f"{100 * done // total} % of {total / _MEGABYTE:.1f} MB"
