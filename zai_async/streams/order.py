"""The events of a read, and the lines between them that belong to none, in their order."""

from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")


def in_order(
    payloads: list[bytes],
    stray: list[tuple[int, bytes]],
    accept: Callable[[bytes], T],
    accept_stray: Callable[[bytes], None],
) -> Iterator[T | None]:
    """Accept one after the other; lines leave the list when it is their turn."""
    done = 0
    while stray:
        place, _ = stray[0]
        yield from map(accept, payloads[done:place])
        done = place
        accept_stray(stray.pop(0)[1])
        yield None  # what was found in the line comes next
    yield from map(accept, payloads[done:])
