"""Other ways to size a window, from the literature on congestion control."""

import math
from abc import ABC, abstractmethod

from zai_async.limiter import Size


class Variant(Size, ABC):
    """A window that starts at 4, doubles until the first refusal, and then follows a rule."""

    def __init__(self) -> None:
        super().__init__(start=4, least=1, most=math.inf)
        self.size = self.limit
        self.searching = True
        self.passed = 0

    def accepted(self, load: int) -> None:
        """Double in a search, then grow as the rule says; a window half empty stays."""
        self.passed += 1
        if self.searching:
            self.resize(max(self.size, 2.0 * load))
        elif 2 * load > self.limit:
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

    def refused(self, fine: int, *, in_a_row: int) -> None:  # noqa: ARG002 - only ours looks at them
        self.searching = False
        self.resize(self.reduced())
        self.passed = 0

    def settle(self, fine: int) -> None:
        """Shrink once per round trip only."""

    def collapse(self) -> None:
        self.resize(1.0)

    def look_again(self) -> None:
        """Probing goes on anyway."""

    def grow(self) -> bool:
        return False


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
        return self.size * max(0.5, self.passed / (self.passed + 1 + math.sqrt(self.size)))


class Halving(Size):
    """The search and the paced probes of the package, blind to what is in flight."""

    def __init__(self) -> None:
        super().__init__(start=4, least=1, most=math.inf)

    def refused(self, fine: int, *, in_a_row: int) -> None:
        super().refused(min(fine, int(self.limit / 2)), in_a_row=in_a_row)
