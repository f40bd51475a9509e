"""The limiter: a pure machine, so time is a number here and nothing waits."""

from __future__ import annotations

import math
import pickle
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zai_async.limiter import (
    SEEN,
    Bucket,
    Evidence,
    Levels,
    Limits,
    Pacer,
    QueueEntry,
    Size,
    Snapshot,
    Window,
)
from zai_async.limiter.evidence import Refusals


def window_with(waiting: int, **limits: object) -> Window:
    window = Window(Limits(**limits))
    for _ in range(waiting):
        window.request()
    return window


def accept(window: Window, entries: Iterable[QueueEntry]) -> None:
    for entry in entries:
        window.accepted(entry)


def refuse(
    window: Window, entries: Iterable[QueueEntry], now: float, kind: str = "concurrency"
) -> None:
    for entry in entries:
        window.rejected(entry, now, kind, jitter=0.0)


def release(window: Window, entries: Iterable[QueueEntry]) -> None:
    for entry in entries:
        window.released(entry)


def limit_of(window: Window) -> int | None:
    return window.snapshot().limit


def settled_at(limit: int, waiting: int = 1000) -> tuple[Window, list[QueueEntry]]:
    """Return a window that has found a limit, and the requests that are in flight."""
    window = window_with(waiting, start=limit)
    running = window.admit(0.0)
    accept(window, running)
    refused = window.admit(0.0)
    refuse(window, refused, 0.1)
    release(window, [*refused, running[0]])
    running = [*running[1:], *window.admit(0.1)]
    accept(window, running)
    assert limit_of(window) == len(running) == limit
    return window, running


