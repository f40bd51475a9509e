"""``zai emulator``: an emulated platform for programs that take a base URL."""

from collections.abc import Sequence

from zai_async.cli.terminal import Terminal
from zai_async.testing.server import serve

__all__ = ["run"]


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the base URL and serve until Ctrl-C."""
    del terminal
    return serve(argv, prog="zai emulator")
