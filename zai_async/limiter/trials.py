"""What a window tries out: a smaller size after refusals, and one request more than before.

A limit is a step: below it requests pass, above it they are refused. Weather is flat: a busy model
refuses the same share whatever is in flight. A smaller window tells which it was: if there is a
limit, refusals stop; if there is none, they go on as before, and the window gets back what it lost.
"""

import math
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["Probes", "Refusal", "Trial"]

Refusal: TypeAlias = Literal["concurrency", "rate", "overload", "unknown", "local"]
"""What a refusal claims to be about, by its code."""


_CONFIRMED: Final = -3.0
_ENOUGH_AFTER: Final = 12
_FIRST_PRICE, _PRICE = 20, 50
"""Requests that pass before the next probe: after a cut, and for each refusal more."""
_LARGEST_DEBT, _LARGEST_OF_PROBES = 120, 300
"""The most of them: if requests are refused that were sent before a cut, or if probes are."""
_DEBT_OF_WINDOW: Final = 20.0
"""The most for the former, for each request of a window, if the code does not say that it is a
limit: a large window is soon through 120, and is lifted by luck more often."""
_SAME: Final = 0.1
"""A ceiling that is higher or lower by no more than this is the one from before."""
_VERIFIED: Final = {"concurrency": 4, "unknown": 2, "overload": 2, "local": 0}
"""So many probes, in all, those that wait pay for: they tell soon that a cut was in vain."""
_SOONEST, _VERIFY, _LATER = 0.25, 1.0, 4.0
"""Seconds from a cut to the first of them, at least and at most: sooner where refusals come soon;
and how many times as long it takes to each further."""
_WAIT: Final = {"concurrency": 5.0, "unknown": 4.0, "overload": 1.0, "local": 5.0}
"""Seconds after which a lost window is tried again, however few have passed; doubled if in vain."""


class Trial:
    """Whether a cut has helped: a sequential test of two rates, by what is sent after the cut.

    Args:
        kind: What the refusals were about.
        undone: The likelihood from which on the cut was wrong.
        passed: How many had passed, of what led to the cut.
        refused: How many had been refused.
        expected: The share that is refused whatever is in flight.
        limit: The window before.
        proven: How much of it had been proven.
        mixed: Whether some passed in the larger window, so that those that still do tell nothing.
    """

    def __init__(
        self,
        kind: Refusal,
        *,
        undone: float,
        passed: float,
        refused: float,
        expected: float,
        limit: float,
        proven: float,
        mixed: bool,
    ) -> None:
        self.kind: Refusal = kind
        self._undone = undone
        self.limit = limit
        self.proven = proven
        self.mixed = mixed
        self.seen = passed, refused
        """How many have passed and been refused so far, before the cut and after it."""
        # How many are refused if the cut was wrong, and if it was right.
        wrong = (refused + 0.5) / (passed + refused + 4)
        right = min(expected, wrong / 3)
        self._worse = math.log(wrong / right)
        self._better = math.log((1 - wrong) / (1 - right))
        self._score = 0.0
        self._after = 0
        self._passed = False

    @property
    def confirmed(self) -> bool:
        """Whether the cut has helped."""
        return self._score <= _CONFIRMED

    @property
    def young(self) -> bool:
        """Whether it is worth waiting for more to happen; some trials are never decided."""
        return self._after < _ENOUGH_AFTER

    def accepted(self) -> None:
        """Learn that a request passed that was sent after the cut."""
        self._passed = True
        self.seen = self.seen[0] + 1, self.seen[1]
        self._after += 1
        self._score += self._better

    def refused(self) -> bool:
        """Learn that one was refused; tell whether the cut was wrong."""
        self.seen = self.seen[0], self.seen[1] + 1
        self._after += 1
        self._score += self._worse
        # While nothing passes, the window is still too large, or there is an outage.
        return self._passed and self._score >= self._undone


class Probes(msgspec.Struct):
    """When to try one request more than the ceiling allows: a matter of passes, or of time."""

    kind: Refusal = "concurrency"
    """What the refusals claimed to be about that led to the ceiling."""
    belief: Refusal = "concurrency"
    """What they are about, as far as is known."""
    due_at: float = 0.0
    """When the next one may go, however few have passed."""
    verify_at: float = 0.0
    """When the next one may go for which those that wait pay."""
    verified: int = 0
    """How many of these have gone."""
    ceiling: float = -math.inf
    """What they exceed by one, about."""
    failed: int = 0
    """How many were refused under this ceiling."""
    paid_at: int = 0
    """How many must have passed before the next one, since the beginning."""

    def cut(self, kind: Refusal, belief: Refusal, ceiling: float, *, mixed: bool = False) -> None:
        """Begin under a new ceiling: a part of the window, always the same, if it was ``mixed``."""
        self.kind, self.belief = kind, belief
        if abs(ceiling - self.ceiling) > max(1.0, _SAME * ceiling):
            self.failed, self.ceiling = 0, ceiling
        elif ceiling <= self.ceiling and not mixed:
            # What has passed above it did so by luck.
            self.failed += 1

    def wait(self, now: float, passed: int, patience: float = _VERIFY) -> None:
        """Plan the first one under the ceiling, after ``passed`` requests that passed so far.

        After ``patience`` seconds, what is not refused has passed.
        """
        if self.paid_at:
            self.cost(passed)
        else:
            self.paid_at = passed + _FIRST_PRICE
        self.due_at = now + _WAIT[self.belief] * 2.0 ** min(self.failed, 9)
        self._verify_later(now, patience)

    def _verify_later(self, now: float, patience: float) -> None:
        first = min(max(patience, _SOONEST), _VERIFY)
        self.verify_at = now + first * _LATER ** min(self.failed, 9)

    def cost(self, passed: int, most: int = _LARGEST_DEBT) -> None:
        """Note that a request was refused which the ceiling would not have allowed."""
        self.paid_at = min(max(self.paid_at, passed) + _PRICE, passed + most)

    def overshot(self, now: float, passed: int, limit: float) -> None:
        """Note that one more was refused of those sent to a window larger than ``limit``."""
        most = 0 if self.kind == "concurrency" else int(_DEBT_OF_WINDOW * limit)
        self.cost(passed, max(_LARGEST_DEBT, most))
        self.seen_again(now)

    def refused(self, now: float, passed: int, patience: float = _VERIFY) -> bool:
        """Note that a probe was refused; tell whether the ceiling is to be believed now."""
        self.failed += 1
        self.cost(passed, _LARGEST_OF_PROBES)
        self.due_at = now + _WAIT[self.belief] * 2.0 ** min(self.failed - 1, 9)
        self._verify_later(now, patience)
        return self.failed > 1

    def seen_again(self, now: float) -> None:
        """Note that one more was refused of those sent before the cut: it was hardly chance."""
        self.verify_at = now + _LATER * (self.verify_at - now)

    def verifies(self, passed: int, waiting: int) -> bool:
        """Tell whether so many that wait pay for one that tells whether the cut was right.

        What has shown to be a limit, whatever its code says, needs none.
        """
        shown = self.belief == "concurrency" != self.kind
        return not shown and self.verified < _VERIFIED[self.kind] and self.paid(passed + waiting)

    def paid(self, passed: int) -> bool:
        """Tell whether enough have passed for the next one."""
        return passed >= self.paid_at
