"""How large a window is: the search for a limit that nobody tells, in whatever weather.

One refusal looks like a limit and like bad weather. ``Evidence`` tells which it is by what happens
around it, and a ``Trial`` by what a smaller window changes.
"""

import math
from typing import Final

from zai_async.limiter.evidence import Evidence, Rate
from zai_async.limiter.trials import Probes, Refusal, Trial

__all__ = ["Size"]

_DOUBT: Final = {"concurrency": 1.5, "unknown": 4.5, "overload": 8.0}
"""The surprise from which on refusals are taken for a limit; a busy model is believed first."""
_TRUST: Final = 2.0
"""More of it is asked for where requests have passed before."""
_UNDONE: Final = {"concurrency": 8.0, "unknown": 3.0, "overload": 2.0}
"""The likelihood from which on a cut is taken back; a refusal for concurrency is hardly weather."""
_IN_A_ROW: Final = 3
"""Refusals, with none passing in between, after which the number in flight is no guide."""
_UNHEARD_OF: Final = 9.0
"""How surprising they must be in a row: three of them in fine weather, more in bad weather."""
_SHRINK: Final = 0.7
"""What each further one leaves of the window; CUBIC's factor."""
_MIXED: Final = 0.8
"""What is left of a window in which some pass and some are refused, to see whether that helps."""
_LISTEN: Final = 50
"""Requests after a refusal during which each that passes is news."""
_CAREFUL: Final = 5
"""The window grows by one up to here: a job of twenty calls must not be refused twice."""
_LESS: Final = 0.34
"""What such a pass counts if some had ended when it arrived, so that fewer were there at once."""
_SINGLY, _FEW = 7, 40
"""It grows by one up to here if fewer than so many wait, who have little to gain by more."""
_QUARTERS: Final = 12
"""It grows by a quarter up to here where answers take long."""
_LONG: Final = 8
"""Answers take long if fewer than one has ended for so many in the window."""


