"""Serve the emulator on the command line: ``python -m zai_async.testing``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

import anyio

from zai_async.testing.emulator import Emulator

# Loopback only, unless somebody asks for more: the emulator accepts nearly every key.
_HOST, _PORT = "127.0.0.1", 8765


def parser(prog: str) -> argparse.ArgumentParser:
    """Describe the command line; ``zai emulator`` has the same one."""
    result = argparse.ArgumentParser(prog=prog, description="Serve an emulated Z.AI platform.")
    result.add_argument("--host", default=_HOST, help=f"address to listen on; default: {_HOST}")
    result.add_argument(
        "--port", type=port, default=_PORT, help=f"0 picks a free one; default: {_PORT}"
    )
    result.add_argument(
        "--pace", type=pace, default=1.0, help="0 full speed, 1 like a model; default: 1"
    )
    result.add_argument("--seed", type=int, default=0, help="answers depend on it; default: 0")
    result.add_argument(
        "--api-key", metavar="KEY", help="the only accepted key; default: any but bad..."
    )
    result.add_argument(
        "--allow-host",
        metavar="NAME",
        dest="allowed_hosts",
        action="append",
        default=[],
        help="a name by which clients may call it; default: localhost and addresses",
    )
    result.add_argument(
        "--keep",
        type=kept,
        default=10_000,
        metavar="N",
        help="remember the latest N requests; default: 10000",
    )
    return result


def kept(word: str) -> int:
    """Parse how many requests to remember.

    Raises:
        ArgumentTypeError: It is not a whole number from 1.
    """
    if word.isascii() and word.isdigit() and len(word) <= 9 and int(word):
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 1")


def port(word: str) -> int:
    """Parse the number of a port.

    Raises:
        ArgumentTypeError: There is no such port.
    """
    if word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 65535:
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is not a port from 0 to 65535")


def pace(word: str) -> float:
    """Parse a factor of time.

    Raises:
        ArgumentTypeError: It is negative, not finite, or not a number.
    """
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    # Infinity would wait for ever, and a comparison with NaN is false.
    if 0 <= value < float("inf"):
        return value
    raise argparse.ArgumentTypeError(f"{word!r} is not a number from 0")


def serve(argv: Sequence[str] | None = None, *, prog: str = "python -m zai_async.testing") -> int:
    """Print the base URL, serve until Ctrl-C or SIGTERM; return the exit status."""
    arguments = parser(prog).parse_args(argv)

    async def run() -> None:
        # Both signals end it in order, with its connections reset: containers send SIGTERM.
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with Emulator(**vars(arguments)) as emulator:
                sys.stdout.write(f"{emulator.url}\n")
                sys.stdout.flush()  # a parent that reads the address through a pipe waits for it
                await anext(aiter(signals))

    anyio.run(run)
    return 0
