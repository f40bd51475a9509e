import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async import errors
from zai_async._codes import CODES
from zai_async._wire import find_fault, to_error
from zai_async.errors import (
    APIError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    ResponseError,
)
from zai_async.retry import Backoff, RetryPolicy, is_safe_to_retry

JITTERS = st.floats(0, 1, exclude_max=True)
SECONDS = st.floats(0, 1e6)


def refused(repeat="throttle", retry_after=None):
    return errors.RateLimitError("slow down", repeat=repeat, retry_after=retry_after)


def answered(code, status=429):
    fault = find_fault({"error": {"code": code, "message": "no"}})
    return to_error(fault, status=status, headers={}, now=0.0)


def decide(error, retry=1, elapsed=0.0, jitter=0.5, **policy):
    return RetryPolicy(**policy).decide(error, retry=retry, elapsed=elapsed, jitter=jitter)


def requests_until(end, seed, code="1302", took=0.4, **policy):
    """Return how many requests are sent to a server that refuses until `end`; 0 for giving up."""
    jitters, now, error = random.Random(seed), 0.0, answered(code)
    for sent in range(1, 1000):
        if now >= end:
            return sent
        now += took
        wait = decide(error, sent, now, jitters.random(), **policy)
        if wait is None:
            break
        now += wait
    return 0


# Waits.


@pytest.mark.parametrize(
    ("repeat", "longest"),
    [
        ("short", [0.5, 1, 2, 4]),
        ("throttle", [2, 4, 8, 16, 32, 60, 60, 60]),
        ("overload", [4, 8, 16, 32, 60, 60, 60]),
    ],
)
def test_waits_double_up_to_a_limit_and_have_jitter(repeat, longest):
    for retry, wait in enumerate(longest, 1):
        for jitter in (0.25, 0.999):
            found = decide(refused(repeat), retry, jitter=jitter, budget=1e6)
            assert found == pytest.approx(jitter * wait)


@pytest.mark.parametrize(
    ("first", "least"),
    [(0.0, 0.0), (0.05, 0.05), (0.1, 0.1), (0.5, 0.1), (1.0, 0.1), (2.0, 0.2), (60.0, 6.0)],
)
def test_jitter_has_a_floor(first, least):
    waits = [Backoff(first, 60.0).wait(1, jitter) for jitter in (0.0, 0.01, 0.05)]
    assert waits == pytest.approx([least] * 3)
    assert Backoff(first, 60.0).wait(1, 0.5) == pytest.approx(max(least, first / 2))


def test_a_backoff_does_not_overflow():
    assert Backoff(1.0, 60.0).wait(10**9, 0.5) == 30.0
    assert Backoff(1.0, math.inf).wait(10**9, 0.5) < math.inf


@pytest.mark.parametrize(("repeat", "last"), [("short", 4), ("throttle", None), ("overload", None)])
def test_only_failures_of_the_platform_have_a_number_of_tries(repeat, last):
    waits = [decide(refused(repeat), retry) for retry in range(1, 101)]
    assert None not in waits[:last]
    assert last is None or set(waits[last:]) == {None}


@pytest.mark.parametrize("repeat", ["never", "reset"])
@pytest.mark.parametrize("retry_after", [None, 0.0, 1.0])
def test_what_is_final_is_never_repeated(repeat, retry_after):
    assert decide(refused(repeat, retry_after)) is None