class TestLimits:
    @pytest.mark.parametrize(
        ("short", "limits"),
        [
            (None, Limits()),
            ("adaptive", Limits()),
            (7, Limits(mode="fixed", start=7)),
            (False, Limits(mode="off")),
            ("off", Limits(mode="off")),
            (Limits(most=9), Limits(most=9)),
        ],
    )
    def test_short_forms(self, short: object, limits: Limits) -> None:
        assert Limits.of(short) == limits

    @pytest.mark.parametrize("wrong", [True, "on", 0, -1])
    def test_nonsense_is_refused(self, wrong: object) -> None:
        with pytest.raises(ValueError, match=r"limits must|is none of"):
            Limits.of(wrong)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"start": 0, "least": 0},
            {"start": 4, "least": 5},
            {"start": 4, "most": 3},
            {"least": 5, "most": 3},
            {"most": 0},
            {"requests_per_minute": 0},
            {"tokens_per_minute": math.inf},
            {"tokens_per_minute": math.nan},
            {"burst": -1.0},
            {"burst": math.inf},
        ],
    )
    def test_contradictions_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=r"least <= start|above 0|0 or more seconds"):
            Limits(**wrong)

    @pytest.mark.parametrize(
        ("given", "start"),
        [
            ({}, 2),
            ({"most": 1}, 1),
            ({"most": 9}, 2),
            ({"least": 5}, 5),
            ({"mode": "fixed", "most": 2}, 2),
            ({"start": 2, "most": 3}, 2),
        ],
    )
    def test_start_gives_way_unless_it_is_given(self, given: dict[str, Any], start: int) -> None:
        limits = Limits(**given)
        assert (limits.start, type(limits.start)) == (start, int)
        assert limits == pickle.loads(pickle.dumps(limits)) == Limits(**given | {"start": start})

    @pytest.mark.parametrize("wrong", [{"start": None}, {"least": None}, {"most": 2.5}])
    def test_a_number_of_requests_is_a_whole_one(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be a whole number, not "):
            Limits(**wrong)

    def test_rates_may_be_below_one_and_bursts_none(self) -> None:
        limits = Limits(requests_per_minute=0.5, tokens_per_minute=0.5, burst=0)
        assert (limits.requests_per_minute, limits.burst) == (0.5, 0)

    @pytest.mark.parametrize("mode", ["adaptve", "", None])
    def test_a_mode_that_there_is_not_is_refused(self, mode: Any) -> None:
        with pytest.raises(ValueError, match=r"^mode must be adaptive, fixed or off, not "):
            Limits(mode=mode)

    @given(most=st.integers(1, 500), parts=st.integers(1, 20))
    def test_parts_add_up(self, most: int, parts: int) -> None:
        whole = Limits(most=most, requests_per_minute=60)
        if whole.most < parts:
            with pytest.raises(ValueError, match="cannot be divided"):
                whole.share(parts=parts, index=0)
            return
        shares = [whole.share(parts=parts, index=index) for index in range(parts)]
        assert sum(share.most for share in shares) == whole.most
        assert max(share.most for share in shares) - min(share.most for share in shares) <= 1
        assert sum(share.requests_per_minute for share in shares) == pytest.approx(60)
        assert {share.tokens_per_minute for share in shares} == {None}

    def test_tokens_are_divided_too(self) -> None:
        share = Limits(most=8, tokens_per_minute=900).share(parts=4, index=0)
        assert (share.tokens_per_minute, share.requests_per_minute) == (225, None)

    def test_fixed_limit_is_divided_without_a_most(self) -> None:
        shares = [Limits.of(7).share(parts=2, index=index) for index in (0, 1)]
        assert [(share.start, share.most) for share in shares] == [(4, None), (3, None)]

    @pytest.mark.parametrize("index", [-1, 2])
    def test_part_must_exist(self, index: int) -> None:
        with pytest.raises(ValueError, match="from 0 to 1"):
            Limits(most=8).share(parts=2, index=index)

    def test_unknown_limit_cannot_be_divided(self) -> None:
        with pytest.raises(ValueError, match="limit of None"):
            Limits().share(parts=2, index=0)


class TestBucket:
    def test_minute_may_go_at_once_and_then_flows_in(self) -> None:
        bucket = Bucket(30)
        bucket.take(30, 100.0)
        assert bucket.ready_at(1) == 102.0
        assert bucket.ready_at(15) == 130.0

    def test_more_than_it_holds_waits_for_a_full_one(self) -> None:
        bucket = Bucket(30)
        bucket.take(30, 0.0)
        assert bucket.ready_at(1000) == 60.0
        bucket.take(1000, 60.0)
        assert bucket.ready_at(1) == 2002.0

    def test_wrong_estimate_is_corrected(self) -> None:
        bucket = Bucket(60)
        bucket.take(60, 0.0)
        bucket.correct(-20)
        assert bucket.ready_at(20) == 0.0
        bucket.correct(5)
        assert bucket.ready_at(20) == 5.0

    @given(
        rate=st.floats(1, 1e6),
        steps=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1e6)), max_size=50),
    )
    def test_no_more_than_rate_and_a_minutes_worth_goes(
        self, rate: float, steps: list[tuple[float, float]]
    ) -> None:
        bucket, now, taken = Bucket(rate), 0.0, 0.0
        for pause, amount in steps:
            now += pause
            if amount <= rate and bucket.ready_at(amount) <= now:
                bucket.take(amount, now)
                taken += amount
        assert taken <= (rate + now * rate / 60) * (1 + 1e-9)

    @pytest.mark.parametrize(("rate", "at_once"), [(20, 20), (60, 30), (600, 50)])
    def test_thirty_requests_or_those_of_five_seconds_may_go_at_once(
        self, rate: int, at_once: int
    ) -> None:
        window = window_with(100, mode="off", requests_per_minute=rate)
        assert len(window.admit(0.0)) == at_once

    def test_window_waits_for_requests_and_tokens(self) -> None:
        limits = Limits(start=9, requests_per_minute=2, tokens_per_minute=60, burst=60.0)
        window = Window(limits)
        entries = [window.request(tokens=20) for _ in range(4)]
        assert window.admit(0.0) == entries[:2]
        assert window.next_at(0.0) == 30.0
        assert window.admit(30.0) == entries[2:3]
        window.released(entries[2], tokens=60)
        assert window.next_at(30.0) == 60.0
        release(window, entries)

    def test_window_tells_when_one_more_request_may_go_at_best(self) -> None:
        window = window_with(9, start=9, requests_per_minute=60, burst=5)
        assert len(window.admit(10.0)) == 5
        assert window.earliest == 11.0

    def test_tokens_of_a_refused_request_were_not_used(self) -> None:
        window = Window(Limits(tokens_per_minute=60))
        first, second = window.request(tokens=60), window.request(tokens=50)
        assert window.admit(0.0) == [first]
        window.accepted(first)
        window.rejected(first, 0.0, "concurrency", jitter=0.0)
        window.released(first, tokens=60)
        assert window.admit(1.0) == [second]

    def test_what_a_request_used_counts_once_however_often_it_is_released(self) -> None:
        window = window_with(0, start=9, tokens_per_minute=6000, burst=60)
        entry = window.try_admit(0.0, 1000.0)
        for _ in range(2):
            window.released(entry, tokens=4000.0)
        window.request(tokens=6000.0)
        assert window.next_at(0.0) == 40.0  # a hundred flow in per second

    def test_what_was_never_sent_has_used_nothing(self) -> None:
        window = window_with(0, tokens_per_minute=6000, burst=1.0)
        assert window.try_admit(0.0, 100)
        window.released(window.request(tokens=100), tokens=50)
        window.request(tokens=100)
        assert window.next_at(0.0) == 1.0


