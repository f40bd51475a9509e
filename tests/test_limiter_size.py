"""How large a window is, decision by decision: what it counts, believes and tries."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from operator import itemgetter

import pytest

from zai_async.limiter import (
    SEEN,
    Bucket,
    Evidence,
    Levels,
    Pacer,
    QueueEntry,
    Rate,
    Refusal,
    Size,
    Trial,
    evidence,
)
from zai_async.limiter.evidence import Refusals
from zai_async.limiter.trials import Probes

LONG_AGO, MUCH_LATER = -1e9, 1e9


def passes(size: Size, level: int, times: int = 1) -> None:
    for _ in range(times):
        size.passed += 1
        size.accepted(level, level, size.round)


def proven(limit: int, most: float = math.inf) -> Size:
    """Return a window of which every place has been used."""
    size = Size(limit, 1, most)
    passes(size, limit, limit - 1)
    assert size.proven == limit
    return size


def refuse_twice(size: Size, fine: int, kind: Refusal, now: float = 0.0) -> None:
    """One refusal is no sign where more have passed; the next one in a row is."""
    for _ in range(2):
        size.refused(fine, fine, kind, now, size.round)


def grown(
    size: Size, steps: int, now: float = LONG_AGO, *, ended: int = 1000
) -> list[tuple[int, float]]:
    """Let requests pass; return for each growth how many that took and how large it became."""
    found = []
    for _ in range(steps):
        for count in range(1, 1000):
            passes(size, int(size.limit))
            if size.grow(now, ended=ended):
                found.append((count, size.limit))
                break
    return found


class TestGrowth:
    def test_window_grows_by_half_when_each_of_its_places_has_been_used(self) -> None:
        size = Size(8, 1, math.inf)
        assert grown(size, 5) == [(7, 12), (4, 18), (6, 27), (9, 40), (13, 60)]

    def test_window_grows_by_one_while_it_is_small(self) -> None:
        assert grown(Size(2, 1, math.inf), 6) == [(1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, 10)]

    @pytest.mark.parametrize(("waiting", "limit"), [(39, 6), (40, 7)])
    def test_a_long_queue_grows_by_half_sooner(self, waiting: int, limit: int) -> None:
        size = proven(5)
        assert size.grow(0.0, waiting, 1000)
        assert size.limit == limit

    def test_window_grows_by_a_quarter_while_hardly_any_answer_has_ended(self) -> None:
        assert [limit for _, limit in grown(Size(8, 1, math.inf), 4, ended=0)] == [10, 12, 18, 27]
        assert [limit for _, limit in grown(Size(8, 1, math.inf), 3, ended=1)] == [12, 18, 27]
        assert [limit for _, limit in grown(Size(9, 1, math.inf), 2, ended=1)] == [11, 13]

    def test_window_does_not_grow_beyond_the_most(self) -> None:
        size = Size(8, 1, 10)
        assert grown(size, 2) == [(7, 10)]
        assert (size.limit, size.proven) == (10, 10)

    def test_a_window_that_has_shrunk_is_used_anew_before_it_grows(self) -> None:
        size = Size(8, 1, math.inf)
        passes(size, 8, 6)
        refuse_twice(size, 5, "concurrency")
        assert (size.limit, size.proven, size.round) == (5, 1, 1)
        passes(size, 5, 3)
        size.refused(5, 5, "concurrency", 0.0, 0)  # late, and no news: it takes nothing back
        assert size.proven == 1
        passes(size, 5)
        assert size.proven == 5

    @pytest.mark.parametrize(
        ("level", "arrived", "times"),
        [(5, 5, 4), (5, 4, 12), (5, 3, 12), (5, 2, 4), (6, 5, 5)],
    )
    def test_a_small_window_is_hardly_used_by_what_found_fewer_on_arrival(
        self, level: int, arrived: int, times: int
    ) -> None:
        """If most had ended, answers are too short for so many ever to be there at once."""
        size = Size(level, 1, math.inf)
        for number in range(1, times + 1):
            size.accepted(level, arrived, 0)
            assert (size.proven == level) is (number == times)

    def test_what_has_proven_one_size_does_not_count_for_a_larger_one(self) -> None:
        size = Size(8, 1, math.inf)
        size.refused(3, 3, "concurrency", 0.0, 0)
        passes(size, 3, 2)
        assert (size.limit, size.proven) == (3, 3)
        size.accepted(5, 4, 0)  # more were at the platform before the cut
        assert (size.limit, size.proven) == (5, 4)

    def test_passes_below_what_is_proven_prove_nothing(self) -> None:
        size = proven(4)
        assert size.grow(0.0)
        for _ in range(9):
            size.accepted(4, 4, 0)
        assert not size.grow(0.0)


class TestProbes:
    def test_what_a_probe_meets_says_something_about_the_window(self) -> None:
        size = proven(8)
        refuse_twice(size, 5, "unknown")
        assert size.limit == 5
        assert [size.is_probe(level, "unknown") for level in (5, 6)] == [False, True]
        assert not size.is_probe(6, "concurrency")

    @pytest.mark.parametrize(
        ("kind", "arrived", "passed", "wrong"),
        [("unknown", 6, 1, 1.0), ("unknown", 5, 3, 0.0), ("concurrency", 5, 1, 0.0)],
    )
    def test_a_probe_that_met_no_more_than_the_ceiling_may_have_been_lucky(
        self, kind: Refusal, arrived: int, passed: int, wrong: float
    ) -> None:
        size = proven(8)
        refuse_twice(size, 5, kind)
        for _ in range(20):
            passes(size, 5)
        assert size.grow(MUCH_LATER)
        if passed == 3:  # and two before one that is refused are forgotten
            for _ in range(2):
                size.accepted(6, arrived, size.round)
            size.refused(5, 5, kind, 0.0, size.round)
            assert (size.limit, size.grow(MUCH_LATER)) == (5, True)
        for number in range(1, passed + 1):
            size.accepted(6, arrived, size.round)
            assert (size.proven == 6) is (number == passed)
        assert size.grow(MUCH_LATER)
        assert size.limit > 6
        assert size.of(kind).wrong == wrong

    def test_a_part_of_a_window_is_no_ceiling_that_shows_again(self) -> None:
        probes = Probes()
        for mixed, failed in ((True, 0), (True, 0), (False, 1)):
            probes.cut("unknown", "unknown", 87, mixed=mixed)
            assert probes.failed == failed

    @pytest.mark.parametrize(("patience", "first"), [(0.1, 0.25), (0.5, 0.5), (9.0, 1.0)])
    def test_first_verification_goes_as_soon_as_refusals_come(
        self, patience: float, first: float
    ) -> None:
        probes = Probes()
        probes.wait(10.0, 0, patience)
        assert probes.verify_at == 10.0 + first
        probes.refused(20.0, 0, patience)
        assert probes.verify_at == 20.0 + 4 * first

    def test_a_large_window_that_was_lifted_by_luck_is_paid_for_in_full(self) -> None:
        for kind, most in (("unknown", 1000), ("concurrency", 120)):
            probes = Probes()
            probes.cut(kind, kind, 50)
            for _ in range(30):
                probes.overshot(0.0, 7, 50.0)
            assert probes.paid_at == 7 + most

    def test_first_probe_goes_after_twenty_passes_and_starts_a_search(self) -> None:
        size = Size(8, 1, math.inf)
        size.refused(5, 5, "concurrency", 0.0, 0)
        assert grown(size, 5) == [(20, 6), (1, 7), (1, 9), (2, 13), (4, 19)]

    def test_a_limit_in_doubt_is_probed_after_a_while_too(self) -> None:
        size = Size(8, 1, math.inf)
        refuse_twice(size, 5, "unknown", 100.0)
        passes(size, 5, 4)
        assert size.probe_at() == math.inf  # whether the cut has helped is not known yet
        assert not size.grow(MUCH_LATER)
        passes(size, 5, 6)
        assert size.probe_at() == 104.0
        assert not size.grow(103.9)
        assert size.grow(104.0)
        assert (size.limit, size.probe_at()) == (6, math.inf)

    def test_a_limit_for_concurrency_is_probed_by_passes_only(self) -> None:
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        passes(size, 9, 19)
        assert size.probe_at() == math.inf
        assert not size.grow(MUCH_LATER)

    @pytest.mark.parametrize(
        ("before", "limit", "due"),
        [(10, 8, math.inf), (10, 7, 5.0), (4, 3, math.inf), (4, 2, 5.0)],
    )
    def test_unless_much_more_has_worked_before(self, before: int, limit: int, due: float) -> None:
        """By a fifth, and by more than one."""
        size = proven(before)
        refuse_twice(size, limit, "concurrency")
        passes(size, limit, 12)  # whether the cut has helped is known
        assert (size.limit, size.probe_at()) == (limit, due)

    def test_where_two_probes_were_refused_the_window_ends_whatever_the_code(self) -> None:
        size = proven(10)
        refuse_twice(size, 5, "unknown")
        for _ in range(2):
            assert size.of("unknown").belief == "unknown"
            passes(size, 5, 20)
            assert size.probe_at() < MUCH_LATER
            assert size.grow(MUCH_LATER)
            size.refused(5, 5, "unknown", 0.0, size.round)
        assert size.of("unknown").belief == "concurrency"
        passes(size, 5, 20)
        assert size.probe_at() == math.inf  # from now on they have to be paid for
        # What had worked once does so no more: it is not regained at once.
        assert [limit for _, limit in grown(size, 3)] == [6, 7, 9]

    def test_those_that_wait_pay_for_some_that_tell_whether_the_cut_was_right(self) -> None:
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        moments = []
        while (moment := size.probe_at(1000)) < MUCH_LATER:
            assert not size.grow(moment - 0.1, 1000)
            assert size.grow(moment, 1000)
            moments.append(moment)
            size.refused(9, 9, "concurrency", moment, size.round)
            assert size.limit == 9
        assert moments == [1.0, 5.0, 21.0, 85.0]

    @pytest.mark.parametrize("kind", ["unknown", "overload"])
    def test_what_has_shown_to_be_a_limit_needs_none_of_them(self, kind: Refusal) -> None:
        probes = Probes()
        for belief, pays in ((kind, True), ("concurrency", False)):
            probes.cut(kind, belief, 8)
            assert probes.verifies(0, 1000) is pays

    def test_a_short_queue_pays_for_none(self) -> None:
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        assert (size.probe_at(19), size.probe_at(20)) == (math.inf, 1.0)

    def test_whether_a_cut_was_right_is_asked_later_if_more_than_one_led_to_it(self) -> None:
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        size.refused(9, 9, "concurrency", 0.0, 0)
        assert size.probe_at(20) == 4.0
        for see in (Probes.seen_again, lambda probes, now: probes.overshot(now, 0, 9.0)):
            probes = Probes(verify_at=101.5)
            see(probes, 100.0)
            assert probes.verify_at == 106.0

    def test_what_is_due_anyway_does_not_wait_for_those_that_would_pay(self) -> None:
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        for _ in range(2):  # others use the limit as well
            size.refused(0, 0, "concurrency", 0.0, size.round)
        for paid, due in ((1.0, 5.0), (9.0, 10.0), (20.0, 20.0)):
            assert (size.probe_at(1000), size.probe_at()) == (paid, due)
            assert size.grow(due)
            size.refused(9, 9, "concurrency", due, size.round)
        assert size._probes.verified == 0

    @pytest.mark.parametrize("least", [1, 5])
    def test_a_window_that_may_not_grow_plans_none_however_many_wait(self, least: int) -> None:
        """Else the moment at which to ask again would always be now."""
        size = Size(5, least, 5)
        passes(size, 5, 4)
        assert (size.proven, size.probe_at(), size.probe_at(1000)) == (5, math.inf, math.inf)
        assert not size.grow(MUCH_LATER, 1000)
        assert size.limit == 5

    @pytest.mark.parametrize("kind", ["unknown", "overload"])
    def test_a_limit_that_shows_again_at_the_same_number_is_believed_whatever_the_code(
        self, kind: Refusal
    ) -> None:
        size = proven(10)
        for belief in (kind, "concurrency"):
            while size.limit > 8:
                size.refused(8, 8, kind, 0.0, size.round)
                passes(size, 8)
            assert (size.limit, size.of(kind).belief, size._probes.belief) == (8, belief, belief)
            passes(size, 8, 60)
            assert size.grow(MUCH_LATER)
            passes(size, 9)  # by luck

    def test_a_ceiling_that_comes_again_counts_as_a_probe_that_was_refused(self) -> None:
        probes, failed = Probes(), []
        for ceiling in (8, 8, 7, 9, 30, 29, 28, 27):  # a tenth less is another one
            probes.cut("unknown", "unknown", ceiling)
            failed.append((probes.ceiling, probes.failed))
        assert failed == [
            *((8, 0), (8, 1), (8, 2), (8, 2)),
            *((30, 0), (30, 1), (30, 2), (27, 0)),
        ]

    def test_each_refused_probe_costs_fifty_passes_up_to_a_debt(self) -> None:
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        counts = []
        for _ in range(4):
            counts += grown(size, 1)
            size.refused(9, 9, "concurrency", 0.0, size.round)
            assert (size.limit, size.proven) == (9, 9)
        for _ in range(9):  # callers who come back at once, before anything has passed
            size.refused(9, 9, "concurrency", 0.0, size.round)
        counts += grown(size, 1)
        assert counts == [(20, 10), (50, 10), (50, 10), (50, 10), (300, 10)]

    def test_waits_for_probes_do_not_grow_for_ever(self) -> None:
        probes = Probes(failed=20)
        probes.wait(0.0, 0)
        assert (probes.due_at, probes.verify_at) == (5.0 * 2**9, 4.0**9)
        assert probes.refused(0.0, 0)
        assert (probes.due_at, probes.verify_at) == (5.0 * 2**9, 4.0**9)

    def test_each_one_waits_twice_as_long_where_time_decides(self) -> None:
        probes = Probes()
        probes.cut("overload", "overload", 8)
        probes.wait(10.0, 100)
        assert (probes.due_at, probes.paid_at, probes.paid(119), probes.paid(120)) == (
            *(11.0, 120),
            *(False, True),
        )
        told = [(probes.refused(20.0, 120), probes.due_at - 20.0) for _ in range(12)]
        assert told == [(False, 1.0)] + [(True, 2.0 ** min(n, 9)) for n in range(1, 12)]
        assert (probes.failed, probes.paid_at) == (12, 420)
        probes.cut("unknown", "unknown", 10)
        probes.wait(30.0, 200)
        assert (probes.kind, probes.failed, probes.due_at) == ("unknown", 0, 34.0)
        assert probes.paid_at == 320  # what was owed is owed still, as far as a cut may cost it

    def test_late_refusals_of_a_larger_window_shrink_it_and_cost_nothing_at_first(self) -> None:
        size = Size(16, 1, math.inf)
        size.refused(11, 11, "concurrency", 0.0, 0)
        size.refused(12, 12, "concurrency", 0.0, 0)
        assert size.limit == 11
        size.refused(9, 9, "concurrency", 0.0, 0)
        assert (size.limit, size.round, grown(size, 1)) == (9, 1, [(20, 10)])

    def test_later_they_have_to_be_paid_for(self) -> None:
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        assert grown(size, 3) == [(20, 10), (1, 11), (1, 13)]
        size.refused(11, 11, "concurrency", 0.0, 1)
        assert (size.limit, size.round) == (11, 2)
        size.refused(10, 10, "concurrency", 0.0, 1)
        assert grown(size, 1) == [(100, 11)]


def rainy(refusals: int) -> Size:
    """Return a used window that was refused one in five, as if others filled the model."""
    size = proven(10)
    size.passed = 0
    for _ in range(refusals):
        size.passed += 4
        size.is_weather("overload", alone=False)
    return size


class TestCuts:
    @pytest.mark.parametrize(("fine", "limit"), [(9, 8), (8, 8), (7, 10)])
    def test_weather_that_lasts_is_looked_into_where_the_window_is_full(
        self, fine: int, limit: int
    ) -> None:
        """A fifth less is tried, each time that thirty have been refused."""
        before = rainy(39)
        before.refused(fine, fine, "overload", 0.0, 0)
        assert before.limit == 10
        due = rainy(40)
        assert due.of("overload").expected == pytest.approx(0.1917, abs=1e-4)
        due.refused(fine, fine, "overload", 0.0, 0)
        assert due.limit == limit

    def test_more_is_asked_for_where_others_pass(self) -> None:
        size = Size(10, 1, math.inf)
        size.proven = 5
        size.refused(3, 3, "unknown", 0.0, 0)
        assert size.limit == 10
        passes(size, 4)
        size.refused(9, 9, "unknown", 0.0, 0)
        assert (size.limit, size.proven) == (9, 5)  # at what nobody has used it is a limit at once

    @pytest.mark.parametrize(("in_vain", "limit"), [(0, 5), (3, 8)])
    def test_more_is_asked_for_after_cuts_in_vain(self, in_vain: int, limit: int) -> None:
        size = Size(8, 1, math.inf)
        for _ in range(in_vain):
            size.of("unknown").was_wrong()
        refuse_twice(size, 5, "unknown")
        assert size.limit == limit

    def test_where_nothing_has_passed_a_refusal_for_concurrency_is_a_limit_at_once(self) -> None:
        """Whoever was there had ended, but nobody has been there when that one passed."""
        size = Size(2, 1, math.inf)
        size.refused(1, 0, "concurrency", 0.0, 0)
        assert size.limit == 1

    @pytest.mark.parametrize(("fine", "limit"), [(6, 6), (5, 4)])
    def test_a_small_job_keeps_to_what_was_at_the_platform(self, fine: int, limit: int) -> None:
        size = Size(8, 1, math.inf)
        size.refused(fine, 4, "concurrency", 0.0, 0)
        assert size.limit == limit

    def test_while_a_cut_is_tried_refusals_cut_again_only_if_nothing_passes(self) -> None:
        size = Size(10, 1, math.inf)
        size.refused(6, 6, "unknown", 0.0, 0)
        passes(size, 3)
        size.refused(6, 6, "unknown", 0.0, 0)
        for limit in (6, 6, 6, 6, 4):
            assert size.limit == 6
            size.refused(5, 5, "unknown", 0.0, size.round)
            assert size.limit == limit

    def test_what_was_cut_in_vain_comes_back(self) -> None:
        size = Size(8, 1, math.inf)
        refuse_twice(size, 5, "unknown")
        for limit in (5, 8):
            passes(size, 5)
            size.refused(4, 4, "unknown", 0.0, size.round)
            assert size.limit == limit
        # What had been usual weighs like ten, and what the trial has seen in full: twice each, and
        # all but the one that passed was in doubt.
        usual = size.evidence["unknown"].usual
        assert (usual.accepted, usual.refused) == pytest.approx(
            (10 * 10.75 / 11 + 2 + 1, 10 * 0.25 / 11 + 4 + 2)
        )
        assert grown(size, 2) == [(7, 12), (4, 18)]

    def test_third_refusal_in_a_row_leaves_seven_tenths(self) -> None:
        size = proven(10)
        for limit in (10, 10, 6):
            size.refused(6, 6, "overload", 0.0, size.round)
            assert size.limit == limit
        assert not size.grow(0.0)  # before something passes
        assert grown(size, 3) == [(1, 10), (19, 11), (1, 12)]
        size = proven(3)
        for _ in range(3):
            size.refused(2, 2, "overload", 0.0, size.round)
        assert (size.limit, grown(size, 2)) == (2, [(1, 3), (19, 4)])  # if by one request only

    def test_where_half_of_all_are_refused_three_in_a_row_are_nothing(self) -> None:
        size = proven(10)
        size.of("overload").usual = Rate(100, 100)
        for _ in range(3):
            size.refused(6, 6, "overload", 0.0, 0)
        assert size.limit == 10

    def test_what_stopped_everything_is_over_when_something_passes(self) -> None:
        size = proven(10)
        for _ in range(3):
            size.refused(6, 6, "overload", 0.0, size.round)
        assert size.limit == 6
        passes(size, 6)
        size.refused(5, 5, "overload", 0.0, size.round)
        assert (size.limit, size.of("overload").doubts.refused) == (6, 1)

    def test_of_what_had_worked_half_is_still_believed_after_a_new_limit(self) -> None:
        size = proven(40)
        for _ in range(3):
            size.refused(10, 10, "overload", 0.0, size.round)
        assert grown(size, 1) == [(1, 20)]
        refuse_twice(size, 15, "unknown")
        assert size.limit == 15
        # A probe, and then a search in steps: what had worked has been tried again and does not.
        assert [limit for _, limit in grown(size, 4)] == [16, 17, 19, 23]

    def test_half_of_it_once_for_each_time_that_it_has_been_tried_again(self) -> None:
        size = proven(40)
        for _ in range(3):
            size.refused(10, 10, "overload", 0.0, size.round)
        assert grown(size, 1) == [(1, 20)]
        for limit in (7, 5):
            size.refused(limit, limit, "local", 0.0, size.round)
            assert size.limit == limit
        assert [limit for _, limit in grown(size, 4)] == [6, 12, 20, 21]

    def test_what_had_worked_is_believed_again_if_the_code_says_that_it_is_a_limit(self) -> None:
        size = proven(40)
        for _ in range(3):
            size.refused(10, 10, "overload", 0.0, size.round)
        assert grown(size, 1) == [(1, 20)]
        refuse_twice(size, 15, "concurrency")
        assert [limit for _, limit in grown(size, 3)] == [16, 20, 21]

    def test_of_a_window_in_which_some_pass_as_many_are_left_as_pass(self) -> None:
        size = proven(100)
        seen = size.of("overload")
        seen.usual, seen.doubts = Rate(60, 40), Rate(1, 30)
        size.refused(90, 50, "overload", 0.0, 0)
        assert size.limit == 60

    def test_what_is_refused_once_more_with_as_many_there_is_no_news(self) -> None:
        size = proven(10)
        size.refused(9, 5, "concurrency", 0.0, 0)
        passes(size, 5)
        assert size.limit == 10
        size.refused(9, 5, "concurrency", 0.0, 0)
        assert size.limit == 8

    @pytest.mark.parametrize("limit", [1, 5])
    def test_where_refusals_begin_is_where_the_window_ends(self, limit: int) -> None:
        size = proven(10)
        size.refused(9, limit, "overload", 0.0, 0)
        for _ in range(2):
            passes(size, max(limit - 1, 1), 2)
            passes(size, limit, 2)
            size.refused(9, limit, "overload", 0.0, 0)
        assert size.limit == limit

    def test_it_is_never_more_than_were_fine(self) -> None:
        for fine, arrived, limit in ((9, 9, 7), (7, 7, 7), (5, 5, 5), (9, 4, 4)):
            size = proven(10)
            for _ in range(3):
                size.refused(fine, arrived, "overload", 0.0, size.round)
            assert size.limit == limit

    def test_what_a_shortage_of_our_own_refuses_is_a_limit_at_once(self) -> None:
        size = proven(10)
        size.refused(6, 6, "local", 7.0, 0)
        assert (size.limit, size.round, size.in_a_row) == (6, 1, 0)
        assert (size.probe_at(), grown(size, 2)) == (12.0, [(20, 7), (1, 10)])

    @pytest.mark.parametrize("passed", [0, 10])
    def test_nothing_that_passes_collapses_the_window(self, passed: int) -> None:
        size = proven(10)
        size.passed = passed
        for _ in range(2):
            size.refused(0, 0, "overload", 0.0, 0)
            size.collapse()
        assert size.limit == 10  # two in a row may be chance
        size.refused(0, 0, "overload", 0.0, 0)
        size.collapse()
        assert (size.limit, size.proven) == (1, 0)
        assert not size.grow(MUCH_LATER)
        # Up to what had worked it doubles; further it searches, or probes if it knows better.
        assert grown(size, 4) == [(1, 2), (1, 4), (2, 8), (4, 10)]
        assert grown(size, 2) == [(2, 11), (1, 13 if not passed else 12)]

    def test_what_had_worked_before_a_collapse_is_given_up_only_if_it_was_tried_again(self) -> None:
        size = proven(10)
        for _ in range(3):
            size.refused(0, 0, "overload", 0.0, 0)
        size.collapse()
        size.refused(0, 0, "local", 0.0, 0)
        assert (size.limit, [limit for _, limit in grown(size, 4)]) == (1, [2, 4, 8, 10])

    def test_a_collapse_ends_the_trial_of_a_cut(self) -> None:
        """What had been lost by the cut does not come back with the first refusal after it."""
        size = Size(10, 1, math.inf)
        refuse_twice(size, 5, "unknown")
        assert size.limit == 5
        for _ in range(3):
            size.refused(0, 0, "unknown", 0.0, size.round)
        size.collapse()
        passes(size, 1)
        assert size.grow(0.0)
        assert size.limit == 2
        for _ in range(2):
            size.refused(1, 1, "unknown", 0.0, size.round)
        assert size.limit <= 2

    def test_it_collapses_to_the_least(self) -> None:
        size = Size(5, 3, 9)
        for _ in range(3):
            size.refused(0, 0, "overload", 0.0, 0)
        size.collapse()
        assert (size.limit, size.proven) == (3, 2)

    def test_one_alone_that_is_refused_is_weather_and_counts_once_in_a_row(self) -> None:
        size = proven(10)
        size.passed = 0
        for count in (1, 2, 3):
            size.refused(0, 0, "unknown", 0.0, 0)
            assert size.of("unknown").expected == 1.25 / 11
            assert (size.limit, size.in_a_row, size.alert) == (10, count, True)
        # A step cannot begin above it: such refusals come with one in flight as well.
        assert size.of("unknown").levels.share_below(1) > 0.5

    @pytest.mark.parametrize("again", [True, False])
    def test_where_one_alone_is_refused_and_another_passes_it_is_about_no_limit(
        self, again: bool
    ) -> None:
        """Whether that one is sent for the first time or again."""
        size = Size(2, 1, math.inf)
        size.refused(1, 1, "concurrency", 0.0, 0)
        seen = []
        for alone in (False, True, True):
            if alone and not again:
                size.refused(0, 0, "concurrency", 0.0, size.round)
            else:
                size.is_weather("concurrency", alone=alone)
            passes(size, 1)
            seen.append((size.of("concurrency").belief, size.grow(0.0)))
        assert seen == [("concurrency", False), ("concurrency", False), ("overload", True)]

    def test_after_an_outage_of_others_each_probe_is_a_matter_of_time(self) -> None:
        """A client that has crashed holds its permits for a while: nobody is left to pay."""
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        passes(size, 9)
        assert size.probe_at() == math.inf
        for due in (math.inf, 5.0):  # a single one may be chance
            size.refused(0, 0, "concurrency", 1.0, size.round)
            assert size.probe_at() == due

    def test_a_fixed_window_neither_shrinks_nor_collapses(self) -> None:
        size = Size(5, 5, 5)
        for fine in (4, 0, 0, 0):
            size.refused(fine, fine, "concurrency", 0.0, 0)
        size.collapse()
        assert (size.limit, size.round, size.in_a_row, size.proven) == (5, 0, 0, 5)


class TestEvidence:
    def test_what_passes_is_counted_by_level_while_there_are_doubts(self) -> None:
        size = proven(10)
        size.refused(5, 5, "overload", 0.0, 0)
        levels = size.evidence["overload"].levels
        passes(size, 3)
        assert (levels.total.accepted, levels.total.refused, size.in_a_row) == (1, 1, 0)
        passes(size, 4, 48)
        assert size.alert
        passes(size, 4)  # by now one refusal is what is usual, and fifty have passed
        assert not size.alert

    def test_each_pass_is_news_until_the_doubts_are_explained(self) -> None:
        size = proven(40)
        for _ in range(6):
            passes(size, 30, 5)
            size.refused(20, 20, "overload", 0.0, 0)
        passes(size, 30, 54)
        assert size.alert
        passes(size, 30)
        assert (size.alert, size.limit) == (False, 40)

    def test_what_was_sent_before_a_cut_calms_nobody(self) -> None:
        size = Size(8, 1, math.inf)
        size.refused(5, 5, "concurrency", 0.0, 0)
        size.refused(4, 4, "overload", 0.0, size.round)
        for sent_in, in_a_row in ((0, 2), (1, 0)):
            size.accepted(3, 3, sent_in)
            assert size.in_a_row == in_a_row

    @pytest.mark.parametrize(("arrived", "limit"), [(5, 5), (6, 8)])
    def test_of_what_was_sent_before_a_cut_only_what_the_platform_held_is_news(
        self, arrived: int, limit: int
    ) -> None:
        size = Size(8, 1, math.inf)
        size.refused(5, 5, "concurrency", 0.0, 0)
        size.accepted(8, arrived, 0)
        assert size.limit == limit

    def test_a_limit_for_concurrency_is_believed_although_a_few_pass_above_it(self) -> None:
        """In an uneven net it shows nevertheless that refusals come above it."""
        size = Size(12, 12, 13)
        size.proven = size._arrived = 13
        for level in (7, 8, 9, 10, 7, 8):
            passes(size, 5, 3)
            passes(size, 6, 3)
            size.refused(level, level, "concurrency", 0.0, size.round)
        for _ in range(3):
            size.refused(8, 8, "concurrency", 0.0, size.round)
            passes(size, 9)
        assert size.of("concurrency").belief == "concurrency"

    def test_what_is_refused_in_a_row_says_nothing_about_where_a_limit_lies(self) -> None:
        """Nothing passes at this size: perhaps the limit has fallen."""
        size = proven(10)
        refuse_twice(size, 9, "concurrency")
        assert size.of("concurrency").levels.total.refused == 1

    def test_refusals_above_one_number_only_cut_to_it(self) -> None:
        size = Size(12, 1, 12)
        size.proven = size._arrived = 12
        for level in (1, 2, 3, 4):
            passes(size, level)
            assert size.limit == 12
            size.refused(level + 5, level + 5, "overload", 0.0, 0)
        total = size.evidence["overload"].levels.total
        assert (size.limit, size.round, size.evidence["overload"].doubts.refused) == (6, 1, 0)
        # What was seen up to the new limit, and just above it, is kept; refusals fade it.
        assert total.accepted == pytest.approx(0.95 + 0.95**2 + 0.95**3)
        assert total.refused == pytest.approx(0.95**3)

    def test_refusals_for_concurrency_at_any_number_are_weather(self) -> None:
        size, limits = proven(40), []
        for number in range(1, 21):
            level = number * 7 % 40 + 1
            if number % 4:
                passes(size, level)
            else:
                size.refused(level - 1, level - 1, "concurrency", 0.0, size.round)
                limits.append(size.limit)
        assert limits == [40] * 5  # each time that more passed soon after
        assert size.evidence["concurrency"].belief == "overload"

    def test_probes_that_fail_make_a_limit_certain(self) -> None:
        evidence = Evidence("unknown")
        evidence.confirmed(3, 5.0)
        assert evidence.belief == "unknown"
        evidence.confirmed(4, 5.0)
        assert (evidence.belief, evidence.expected) == ("concurrency", 0.02)
        evidence.is_weather(Rate(8, 2))
        assert (evidence.belief, evidence.expected) == ("overload", 2.25 / 20)

    def test_after_weather_all_begins_anew(self) -> None:
        evidence = Evidence("concurrency")
        for passed in (1, 2):
            evidence.refused(0)
            evidence.accepted()
            evidence.contest(5)
            found = evidence.contradicted(5, passed)
        assert found
        evidence.is_weather(Rate(8, 2))
        assert evidence.doubts.total == 0
        # One that passes at a number that was refused contradicts a limit no more than before.
        evidence.confirmed(9, 5.0)
        assert evidence.belief == "concurrency"
        assert evidence.contest(5)
        assert not evidence.contradicted(5, 3)

    def test_surprise_is_a_likelihood_ratio(self) -> None:
        evidence = Evidence("unknown")
        assert evidence.surprise == 0
        evidence.refused(0)
        assert evidence.surprise == pytest.approx(math.log(40))
        evidence.doubts.accepted += 1
        assert evidence.surprise == pytest.approx(math.log(20) + math.log(0.5 / 0.975))

    def test_doubts_end_when_they_are_explained(self) -> None:
        evidence = Evidence("unknown")
        evidence.refused(10)
        assert (evidence.usual.accepted, evidence.doubts.refused) == (19.75, 1)
        for _ in range(13):
            evidence.accepted()
        assert (evidence.doubts.accepted, evidence.doubts.refused) == (13, 1)
        evidence.accepted()  # one in 15 is no more than 0.02 + 0.05
        assert (evidence.doubts.accepted, evidence.doubts.refused) == (0, 0)
        assert (evidence.usual.accepted, evidence.usual.refused) == (33.75, 1.25)
        evidence.refused(30)  # of which 24 are counted already
        assert evidence.usual.accepted == 39.75

    def test_doubts_without_a_pass_say_nothing_about_what_is_usual(self) -> None:
        evidence = Evidence("unknown")
        evidence.refused(0)
        taken = evidence.take_doubts()
        assert (taken.refused, evidence.usual.refused, evidence.doubts.refused) == (1, 0.25, 0)
        evidence.refused(0)
        evidence.accepted()
        evidence.take_doubts()
        assert (evidence.usual.accepted, evidence.usual.refused) == (10.75, 1.25)

    @pytest.mark.parametrize(("usual", "asked"), [(0.2, [150, 300, 450]), (0.08, [300, 600])])
    def test_weather_is_questioned_after_thirty_refusals_or_three_hundred_requests(
        self, usual: float, asked: list[int]
    ) -> None:
        evidence = Evidence("overload")
        evidence.usual = Rate(1 - usual, usual)
        assert [passed for passed in range(1, 601) if evidence.questions(passed)][:3] == asked

    def test_after_cuts_in_vain_weather_is_questioned_half_as_often_for_each(self) -> None:
        evidence = Evidence("overload")
        evidence.usual = Rate(0.8, 0.2)
        for _ in range(2):
            evidence.was_wrong()
        assert [passed for passed in range(1, 1201) if evidence.questions(passed)] == [600, 1200]

    @pytest.mark.parametrize(("usual", "asks"), [(0.07, False), (0.071, True)])
    def test_weather_that_nobody_notices_is_not_questioned(self, usual: float, asks: bool) -> None:
        evidence = Evidence("overload")
        evidence.usual = Rate(1 - usual, usual)
        assert evidence.questions(1000) is asks

    def test_a_rate_fades_and_keeps_its_share(self) -> None:
        rate = Rate(30, 10)
        rate.fade(100)
        assert (rate.accepted, rate.refused, rate.share) == (30, 10, 0.25)
        rate.fade(20)
        assert (rate.accepted, rate.refused, rate.share) == (15, 5, 0.25)
        rate.add(Rate(500, 0))
        assert (rate.total, Rate(3, 0).share, Rate().total) == (pytest.approx(200), 0, 0)
        rate = Rate()
        rate.fade(5)
        assert rate.total == 0

    def test_likelihood_is_of_its_own_share(self) -> None:
        assert Rate(3, 1).likelihood == pytest.approx(math.log(0.25) + 3 * math.log(0.75))
        assert Rate(3, 0).likelihood == Rate(0, 3).likelihood == 0

    def test_at_one_level_no_step_can_show(self) -> None:
        levels = Levels()
        for _ in range(5):
            levels.passed(3)
            levels.refused(3)
        assert (levels.look(), levels.step) == (0, None)
        levels = Levels()
        for _ in range(9):
            levels.passed(3)
            levels.refused(5)
        assert levels.step == 4
        levels.forget_above(3)
        assert (levels.look(), levels.step) == (0, None)  # nor one that had shown before

    def test_refusals_below_what_passes_are_no_step(self) -> None:
        levels = Levels()
        levels.passed(5)
        levels.refused(3)
        assert (levels.look(), levels.step) == (0, None)

    @pytest.mark.parametrize(
        ("below", "above", "step"),
        [
            ((5, 1), (1, 3), 7),  # some are refused below a limit, and some pass above it
            ((4, 0), (2, 1), None),  # more than a third, but not most of them
            ((14, 2), (11, 8), None),  # most of them, but not much more than below
            ((1, 3), (5, 1), None),  # more below than above
        ],
    )
    def test_a_step_is_steep_and_leads_to_where_most_are_refused(
        self, below: tuple[int, int], above: tuple[int, int], step: int | None
    ) -> None:
        levels, events = Levels(), list[tuple[float, Callable[[int], None], int]]()
        for level, counts in ((4, below), (8, above)):
            for see, count in zip((levels.passed, levels.refused), counts, strict=True):
                # Each kind comes evenly.
                events += [((number + 0.5) / count, see, level) for number in range(count)]
        for _ in range(30):
            for _, see, level in sorted(events, key=itemgetter(0)):
                see(level)
        # It would be one by how much better than a flat rate it explains them.
        assert (levels.look() > 3.5) is (below[1] < above[1])
        assert levels.step == step

    def test_old_refusals_are_counted_and_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evidence, "_MOST_REFUSALS", 4)
        refusals = Refusals()
        seen = [refusals.add(QueueEntry(number=number)) for number in range(1, 10)]
        assert seen == list(range(9))
        assert (refusals.total, refusals.since(QueueEntry(number=99))) == (9, 9)
        assert refusals.since(QueueEntry(number=99, refused_before=7)) == 2
        assert len(refusals._numbers) <= 4

    def test_share_below_is_careful(self) -> None:
        levels = Levels()
        assert levels.share_below(3) == 0.25
        levels.passed(3)
        levels.passed(4)
        levels.passed(4)
        assert levels.share_below(3) == 0.5 / 3
        levels.forget_above(3)
        assert levels.total.accepted == 1


class TestTrials:
    @staticmethod
    def trial(refused: float = 2, expected: float = 0.02) -> Trial:
        return Trial(
            "unknown",
            undone=3.0,
            passed=10,
            refused=refused,
            expected=expected,
            limit=9,
            proven=8,
            mixed=False,
        )

    def test_passes_confirm_a_cut(self) -> None:
        """Each is more likely by log((1 - 2.5 / 16) / (1 - 0.02)), and 3 are wanted."""
        trial = self.trial()
        for count in range(1, 22):
            assert (trial.confirmed, trial.young) == (False, count <= 12)
            trial.accepted()
        assert (trial.confirmed, trial.young, trial.seen) == (True, False, (31, 2))

    def test_a_cut_that_has_helped_makes_the_next_one_as_easy_as_the_first(self) -> None:
        size = proven(9)
        size.alert, size._trial = True, self.trial()
        size.of("unknown").wrong = size.of("overload").wrong = 2.5
        passes(size, 3, 20)
        assert (size._trial is None, size.of("unknown").wrong) == (False, 2.5)
        passes(size, 3)
        assert size._trial is None
        assert (size.of("unknown").wrong, size.of("overload").wrong) == (0.0, 2.5)

    def test_refusals_take_it_back_when_something_passes(self) -> None:
        trial = self.trial()
        for count in range(12):
            assert trial.young
            assert not trial.refused(), count
        assert not trial.young
        trial = self.trial()
        trial.accepted()
        assert [trial.refused(), trial.refused()] == [False, True]
        assert (trial.seen, trial.young, trial.limit, trial.proven) == ((11, 4), True, 9, 8)

    @pytest.mark.parametrize(("passed", "refused"), [(1, 3), (2, 4)])
    def test_in_bad_weather_a_third_of_the_refusals_is_success(
        self, passed: int, refused: int
    ) -> None:
        trial = self.trial(refused=6, expected=0.5)
        for _ in range(passed):
            trial.accepted()
        # The score: log(3) for each refusal, log((1 - 6.5 / 20) / (1 - 6.5 / 60)) for each pass.
        assert [trial.refused() for _ in range(refused)] == [False] * (refused - 1) + [True]


class TestPace:
    def test_a_bucket_holds_a_minute_or_one_unit(self) -> None:
        bucket = Bucket(60, seconds=10)
        bucket.take(4, 100.0)
        assert (bucket.ready_at(1), bucket.ready_at(10), bucket.ready_at(99)) == (95, 104, 104)
        bucket.correct(-2)
        assert bucket.ready_at(10) == 102
        assert Bucket(6, seconds=1).ready_at(5) == -math.inf

    def test_first_refusal_tells_the_rate_at_which_requests_passed(self) -> None:
        pacer = Pacer(deque([10.0, 11.0, 12.0, 13.0], maxlen=SEEN))
        pacer.refused(13.5, 14.0)
        assert pacer.rate == 1.0
        pacer.refused(13.9, 14.5)  # sent before the pace was set
        assert pacer.rate == 1.0
        burst = Pacer(deque([9.9, 9.9, 9.9], maxlen=SEEN))
        burst.refused(9.9, 10.0)
        assert burst.rate == 3.0
        nothing = Pacer(deque(maxlen=SEEN))
        nothing.refused(9.9, 10.0)
        assert nothing.rate == 1.0

    def test_it_keeps_requests_apart_and_grows_quickly_while_it_searches(self) -> None:
        pacer = Pacer(deque([10.0, 11.0, 12.0, 13.0], maxlen=SEEN))
        pacer.take(13.0)  # before anything is refused, nothing is kept apart
        pacer.refused(13.5, 14.0)
        assert pacer.ready_at(14.0) == -math.inf
        pacer.take(14.0)
        # A tenth of the time between two may be made up for.
        assert pacer.ready_at(14.0) == 13.9 + 1.0
        pacer.take(14.0)
        assert pacer.ready_at(14.0) == pytest.approx(15.9)
        assert pacer.ready_at(15.0) == pytest.approx(14.9 + math.exp(-0.7))
        assert pacer.rate == pytest.approx(math.exp(0.7))

    def test_what_a_late_timer_has_lost_is_made_up_for_at_any_pace(self) -> None:
        pacer = Pacer(deque([13.0] * 8, maxlen=SEEN))
        pacer.refused(14.0, 15.0)
        assert pacer.rate == 4.0
        pacer.take(15.0)
        assert pacer.ready_at(15.0) == 15.0 - 0.1 / 4 + 1 / 4

    @pytest.mark.parametrize(
        ("recent", "left"),
        [
            ([12.5], 0.5),  # nothing has passed since: by half
            ([10.0, 14.1, 14.2, 14.3], 3 / 4),
            ([14.0, *[14.5] * 20], 0.93),  # and hardly less if nearly all have
            ([13.0, 13.0, 13.5, 14.0], 0.7 * 2 / math.exp(0.7)),  # no less than lately, by far
            ([13.9] * 20, 0.93),
        ],
    )
    def test_next_refusal_leaves_as_much_as_passed(self, recent: list[float], left: float) -> None:
        pacer = Pacer(deque([10.0, 11.0, 12.0, 13.0], maxlen=SEEN))
        pacer.refused(13.5, 14.0)
        pacer.recent = deque(recent, maxlen=SEEN)
        pacer.refused(14.5, 15.0)
        assert pacer.rate == pytest.approx(left * math.exp(0.7))

    def test_pace_grows_slowly_after_a_refusal_and_then_faster(self) -> None:
        def rate_after(seconds: float, rate: float) -> float:
            pacer = Pacer(deque(maxlen=SEEN))
            pacer.refused(0.0, 0.0)
            pacer.rate = rate
            pacer.refused(0.1, 0.1)
            before = pacer.rate
            pacer.ready_at(0.1 + seconds)
            return math.log(pacer.rate / before)

        # By 2 % per second at first, by twice as much 5 s later, by no more than 70 %.
        assert rate_after(1.0, 20.0) == pytest.approx(0.02 * 2**0.2)
        assert rate_after(5.0, 20.0) == pytest.approx(0.04 * 5)
        assert rate_after(30.0, 1e-6) < 0.1  # a minute between two is the least, and teaches little
        calm = math.sqrt(0.1 / 60)
        assert rate_after(50.0, 1e-6) == pytest.approx(0.02 * calm * 2 ** (50 * calm / 5) * 50)
        assert rate_after(2000.0, 1e-6) == math.inf
