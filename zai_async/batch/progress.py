"""How far a run is, from what has been counted."""

from collections import Counter, deque

from zai_async._clock import Clock
from zai_async.batch.results import BatchProgress, Failed, Ok
from zai_async.ledger import Ledger

__all__ = ["Meter"]

_WINDOW = 30.0


class Meter:
    """Counts results, and tells how fast they come."""

    def __init__(self, clock: Clock, ledger: Ledger) -> None:
        self.skipped = 0
        self.done = 0
        self.failed: Counter[str] = Counter()
        self.tokens = 0
        self.cost = 0.0
        self._clock = clock
        self._ledger = ledger
        self._started: float | None = None
        self._marks: deque[tuple[float, int, int]] = deque()

    def start(self) -> None:
        """Note that the run begins."""
        self._started = self._clock.monotonic()
        self._marks.append((self._started, 0, 0))

    def count(self, result: Ok | Failed, model: str | None) -> None:
        """Take in a result, and what it used."""
        usage, told = result.usage, ""
        if isinstance(result, Failed):
            self.failed[result.kind] += 1
            is_paid = usage is not None
        else:
            self.done += 1
            is_paid = result.source == "call"
            # A fallback may have answered, at another price.
            told = str(getattr(result.answer, "model", ""))
        if not is_paid or model is None:
            return
        if usage is not None:
            self.tokens += usage.total_tokens
        self.cost += self._ledger.cost_of(told or model, usage)

    def progress(self, *, total: int | None, in_flight: int, limit: int | None) -> BatchProgress:
        """Return the figures of this moment."""
        now = self._clock.monotonic()
        started = now if self._started is None else self._started
        rows = self.done + self.failed.total()
        while len(self._marks) > 1 and self._marks[0][0] < now - _WINDOW:
            self._marks.popleft()
        then, rows_then, tokens_then = self._marks[0] if self._marks else (now, 0, 0)
        self._marks.append((now, rows, self.tokens))
        passed = now - then
        rate = (rows - rows_then) / passed if passed > 0 else 0.0
        left = None if total is None else max(0, total - rows - self.skipped)
        return BatchProgress(
            total=total,
            done=self.done + self.skipped,
            failed=dict(self.failed),
            skipped=self.skipped,
            in_flight=in_flight,
            limit=limit,
            rows_per_second=rate,
            tokens_per_second=(self.tokens - tokens_then) / passed if passed > 0 else 0.0,
            tokens=self.tokens,
            cost=self.cost,
            elapsed=now - started,
            eta=left / rate if left is not None and rate > 0 else None,
        )