class TestSearch:
    def test_window_grows_while_everything_passes(self) -> None:
        """By one as long as it is small, by a quarter while none has ended, and then by half."""
        window = window_with(1000)
        sizes = []
        for now in range(10):
            accept(window, window.admit(float(now)))
            sizes.append(limit_of(window))
        assert sizes == [2, 3, 4, 5, 6, 7, 8, 10, 12, 18]

    def test_idle_window_does_not_grow(self) -> None:
        window = window_with(0)
        for now in range(50):
            window.request()
            going = window.admit(float(now))
            accept(window, going)
            release(window, going)
        assert limit_of(window) == 2

    def test_window_of_which_less_than_four_fifths_is_used_does_not_grow(self) -> None:
        size = Size(start=20, least=1, most=math.inf)
        for _ in range(300):
            size.accepted(15, 15, 0)
        assert not size.grow(0.0)
        for _ in range(20):
            size.accepted(16, 16, 0)
        assert size.grow(0.0)

    def test_what_was_refused_is_no_answer_that_has_ended(self) -> None:
        """Where hardly any has ended, a window grows by a quarter."""
        window = window_with(100, start=9)
        going = window.admit(0.0)
        refuse(window, going[-1:], 0.1, "overload")
        accept(window, going[:-1])
        accept(window, window.admit(0.1))
        window.admit(0.1)
        assert limit_of(window) == 9 + 9 // 4

    def test_who_was_refused_was_not_there_when_a_later_one_passed(self) -> None:
        window = window_with(20, start=4)
        first, *others = window.admit(0.0)
        refuse(window, [first], 0.1, "overload")
        accept(window, others)
        # That one, and each of the others at a place of its own.
        seen = window._size.of("overload").levels
        places = [seen.share_below(place) for place in range(4)]
        assert places == [0.5 / 2, 1.5 / 4, 1.5 / 5, 1.5 / 6]
        window.admit(0.1)
        assert limit_of(window) == 4  # which nobody has proven

    def test_silence_counts_as_acceptance(self) -> None:
        """An answer without headers takes long, a refusal never does."""
        window = window_with(100)
        assert len(window.admit(0.0)) == 2
        assert window.next_at(0.0) == 0.5
        assert window.admit(0.4) == []
        assert len(window.admit(0.5)) == 1

    def test_silence_counts_later_where_refusals_are_slow(self) -> None:
        window = window_with(20)
        first = window.admit(0.0)
        refuse(window, first[1:], 0.9)
        assert window.snapshot().in_flight == 1
        assert len(window.admit(30.0)) == 0
        release(window, first[:1])
        (second,) = window.admit(30.0)
        assert window.next_at(30.0) == 32.7  # three times as late as the refusal came
        release(window, [second])

    def test_full_window_without_doubt_waits_for_an_event(self) -> None:
        window, running = settled_at(5, 20)
        assert window.admit(9.0) == []
        assert window.next_at(9.0) is None
        release(window, running[:1])
        assert len(window.admit(9.0)) == 1

    def test_refusal_shrinks_to_what_is_in_flight(self) -> None:
        window = window_with(100, start=16)
        going = window.admit(0.0)
        refuse(window, going[11:], 0.2)
        accept(window, going[:11])
        assert window.admit(0.2) == []
        assert window.snapshot() == Snapshot(
            limit=11, in_flight=11, waiting=89, rejected=5, paused_until=None
        )

    def test_those_that_ended_meanwhile_were_fine(self) -> None:
        window = window_with(16, start=16)
        going = window.admit(0.0)
        release(window, going[:11])
        refuse(window, going[15:], 0.2)
        assert limit_of(window) == 15

    def test_least_and_most_hold(self) -> None:
        window = window_with(100, least=3, start=3, most=5)
        for _ in range(3):
            accept(window, window.admit(0.0))
        assert limit_of(window) == 5
        assert window.snapshot().in_flight == 5
        assert window.admit(9.0) == []
        window = window_with(100, least=3, start=3)
        refuse(window, window.admit(0.0), 0.1)
        assert limit_of(window) == 3

    def test_those_that_wait_pay_for_a_probe_and_those_that_rest_as_well(self) -> None:
        window, running = settled_at(5, 24)
        assert (window.snapshot().waiting, window.next_at(0.2)) == (17, None)
        refuse(window, running[:1], 0.2, "rate")
        accept(window, [window.adopt(0.2)])
        assert window.snapshot().waiting == 18
        assert window.next_at(0.2) == pytest.approx(0.4)  # and two of twenty have passed
        assert limit_of(window) == 5
        window.admit(4.1)
        assert limit_of(window) == 6

    def test_probe_waits_until_refusals_are_paid_for(self) -> None:
        window, running = settled_at(4, 12)
        paid = []
        for _ in range(3):
            passed = 0
            while limit_of(window) == 4:
                release(window, running[:1])
                window.request()
                running = running[1:] + window.admit(10.0)
                if limit_of(window) == 4:
                    accept(window, running)
                    passed += 1
            paid.append(passed)
            refuse(window, running[4:], 10.1)
            running = running[:4]
        assert paid == [13, 55, 50]  # those that wait pay, too: they bring the first one forward

    def test_successful_probe_searches_in_growing_steps(self) -> None:
        size = Size(start=8, least=1, most=math.inf)
        size.refused(5, 5, "concurrency", 0.0, 0)
        assert size.limit == 5
        limits = []
        for _ in range(200):
            size.passed += 1
            size.accepted(int(size.limit), int(size.limit), size.round)
            if size.grow(0.0):
                limits.append(size.limit)
        assert limits[:5] == [6, 7, 8, 10, 12]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 10, 50, 200])
    def test_limit_is_found_within_a_few_round_trips(self, limit: int) -> None:
        window, running = window_with(2 * limit + 15), []
        rounds = 5 + math.ceil(math.log(limit, 1.4))
        for now in range(rounds):
            going = window.admit(float(now))
            room = limit - len(running)
            refuse(window, going[room:], now + 0.4)
            accept(window, going[:room])
            running += going[:room]
        assert limit_of(window) == window.snapshot().in_flight == limit