class Size:
    """The size of a window, found as the head of the package describes.

    Args:
        start: The size before anything is known.
        least: It does not become smaller.
        most: It does not become larger.
    """

    def __init__(self, start: float, least: float, most: float) -> None:
        self.limit = start
        self.proven: float = start if least == most else min(start, 1)
        """Requests in flight that are known to pass."""
        self.passed = 0
        """Requests that passed so far."""
        self.round = 0
        """How often the window was cut: what was sent before says nothing about it."""
        self.in_a_row = 0
        """Refusals since a request passed."""
        self.alert = False
        """Whether each request that passes is news."""
        self.evidence: dict[Refusal, Evidence] = {}
        self._least = least
        self._most = most
        # Up to the ceiling the window grows without a probe.
        self._ceiling = most
        self._before = 0.0  # what had been proven before it shrank
        self._calm_at = 0  # what passes is news until so many have passed
        self._arrived: float = 0  # the most at the platform at once that passed
        self._risen = 0.0  # how many have passed above what is proven
        self._step = math.inf  # by half of the window, until something is refused
        self._trial: Trial | None = None
        self._probes = Probes()
        self._lucky = 0.0  # probes that passed, perhaps because another request had just ended
        self._regained = False  # whether it has grown back to what had been proven before
        self.patience = 1.0
        """Seconds after which a request that is not refused has passed."""
        self._crowded = False  # others use the limit as well, perhaps a client that has crashed

    def accepted(self, level: int, arrived: int, sent_in: int) -> None:
        """Learn that a request passed which was the ``level``-th in flight when it was sent.

        It was the ``arrived``-th when it reached the platform: others had ended meanwhile.
        ``sent_in`` is the round it was sent in. Without ``alert``, only those above ``proven`` have
        to be told.
        """
        for evidence in self.evidence.values():
            evidence.levels.passed(arrived)
        if self.alert and sent_in == self.round:
            self._calm(arrived)
        # More than allowed are there where processes have sent for a store that has forgotten all.
        allowed = min(level, self._most)
        # Of those that were sent before a cut, only what the platform held at once is news.
        if allowed > self._ceiling and (arrived > self._ceiling or sent_in == self.round):
            if self._is_luck(arrived):
                return
            self._lift_ceiling(allowed, arrived, sent_in)
        if sent_in == self.round:
            self._arrived = max(self._arrived, arrived)
        if level > self.proven:
            # If most had ended, answers are too short for so many ever to be there at once.
            fewer = level <= _CAREFUL and level <= 2 * arrived < 2 * level
            self._risen += _LESS if fewer else 1
            # A window grows when it has been used: most of it, and as often as it is large.
            if self._risen >= self.limit - self.proven and level >= _MIXED * self.limit:
                self.proven = self.limit
                self._risen = 0

    def refused(self, fine: int, arrived: int, kind: Refusal, now: float, sent_in: int) -> None:
        """Learn that a request was refused which was sent while ``fine`` others were in flight.

        They passed, and ``arrived`` of them had not ended when it reached the platform.
        """
        if self._least == self._most:
            return
        if kind == "local":
            self._cut(fine, kind, now)
            return
        self._calm_at = self.passed + _LISTEN
        if fine < 1:
            # Nobody else was in flight: it is not about how many there are.
            if not self.in_a_row:
                self.of(kind).refused_for_sure(self.passed, alone=True)
            self.in_a_row += 1
            self.alert = True
            self._crowded = self._crowded or self.in_a_row > 1
            self._shows(0, kind, now)
        elif sent_in != self.round:
            self._settle(fine, now)
        elif fine >= self._ceiling:
            self._shrink_to(self._ceiling)
            self._lucky = 0.0
            if self._probes.refused(now, self.passed, self.patience):
                self._before = self._ceiling
            self.of(kind).confirmed(self._probes.failed, self._ceiling)
            self._probes.belief = self.of(kind).belief
        else:
            self.in_a_row += 1
            self.alert = True
            if not self._shows(arrived, kind, now):
                self._doubt(fine, arrived, kind, now)

    def collapse(self) -> None:
        """Learn that the last request in flight was refused; what was proven is soon regained."""
        if self.in_a_row >= _IN_A_ROW:
            self._before = max(self._before, self.proven)
            self._ceiling = self._before if self.passed else self._most
            self._shrink_to(self._least)
            self.proven = self._least - 1
            self._trial = None

    def grow(self, now: float, waiting: int = 0, ended: int = 0) -> bool:
        """Make room if that is due, and tell so: below the ceiling at once, else for a probe.

        So many are ``waiting``: they pay for a probe that is refused. ``ended`` is how many answers
        have ended so far.
        """
        if self.proven < self.limit or self.limit >= self._most:
            return False
        room = self._ceiling - self.limit
        if room <= 0:
            paid = not self._is_trying and self._probes.paid(self.passed)
            if not paid and now < self.probe_at():
                if now < self.probe_at(waiting):
                    return False
                self._probes.verified += 1
            self.limit += 1
        elif self.limit < self._before:
            self.limit = min(2 * self.limit, self._before, self._ceiling)
            self._regained = True
        elif self.limit < _CAREFUL:
            self.limit += min(1, room)
        else:
            self.limit += min(self._step, self._stride(ended, waiting), room)
            self._step *= 2
        return True

    def _stride(self, ended: int, waiting: int) -> float:
        """Return by how much the window grows at most: each too many costs somebody a refusal."""
        if self.limit < _SINGLY and waiting < _FEW:
            return 1
        # Of long answers, a few round trips more are a small part.
        slowly = self.limit < _QUARTERS and _LONG * ended < self.limit
        return self.limit // (4 if slowly else 2)

    def is_probe(self, level: int, kind: Refusal) -> bool:
        """Tell whether the ``level``-th request in flight asks for room, whichever request it is.

        What is refused for concurrency may go once more: if it passes then, there is room.
        """
        return kind != "concurrency" and level > self._ceiling

    def probe_at(self, waiting: int = 0) -> float:
        """Return when a probe is due although nothing passes; infinite if none is planned.

        If enough are ``waiting``, one may go sooner.
        """
        if not self.proven >= self.limit >= self._ceiling or self.limit >= self._most:
            return math.inf
        # Under a limit that is known well, probes are paid for; each costs somebody a refusal.
        before = self._before
        near = self.limit >= min(_MIXED * before, before - 1)
        patient = near and self._probes.belief == "concurrency" and not self._crowded
        due = math.inf if patient or self._is_trying else self._probes.due_at
        verifies = self._probes.verifies(self.passed, waiting)
        return min(due, self._probes.verify_at) if verifies else due

    @property
    def _is_trying(self) -> bool:
        # Whether the cut was right is about to be known, unless others come and go meanwhile.
        return self._trial is not None and self._trial.young and not self._crowded

    def is_weather(self, kind: Refusal, *, alone: bool) -> None:
        """Learn of a refusal that says nothing about the window.

        If one that was ``alone`` is refused, and others pass, such refusals are about no limit.
        """
        self.of(kind).refused_for_sure(self.passed, alone=alone)

    def of(self, kind: Refusal) -> Evidence:
        """Return what is known about the refusals of one kind."""
        if kind not in self.evidence:
            self.evidence[kind] = Evidence(kind)
        return self.evidence[kind]

    def _calm(self, level: int) -> None:
        """Learn that a request passed while refusals are still to be explained."""
        searching, self.in_a_row = self.in_a_row >= _IN_A_ROW, 0
        doubtful = False
        for evidence in self.evidence.values():
            if evidence.contradicted(level, self.passed):
                # They come at any number: they are not about it, whatever the code says.
                evidence.is_weather(evidence.levels.total)
                room = max(self.limit, self._before)
                self._undo(room, room)
            if searching:
                evidence.take_doubts()  # it passes again: whatever it was is over
            elif evidence.doubts.refused:
                evidence.accepted()
            doubtful = doubtful or evidence.doubts.refused > 0
        if self._trial is not None:
            self._trial.accepted()
            if self._trial.confirmed:
                self.of(self._trial.kind).wrong = 0.0
                self._trial = None
        self.alert = doubtful or self._trial is not None or self.passed < self._calm_at

    def _is_luck(self, arrived: int) -> bool:
        """Tell whether a probe passed that found no more at the platform than the ceiling allows.

        Three in a row are no luck. Where the code says that it is a limit, what follows from such a
        one is soon taken back; under others it takes many refusals more.
        """
        if arrived > self._ceiling or "concurrency" in (self._probes.kind, self._probes.belief):
            return False
        self._lucky += _LESS
        return self._lucky < 1

    def _lift_ceiling(self, level: float, arrived: int, sent_in: int) -> None:
        """More pass than was believed."""
        if sent_in != self.round:
            if self._trial is not None and self._trial.mixed:
                return  # that some passed was known
            self._ceiling = level
        else:
            if arrived > self._ceiling:
                self.of(self._probes.kind).was_wrong()
            self._ceiling = self._most
        self.limit = max(self.limit, level)
        self.proven = max(self.proven, level - 1)

    def _settle(self, fine: int, now: float) -> None:
        """Learn that one more was refused of those sent to a larger window."""
        if self.round > 1:  # the first search is free
            self._probes.overshot(now, self.passed, self.limit)
        else:
            self._probes.seen_again(now)
        if fine < self.limit and self._ceiling == self.limit:
            self._shrink_to(fine)
            self._ceiling = self.limit

    def _shows(self, arrived: int, kind: Refusal, now: float) -> bool:
        """Act on where refusals come, if that shows what they are about, and tell so."""
        evidence = self.of(kind)
        believed = evidence.belief == "concurrency"
        if believed and self.in_a_row > 1:
            return False  # nothing passes at this size: perhaps the limit has fallen
        evidence.levels.refused(arrived + 1)
        step = evidence.levels.step
        if believed or step is None or not 0 < step < self.limit:
            return False
        self._cut(step, kind, now)
        evidence.levels.forget_above(self.limit + 1)
        evidence.doubts = Rate()
        return True

    def _doubt(self, fine: int, arrived: int, kind: Refusal, now: float) -> None:
        """Find out what a refusal is evidence of."""
        evidence, trial = self.of(kind), self._trial
        frontier = arrived >= self._arrived
        evidence.refused(self.passed)
        if not frontier and evidence.contest(arrived + 1) and self.in_a_row == 1:
            return  # more than that have passed: the next one tells
        # Where half of all are refused, three in a row are nothing.
        nothing_passes = -self.in_a_row * math.log(evidence.expected) >= _UNHEARD_OF
        if trial is not None and trial.kind == kind:
            if trial.refused():
                self._undo(max(self.limit, trial.limit), trial.proven)
                evidence.is_weather(Rate(*trial.seen))
                evidence.was_wrong()
                return
            if not nothing_passes and evidence.belief != "concurrency":
                return
        enough = _DOUBT[evidence.belief] + (0.0 if frontier else _TRUST) + evidence.wrong
        mixed = not frontier and evidence.doubts.accepted > 0
        questioned = evidence.surprise < enough
        if questioned:
            if not evidence.questions(self.passed) or fine < _MIXED * self.limit:
                return
            mixed = True
        before, proven = self.limit, self.proven
        if fine <= _CAREFUL:
            fine = min(fine, arrived)  # a small job had better not find out what fits by luck
        if nothing_passes:
            self._cut(min(fine, arrived, int(self.limit * _SHRINK)), kind, now)
            self._ceiling = max(self.limit, self._before)
            self.proven = self.limit - 1  # something has to pass before it grows again
            return
        if frontier:
            # What had worked before does so hardly any more. In whole requests: of a half, one more
            # than the window allows would be in flight, and a window that is over does not grow.
            self._before //= 2
        # Of what is in flight at a limit, as many are left as pass.
        left = min(_MIXED, 1 - evidence.expected)
        target = min(fine, int(self.limit * left)) if mixed else fine
        self._cut(target, kind, now, mixed=mixed)
        seen = evidence.take_doubts()
        # The question is whether as many as usual are refused in a smaller one.
        seen = evidence.usual if questioned else seen
        # A trial that is under way goes on, for the window that it began with.
        self._trial = trial or Trial(
            kind,
            undone=_UNDONE.get(evidence.belief, math.inf),
            passed=seen.accepted,
            refused=seen.refused,
            expected=evidence.expected,
            limit=before,
            proven=proven,
            mixed=mixed,
        )

    def _undo(self, limit: float, proven: float) -> None:
        """Give back what was lost to bad weather."""
        self.limit, self.proven = limit, proven
        self._ceiling = self._most
        self._trial = None
        self._step = math.inf
        self._risen = 0

    def _cut(self, target: float, kind: Refusal, now: float, *, mixed: bool = False) -> None:
        if self._regained and kind != "concurrency":
            self._before //= 2  # it has been tried again, and does not work
        self._before = max(self._before, self.proven)
        self._regained, self._lucky = False, 0.0
        self._shrink_to(target)
        self._ceiling = self.limit
        self.round += 1
        self._trial = None
        evidence = self.of(kind)
        self._probes.cut(kind, evidence.belief, self.limit, mixed=mixed)
        evidence.confirmed(self._probes.failed, self.limit)
        self._probes.belief = evidence.belief
        self._probes.wait(now, self.passed, self.patience)

    def _shrink_to(self, limit: float) -> None:
        self.limit = max(self._least, limit)
        self.proven = min(self.proven, self.limit)
        self._arrived = min(self._arrived, self.limit)
        self._risen = 0
        self._step = 1.0
