"""Commands that do several things, such as ``zai files upload`` and ``zai files list``."""

import argparse
from collections.abc import Callable
from typing import TypeAlias

from zai_async.cli.connection import Connection
from zai_async.cli.terminal import Terminal

__all__ = ["Act", "Actions"]

Act: TypeAlias = Callable[[argparse.Namespace, Connection, Terminal], None]


class Actions:
    """The things that a command does; each is a parser and a function."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(metavar="ACTION", required=True)

    def add(self, name: str, act: Act, summary: str) -> argparse.ArgumentParser:
        """Add one; what its parser understands besides is up to the caller."""
        description = f"{summary[0].upper()}{summary[1:]}."
        parser = self._parsers.add_parser(name, help=summary, description=description)
        parser.set_defaults(act=act)
        return parser