class TestTrouble:
    def test_window_shrinks_once_for_what_was_sent_before(self) -> None:
        window, running = settled_at(64)
        release(window, running[:8])
        going = window.admit(5.0)
        refuse(window, going, 5.1)
        assert limit_of(window) == 56
        assert window.snapshot().in_flight == 56

    def test_third_refusal_in_a_row_shrinks_by_a_factor(self) -> None:
        window, running = settled_at(64)
        # The first one alone, where more have passed, is no sign yet.
        for now, expected in ((5.0, 64), (5.1, 62), (5.2, 43)):
            release(window, running[:1])
            running = running[1:]
            refuse(window, window.admit(now), now)
            assert limit_of(window) == expected

    def test_window_returns_quickly_to_what_had_worked(self) -> None:
        window, running = settled_at(64)
        for now in (5.0, 5.1, 5.2):
            release(window, running[:1])
            running = running[1:]
            refuse(window, window.admit(now), now)
        release(window, running[:30])
        limits = []
        for now in range(8, 16):
            accept(window, window.admit(float(now)))
            limits.append(limit_of(window))
        # To what had worked at once, and on from there: those that wait pay for the first probe.
        assert limits == [43, 64, 65, 66, 68, 72, 80, 96]

    def test_outage_is_asked_by_one_request_per_growing_pause(self) -> None:
        window = window_with(200)
        refuse(window, window.admit(0.0), 0.1)
        now, sent = 0.1, []
        while now < 30:
            assert window.admit(now) == []
            assert window.snapshot().paused_until > now
            now = window.next_at(now)
            going = window.admit(now)
            sent.append(now)
            assert len(going) == 1
            assert window.admit(now) == []
            refuse(window, going, now)
        assert 6 <= len(sent) <= 20  # every 5 s at least
        assert sorted(sent) == sent

    def test_outage_is_asked_by_one_request_whatever_had_worked_and_whoever_comes(self) -> None:
        window = window_with(4, start=4)
        refused, *passed = window.admit(0.0)
        accept(window, passed)
        release(window, passed)
        window.rejected(refused, 0.1, "unknown", jitter=0.0, rest=9.0)
        assert window.try_admit(0.1) is None
        for _ in range(9):
            window.request()
        assert len(window.admit(window.next_at(0.1))) == 1

    def test_after_a_pause_somebody_else_goes_first(self) -> None:
        """The one that was refused may have been refused for what it says."""
        window = window_with(2, mode="fixed", start=1)
        first = window.first
        refuse(window, window.admit(0.0), 0.1)
        (second,) = window.admit(window.next_at(0.1))
        assert second is not first

    def test_each_refusal_doubles_the_rest_of_a_request(self) -> None:
        window, now, rests = window_with(2, mode="fixed", start=2), 0.0, []
        _, refused = window.admit(now)
        for _ in range(7):
            refuse(window, [refused], now)
            rests.append(refused.rests_until - now)
            now = refused.rests_until
            assert window.admit(now) == [refused]
        # The later half of it is jitter, of which there is none here.
        assert rests == [0.125, 0.25, 0.5, 1.0, 2.0, 2.5, 2.5]

    def test_outage_ends_with_a_search_and_not_with_a_burst(self) -> None:
        window = window_with(200, start=16)
        refuse(window, window.admit(0.0), 0.1)
        now, sizes = window.next_at(0.1), []
        for _ in range(5):
            going = window.admit(now)
            sizes.append(len(going))
            accept(window, going)
        assert sizes == [1, 1, 1, 1, 1]
        assert window.snapshot().paused_until is None

    def test_request_that_was_asked_for_is_given_up(self) -> None:
        """The one that asks may be cancelled: then another one asks."""
        window = window_with(3)
        refuse(window, window.admit(0.0), 0.1)
        (first,) = window.admit(1.0)
        window.released(first)
        assert len(window.admit(1.0)) == 1

    def test_refused_request_comes_first_after_others_had_their_turn(self) -> None:
        window, running = settled_at(3, 20)
        release(window, running[:1])
        (refused,) = window.admit(1.0)
        refuse(window, [refused], 1.1)
        release(window, running[1:2])
        assert refused not in window.admit(1.2)
        release(window, running[2:3])
        assert window.admit(2.2) == [refused]

    def test_poisoned_request_leaves_the_window_alone(self) -> None:
        window, running = settled_at(10, 28)
        poisoned = self.refuse_among_others(window, running, "overload", times=3)
        assert poisoned.suspect == "request-specific"
        assert limit_of(window) == 10  # it had been taken for a sign at first, but was looked into

    def test_it_is_suspect_from_the_third_time_on(self) -> None:
        for times, suspect in ((2, None), (3, "request-specific")):
            window, running = settled_at(100)
            poisoned = self.refuse_among_others(window, running, "overload", times=times)
            assert poisoned.suspect == suspect

    def test_throttled_request_is_no_suspect(self) -> None:
        window, running = settled_at(10)
        assert self.refuse_among_others(window, running, "concurrency", times=5).suspect is None

    def test_nor_is_it_about_no_limit_if_another_one_was_in_flight(self) -> None:
        window = window_with(20, start=2, most=2)
        running = window.admit(0.0)
        accept(window, running)
        self.refuse_among_others(window, running, "concurrency", times=5)
        assert window._size.of("concurrency").belief == "concurrency"

    @staticmethod
    def refuse_among_others(
        window: Window, running: list[QueueEntry], kind: str, times: int
    ) -> QueueEntry:
        """Refuse the same request again and again, while others pass."""
        poisoned = window.request()
        window._waiting.move_to_end(poisoned, last=False)
        for now in range(100, 100 + 100 * times, 100):
            release(window, running[:1])
            assert poisoned in window.admit(float(now))
            refuse(window, [poisoned], now, kind)
            release(window, running[1:2])
            others = window.admit(now + 0.1)
            accept(window, others)
            running = running[2:] + others
        return poisoned

    def test_same_request_again_is_evidence_if_nobody_else_was_in_flight(self) -> None:
        """Those who pass in the same place prove that it is about no limit."""
        window = window_with(10)
        first, unlucky = window.admit(0.0)
        accept(window, [first])
        refuse(window, [unlucky], 0.0)
        release(window, [first])
        for now in (0.0, 9.0, 18.0):
            assert limit_of(window) == 1
            (other,) = window.admit(now)
            accept(window, [other])
            release(window, [other])
            if now < 18.0:
                assert window.admit(now + 9.0) == [unlucky]
                refuse(window, [unlucky], now + 9.0)
        assert len(window.admit(18.0)) == 2

    def test_same_request_again_is_no_further_evidence(self) -> None:
        window, running = settled_at(10, 20)
        release(window, running[:1])
        (only,) = window.admit(5.0)
        refuse(window, [only], 5.1)
        release(window, running[1:2])
        assert only in window.admit(9.0)
        refuse(window, [only], 9.1)
        assert limit_of(window) == 10


