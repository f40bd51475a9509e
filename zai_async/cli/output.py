"""What a command says: answers as text, JSON or bytes, progress on stderr, and errors."""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
import msgspec

from zai_async.cli.arguments import place
from zai_async.cli.terminal import FAILED, LIMITED, NO_ACCESS, TOO_LATE, USAGE, Terminal
from zai_async.errors import (
    AccountError,
    AuthenticationError,
    BillingError,
    ConfigurationError,
    DeadlineError,
    MissingKeyError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    TaskTimeoutError,
    ZaiError,
)

__all__ = ["Output", "Progress", "add_output", "report", "table", "to_json", "write_content"]


class Output:
    """Hand over answers, whole with --json; to a file where a path is given."""

    def __init__(
        self, arguments: argparse.Namespace, terminal: Terminal, path: str | None = None
    ) -> None:
        self._terminal = terminal
        self._as_json: bool = arguments.json
        self._path = path

    def answer(self, answer: object, text: str) -> None:
        """Write an answer, or this text for it.

        Raises:
            OSError: The file cannot be written.
        """
        data = to_json(answer) if self._as_json else text
        if data and not data.endswith("\n"):
            data += "\n"
        if self._path is None:
            self._terminal.data(data)
        else:
            # As it is, on Windows too.
            Path(self._path).write_text(data, encoding="utf-8", newline="")


def add_output(
    parser: argparse.ArgumentParser, out: str | None = None, *, json: bool = True
) -> None:
    """Add the options for what is handed over; ``out`` says what --out does, if it is there."""
    group = parser.add_argument_group("output")
    if json:
        group.add_argument("--json", action="store_true", help="print the answer as one JSON line")
    if out is not None:
        group.add_argument("--out", type=place, metavar="PATH", help=out)


def to_json(answer: object) -> str:
    """Return one line of JSON."""
    # Escapes, because data must arrive whole whatever the encoding of the pipe.
    return json.dumps(msgspec.to_builtins(answer))


def write_content(content: bytes, terminal: Terminal, path: str | None) -> None:
    """Write bytes to stdout, or to a file where a path is given.

    Raises:
        OSError: The file cannot be written.
    """
    if path is None:
        terminal.content(content)
    else:
        Path(path).write_bytes(content)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return lines whose columns stand one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


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


# The first class that fits counts: MissingKeyError is a ConfigurationError too.
_STATUSES: tuple[tuple[type[ZaiError], int], ...] = (
    (MissingKeyError, NO_ACCESS),
    (AuthenticationError, NO_ACCESS),
    (PermissionDeniedError, NO_ACCESS),
    (BillingError, NO_ACCESS),
    (AccountError, NO_ACCESS),
    (RateLimitError, LIMITED),
    (QuotaError, LIMITED),
    (DeadlineError, TOO_LATE),
    (TaskTimeoutError, TOO_LATE),
    (ConfigurationError, USAGE),
)


def report(error: ZaiError, terminal: Terminal) -> int:
    """Say in one line what went wrong and return the exit status for it."""
    text = " ".join(str(error).split())
    if error.emitted:
        text = f"{text.removesuffix('.')}. What was printed is not the whole answer."
    terminal.note(f"zai: {text}")
    terminal.notes(error)
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), FAILED)
