"""Types of answers and functions, as they are named on a command line."""

import argparse
import json
import sys
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any, cast

__all__ = ["function", "schema"]


def schema(word: str) -> Any:
    """Return a type by MODULE:NAME, or the JSON Schema that a file holds.

    Raises:
        ArgumentTypeError: There is no such type or file.
    """
    try:
        if ":" in word and not Path(word).is_file():
            return imported(word)
        found: Any = json.loads(Path(word).read_bytes())
    except Exception as error:  # noqa: BLE001 - a module may raise anything
        text = f"{word!r} is neither MODULE:TYPE nor a file of JSON: {error}"
        raise argparse.ArgumentTypeError(text) from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{word!r} holds no JSON Schema")
    return cast("dict[str, Any]", found)


def function(word: str) -> Callable[..., Any]:
    """Return a function, or a tool, by MODULE:NAME.

    Raises:
        ArgumentTypeError: There is none.
    """
    try:
        found = imported(word)
    except Exception as error:  # noqa: BLE001 - a module may raise anything
        text = f"{word!r} is no MODULE:FUNCTION: {error}"
        raise argparse.ArgumentTypeError(text) from None
    if not callable(found):
        raise argparse.ArgumentTypeError(f"{word!r} is no function")
    return cast("Callable[..., Any]", found)


def imported(word: str) -> Any:
    """Return what a module has under a name."""
    module, _, name = word.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as with `python -m`: what is one's own lies here
    return reduce(getattr, name.split("."), import_module(module))
