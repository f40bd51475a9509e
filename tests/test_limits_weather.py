"""Real calls in bad weather: refusals that say nothing about the limit of the account."""

import itertools
import random
from contextlib import suppress

import anyio
import pytest

from tests import virtual_loop
from tests.calls import COMPLETION, ask
from tests.effort import sample, times
from zai_async import AsyncZai, RateLimitError
from zai_async.testing import FakeReply, FakeTransport


class Platform(FakeTransport):
    """Answers after a while, and refuses what a rule says, at once, with a code."""

    def __init__(self, code, refuses, seconds=0.2):
        super().__init__(FakeReply.json(COMPLETION))
        self.refusal = FakeReply.json({"error": {"code": code, "message": "no"}}, status=429)
        self.refuses = refuses
        self.seconds = seconds
        self.in_flight = self.refused = 0
        self.answered = []

    async def send(self, request):
        if self.refuses(self):
            self.refused += 1
            return await FakeTransport(self.refusal).send(request)
        self.in_flight += 1
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        self.answered.append(anyio.current_time())
        return await FakeTransport(FakeReply.json(COMPLETION)).send(request)

    def between(self, begin, end):
        """Return the answers per second of a stretch of time."""
        return sum(begin <= moment < end for moment in self.answered) / (end - begin)


def run(platform, seconds, *, users=30, **settings):
    """Let users ask again and again.

    The jitter of the client's waits is drawn by chance, too: the same in each run, as a bound that
    one history in a hundred breaks says nothing about the code.
    """
    random.seed(1)

    async def work():
        async with AsyncZai(api_key="k.s", transport=platform, **settings) as zai:
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as group:
                    for _ in range(users):
                        group.start_soon(user, zai)
            (figures,) = zai.limits.snapshot().values()
            assert (figures.in_flight, figures.waiting) == (0, 0)

    async def user(zai):
        while True:
            # Without a limiter, the retry budget ends many calls when half of all are refused.
            with suppress(RateLimitError):
                await ask(zai)

    virtual_loop.run(work())
    return platform


def weather(share, seed=1):
    chance = random.Random(seed)
    return lambda _: chance.random() < share


@pytest.mark.parametrize(
    ("code", "share"),
    sample(itertools.product(["1302", "1305", "1312", "9999"], [0.02, 0.05, 0.2, 0.5]), 2),
)
def test_refusals_at_random_are_no_outage(share, code):
    limited = run(Platform(code, weather(share)), 20.0)
    free = run(Platform(code, weather(share)), 20.0, limits="off")
    assert limited.between(5, 20) >= (0.7 if share == 0.5 else 0.9) * free.between(5, 20)


@pytest.mark.parametrize("share", sample([0.1, 0.5, 1.0], 2))
def test_an_incident_is_over_when_it_is_over(share):
    chance = random.Random(1)
    rain = run(
        Platform("1305", lambda _: 10 <= anyio.current_time() < 25 and chance.random() < share),
        45.0,
    )
    before = rain.between(5, 10)
    assert rain.between(35, 45) >= 0.9 * before
    # Of those that are refused when everything is, most wait in the queue and are never sent.
    assert rain.refused < 900


@pytest.mark.parametrize("burst", [1, 2, 20])
def test_a_rate_is_paced(burst):
    taken = []

    def refuses(_):
        now = anyio.current_time()
        taken[:] = [moment for moment in taken if moment > now - burst / 10]
        if len(taken) >= burst:
            return True
        taken.append(now)
        return False

    platform = run(Platform("1303", refuses), 60.0, users=20)
    assert platform.between(10, 60) >= 8.5
    assert platform.refused <= 0.1 * len(platform.answered)


@pytest.mark.parametrize("limit", [1, 3, 10][: times(3, 2)])
def test_a_hidden_limit_is_found_in_spite_of_the_weather(limit):
    chance = random.Random(1)
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429)

    class Both(Platform):
        async def send(self, request):
            if self.in_flight >= limit:
                self.over += 1
                return await FakeTransport(busy).send(request)
            return await super().send(request)

    platform = Both("1305", lambda _: chance.random() < 0.1)
    platform.over = 0
    run(platform, 60.0)
    assert platform.between(5, 60) >= 0.85 * limit / 0.2
    assert platform.over <= 0.05 * len(platform.answered)
