"""A window beside a model that knows everything: whatever happens, nothing is lost and all end."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.effort import times
from zai_async.limiter import Limits, SharedWindow, Window, WindowEvent, WindowReport

KINDS = ("concurrency", "rate", "overload", "unknown", "local")
LIMITS = st.sampled_from(
    [
        Limits(),
        Limits(least=2, start=3, most=6),
        Limits(start=20, most=50),
        Limits(mode="fixed", start=4),
        Limits(mode="off"),
        Limits(requests_per_minute=120, tokens_per_minute=6000),
    ]
)
WHICH = st.integers(0, 1000)


class WindowModel(RuleBasedStateMachine):
    """Knows which requests wait and which are in flight; the window must agree at any time."""

    @initialize(limits=LIMITS)
    def begin(self, limits):
        self.limits = limits
        self.window = Window(limits)
        self.now = 0.0
        self.waiting, self.running, self.rounds = set(), [], 0
        self.order = {}  # of sets it is another one in each run

    def wait(self, entry):
        self.order.setdefault(entry, len(self.order))
        self.waiting.add(entry)

    def admit(self):
        before = len(self.running)
        going = self.window.admit(self.now)
        assert self.waiting.issuperset(going)
        self.waiting.difference_update(going)
        self.running.extend(going)
        # Nobody is let in beyond the limit, which may have fallen below what is in flight.
        limit = self.window.snapshot().limit
        assert not going or limit is None or len(self.running) <= max(limit, before)

    def take(self, which):
        return self.running.pop(which % len(self.running))

    @rule(count=st.integers(1, 30), tokens=st.sampled_from([0.0, 100.0]))
    def some_are_asked(self, count, tokens):
        for _ in range(count):
            self.wait(self.window.request(tokens=tokens))
        self.admit()

    @rule()
    def one_is_let_in_at_once_or_not_at_all(self):
        entry = self.window.try_admit(self.now)
        if entry is not None:
            self.running.append(entry)

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 60.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.admit()

    @precondition(lambda self: self.running)
    @rule(which=WHICH)
    def one_passes(self, which):
        self.window.accepted(self.running[which % len(self.running)])
        self.admit()

    @precondition(lambda self: self.running)
    @rule(which=WHICH, tokens=st.sampled_from([None, 10, 500]))
    def one_ends(self, which, tokens):
        entry = self.take(which)
        self.window.accepted(entry)
        for _ in range(2):
            self.window.released(entry, tokens=tokens)
        self.admit()

    @precondition(lambda self: self.running)
    @rule(
        kind=st.sampled_from(KINDS),
        count=st.integers(1, 8),
        which=WHICH,
        rest=st.sampled_from([0.0, 3.0]),
    )
    def some_are_refused(self, kind, count, which, rest):
        for _ in range(min(count, len(self.running))):
            entry = self.take(which)
            for _ in range(2):
                self.window.rejected(entry, self.now, kind, jitter=0.5, rest=rest)
            self.wait(entry)
        self.admit()

    @precondition(lambda self: self.waiting)
    @rule(which=WHICH)
    def one_gives_up(self, which):
        entry = sorted(self.waiting, key=self.order.__getitem__)[which % len(self.waiting)]
        self.waiting.remove(entry)
        self.window.released(entry)
        self.admit()

    @invariant()
    def both_know_the_same(self):
        figures = self.window.snapshot()
        assert (figures.in_flight, figures.waiting) == (len(self.running), len(self.waiting))
        assert all(self.window.sends(entry) and entry.in_flight for entry in self.running)
        assert not any(entry.in_flight for entry in self.waiting)

    @invariant()
    def what_it_believes_makes_sense(self):
        size, most = self.window._size, self.limits.most or math.inf
        if self.limits.mode == "adaptive":
            assert self.limits.least <= size.limit <= most
            # Else the window would be over with one request more than it allows, and never grow.
            assert size.limit == int(size.limit)
            assert size.proven <= size.limit
        assert size.round >= self.rounds
        self.rounds = size.round
        for evidence in size.evidence.values():
            assert 0.02 <= evidence.expected <= 1
            assert evidence.surprise >= 0
            assert evidence.levels.total.total <= 1000

    @invariant()
    def somebody_who_waits_has_something_to_wait_for(self):
        moment = self.window.next_at(self.now)
        if self.waiting and not self.running:
            assert moment is not None
            assert self.now <= moment < self.now + 3600

    def teardown(self):
        """In the end, everything passes: all of them get their turn."""
        for _ in range(10_000):
            if not (self.waiting or self.running):
                return
            for entry in tuple(self.running):
                self.one_ends(self.running.index(entry), None)
            self.now = self.window.next_at(self.now) or self.now
            self.admit()
        raise AssertionError(f"{len(self.waiting)} still wait")


class SharedModel(RuleBasedStateMachine):
    """Three processes and a store that loses replies: no more are in flight than are allowed."""

    @initialize(limit=st.integers(1, 5))
    def begin(self, limit):
        self.limits = Limits.of(limit)
        self.shared = SharedWindow(self.limits)
        self.now = 0.0
        self.asked, self.numbers = 0, {}
        self.held = {name: set() for name in "abc"}
        self.waiting = {name: set() for name in "abc"}

    def report(self, name, *events, idle=False):
        """Report twice, as if the reply had been lost, and write everything down in between."""
        self.numbers[name] = self.numbers.get(name, 0) + 1
        report = WindowReport(name, self.limits, self.numbers[name], idle, events)
        for _ in range(2):
            self.shared = SharedWindow.from_bytes(self.shared.to_bytes())
            reply = self.shared.exchange(report, self.now)
        # Who has nothing left is forgotten, and unknown if the reply to its last word was lost.
        assert reply.known or not (self.held[name] or self.waiting[name])
        for number in reply.granted:
            self.waiting[name].remove(number)
            self.held[name].add(number)

    @rule(name=st.sampled_from("abc"), count=st.integers(1, 4))
    def some_are_asked(self, name, count):
        numbers = range(self.asked, self.asked + count)
        self.asked += count
        idle = not (self.held[name] or self.waiting[name])
        self.waiting[name].update(numbers)
        self.report(name, *(WindowEvent(number, "asked") for number in numbers), idle=idle)

    @rule(name=st.sampled_from("abc"), what=st.sampled_from(["passed", "refused", "ended"]))
    def something_happens(self, name, what):
        if not self.held[name]:
            return
        number = min(self.held[name])
        if what != "passed":
            self.held[name].remove(number)
        events = [WindowEvent(number, what)]
        if what == "refused":
            self.waiting[name].add(number)
        self.report(name, *events)

    @rule(name=st.sampled_from("abc"))
    def a_process_dies(self, name):
        self.shared.drop(name)
        self.held[name], self.waiting[name] = set(), set()

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0]))
    def time_passes(self, seconds):
        self.now += seconds
        for name in "abc":
            if self.held[name] or self.waiting[name]:
                self.report(name)

    @invariant()
    def no_more_than_allowed(self):
        held = sum(map(len, self.held.values()))
        figures = self.shared.figures
        assert held <= figures.in_flight <= self.limits.start
        members = {name for name in "abc" if self.held[name] or self.waiting[name]}
        assert set(self.shared.members) == members


EFFORT = settings(max_examples=times(200, 25), stateful_step_count=times(50, 25), deadline=None)
TestWindowModel = WindowModel.TestCase
TestWindowModel.settings = EFFORT
TestSharedModel = SharedModel.TestCase
TestSharedModel.settings = EFFORT
