"""What a command hands over: text or JSON, to stdout or to a file."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from zai_async.cli.arguments import place
from zai_async.cli.terminal import Terminal

__all__ = ["Output", "add_output", "table", "to_json"]


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


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return lines whose columns stand one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
