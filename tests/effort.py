"""How much is tried: the same sample in every run, or everything with ``ZAI_TESTS=thorough``.

A parser that survives forty cuts of a stream, drawn by chance, seldom falls over the others.
``make test`` tries the sample, ``make test-thorough`` tries every cut, and
``python -m tests.mutants`` shows that both find the same faults.
"""

import os
import random
from collections.abc import Iterable
from typing import Final, TypeVar

T = TypeVar("T")

MODES: Final = ("", "thorough")
MODE: Final = os.environ.get("ZAI_TESTS", "")
if MODE not in MODES:
    raise ValueError(f"ZAI_TESTS is {MODE!r}; it may be 'thorough' or nothing")
THOROUGH: Final = MODE == "thorough"


def sample(cases: Iterable[T], size: int) -> list[T]:
    """Return every case if the run is thorough, else the first, the last and some in between."""
    every = list(cases)
    if THOROUGH or len(every) <= size:
        return every
    # Drawn by chance, since cases at equal distances may all fall on the same kind of place.
    between = random.Random(size).sample(range(1, len(every) - 1), max(size - 2, 0))
    return [every[place] for place in sorted({0, *between, len(every) - 1})]


def times(thorough: int, usual: int) -> int:
    """Return how often to try what is drawn by chance."""
    return thorough if THOROUGH else usual