class TestWeather:
    @staticmethod
    def rain(size: Size, kind: str, every: int, rounds: int) -> None:
        """Refuse every n-th request, however many are in flight."""
        for number in range(1, rounds + 1):
            now = number / 10
            if number % every:
                size.passed += 1
                size.accepted(int(size.limit), int(size.limit), size.round)
            else:
                size.refused(int(size.limit) - 1, int(size.limit) - 1, kind, now, size.round)
            size.grow(now)

    @pytest.mark.parametrize("every", [2, 5, 10, 20, 50])
    @pytest.mark.parametrize("kind", ["overload", "unknown"])
    def test_flat_refusals_leave_the_window_alone(self, kind: str, every: int) -> None:
        size = Size(start=40, least=1, most=100)
        self.rain(size, kind, every, 3000)
        assert size.limit >= 60
        assert size.of(kind).expected == pytest.approx(1 / every, abs=0.05)

    def test_even_those_that_claim_to_be_about_concurrency_do_in_the_end(self) -> None:
        size = Size(start=40, least=1, most=100)
        self.rain(size, "concurrency", 10, 40)
        assert size.limit >= 40
        assert size.evidence["concurrency"].belief == "overload"

    def test_a_limit_that_contradicts_itself_is_none(self) -> None:
        """Twice a number in flight is too much that passes soon after."""
        size = Size(start=8, least=1, most=8)
        size.refused(6, 6, "concurrency", 0.0, 0)
        for _ in range(2):
            assert size.limit == 6
            size.accepted(6, 6, size.round)
            size.refused(5, 5, "concurrency", 1.0, size.round)
            size.accepted(6, 6, size.round)
        assert size.evidence["concurrency"].belief == "overload"
        size.accepted(6, 6, size.round)
        assert size.grow(2.0)
        assert size.limit > 6

    def test_that_some_pass_above_a_cut_was_known(self) -> None:
        """They were sent before it, and some of those passed also when it was decided."""
        size = Size(start=8, least=1, most=9)
        size.refused(4, 4, "unknown", 0.0, 0)
        size.refused(4, 4, "unknown", 0.0, 0)
        assert size.limit == 4
        size._trial.mixed = True
        size.accepted(8, 8, 0)
        assert size.limit == 4
        size._trial.mixed = False
        size.accepted(8, 8, 0)
        assert (size.limit, size.proven) == (8, 8)
        # It grows by probes from there, and falls back to there.
        for _ in range(20):
            size.passed += 1
            size.accepted(8, 8, 1)
        assert [size.is_probe(level, "unknown") for level in (8, 9)] == [False, True]
        assert size.grow(1e9)
        size.refused(8, 8, "unknown", 0.0, 1)
        assert size.limit == 8

    def test_contradictions_that_are_far_apart_do_not_add_up(self) -> None:
        evidence = Evidence("concurrency")
        for passed in (1000, 2000, 3000):
            assert evidence.contest(6)
            assert not evidence.contradicted(5, passed)
            assert not evidence.contradicted(6, passed)
        assert not evidence.contest(7) or evidence.contradicted(7, 3100)

    def test_a_step_is_no_contradiction(self) -> None:
        """Where the net is uneven, some pass above a limit: what shows nevertheless, counts."""
        evidence = Evidence("concurrency")
        for level in (5, 6, 5, 6, 5, 6, 5, 6):
            evidence.levels.passed(level)
            evidence.levels.refused(level + 4)
        for passed in range(5):
            evidence.contest(7)
            assert not evidence.contradicted(7, passed)
        assert evidence.belief == "concurrency"

    def test_who_had_ended_on_arrival_was_not_in_flight(self) -> None:
        """Ends are heard half a round trip late, and requests arrive half a round trip later."""
        refusals = Refusals()
        entry = QueueEntry(number=5, level=4, sent_at=1.0)  # one of the five was over
        assert refusals.ended_with(entry, over=1) == 0
        assert refusals.ended_with(entry, over=3) == 2
        refusals.came_after(0.4)
        refusals.add(QueueEntry(number=6, level=5, sent_at=1.0))
        assert refusals.ended_with(entry, over=3) == 1  # that one was refused
        for over, now in ((2, 1.1), (3, 1.3), (4, 1.5)):
            refusals.note_over(over + 1, now)
            refusals.note_over(over + 1, now + 0.05)
        assert refusals.ended_with(entry, over=5) == 2
        assert refusals.ended_with(entry, over=5, until=1.2) == 1
        assert refusals.ended_with(entry, over=5, until=0.9) == 1  # nothing earlier is known
        after = QueueEntry(number=7, level=5, refused_before=1, sent_at=1.0)
        assert refusals.ended_with(after, over=5, until=1.5) == 3  # one was over when it was sent

    def test_who_ends_after_a_request_has_arrived_was_there_with_it(self) -> None:
        """However late it is known that the request has passed."""
        window = window_with(5, start=4)
        *passed, refused = window.admit(0.0)
        accept(window, passed)
        window.rejected(refused, 0.1, "overload", jitter=0.0, rest=9.0)
        assert len(window.admit(1.0)) == 1  # the fourth again
        release(window, passed)
        assert window.admit(3.0) == []
        levels = window._size.of("overload").levels
        assert (levels.total.accepted, levels.share_below(3)) == (1, 0.25)

    def test_who_may_have_ended_after_a_refused_request_had_arrived_was_there_with_it(self) -> None:
        window = window_with(5, start=6)
        *passed, refused = window.admit(0.0)
        window.rejected(refused, 0.4, "overload", jitter=0.0, rest=9.0)
        other, late = window.request(), window.request()
        assert window.admit(1.0) == [other, late]
        accept(window, [other])
        for now, ended in ((1.2, passed[0]), (1.6, passed[1])):
            release(window, [ended])
            window.admit(now)
        refuse(window, [late], 1.8)  # which took 0.8 seconds, or was there after 0.4
        levels = window._size.of("concurrency").levels
        assert (levels.share_below(4), levels.share_below(5)) == (0.25, 0.5)

    def test_refusals_that_vary_may_pass_each_other(self) -> None:
        refusals = Refusals()
        assert refusals.came_after(0.4) == 0
        assert refusals.came_after(0.6) == pytest.approx(0.6 - 0.4 / 0.9)
        assert refusals.patience == pytest.approx(1.8)
        window = window_with(10, start=4)
        first, *others = window.admit(0.0)
        refuse(window, [first], 0.4)
        sent = window.admit(1.0)
        refuse(window, sent[:1], 1.8)
        release(window, others)
        before, *late = window.admit(9.0)
        assert late
        refuse(window, late[:1], 9.4)  # the one before it may still be refused
        assert before in window._unsure

    def test_only_the_latest_ends_are_kept(self) -> None:
        refusals = Refusals()
        for over in range(5000):
            refusals.note_over(over, float(over))
        assert len(refusals._over) <= 4096

    def test_a_step_is_believed_whatever_the_code(self) -> None:
        levels = Levels()
        for level in (3, 4, 5, 6, 3, 4, 5, 6):
            levels.passed(level) if level < 5 else levels.refused(level)
        assert levels.step == 4
        assert 4 < levels.look() < 3.5 + 2
        levels.doubt = 2.0  # after cuts in vain it has to be clearer
        levels.look()
        assert levels.step is None
        levels.doubt = 0.0
        levels.look()
        assert levels.step == 4
        assert levels.share_below(4) < 0.1
        levels.forget_above(4)
        assert levels.total.refused == 0

    def test_a_limit_behind_the_code_of_a_busy_model_is_kept_to(self) -> None:
        size = Size(start=12, least=1, most=12)
        size.proven = 12
        for number in range(60):
            level = number // 2 % 6 + (7 if number % 2 else 1)
            if level <= 6:
                size.passed += 1
                size.accepted(level, level, size.round)
            else:
                size.refused(level - 1, level - 1, "overload", 0.1, size.round)
        assert size.limit == 6

    def test_what_was_seen_long_ago_is_forgotten(self) -> None:
        levels = Levels()
        levels.passed(1000)
        for _ in range(200):
            levels.refused(2)
        assert levels.total.accepted == 0

    def test_a_step_is_no_weather(self) -> None:
        size = Size(start=40, least=1, most=100)
        for number in range(3000):
            level = int(size.limit)
            if level <= 12:
                size.passed += 1
                size.accepted(level, level, size.round)
            else:
                size.refused(12, 12, "unknown", number / 10, size.round)
            size.grow(number / 10)
        assert 12 <= size.limit <= 13
        assert size.of("unknown").expected < 0.05

    def test_fewer_refusals_than_usual_surprise_nobody(self) -> None:
        evidence = Evidence("overload")
        for _ in range(100):
            evidence.refused_for_sure(0)
        evidence.refused(0)
        for _ in range(3):
            evidence.doubts.accepted += 1
        assert evidence.surprise == 0

    def test_a_rate_that_is_found_is_kept_to(self) -> None:
        pacer, now, passed, free = Pacer(deque(maxlen=SEEN)), 0.0, 0, 0.0
        while now < 100:
            ready = max(now, pacer.ready_at(now))
            pacer.take(ready)
            now = ready + 0.01
            if now >= free:
                free, passed = now + 0.2, passed + 1
                pacer.recent.append(ready)
            else:
                pacer.refused(ready, now)
        assert 0.85 * 500 <= passed <= 500

    def test_a_pace_that_nobody_needs_is_given_up(self) -> None:
        pacer = Pacer(deque(maxlen=SEEN))
        pacer.refused(0.0, 0.0)
        pacer.take(0.5)
        assert 1.0 < pacer.ready_at(0.6) < 2.0
        assert pacer.ready_at(100_000.0) == -math.inf
        assert pacer.rate == math.inf


