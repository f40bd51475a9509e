"""Types of answers, as they are named on a command line."""

import argparse
import json
import sys
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any, cast

__all__ = ["schema"]


def schema(word: str) -> Any:
    """Return a type by MODULE:NAME, or the JSON Schema that a file holds.

    Raises:
        ArgumentTypeError: There is no such type or file.
    """
    module, colon, name = word.partition(":")
    try:
        if colon and not Path(word).is_file():
            if "" not in sys.path:
                sys.path.insert(0, "")  # as with `python -m`: a type of one's own lies here
            return reduce(getattr, name.split("."), import_module(module))
        found: Any = json.loads(Path(word).read_bytes())
    except Exception as error:  # noqa: BLE001 - a module may raise anything
        text = f"{word!r} is neither MODULE:TYPE nor a file of JSON: {error}"
        raise argparse.ArgumentTypeError(text) from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{word!r} holds no JSON Schema")
    return cast("dict[str, Any]", found)
