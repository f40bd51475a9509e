"""What refusals are evidence of: a limit of the account, or nothing but bad weather.

A limit is a step: below it requests pass, above it they are refused. Weather is flat: a busy model
refuses the same share whatever is in flight. One refusal looks like either, so there are two tests:

* ``Evidence`` compares what happens since the first refusal in doubt with what is usual. It takes a
  refusal where nothing has passed before for a limit soon, and one where others pass for weather.
* ``Trial`` looks what a smaller window changes. If there is a limit, refusals stop; if there is
  none, they go on as before, and the window gets back what it lost.
"""

import math
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["Evidence", "Rate", "Refusal", "Trial"]

Refusal: TypeAlias = Literal["concurrency", "rate", "overload", "unknown", "local"]
"""What a refusal claims to be about, by its code."""

_MEMORY: Final = 200.0
"""Requests after which the usual share of refusals is forgotten."""
_LEAST_EXPECTED: Final = 0.02
"""The weather is never so fine that a single refusal would prove anything."""
_NOTICEABLE: Final = 0.05
"""A share of refusals that is higher by no more than this is not worth a smaller window."""
_ENOUGH, _LASTING = 3, 0.03
_CHECKED_AFTER: Final = 300
"""Requests after which weather that lasts is questioned: perhaps a smaller window helps."""


class Rate(msgspec.Struct):
    """How many requests passed and how many were refused, under some condition."""

    accepted: float = 0.0
    refused: float = 0.0

    @property
    def total(self) -> float:
        """How many there were."""
        return self.accepted + self.refused

    @property
    def share(self) -> float:
        """The share that was refused; 0 if there was nothing."""
        return self.refused / self.total if self.refused else 0.0

    def add(self, other: "Rate", *, memory: float = _MEMORY) -> None:
        """Count what another has seen, too, and let the past fade beyond ``memory`` requests."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.fade(memory)

    def fade(self, memory: float) -> None:
        """Keep the share, but give it the weight of no more than ``memory`` requests."""
        weight = min(1.0, memory / self.total) if self.total else 1.0
        self.accepted *= weight
        self.refused *= weight


class Evidence:
    """What is known about the refusals of one kind.

    Args:
        steady: Whether such refusals are hardly ever weather: only a trial can tell that they are.
    """

    def __init__(self, *, steady: bool = False) -> None:
        self._steady = steady
        self.usual = Rate(9.75, 0.25)
        """How many are refused whatever is in flight."""
        self.doubts = Rate()
        """What happened since a refusal that is not explained yet."""
        self._recent = Rate()  # whatever it was about
        self._counted = self._counted_recently = 0
        self._checked_at = 0

    @property
    def expected(self) -> float:
        """The share of requests that is refused whatever is in flight."""
        return _LEAST_EXPECTED if self._steady else max(self.usual.share, _LEAST_EXPECTED)

    @property
    def surprise(self) -> float:
        """How much better a higher rate explains the doubts than the usual one does.

        It is the logarithm of a likelihood ratio: 3 is a hint, one in twenty; 5 is nearly a proof.
        """
        share, usual = self.doubts.share, self.expected
        if share <= usual:
            return 0.0
        gain = self.doubts.refused * math.log(share / usual)
        if share < 1:
            gain += self.doubts.accepted * math.log((1 - share) / (1 - usual))
        return gain

    def accepted(self) -> None:
        """Learn that a request passed while there were doubts."""
        self.doubts.accepted += 1
        self._counted += 1
        if self.doubts.share <= self.expected + _NOTICEABLE:
            self.usual.add(self.doubts)
            self.doubts = Rate()

    def refused(self, passed: int, *, frontier: bool) -> None:
        """Learn that a request was refused, after ``passed`` that passed since the beginning.

        At the ``frontier``, nothing of this size has passed before.
        """
        if not self.doubts.refused:
            self.usual.add(Rate(passed - self._counted))
            self._counted = passed
        self.doubts.refused += 1
        self._recent.add(Rate(passed - self._counted_recently, not frontier))
        self._counted_recently = passed

    def refused_for_sure(self, passed: int) -> None:
        """Learn of a refusal that cannot be about the number in flight: it is the weather's."""
        self.usual.add(Rate(passed - self._counted, 1))
        self._counted = passed

    def take_doubts(self) -> Rate:
        """Return what led to a conclusion, and begin anew."""
        if self.doubts.accepted:
            self.usual.add(self.doubts)  # it was no step, or some of it was not
        taken, self.doubts = self.doubts, Rate()
        return taken

    @property
    def lasts(self) -> bool:
        """Whether refusals go on and on, however often the window shrinks."""
        enough = self._recent.refused >= _ENOUGH and self._recent.total >= 10 * _ENOUGH
        return enough and self._recent.share > _LASTING

    def give_up(self) -> None:
        """Learn that no window was small enough for refusals to stop."""
        self.is_weather(self._recent)
        self.forget_recent()
        self.doubts = Rate()

    def forget_recent(self) -> None:
        """Begin anew to look whether refusals go on."""
        self._recent = Rate()

    def is_weather(self, seen: Rate) -> None:
        """Learn that what was seen had nothing to do with the number in flight."""
        self._steady = False
        self.usual.fade(10)
        self.usual.add(seen)

    def questions(self, passed: int) -> bool:
        """Tell now and then that weather that lasts has to be told from a limit again."""
        due = passed >= self._checked_at + _CHECKED_AFTER
        if due:
            self._checked_at = passed
        return due and self.expected > _LEAST_EXPECTED + _NOTICEABLE


_UNDONE: Final = {"concurrency": 8.0, "unknown": 3.0, "overload": 2.0}
"""The likelihood from which on a cut is taken back; a refusal for concurrency is hardly weather."""
_CONFIRMED: Final = -3.0
_ENOUGH_AFTER: Final = 12


class Trial:
    """Whether a cut has helped: a sequential test of two rates, by what is sent after the cut.

    Args:
        evidence: That on which the window was cut.
        kind: What the refusals were about.
        seen: What led to the cut.
        limit: The window before.
        proven: How much of it had been proven.
        mixed: Whether some passed in the larger window, so that those that still do tell nothing.
    """

    def __init__(
        self,
        evidence: Evidence,
        kind: Refusal,
        seen: Rate,
        *,
        limit: float,
        proven: float,
        mixed: bool,
    ) -> None:
        self.kind = kind
        self.limit = limit
        self.proven = proven
        self.mixed = mixed
        self._evidence = evidence
        self._seen = Rate(seen.accepted, seen.refused)
        # How many are refused if the cut was wrong, and if it was right.
        wrong = (seen.refused + 0.5) / (seen.total + 4)
        right = min(evidence.expected, wrong / 3)
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
        self._seen.accepted += 1
        self._after += 1
        self._score += self._better

    def refused(self) -> bool:
        """Learn that one was refused; tell whether the cut was wrong."""
        self._seen.refused += 1
        self._after += 1
        self._score += self._worse
        # While nothing passes, the window is still too large, or there is an outage.
        wrong = self._passed and self._score >= _UNDONE.get(self.kind, math.inf)
        if wrong:
            self._evidence.is_weather(self._seen)
        return wrong