class TestModes:
    def test_fixed_window_stays(self) -> None:
        window = window_with(50, mode="fixed", start=9)
        going = window.admit(0.0)
        accept(window, going[:5])
        refuse(window, going[5:], 0.1)
        assert len(window.admit(0.1)) == 4
        assert limit_of(window) == 9

    def test_fixed_window_of_which_all_is_used_waits_for_an_event_however_many_wait(self) -> None:
        window = window_with(1000, mode="fixed", start=9)
        accept(window, window.admit(0.0))
        assert window.admit(9.0) == []
        assert window.next_at(9.0) is None

    def test_of_no_use_is_more_room_while_all_that_wait_rest(self) -> None:
        window = window_with(3, mode="fixed", start=2)
        first, _ = window.admit(0.0)
        window.rejected(first, 0.1, "overload", jitter=0.0, rest=5.0)
        assert len(window.admit(0.1)) == 1
        assert window.next_at(0.1) == first.rests_until == 5.1

    @pytest.mark.parametrize(
        "limits",
        [Limits(mode="fixed", start=5), Limits(start=5, most=5), Limits(start=5, most=8)],
    )
    def test_more_than_the_most_that_are_there_already_do_not_make_it_more(
        self, limits: Limits
    ) -> None:
        """They were sent while the store that knew of them had forgotten everything."""
        window = Window(limits)
        there = [window.adopt(0.0) for _ in range(12)]
        accept(window, there)
        release(window, there)
        for _ in range(40):
            window.request()
        for now in range(1, 100):
            running = window.admit(float(now))
            assert window.snapshot().in_flight <= (limits.most or limits.start)
            accept(window, running)
            release(window, running)

    def test_fixed_window_pauses_in_an_outage(self) -> None:
        window = window_with(50, mode="fixed", start=9)
        refuse(window, window.admit(0.0), 0.1)
        assert window.admit(0.1) == []
        assert len(window.admit(window.next_at(0.1))) == 1

    def test_off_sends_everything(self) -> None:
        window = window_with(5000, mode="off")
        going = window.admit(0.0)
        assert len(going) == 5000
        refuse(window, going, 0.1)
        assert window.admit(0.1) == []
        assert len(window.admit(window.next_at(0.1))) == 5000
        assert window.snapshot() == Snapshot(
            limit=None, in_flight=5000, waiting=0, rejected=5000, paused_until=None
        )

    @pytest.mark.parametrize(
        ("limits", "pauses", "limit", "paused_until"),
        [
            ((3, 4), (9.0, 8.0), 7, 8.0),
            ((3, 4), (0.0, 0.0), 7, 0.0),
            ((3, None), (9.0, None), None, None),  # one of them is off, and goes on
            ((None, 3), (None, 9.0), None, None),
        ],
    )
    def test_windows_of_several_keys_count_together_and_pause_while_all_do(
        self,
        limits: tuple[int | None, ...],
        pauses: tuple[float | None, ...],
        limit: int | None,
        paused_until: float | None,
    ) -> None:
        first, second = (
            Snapshot(limit=limit, in_flight=2, waiting=5, rejected=6, paused_until=pause)
            for limit, pause in zip(limits, pauses, strict=True)
        )
        assert first + second == Snapshot(
            limit=limit, in_flight=4, waiting=10, rejected=12, paused_until=paused_until
        )

    @pytest.mark.parametrize("limit", [3, math.inf])
    def test_no_news_change_a_fixed_size(self, limit: float) -> None:
        size = Size(limit, limit, limit)
        for kind in ("concurrency", "unknown", "overload", "local"):
            size.accepted(3, 3, 0)
            size.refused(0, 0, kind, 0.0, 0)
            size.collapse()
            assert not size.grow(9.0)
            assert size.limit == limit


