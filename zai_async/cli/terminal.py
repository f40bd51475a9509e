"""Where output goes, data to stdout and everything else to stderr, and the exit statuses."""

import io
import math
import os
import sys
import unicodedata
from pathlib import Path
from typing import Final, TextIO

__all__ = [
    "BROKEN_PIPE",
    "FAILED",
    "INTERRUPTED",
    "LIMITED",
    "NO_ACCESS",
    "TOO_LATE",
    "USAGE",
    "Terminal",
    "fitted",
]

# What scripts see.
FAILED: Final = 1
USAGE: Final = 2
NO_ACCESS: Final = 3
LIMITED: Final = 4
TOO_LATE: Final = 124
INTERRUPTED: Final = 130
# What shells report for a program that SIGPIPE ended; only `set -o pipefail` makes it visible.
BROKEN_PIPE: Final = 141

# ECMA-48: faint and normal text; return to the first column, and erase to the end of the line.
_DIM, _PLAIN, _ERASE = "\x1b[2m", "\x1b[0m", "\r\x1b[K"
# A model may write anything, escape sequences that drive a terminal included. Files get it as it
# is; a terminal gets a mark instead.
_CONTROLS: Final = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
# These embed, override and isolate directions: code that is shown in one order and runs in another
# (CVE-2021-42574). The marks of single directions stay, because Arabic and Hebrew need them.
_BIDIRECTIONAL: Final = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_HARMLESS: Final = {
    **_CONTROLS,
    **_BIDIRECTIONAL,
    ord("\n"): "\n",
    ord("\t"): "\t",
    # A line that returns to its beginning could hide what it began with.
    ord("\r"): "",
}
_DEFAULT_COLUMNS: Final = 80


class Terminal:
    """The standard streams, and how far the line on the screen has got."""

    def __init__(self) -> None:
        _prepare("stdin", "r")
        _prepare("stdout", "w")
        _prepare("stderr", "w")
        self._unfinished: TextIO | None = None
        self._apart = True
        self._passing = False

    @property
    def redraws(self) -> bool:
        """Whether a line on stderr can be replaced by another."""
        return self.watched and os.environ.get("TERM") != "dumb"

    @property
    def columns(self) -> float:
        """The width of the terminal behind stderr; infinite for a file or a pipe."""
        return columns_of(sys.stderr) if self.watched else math.inf

    @property
    def watched(self) -> bool:
        """Whether a person sees what is said on stderr."""
        return sys.stderr.isatty()

    @property
    def interactive(self) -> bool:
        """Whether a person types and sees the data."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def data(self, text: str) -> None:
        """Write a piece of data to stdout at once."""
        self._write(sys.stdout, text)

    def content(self, piece: bytes) -> None:
        """Write a piece of data that may be no text to stdout at once."""
        # A picture on a screen would be rubbish, and could drive the terminal.
        if sys.stdout.isatty():
            self.data(piece.decode(errors="replace"))
            return
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    def aside(self, text: str) -> None:
        """Write a piece of what is not data to stderr, dimmed on a terminal."""
        self._write(sys.stderr, text, dimmed=_has_colours(sys.stderr))

    def note(self, text: str) -> None:
        """Write a whole line to stderr."""
        self.end_line()
        self._write(sys.stderr, f"{text}\n")

    def notes(self, error: BaseException) -> None:
        """Write what an error says besides, such as how to come back to a task."""
        for note in getattr(error, "__notes__", ()):
            self.note(f"zai: {note}")

    def progress(self, text: str) -> None:
        """Show on stderr how far something is, in a line that the next output replaces."""
        if not self.redraws:
            self.note(text)
            return
        self.end_line()
        # One column stays free: many terminals begin a new line when the last one is filled.
        line = fitted(text.translate(_HARMLESS).replace("\n", " "), int(self.columns) - 1)
        self._write(sys.stderr, line, dimmed=_has_colours(sys.stderr))
        self._passing = True

    def erase(self) -> None:
        """Take the line of progress away."""
        if self._passing:
            self._passing = False
            self._unfinished = None
            sys.stderr.write(_ERASE)
            sys.stderr.flush()

    def end_line(self) -> None:
        """Begin a new line on the screen unless the last one is complete."""
        self.erase()
        if self._unfinished is not None:
            self._write(self._unfinished, "\n")

    def paragraph(self) -> None:
        """Set what follows apart by an empty line on the screen."""
        self.end_line()
        if not self._apart:
            self._write(sys.stderr, "\n")
            self._apart = True

    def interrupted(self) -> None:
        """Leave the line on which the terminal has echoed ^C."""
        self._passing = False
        # The shell's prompt would stand behind it otherwise.
        if self._unfinished is not None or self.watched:
            self._write(self._unfinished or sys.stderr, "\n")

    def abandon(self) -> None:
        """Give up both streams: nobody reads them, and the interpreter would flush them at exit."""
        # Closing them would fail in the same way, because it flushes what they still hold.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())

    def _write(self, stream: TextIO, text: str, *, dimmed: bool = False) -> None:
        self.erase()
        shown = text.translate(_HARMLESS) if stream.isatty() else text
        stream.write(f"{_DIM}{shown}{_PLAIN}" if dimmed else shown)
        # At once: a person reads along, and so does the next program of a pipe.
        stream.flush()
        # Data that goes elsewhere does not move the cursor.
        if shown and (stream is sys.stderr or stream.isatty()):
            self._unfinished = None if shown.endswith("\n") else stream
            self._apart = False


def fitted(text: str, columns: int) -> str:
    """Return as much of a line as a terminal shows in so many columns."""
    for length, character in enumerate(text):
        # Chinese characters and most pictures take two columns, combining marks take none.
        wide = unicodedata.east_asian_width(character) in "WF"
        columns -= 0 if unicodedata.combining(character) else 1 + wide
        if columns < 0:
            return text[:length]
    return text


def columns_of(stream: TextIO) -> int:
    """Return the width of the terminal behind a stream."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isascii() and wanted.isdigit() and int(wanted):
        return int(wanted)
    try:
        # Of this stream: stdout, which others ask, may be a pipe. Some terminals say 0.
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_COLUMNS
    except OSError:
        return _DEFAULT_COLUMNS


def _prepare(name: str, mode: str) -> None:
    """Have a standard stream accept any text; one that the caller has closed leads nowhere."""
    stream = getattr(sys, name)
    if stream is None:
        nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - it stays open
        setattr(sys, name, nowhere)
    elif isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def _has_colours(stream: TextIO) -> bool:
    """Say whether to dim text there: https://no-color.org, and terminals that cannot."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and stream.isatty()