@pytest.mark.parametrize("code", CODES)
def test_only_the_codes_that_pass_are_repeated(code):
    error = answered(code)
    assert (decide(error) is not None) == (CODES[code].repeat not in {"never", "reset"})


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (errors.ConnectError("x"), True),
        (errors.ConnectTimeoutError("x"), True),
        (errors.ConnectionLostError("x"), True),
        (errors.RequestTimeoutError("x"), True),
        (errors.StreamTruncatedError("x"), True),
        (errors.TLSError("x"), False),
        (errors.ProxyError("x"), False),
        (errors.DeadlineError("x"), False),
        (errors.ResponseError("x"), False),
        (errors.ConfigurationError("x"), False),
        (errors.EmptyAnswerError("x"), False),
        (errors.GenerationFailedError("x"), False),
        (errors.StreamStalledError("x"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_that_are_no_answers(error, repeated):
    assert (decide(error) is not None) == repeated


# Limits.


def test_zero_retries_send_one_request():
    for repeat in ("short", "throttle", "overload"):
        assert decide(refused(repeat), retries=0) is None
        assert decide(refused(repeat, retry_after=0.0), retries=0) is None


@pytest.mark.parametrize("retries", [1, 2, 3, 10])
@pytest.mark.parametrize(("repeat", "tries"), [("short", 4), ("throttle", 10), ("overload", 10)])
def test_the_smaller_number_of_tries_counts(retries, repeat, tries):
    error = refused(repeat)
    allowed = min(retries, tries)
    assert decide(error, allowed, retries=retries) is not None
    assert decide(error, allowed + 1, retries=retries) is None


@pytest.mark.parametrize(
    ("elapsed", "wait"), [(0.0, 60.0), (59.0, 60.0), (60.0, 60.0), (90.0, 30.0), (119.5, 0.5)]
)
def test_a_wait_ends_within_the_budget(elapsed, wait):
    found = decide(refused(), 10, elapsed=elapsed, jitter=0.999999999)
    assert found == pytest.approx(wait, rel=1e-6)


@pytest.mark.parametrize("elapsed", [120.0, 121.0, 1e9])
def test_nothing_is_repeated_after_the_budget(elapsed):
    assert decide(refused(), elapsed=elapsed) is None
    assert decide(refused(), elapsed=elapsed, jitter=0.0) is None


@pytest.mark.parametrize(
    ("asked", "policy", "elapsed", "wait"),
    [
        (0.0, {}, 0.0, 0.25),
        (0.1, {}, 0.0, 0.25),
        (7.5, {}, 0.0, 7.5),
        (120.0, {}, 0.0, 120.0),
        (120.1, {}, 0.0, None),
        (120.0, {"budget": 300}, 0.0, 120.0),
        (120.1, {"budget": 300}, 0.0, None),
        (30.0, {}, 90.0, 30.0),
        (30.1, {}, 90.0, None),
        (0.0, {}, 119.9, 0.1),
        (0.0, {}, 120.0, None),
        (0.0, {}, 121.0, None),
        (86400.0, {}, 0.0, None),
        (11.0, {"longest_retry_after": 10}, 0.0, None),
        (200.0, {"longest_retry_after": 300, "budget": 300}, 0.0, 200.0),
        (200.0, {"longest_retry_after": math.inf, "budget": math.inf}, 1e9, 200.0),
        (0.1, {"longest_retry_after": 0}, 0.0, None),
    ],
)
def test_a_server_that_names_a_wait_is_obeyed_or_left(asked, policy, elapsed, wait):
    found = decide(refused("short", asked), elapsed=elapsed, **policy)
    assert found == (wait and pytest.approx(wait))


def test_a_server_that_asks_for_no_wait_is_not_asked_without_end():
    waits = [decide(refused("throttle", 0.0), retry) for retry in range(1, 7)]
    assert waits == [1, 2, 4, 8, 16, 30]


def test_a_named_wait_does_not_change_the_number_of_tries():
    assert decide(refused("short", retry_after=1.0), retry=5) is None


@pytest.mark.parametrize("name", ["budget", "longest_retry_after"])
@pytest.mark.parametrize("value", [-1, -0.001, math.nan, -math.inf])
def test_limits_that_cannot_be_meant(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be 0 or more seconds, not"):
        RetryPolicy(**{name: value})


def test_a_number_of_retries_that_cannot_be_meant():
    with pytest.raises(ValueError, match=r"^retries must be None, or 0 or more, not -1$"):
        RetryPolicy(retries=-1)


def test_a_policy_cannot_be_changed():
    with pytest.raises(AttributeError):
        RetryPolicy().budget = 1.0
    with pytest.raises(AttributeError):
        Backoff(1.0, 2.0).first = 1.0


@pytest.mark.parametrize(
    ("error", "sure"),
    [
        (APIError("", status_code=429), True),
        (APIError("", status_code=400), True),
        (APIError("", status_code=500, code="1234"), True),
        (APIError("", status_code=200, code="1302"), True),
        (APIError("", status_code=500), False),
        (APIError("", status_code=502, code="502"), False),
        (APIError("", status_code=200), False),
        (APIError(""), False),
        (ConnectError(""), True),
        (ConnectionLostError(""), False),
        (ConfigurationError(""), True),
        (ResponseError("", status_code=200), False),
        (DeadlineError(""), False),
    ],
    ids=range(13),
)
def test_what_surely_was_not_accepted(error, sure):
    assert is_safe_to_retry(error) is sure


@given(
    repeat=st.sampled_from(["never", "short", "throttle", "overload", "reset"]),
    asked=st.none() | SECONDS,
    retry=st.integers(1, 10**6),
    elapsed=SECONDS,
    jitter=JITTERS,
    budget=SECONDS,
    retries=st.none() | st.integers(0, 100),
    longest=SECONDS,
)
def test_a_wait_is_never_negative_nor_beyond_the_budget(
    *, repeat, asked, retry, elapsed, jitter, budget, retries, longest
):
    policy = RetryPolicy(budget=budget, retries=retries, longest_retry_after=longest)
    error = refused(repeat, asked)
    wait = policy.decide(error, retry=retry, elapsed=elapsed, jitter=jitter)
    if wait is None:
        return
    assert repeat in {"short", "throttle", "overload"}
    assert 0 <= wait <= budget - elapsed
    assert asked is None or asked <= min(wait, longest)
    assert retries is None or retry <= retries


# Schedules.


def test_a_throttled_account_is_patient_but_not_pushy():
    """A window of 100 s, seen in the wild, is survived within the default budget of 120 s."""
    counts = Counter(requests_until(100, seed) for seed in range(2000))
    assert min(counts) >= 4
    assert sum(n for sent, n in counts.items() if sent > 12) < 0.01 * 2000
    assert max(counts) <= 16


def test_a_busy_model_is_asked_less_often():
    throttled = sum(requests_until(60, seed) for seed in range(200))
    overloaded = sum(requests_until(60, seed, "1305") for seed in range(200))
    assert overloaded < throttled


@pytest.mark.parametrize("code", ["1302", "1305", "1312", "1399"])
def test_a_call_ends_within_its_budget(code):
    assert all(requests_until(math.inf, seed, code, budget=30) == 0 for seed in range(50))