class TestQueueEntries:
    def test_another_process_has_no_requests_but_what_was_learnt(self) -> None:
        window, running = settled_at(5)
        window.forget_requests()
        assert not any(entry.in_flight for entry in running)
        assert window.snapshot() == Snapshot(
            limit=5, in_flight=0, waiting=0, rejected=window.snapshot().rejected, paused_until=None
        )

    def test_who_comes_anew_overtakes_nobody_who_waits_or_has_rested(self) -> None:
        window = window_with(3, mode="fixed", start=2)
        running = window.admit(0.0)
        release(window, running[:1])
        assert window.try_admit(0.0) is None  # though there is room
        (third,) = window.admit(0.0)
        refuse(window, [third], 0.1)
        assert window.try_admit(third.rests_until) is None
        assert window.admit(third.rests_until) == [third]

    def test_what_was_sent_before_a_pause_does_not_end_it(self) -> None:
        window = window_with(3, start=2)
        first, second = window.admit(0.0)
        window.released(first)
        window.rejected(second, 0.1, "unknown", jitter=0.0)
        assert window.snapshot().paused_until is not None
        (third,) = window.admit(1.0)
        third.sent_at = 0.0
        window.accepted(third)
        assert window.snapshot().paused_until is not None

    def test_thousand_cancelled_callers_leave_nothing(self) -> None:
        window = window_with(0)
        entries = [window.request() for _ in range(1000)]
        window.admit(0.0)
        release(window, entries)
        release(window, entries)
        assert window.snapshot().in_flight == window.snapshot().waiting == 0
        assert window.next_at(0.0) is None

    def test_late_news_about_a_released_request_are_ignored(self) -> None:
        window = window_with(1)
        (entry,) = window.admit(0.0)
        window.released(entry, tokens=5)
        window.accepted(entry)
        refuse(window, [entry], 0.1)
        assert window.snapshot().waiting == window.snapshot().rejected == 0


