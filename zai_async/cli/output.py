"""How a command speaks: answers as text, JSON or bytes, progress on stderr, and errors."""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import anyio

from zai_async._files import OutputFile
from zai_async.cli.arguments import place_or_stdout
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
from zai_async.streams.serialization import to_dict

__all__ = ["Progress", "add_output", "report", "table", "to_json", "write_content", "write_text"]


def add_output(
    parser: argparse.ArgumentParser,
    out: str | None = None,
    *,
    json: bool = True,
    accept: Callable[[str], str | None] = place_or_stdout,
) -> None:
    """Add --json and --out; ``out`` is the help of --out, which is left out without it."""
    group = parser.add_argument_group("output")
    if json:
        group.add_argument("--json", action="store_true", help="print the answer as one JSON line")
    if out is not None:
        group.add_argument("--out", type=accept, metavar="PATH", help=out)


def to_json(answer: object) -> str:
    """Return one line of JSON."""
    # ASCII with escapes, because data must arrive whole whatever the encoding of the pipe.
    return json.dumps(to_dict(answer))


def write_text(
    answer: object, text: str, terminal: Terminal, path: str | None, *, as_json: bool
) -> None:
    """Write the text of an answer, or its JSON, to stdout or to a file.

    Raises:
        OSError: The file cannot be written.
    """
    data = to_json(answer) if as_json else text
    if data and not data.endswith("\n"):
        data += "\n"
    if path is None:
        terminal.data(data)
    else:
        # No translation of line ends: a file gets the answer as it is, on Windows too. What no
        # encoding has, half of a surrogate pair, becomes a mark as it does on stdout.
        write_content(data.encode(errors="replace"), terminal, path)


def write_content(content: bytes, terminal: Terminal, path: str | None) -> None:
    """Write bytes to stdout, or to a file where a path is given.

    Raises:
        OSError: The file cannot be written.
    """
    if path is None:
        terminal.content(content)
    else:
        # Into what is there, never renamed over it: it may be a device, a FIFO or a link that
        # somebody reads at its other end.
        OutputFile(Path(path), len(content)).write_at_once(content)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return lines whose columns are aligned."""
    # The last column is not padded: a line must not end in blanks.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


_MEGABYTE: Final = 1_000_000
_TICK: Final = 0.5
# Seconds between two lines about a transfer in a log; a short transfer needs none.
_LOG_INTERVAL: Final = 5.0


class Progress:
    """Show how far something is, unless it must be quiet."""

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
            # A terminal replaces its line as often as it likes; a log would fill up.
            if not self._terminal.redraws and monotonic() < self._shown_at + _LOG_INTERVAL:
                return
            if total:
                part = f"{100 * done // total} % of {total / _MEGABYTE:.1f} MB"
            else:
                part = f"{done / _MEGABYTE:.1f} MB"
            self.show(f"{name}: {part}")

        return show

    @asynccontextmanager
    async def waiting(self, describe: Callable[[], str]) -> AsyncGenerator[Callable[[], None]]:
        """Show for the length of a block what is waited for, on a terminal with the seconds.

        The block is given a function that shows a change at once.
        """
        begun = monotonic()

        def show() -> None:
            # Seconds would make every line of a log a new one.
            seconds = f", {monotonic() - begun:.0f} s" if self._terminal.redraws else ""
            self.show(f"{describe()}{seconds}")

        async def tick() -> None:
            while True:
                show()
                await anyio.sleep(_TICK)

        # The seconds go on while nothing arrives, which is when a person doubts that it works.
        ticker = asyncio.create_task(tick())
        try:
            yield show
        finally:
            ticker.cancel()
            self._terminal.erase()


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
    """Print an error as one line and return the exit status for it."""
    # One line, so that a log or a script can take an error as a line.
    text = " ".join(str(error).split())
    if error.emitted:
        text = f"{text.removesuffix('.')}. What was printed is not the whole answer."
    terminal.note(f"zai: {text}")
    terminal.notes(error)
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), FAILED)
