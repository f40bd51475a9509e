"""What refusals are evidence of: a limit of the account, or nothing but bad weather.

A limit is a step: below it requests pass, above it they are refused. Weather is flat: a busy model
refuses the same share whatever is in flight. The code of a refusal is where belief begins, and no
more: relays send any code for either.

* ``Refusals`` knows which requests were refused, to tell how many were in flight and fine.
* ``Levels`` looks where refusals come, while there are any: a step in them is a limit, whatever the
  code, and if they come anywhere it is the weather.
* ``Evidence`` compares what happens since the first refusal in doubt with what is usual. It takes a
  refusal where nothing has passed before for a limit soon, and one where others pass for weather.
"""

import math
from bisect import bisect_left, bisect_right, insort
from operator import itemgetter
from typing import Final, Protocol

import msgspec

from zai_async.limiter.trials import Refusal

__all__ = ["Evidence", "Levels", "Rate", "Refusals"]

_MEMORY: Final = 200.0
"""Requests after which the usual share of refusals is forgotten."""
_LEAST_EXPECTED: Final = 0.02
"""The weather is never so fine that a single refusal would prove anything."""
_NOTICEABLE: Final = 0.05
"""A share of refusals that is higher by no more than this is not worth a smaller window."""
_RARELY, _OFTEN = 300.0, 30.0
"""Requests after which weather that lasts is questioned: perhaps a smaller window helps. Sooner
the worse it is: after so many refusals."""
_MORE, _MOST_MORE = 1.0, 6.0
"""What each cut in vain adds to the evidence that is asked for, and all of them at most."""
_CONTRADICTIONS: Final = 2
"""Refusals in doubt at numbers that passed soon after, until no limit is believed any more."""
_HARDLY: Final = 2.5
"""A step that explains them no better than this is none."""
_CERTAIN: Final = 0.01
"""How likely it may be that probes were refused by the weather, when it is taken for a limit."""
_FADING: Final = 0.95
"""What a refusal leaves of what was seen before it at each number in flight."""
_FIRST_PATIENCE, _SHORTEST_PATIENCE, _LONGEST_PATIENCE = 0.5, 0.1, 10.0
_PATIENCE: Final = 3
"""Who is not refused within so many times what a refusal takes has passed."""
_FADING_TIME: Final = 0.9
_FORGOTTEN: Final = 0.01
_STEP: Final = 3.5
"""The likelihood from which on a step is believed: two shares explain better than one."""
_ABOVE, _MOSTLY, _STEEP = 2.5, 0.4, 0.3
"""What a step needs besides: so many refusals above it, this share of them, so much more."""
_moment: Final = itemgetter(0)
_TINY: Final = 1e-6
_MOST_REFUSALS: Final = 4096


class Numbered(Protocol):
    """A request, as far as it is counted."""

    number: int
    level: int
    refused_before: int
    sent_at: float


