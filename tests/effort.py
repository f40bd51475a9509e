"""How much is tried: the same sample in every run, or everything with ``ZAI_TESTS=thorough``.

A parser that survives forty cuts of a stream, drawn by chance, seldom falls over the others.
``make test`` tries the sample, ``make test-thorough`` tries every cut, and
``python -m tests.mutants`` shows that both find the same faults.

A thorough run does most tests as every other run does. Where one has just gone before, as in what
decides what lands, ``pytest --only-more`` leaves those out.
"""

import functools
import inspect
import os
import random
import re
from collections.abc import Iterable
from types import ModuleType
from typing import Final, TypeVar

T = TypeVar("T")

MODES: Final = ("", "thorough")
MODE: Final = os.environ.get("ZAI_TESTS", "")
if MODE not in MODES:
    raise ValueError(f"ZAI_TESTS is {MODE!r}; it may be 'thorough' or nothing")
THOROUGH: Final = MODE == "thorough"
_CHOOSES: Final = re.compile(r"^(?:from|import) (?:tests\.effort|hypothesis)\b", re.MULTILINE)


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


@functools.cache
def tries_more(module: ModuleType) -> bool:
    """Tell whether the tests that are written in this module may do more in a thorough run."""
    return _CHOOSES.search(inspect.getsource(module)) is not None
