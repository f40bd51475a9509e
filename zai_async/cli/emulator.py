"""``zai emulator``: the platform's emulator as a server."""

import argparse
from collections.abc import Sequence

from zai_async.cli.terminal import Terminal
from zai_async.testing.server import parser, serve

__all__ = ["emulator_parser", "run_emulator"]


def emulator_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai emulator``."""
    return parser("zai emulator")


def run_emulator(argv: Sequence[str], _terminal: Terminal) -> int:
    """Print the base URL and serve until Ctrl-C."""
    return serve(argv, prog="zai emulator")
