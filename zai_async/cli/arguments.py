"""Types of arguments, and the words and paths of a command line."""

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from zai_async.uploads import Media

__all__ = [
    "add_words",
    "count",
    "given",
    "media",
    "number",
    "parse",
    "place",
    "said",
    "seconds",
    "setting",
    "text",
]

# How Python shows bytes of an argument that are no text in the locale's encoding (PEP 383).
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def add_words(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    """Add words that may stand between the options; together they are one text."""
    parser.add_argument("words", nargs="*", type=text, metavar=name, help=meaning)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse options and words in any order; everything after ``--`` is words.

    Raises:
        SystemExit: The arguments are invalid, or only help was asked for.
    """
    # argparse refuses to mix them after a ``--``, so that part never reaches it.
    end = argv.index("--") if "--" in argv else len(argv)
    arguments = parser.parse_intermixed_args(argv[:end])
    arguments.words += map(text, argv[end + 1 :])
    return arguments


def said(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """Return the words as one text; a single ``-`` stands for what is piped in.

    Raises:
        SystemExit: There is no text.
    """
    whole = sys.stdin.read().strip() if list(words) == ["-"] else " ".join(words)
    if not whole:
        parser.error("no text: give it as arguments, or - for stdin")
    return whole


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields of a request that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def text(word: str) -> str:
    """Replace what is no Unicode text, such as bytes in another encoding than the locale's."""
    return _SURROGATES.sub("\ufffd", word)


def number(word: str) -> float:
    """Parse a number that is not negative.

    Raises:
        ArgumentTypeError: It is negative, not finite, or not a number.
    """
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 0")
    return value


def seconds(word: str) -> float:
    """Parse a positive time.

    Raises:
        ArgumentTypeError: It is not positive.
    """
    value = number(word)
    if not value:
        raise argparse.ArgumentTypeError("it must be more than 0")
    return value


def count(word: str) -> int:
    """Parse a whole number that is not negative.

    Raises:
        ArgumentTypeError: It is not one.
    """
    # int() would accept spaces, underscores and the digits of other scripts as well.
    if not (word.isascii() and word.isdigit()):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 0")
    return int(word)


def setting(word: str) -> tuple[str, Any]:
    """Parse NAME=VALUE; a value that is JSON is taken as such, any other as text.

    Raises:
        ArgumentTypeError: There is no name, or no value.
    """
    name, equals, value = text(word).partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def place(word: str) -> str:
    """Accept a path to write to.

    Raises:
        ArgumentTypeError: Its directory does not exist.
    """
    # Checked here, because what is written there later has been paid for by then.
    if not word.endswith(("/", os.sep)) and not Path(word).parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {str(Path(word).parent)!r}")
    return word


_SCHEMES: Final = ("http://", "https://", "data:")


def media(word: str) -> str:
    """Return what stands for a file in a request; a path is read when the request is sent."""
    return text(word) if word.startswith(_SCHEMES) else Media(word, encoding="auto")