class Refusals:
    """When refusals come, and of which requests: it tells how many were fine at some moment."""

    def __init__(self) -> None:
        self.total = 0
        self.patience = _FIRST_PATIENCE
        """Seconds after which a request that is not refused has passed."""
        self._latest = 0.0  # seconds that a refusal takes, lately
        self._soonest = math.inf
        self._numbers: list[int] = []
        self._forgotten = 0
        # How many requests were over at which moment, while there are doubts.
        self._over: list[tuple[float, int]] = []

    def came_after(self, seconds: float) -> float:
        """Note how long a refusal took; return how much that varies: they may pass each other."""
        self._latest = max(seconds, _FADING_TIME * self._latest)
        self._soonest = min(seconds, self._soonest / _FADING_TIME)
        patience = _PATIENCE * self._latest
        self.patience = min(max(patience, _SHORTEST_PATIENCE), _LONGEST_PATIENCE)
        return self._latest - self._soonest

    def add(self, entry: Numbered) -> int:
        """Note that a request was refused; return how many were that had been sent before it."""
        earlier = self.since(entry) if self._numbers else 0
        self.total += 1
        insort(self._numbers, entry.number)
        if len(self._numbers) > _MOST_REFUSALS:
            # The older half at once: to drop them one by one would copy the list each time.
            del self._numbers[: _MOST_REFUSALS // 2]
            self._forgotten += _MOST_REFUSALS // 2
        return earlier

    def note_over(self, over: int, now: float) -> None:
        """Note how many requests are over by now, with those that were refused."""
        ended = over - self.total
        if not self._over or self._over[-1][1] != ended:
            self._over.append((now, ended))
            if len(self._over) > _MOST_REFUSALS:
                del self._over[: _MOST_REFUSALS // 2]

    def ended_with(self, entry: Numbered, over: int, until: float | None = None) -> int:
        """Count those that were in flight with a request and had ended when it arrived.

        The platform ends an answer half a round trip before that is known, and sees a request half
        a round trip after it was sent: what has ended until a refusal of it would be back, counts.
        That is ``until``, if it is known. ``over`` is how many requests are over by now.
        """
        if not (self.total and self._over):
            ended = over - self.total
        else:
            if until is None:
                until = entry.sent_at + 2 * self._latest - self._soonest
            place = bisect_right(self._over, until, key=_moment)
            ended = self._over[max(place - 1, 0)][1]
        return max(0, ended - (entry.number - entry.level - entry.refused_before))

    def since(self, entry: Numbered) -> int:
        """Count those refused since this one was sent that had been sent before it."""
        before = self._forgotten + bisect_left(self._numbers, entry.number)
        return before - entry.refused_before


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
        return self.refused / (self.accepted + self.refused) if self.refused else 0.0

    @property
    def likelihood(self) -> float:
        """The logarithm of how well its own share explains it."""
        if self.accepted < _TINY or self.refused < _TINY:
            return 0.0
        share = self.share
        return self.refused * math.log(share) + self.accepted * math.log(1 - share)

    def add(self, other: "Rate", *, memory: float = _MEMORY) -> None:
        """Count what another has seen, too, and let the past fade beyond ``memory`` requests."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.fade(memory)

    def fade(self, memory: float) -> None:
        """Keep the share, but give it the weight of no more than ``memory`` requests."""
        total = self.accepted + self.refused
        if total > memory:
            self.accepted *= memory / total
            self.refused *= memory / total


class Levels:
    """How many passed and how many were refused with so many in flight, while there are doubts."""

    def __init__(self) -> None:
        self._seen: dict[int, Rate] = {}
        self.step: int | None = None
        """The number up to which requests pass, and beyond which hardly any does, if it shows."""
        self.doubt = 0.0
        """How much more likely than usual a step has to be."""

    def passed(self, level: int) -> None:
        """Count a request that was the ``level``-th in flight and passed."""
        self._seen.setdefault(level, Rate()).accepted += 1

    def refused(self, level: int) -> None:
        """Count one that was refused, and look what shows."""
        for each, rate in tuple(self._seen.items()):
            rate.accepted *= _FADING
            rate.refused *= _FADING
            if rate.accepted + rate.refused < _FORGOTTEN:
                del self._seen[each]
        here = self._seen.setdefault(level, Rate())
        here.refused += 1
        self.look()

    def look(self) -> float:
        """Look what shows; return how much better a step explains it than a flat rate, at best."""
        if len(self._seen) == 1:  # at one level alone, no step can show
            self.step = None
            return 0.0
        below, above = Rate(), self.total
        together, best, most = above.likelihood, _STEP + self.doubt, 0.0
        self.step = None
        for each in sorted(self._seen):
            gain = below.likelihood + above.likelihood - together
            if above.share > below.share:
                most = max(most, gain)
            steep = above.share > max(_MOSTLY, below.share + _STEEP)
            if gain > best and steep and above.refused >= _ABOVE:
                best, self.step = gain, each - 1
            here = self._seen[each]
            below.accepted += here.accepted
            below.refused += here.refused
            above.accepted -= here.accepted
            above.refused -= here.refused
        return most

    @property
    def total(self) -> Rate:
        """All that was seen."""
        total = Rate()
        for rate in self._seen.values():
            total.add(rate, memory=math.inf)
        return total

    def share_below(self, level: float) -> float:
        """Return the share that is refused with no more in flight than that, carefully."""
        below = Rate(1.5, 0.5)
        for each, rate in self._seen.items():
            if each <= level:
                below.add(rate, memory=math.inf)
        return below.share

    def forget_above(self, level: float) -> None:
        """Forget what happened with more in flight."""
        for each in [each for each in self._seen if each > level]:
            del self._seen[each]


class Evidence:
    """What is known about the refusals of one kind.

    Args:
        kind: What such a refusal claims to be about.
    """

    def __init__(self, kind: Refusal) -> None:
        self.levels = Levels()
        self.belief: Refusal = kind
        """What it is about, as far as is known: limits and weather come with any code."""
        self.usual = Rate(9.75, 0.25)
        """How many are refused whatever is in flight."""
        self.doubts = Rate()
        """What happened since a refusal that is not explained yet."""
        self.wrong = 0.0
        """How much more surprise is asked for, after cuts that were wrong."""
        self._contested = math.inf
        """The lowest number in flight that was too much, if it was a limit."""
        self._contradicted = 0
        self._contradicted_at = 0
        self._counted = 0
        self._checked_at = 0

    @property
    def expected(self) -> float:
        """The share of requests that is refused whatever is in flight."""
        if self.belief == "concurrency":
            return _LEAST_EXPECTED
        return max(self.usual.share, _LEAST_EXPECTED)

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

    def refused(self, passed: int) -> None:
        """Learn that a request was refused, after ``passed`` that passed since the beginning."""
        if not self.doubts.refused:
            self.usual.add(Rate(passed - self._counted))
            self._counted = passed
        self.doubts.refused += 1

    def refused_for_sure(self, passed: int, *, alone: bool = False) -> None:
        """Learn of a refusal that cannot be about the number in flight: it is the weather's.

        One that was ``alone`` may be about a limit of none, until another passes.
        """
        self.usual.add(Rate(passed - self._counted, 1))
        self._counted = passed
        if alone and self.belief == "concurrency":
            self._contested = 1

    def take_doubts(self) -> Rate:
        """Return what led to a conclusion, and begin anew."""
        if self.doubts.accepted:
            self.usual.add(self.doubts)  # it was no step, or some of it was not
        taken, self.doubts = self.doubts, Rate()
        return taken

    def is_weather(self, seen: Rate) -> None:
        """Learn that what was seen had nothing to do with the number in flight."""
        # What was believed before was wrong, and weighs little against what has been seen.
        self.usual.fade(10)
        self.usual.add(seen)
        if self.doubts.accepted:
            self.usual.add(self.doubts)
        self.doubts = Rate()
        self.belief = "overload" if self.belief == "concurrency" else self.belief
        self._contested, self._contradicted = math.inf, 0

    def confirmed(self, failed: int, limit: float) -> None:
        """Learn that so many requests in a row were refused that were one more than a limit."""
        if self.levels.share_below(limit) ** failed < _CERTAIN:
            self.belief = "concurrency"

    def contest(self, level: int) -> bool:
        """Note that so many were too much, if it was a limit; tell whether that is news."""
        if self.belief != "concurrency":
            return False
        news = level < self._contested
        self._contested = min(level, self._contested)
        return news

    def contradicted(self, level: int, passed: int) -> bool:
        """Learn that a request passed; tell whether such refusals are about no limit at all."""
        if level < self._contested:
            return False
        self._contested = math.inf
        if passed > self._contradicted_at + _RARELY:
            self._contradicted = 0
        self._contradicted += 1
        self._contradicted_at = passed
        if self._contradicted < _CONTRADICTIONS:
            return False
        # In an uneven net, some pass above a limit as well: there, a step shows nevertheless.
        return self.levels.look() < _HARDLY

    def was_wrong(self) -> None:
        """Learn that a cut was in vain: it takes more to believe the next one."""
        if self.belief != "concurrency":
            self.wrong = self.levels.doubt = min(self.wrong + _MORE, _MOST_MORE)

    def questions(self, passed: int) -> bool:
        """Tell now and then that weather that lasts has to be told from a limit again."""
        rarely = 2.0**self.wrong
        due = passed >= self._checked_at + rarely * min(_RARELY, _OFTEN / self.expected)
        if due:
            self._checked_at = passed
        return due and self.expected > _LEAST_EXPECTED + _NOTICEABLE
