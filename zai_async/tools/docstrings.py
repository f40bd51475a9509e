"""What docstrings in Google's style tell about a function and its arguments."""

import inspect
import re
from typing import Final

__all__ = ["described"]

_HEAD: Final = re.compile(
    r"^(Args|Arguments|Parameters|Returns?|Raises|Yields?|Examples?|Notes?):\s*$", re.MULTILINE
)
_ARGUMENT: Final = re.compile(r"^(\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")


def described(docstring: str | None) -> tuple[str, dict[str, str]]:
    """Return the description of a function, and one for each argument under ``Args:``."""
    text = inspect.cleandoc(docstring or "")
    first = _HEAD.search(text)
    description = text[: first.start()].strip() if first else text
    arguments: dict[str, str] = {}
    for head in _HEAD.finditer(text):
        if head[1] in {"Args", "Arguments", "Parameters"}:
            following = _HEAD.search(text, head.end())
            arguments |= _arguments(text[head.end() : following.start() if following else None])
    return description, arguments


def _arguments(section: str) -> dict[str, str]:
    lines = inspect.cleandoc(section).splitlines()
    found: dict[str, list[str]] = {}
    latest: list[str] = []
    for line in lines:
        # What is indented further continues the description above.
        start = None if line.startswith((" ", "\t")) else _ARGUMENT.match(line)
        if start:
            latest = found[start[1].lstrip("*")] = [start[2]]
        else:
            latest.append(line.strip())
    return {name: " ".join(filter(None, parts)) for name, parts in found.items()}
