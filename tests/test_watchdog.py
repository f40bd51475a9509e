"""The watchdog, on a clock that jumps."""

import gc
import math

import pytest

from zai_async.session.in_flight import Watchdog


class Timer:
    def __init__(self, due, function):
        self.due, self.function = due, function
        self.armed = True

    def when(self):
        return self.due

    def cancel(self):
        self.armed = False


class Loop:
    """Stands in for an event loop: one timer, fired by hand."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def time(self):
        return self.now

    def call_at(self, due, function):
        self.timers.append(Timer(due, function))
        return self.timers[-1]

    @property
    def armed(self):
        return [timer for timer in self.timers if timer.armed]

    def advance(self):
        """Jump to the next look."""
        (timer,) = self.armed
        timer.cancel()
        self.now = timer.due
        timer.function()


class Stream:
    def __init__(self, timeout):
        self.shortest_timeout = timeout
        self.looks = []

    def look(self, now, passed):
        self.looks.append((now, passed))


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def dog(loop):
    return Watchdog(loop)


def test_it_looks_eight_times_per_limit(loop, dog):
    stream = Stream(4.0)
    dog.add(stream)
    for _ in range(3):
        loop.advance()
    assert stream.looks == [(0.5, 0.5), (1.0, 0.5), (1.5, 0.5)]


@pytest.mark.parametrize(("timeout", "pace"), [(math.inf, 1.0), (300.0, 1.0), (0.001, 0.01)])
def test_its_pace_has_bounds(loop, dog, timeout, pace):
    stream = Stream(timeout)
    dog.add(stream)
    loop.advance()
    assert stream.looks == [(pace, pace)]


def test_a_less_patient_stream_quickens_it(loop, dog):
    calm, hasty = Stream(8.0), Stream(0.8)
    dog.add(calm)
    dog.add(hasty)
    loop.advance()
    assert (calm.looks, hasty.looks) == ([(0.1, 0.1)], [(0.1, 0.1)])


def test_a_more_patient_stream_changes_nothing(loop, dog):
    hasty, calm = Stream(0.8), Stream(8.0)
    dog.add(hasty)
    (timer,) = loop.armed
    dog.add(calm)
    assert loop.armed == [timer]


def test_the_timer_serves_the_next_stream_and_ends_when_there_is_none(loop, dog):
    one, two = Stream(8.0), Stream(8.0)
    dog.add(one)
    (timer,) = loop.armed
    dog.remove(one)
    dog.remove(one)
    dog.add(two)
    assert loop.armed == [timer]
    loop.advance()
    assert (one.looks, two.looks) == ([], [(1.0, 1.0)])
    dog.remove(two)
    loop.advance()
    assert not loop.armed
    dog.add(one)
    loop.advance()
    assert one.looks == [(3.0, 1.0)]


def test_the_least_patient_stream_sets_the_pace_of_each_look(loop, dog):
    calm, hasty = Stream(8.0), Stream(0.8)
    dog.add(calm)
    dog.add(hasty)
    for _ in range(2):
        loop.advance()
    assert hasty.looks == calm.looks == [(0.1, 0.1), (0.2, 0.1)]


def test_the_time_in_which_there_was_nothing_to_look_after_is_nobodys(loop, dog):
    early, late = Stream(8.0), Stream(8.0)
    dog.add(early)
    dog.remove(early)
    loop.advance()
    loop.now = 100.0
    dog.add(late)
    loop.advance()
    assert late.looks == [(101.0, 1.0)]


def test_a_stream_may_leave_while_it_is_looked_at(loop, dog):
    class Leaving(Stream):
        def look(self, now, passed):
            dog.remove(self)

    dog.add(Leaving(8.0))
    loop.advance()
    assert not loop.armed


def test_a_forgotten_stream_is_not_kept(loop, dog):
    stream = Stream(8.0)
    dog.add(stream)
    del stream
    gc.collect()
    loop.advance()
    assert not loop.armed


def test_one_more_stream_costs_the_same_however_many_there_are(dog):
    class Counted(Stream):
        asked = 0

        @property
        def shortest_timeout(self):
            Counted.asked += 1
            return 30.0

        @shortest_timeout.setter
        def shortest_timeout(self, value):
            pass

    streams = [Counted(30.0) for _ in range(100)]
    for stream in streams:
        dog.add(stream)
    assert Counted.asked == 100
