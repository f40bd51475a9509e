"""``zai emulator``: the platform's emulator as a server."""

from collections.abc import Sequence

from zai_async.cli.terminal import Terminal
from zai_async.testing.server import serve

__all__ = ["run_emulator"]


def run_emulator(argv: Sequence[str], _terminal: Terminal) -> int:
    """Print the base URL and serve until Ctrl-C."""
    return serve(argv, prog="zai emulator")
