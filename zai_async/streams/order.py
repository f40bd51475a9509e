"""The events of a read, and the lines between them that belong to none, in their order."""

from collections.abc import Iterable
from typing import Final

__all__ = ["in_order", "lines_of"]

# How many events may be decoded in one go.
_RUN: Final = 64


def in_order(payloads: list[bytes], stray: list[tuple[int, bytes]]) -> list[bytes | list[bytes]]:
    """Return the events in runs, none of them empty, and each line by itself."""
    if not stray and 0 < len(payloads) <= _RUN:
        return [payloads]
    entries: list[bytes | list[bytes]] = []
    done = 0
    for place, line in stray:
        entries += _runs(payloads[done:place])
        entries.append(line)
        done = place
    return entries + _runs(payloads[done:])


def lines_of(entries: Iterable[bytes | list[bytes]]) -> list[bytes]:
    """Return the lines alone."""
    return [entry for entry in entries if isinstance(entry, bytes)]


def _runs(payloads: list[bytes]) -> list[bytes | list[bytes]]:
    return [payloads[start : start + _RUN] for start in range(0, len(payloads), _RUN)]
