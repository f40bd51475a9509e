"""Types of arguments, and the words, paths and input of a command line."""

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from zai_async._files import file_path
from zai_async.errors import InvalidFileError
from zai_async.uploads import Media

__all__ = [
    "STDIN",
    "Action",
    "Actions",
    "add_words",
    "count",
    "given",
    "is_url",
    "media",
    "number",
    "parse",
    "piped",
    "place",
    "place_or_stdout",
    "said",
    "seconds",
    "setting",
    "text",
]

# The word that stands for what is piped in, as in most programs.
STDIN: Final = "-"
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
    whole = piped(parser) if list(words) == [STDIN] else " ".join(words)
    if not whole.strip():
        parser.error("no text: give it as arguments, or - for stdin")
    return whole


def piped(parser: argparse.ArgumentParser, hint: str = "") -> str:
    """Read stdin to its end and return it as it is, spaces and line ends included.

    Args:
        parser: What refuses input that is no text.
        hint: What to do with such input instead.

    Raises:
        SystemExit: It is not text in UTF-8.
    """
    # The bytes, because the text layer would turn \r\n into \n and replace what it cannot read: a
    # model would be asked about another text than the one that was piped in.
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        return sys.stdin.read()
    data: bytes = stream.read()
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        parser.error(
            f"stdin is not text in UTF-8: byte {error.start + 1} is 0x{data[error.start]:02x}{hint}"
        )
    # U+0000 is valid UTF-8, but only a binary file holds it.
    if "\0" in whole:
        parser.error(f"stdin is not text: character {whole.index(chr(0)) + 1} is U+0000{hint}")
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
    # A comparison with NaN is false, so this refuses it too.
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
    # int() accepts spaces, underscores and the digits of other scripts as well, and refuses more
    # than 4,300 digits with an error of its own.
    if not (word.isascii() and word.isdigit() and len(word) < 20):
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
    # A RecursionError is how Python 3.11 refuses thousands of brackets.
    except (ValueError, RecursionError):
        return name, value


def place(word: str) -> str:
    """Accept a path to download to.

    Raises:
        ArgumentTypeError: Its directory does not exist, or no file can be called so.
    """
    if word == STDIN:
        raise argparse.ArgumentTypeError("a download needs the path of a file or a directory")
    # Checked here, because what is written there later has been paid for by then.
    try:
        path = file_path(word)
        if not word.endswith(("/", os.sep)) and not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no directory {str(path.parent)!r}")
        with suppress(FileNotFoundError):
            path.lstat()
    except InvalidFileError as error:
        raise argparse.ArgumentTypeError(error.message) from None
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{word!r}: {error.strerror}") from None
    return word


def place_or_stdout(word: str) -> str | None:
    """Accept a path to write to; ``-`` is stdout, which None stands for.

    Raises:
        ArgumentTypeError: Its directory does not exist.
    """
    return None if word == STDIN else place(word)


def is_url(word: str) -> bool:
    """Say whether a word is the address of a file, not its path."""
    return word.startswith(("http://", "https://", "data:"))


def media(word: str) -> str:
    """Return what stands for a file in a request; a path is read when the request is sent."""
    return text(word) if is_url(word) else Media(word, encoding="auto")


Action: TypeAlias = Callable[..., Any]


class Actions:
    """The actions of a command such as ``zai files``; each is a parser and a function."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(metavar="ACTION", required=True)

    def add(self, name: str, action: Action, summary: str) -> argparse.ArgumentParser:
        """Add an action and return its parser; the caller adds the arguments."""
        description = f"{summary[0].upper()}{summary[1:]}."
        parser = self._parsers.add_parser(name, help=summary, description=description)
        parser.set_defaults(action=action)
        return parser
