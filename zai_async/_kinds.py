"""Of what kind a value is that somebody sets, whatever a type checker would have told them."""

import math
from numbers import Integral, Real

__all__ = ["is_a", "is_number", "is_whole", "misfit"]


def is_a(value: object, *kinds: type) -> bool:
    """Tell whether a value is of one of these kinds."""
    return isinstance(value, kinds)


def misfit(kind: type, *fitting: type) -> str:
    """Return the name of a kind that is none of those that fit, "" if it is.

    A kind and no value, which may be a secret and would stand in the traceback.
    """
    return "" if issubclass(kind, fitting) else kind.__name__


def is_number(value: object) -> bool:
    """Tell whether a value is a number, infinite ones included; True, "5" and NaN are none.

    They would be compared and added up in silence, or fail in the middle of a call.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Real):
        return False
    return not math.isnan(value)


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number; True is none."""
    return isinstance(value, int | Integral) and not isinstance(value, bool)