class Account(RuleBasedStateMachine):
    """A platform whose limit changes, callers who come, go and give up, news in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.window = Window(Limits(most=20))
        self.limit = 5
        self.serving: list[QueueEntry] = []
        self.doomed: list[QueueEntry] = []
        self.waiting: deque[QueueEntry] = deque()
        self.refused: set[int] = set()

    def pump(self) -> None:
        for entry in self.window.admit(self.now):
            if id(entry) in self.refused:
                self.refused.discard(id(entry))
            else:
                assert entry is self.waiting.popleft(), "first come, first served"
            (self.serving if len(self.serving) < self.limit else self.doomed).append(entry)

    @rule(count=st.integers(1, 30))
    def callers_come(self, count: int) -> None:
        self.waiting.extend(self.window.request() for _ in range(count))
        self.pump()

    @rule(limit=st.integers(0, 25))
    def limit_changes(self, limit: int) -> None:
        self.limit = limit

    @precondition(lambda self: self.doomed)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["concurrency", "overload", "unknown", "rate", "local"]),
        jitter=st.floats(0, 0.99),
    )
    def refusal_arrives(self, data: st.DataObject, kind: str, jitter: float) -> None:
        entry = self.doomed.pop(data.draw(st.integers(0, len(self.doomed) - 1)))
        self.refused.add(id(entry))
        self.window.rejected(entry, self.now, kind, jitter=jitter)
        self.pump()

    @precondition(lambda self: self.serving)
    @rule(data=st.data())
    def headers_arrive(self, data: st.DataObject) -> None:
        self.window.accepted(data.draw(st.sampled_from(self.serving)))
        self.pump()

    @precondition(lambda self: self.serving)
    @rule(data=st.data(), accepted=st.booleans())
    def stream_is_closed(self, data: st.DataObject, accepted: bool) -> None:
        entry = self.serving.pop(data.draw(st.integers(0, len(self.serving) - 1)))
        if accepted:
            self.window.accepted(entry)
        self.window.released(entry)
        self.pump()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def caller_gives_up(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(list(self.waiting)))
        self.waiting.remove(entry)
        self.window.released(entry)
        self.pump()

    @rule(seconds=st.floats(0.01, 60))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.pump()

    @invariant()
    def cap_holds(self) -> None:
        figures = self.window.snapshot()
        assert 1 <= figures.limit <= 20
        assert figures.in_flight == len(self.serving) + len(self.doomed) <= 20
        assert figures.waiting == len(self.waiting) + len(self.refused)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        figures = self.window.snapshot()
        if figures.waiting and not figures.in_flight:
            assert self.now < self.window.next_at(self.now) < self.now + 31

    def teardown(self) -> None:
        """Everybody is served in the end, and nothing stays behind."""
        self.limit = 3
        for _ in range(2000):
            for entry in self.serving + self.doomed:
                if entry in self.doomed:
                    self.refused.add(id(entry))
                    self.window.rejected(entry, self.now, "concurrency", jitter=0.5)
                else:
                    self.window.accepted(entry)
                    self.window.released(entry)
            self.serving, self.doomed = [], []
            self.now = max(self.now, self.window.next_at(self.now) or self.now)
            self.pump()
            if not self.serving and not self.doomed:
                break
        figures = self.window.snapshot()
        assert (figures.in_flight, figures.waiting) == (0, 0)


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=50, stateful_step_count=50)


class Simulation:
    """A platform in steps of 0.1 s, with random times to answer and without headers."""

    def __init__(self, window: Window, limit: Callable[[int], int], seed: int) -> None:
        self.window = window
        self.limit = limit
        self.random = random.Random(seed)
        self.serving: dict[QueueEntry, int] = {}
        self.doomed: list[QueueEntry] = []
        self.done = 0
        self.sent = 0

    def step(self, moment: int) -> None:
        for entry in [entry for entry, end in self.serving.items() if end <= moment]:
            del self.serving[entry]
            self.window.accepted(entry)
            self.window.released(entry)
            self.done += 1
        refuse(self.window, self.doomed, moment / 10)
        going = self.window.admit(moment / 10)
        room = max(self.limit(moment) - len(self.serving), 0)
        self.serving |= {entry: moment + self.random.randint(2, 40) for entry in going[:room]}
        self.doomed = going[room:]
        self.sent += len(going)


class TestConvergence:
    @given(limit=st.integers(1, 60), seed=st.integers(0, 2**32))
    @settings(max_examples=25)
    def test_steady_limit_is_used_and_hardly_exceeded(self, limit: int, seed: int) -> None:
        simulation = Simulation(window_with(40 * limit + 100), lambda _: limit, seed)
        busy = 0
        for moment in range(500):
            simulation.step(moment)
            busy += len(simulation.serving) if moment >= 100 else 0
        assert busy >= 0.95 * 400 * limit
        assert simulation.window.snapshot().rejected <= 0.05 * simulation.sent + limit + 4

    @given(seed=st.integers(0, 2**32), before=st.integers(10, 60), after=st.integers(1, 9))
    @settings(max_examples=25)
    def test_fallen_limit_is_found_in_few_refusals(
        self, seed: int, before: int, after: int
    ) -> None:
        simulation = Simulation(
            window_with(4000), lambda moment: before if moment < 200 else after, seed
        )
        for moment in range(200):
            simulation.step(moment)
        known = simulation.window.snapshot().rejected
        busy = 0
        for moment in range(200, 700):
            simulation.step(moment)
            busy += len(simulation.serving) if moment >= 300 else 0
        assert simulation.window.snapshot().rejected - known <= 50
        assert busy >= 0.8 * 400 * after
