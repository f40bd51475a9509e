"""What people do about a limit that they do not know."""

import math
from abc import ABC, abstractmethod
from collections import deque

from benchmarks.limiter_world import News, Platform, Row, World
from zai_async.limiter import Limits, QueueEntry, Size, Window


class Policy(ABC):
    """Sends the rows of one model; a subclass says when."""

    def __init__(self, world: World, platform: Platform) -> None:
        self.world = world
        self.platform = platform
        self.running = 0

    @abstractmethod
    def submit(self, row: Row) -> None:
        """Take on a row, now or when there is room."""

    def end(self, row: Row, *, done: bool) -> None:
        row.ended = self.world.now
        row.done = done
        if row.then is not None:
            row.then()

    @property
    def window(self) -> float:
        """How many requests may be in flight now."""
        return math.inf


class Windowed(Policy):
    """A window of the package, driven as a session drives it."""

    def __init__(
        self,
        world: World,
        platform: Platform,
        size: Size | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(world, platform)
        self.limits = limits or Limits()
        self.machine = Window(self.limits, size)
        self.rows: dict[QueueEntry, Row] = {}
        self.alarm = math.inf

    @property
    def window(self) -> float:
        return self.machine.snapshot().limit or math.inf

    def submit(self, row: Row) -> None:
        self.rows[self.machine.request()] = row
        self.pump()

    def pump(self) -> None:
        for entry in self.machine.admit(self.world.now):
            self.running += 1
            row = self.rows[entry]
            self.platform.send(row, lambda news, e=entry, r=row: self.hear(e, r, news))
        wake = self.machine.next_at(self.world.now)
        if wake is not None and wake < self.alarm:
            self.alarm = wake
            self.world.at(wake, lambda: self.wake_up(wake))

    def wake_up(self, wake: float) -> None:
        if wake == self.alarm:
            self.alarm = math.inf
        self.pump()

    def restart(self) -> None:
        """Forget everything, and do the rows again that were not done."""
        self.machine, rows, self.rows = Window(self.limits), self.rows, {}
        self.running = 0
        for row in rows.values():
            self.submit(row)

    def hear(self, entry: QueueEntry, row: Row, news: News) -> None:
        if entry not in self.rows:
            return  # from before a restart
        if news in {"headers", "done"}:
            self.machine.accepted(entry)
        else:
            self.running -= 1
            jitter = self.world.random.random()
            self.machine.rejected(entry, self.world.now, news, jitter=jitter)
        if news == "done" or (row.poisoned and entry.suspect):
            self.running -= news == "done"
            self.machine.released(entry)
            del self.rows[entry]
            self.end(row, done=news == "done")
        self.pump()


class Semaphore(Policy):
    """A semaphore, and openai-python's retries: 0.5 s doubling to 8 s, less up to a quarter."""

    def __init__(self, world: World, platform: Platform, size: float, retries: float) -> None:
        super().__init__(world, platform)
        self.size = size
        self.taken = 0
        self.retries = retries
        self.queue: deque[Row] = deque()

    @property
    def window(self) -> float:
        return self.size

    def submit(self, row: Row) -> None:
        self.queue.append(row)
        self.pump()

    def pump(self) -> None:
        while self.taken < self.size and self.queue:
            self.taken += 1
            self.send(self.queue.popleft())

    def send(self, row: Row) -> None:
        self.running += 1
        self.platform.send(row, lambda news: self.hear(row, news))

    def hear(self, row: Row, news: News) -> None:
        if news == "headers":
            return
        self.running -= 1
        if (
            news != "done"
            and row.attempts <= self.retries
            and not (row.poisoned and row.attempts > 5)
        ):
            wait = min(0.5 * 2.0 ** min(row.attempts - 1, 9), 8.0)
            self.world.after(wait * (1 - self.world.random.random() / 4), lambda: self.send(row))
        else:
            self.taken -= 1
            self.end(row, done=news == "done")
            self.pump()


class Oracle(Policy):
    """Knows the limit at every moment, and when it changes; is never refused but by mistake."""

    def __init__(self, world: World, platform: Platform) -> None:
        super().__init__(world, platform)
        self.queue: deque[Row] = deque()
        self.rows: dict[int, Row] = {}
        self.sent = 0

    @property
    def window(self) -> float:
        return self.platform.limit("a", self.world.now)

    def submit(self, row: Row) -> None:
        self.queue.append(row)
        self.pump()

    def pump(self) -> None:
        arrival = self.world.now + self.platform.round_trip / 2
        while self.queue and self.running < self.platform.limit(self.queue[0].model, arrival):
            self.running += 1
            self.sent += 1
            self.rows[self.sent] = self.queue.popleft()
            number = self.sent
            self.platform.send(self.rows[number], lambda news, n=number: self.hear(n, news))

    def restart(self) -> None:
        """Do the rows again that were not done."""
        self.queue.extendleft(self.rows.values())
        self.rows, self.running = {}, 0
        self.pump()

    def hear(self, number: int, news: News) -> None:
        if news == "headers" or number not in self.rows:
            return
        row = self.rows.pop(number)
        self.running -= 1
        if news == "done" or row.poisoned:
            self.end(row, done=news == "done")
        else:
            self.queue.appendleft(row)
        self.pump()
