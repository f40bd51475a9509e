"""What people do about a limit that they do not know."""

import math
from abc import ABC, abstractmethod
from collections import deque

from benchmarks.limiter_world import ROUND_TRIP, News, Platform, Row, World
from zai_async.limiter import Limits, Size, Ticket, Window


class Policy(ABC):
    """Sends the rows of one model; a subclass says when."""

    def __init__(self, world: World, platform: Platform) -> None:
        self.world = world
        self.platform = platform

    @abstractmethod
    def submit(self, row: Row) -> None:
        """Take on a row, now or when there is room."""

    def end(self, row: Row, *, done: bool) -> None:
        row.ended = self.world.now
        row.done = done


class Windowed(Policy):
    """A window of the package, driven as a session drives it."""

    def __init__(self, world: World, platform: Platform, size: Size | None = None) -> None:
        super().__init__(world, platform)
        self.window = Window(Limits(), size)
        self.rows: dict[Ticket, Row] = {}
        self.alarm = math.inf

    def submit(self, row: Row) -> None:
        self.rows[self.window.request()] = row
        self.pump()

    def pump(self) -> None:
        for ticket in self.window.admit(self.world.now):
            row = self.rows[ticket]
            self.platform.send(row, lambda news, t=ticket, r=row: self.hear(t, r, news))
        wake = self.window.next_at(self.world.now)
        if wake is not None and wake < self.alarm:
            self.alarm = wake
            self.world.at(wake, self.wake_up)

    def wake_up(self) -> None:
        self.alarm = math.inf
        self.pump()

    def hear(self, ticket: Ticket, row: Row, news: News) -> None:
        if news == "refused":
            chance = self.world.random.random()
            self.window.rejected(ticket, self.world.now, "overload", chance=chance)
        else:
            self.window.accepted(ticket)
        if news == "done" or (row.poisoned and ticket.suspect):
            self.window.released(ticket)
            self.end(row, done=news == "done")
        self.pump()


class Semaphore(Policy):
    """A semaphore, and openai-python's retries: 0.5 s doubling to 8 s, less up to a quarter."""

    def __init__(self, world: World, platform: Platform, size: int, retries: int) -> None:
        super().__init__(world, platform)
        self.free = size
        self.retries = retries
        self.queue: deque[Row] = deque()

    def submit(self, row: Row) -> None:
        self.queue.append(row)
        self.pump()

    def pump(self) -> None:
        while self.free > 0 and self.queue:
            self.free -= 1
            self.send(self.queue.popleft())

    def send(self, row: Row) -> None:
        self.platform.send(row, lambda news: self.hear(row, news))

    def hear(self, row: Row, news: News) -> None:
        if news == "refused" and row.attempts <= self.retries:
            wait = min(0.5 * 2 ** (row.attempts - 1), 8.0)
            self.world.after(wait * (1 - self.world.random.random() / 4), lambda: self.send(row))
        elif news != "headers":
            self.end(row, done=news == "done")
            self.free += 1
            self.pump()


class Oracle(Policy):
    """Knows the limit at every moment, and when it changes; is never refused but by mistake."""

    def __init__(self, world: World, platform: Platform) -> None:
        super().__init__(world, platform)
        self.running = 0
        self.queue: deque[Row] = deque()

    def submit(self, row: Row) -> None:
        self.queue.append(row)
        self.pump()

    def pump(self) -> None:
        arrival = self.world.now + ROUND_TRIP / 2
        while self.queue and self.running < self.platform.limit(self.queue[0].model, arrival):
            self.running += 1
            row = self.queue.popleft()
            self.platform.send(row, lambda news, row=row: self.hear(row, news))

    def hear(self, row: Row, news: News) -> None:
        if news == "headers":
            return
        self.running -= 1
        if news == "done" or row.poisoned:
            self.end(row, done=news == "done")
        else:
            self.queue.appendleft(row)
        self.pump()
