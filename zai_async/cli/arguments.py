"""What the words of a command line may mean."""

import argparse
import math
import re
from collections.abc import Sequence

__all__ = ["count", "number", "parse", "seconds", "text"]

_SURROGATES = re.compile("[\ud800-\udfff]")


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse options and the words of ``prompt`` in any order; after ``--`` all is prompt.

    Raises:
        SystemExit: The arguments are wrong, or only help was asked for.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    arguments = parser.parse_intermixed_args(argv[:end])
    arguments.prompt += map(text, argv[end + 1 :])
    return arguments


def text(word: str) -> str:
    """Replace what is no Unicode text, such as bytes in another encoding than the locale's."""
    return _SURROGATES.sub("\ufffd", word)


def number(word: str) -> float:
    """Read a number that is not negative.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 0")
    return value


def seconds(word: str) -> float:
    """Read a time that is longer than nothing.

    Raises:
        ArgumentTypeError: It is none.
    """
    value = number(word)
    if not value:
        raise argparse.ArgumentTypeError("it must be more than 0")
    return value


def count(word: str) -> int:
    """Read a whole number that is not negative.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not (word.isascii() and word.isdigit()):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 0")
    return int(word)
