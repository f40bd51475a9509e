"""Other ways to size a window, from the literature on congestion control and from other clients."""

import math
from abc import abstractmethod

from zai_async.limiter import Refusal, Size


class Variant(Size):
    """A window that starts at 4, doubles until the first refusal, and then follows a rule."""

    def __init__(self) -> None:
        super().__init__(start=4, least=1, most=math.inf)
        self.size = self.limit
        self.searching = True
        self.passes = 0
        self.proven = -1  # every request that passes is told

    def accepted(self, level: int, arrived: int, sent_in: int) -> None:  # noqa: ARG002 - rounds do not matter here
        """Double in a search, then grow as the rule says; a window half empty stays."""
        self.passes += 1
        if self.searching:
            self.resize(max(self.size, 2.0 * level))
        elif 2 * level > self.limit:
            self.resize(self.size + self.growth())

    def resize(self, size: float) -> None:
        self.size = max(1.0, size)
        self.limit = int(self.size)

    @abstractmethod
    def growth(self) -> float:
        """Return by how much one accepted request lets the window grow."""

    @abstractmethod
    def reduced(self) -> float:
        """Return the size after a refusal."""

    def refused(self, fine: int, arrived: int, kind: Refusal, now: float, sent_in: int) -> None:  # noqa: ARG002
        """Shrink once per round trip only."""
        if sent_in != self.round:
            return
        self.round += 1
        self.searching = False
        self.resize(self.reduced())
        self.passes = 0

    def collapse(self) -> None:
        self.resize(1.0)

    def grow(self, now: float, waiting: int = 0, ended: int = 0) -> bool:  # noqa: ARG002
        return False

    def probe_at(self, waiting: int = 0) -> float:  # noqa: ARG002
        return math.inf


class AIMD(Variant):
    """TCP Reno: one more per window, half of it after a refusal."""

    def growth(self) -> float:
        return 1 / self.size

    def reduced(self) -> float:
        return self.size / 2


class Cubic(Variant):
    """TCP CUBIC, counted in accepted windows in place of seconds."""

    beta, speed = 0.7, 0.4

    def __init__(self) -> None:
        super().__init__()
        self.peak = 4.0
        self.windows = 0.0

    def growth(self) -> float:
        self.windows += 1 / self.size
        back = math.cbrt(self.peak * (1 - self.beta) / self.speed)
        target = self.peak + self.speed * (self.windows - back) ** 3
        return min(max(target - self.size, 0.0), 1.0)

    def reduced(self) -> float:
        self.peak, self.windows = self.size, 0.0
        return self.size * self.beta


class Gradient(Variant):
    """A gradient on the share that is accepted; the time to answer tells nothing here."""

    def growth(self) -> float:
        return math.sqrt(self.size) / (4 * self.size)

    def reduced(self) -> float:
        return self.size * max(0.5, self.passes / (self.passes + 1 + math.sqrt(self.size)))


class Rounds(Variant):
    """The rule of inspect_ai: a fifth less at most every 15 s, a twentieth more per clean round."""

    def __init__(self) -> None:
        super().__init__()
        self.cut_at = -math.inf
        self.used = 0

    def accepted(self, level: int, arrived: int, sent_in: int) -> None:
        """Grow when a whole round has passed and has used four fifths of the window."""
        self.used = max(self.used, level)
        if self.searching:
            super().accepted(level, arrived, sent_in)
            return
        self.passes += 1
        if self.passes >= self.size:
            if self.used >= 0.8 * self.size:
                self.resize(self.size + max(1.0, 0.05 * self.size))
            self.passes = self.used = 0

    def growth(self) -> float:
        return 0.0

    def reduced(self) -> float:
        return self.size * 0.8

    def refused(self, fine: int, arrived: int, kind: Refusal, now: float, sent_in: int) -> None:
        del sent_in
        self.passes = self.used = 0
        if now >= self.cut_at + 15.0:
            self.cut_at = now
            super().refused(fine, arrived, kind, now, self.round)
