"""Whether one call sends a request again: what the policy, the budget and the deadline say."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.calls import FakeClock
from zai_async import (
    BadRequestError,
    CallOptions,
    ConnectionLostError,
    LocalResourceError,
    QuotaError,
    RateLimitError,
    RetryPolicy,
    ServerError,
)
from zai_async._operations import CHAT, FILE_UPLOAD
from zai_async.retry import RetryBudget, RetryState, describe_retry

CLOCK = FakeClock()
POLICY = RetryPolicy()
NOW = datetime.fromtimestamp(CLOCK.wall(), UTC)


def state(operation=CHAT, *, policy=POLICY, budget=None, files=None, signs=False, **options):
    return RetryState(
        policy,
        budget or RetryBudget(),
        CLOCK,
        CallOptions(**options),
        repeatable=operation.repeatable,
        files=files,
        signs=signs,
    )


def decide(retry, error, *, attempts=1, elapsed=0.0, queues=False):
    return retry.decide(error, attempts=attempts, elapsed=elapsed, queues=queues)


def busy(**facts):
    return RateLimitError("busy", status_code=429, repeat="throttle", **facts)


def down(**facts):
    return ServerError("down", status_code=500, repeat="short", **facts)


def used_up(after=10.0):
    reset = NOW + timedelta(seconds=after)
    return QuotaError("used up", status_code=429, code="1308", repeat="reset", retry_at=reset)


def test_the_policy_says_how_long():
    assert decide(state(), busy()) == 1.0
    assert decide(state(), busy(), attempts=2) == 2.0
    assert decide(state(), down(), attempts=4) == 2.0
    assert decide(state(), down(), attempts=5) is None
    assert decide(state(), BadRequestError("no", status_code=400)) is None


def test_a_call_may_have_retries_of_its_own():
    patient = RetryPolicy(retries=9)
    assert decide(state(policy=patient, retries=1), busy()) == 1.0
    assert decide(state(policy=patient, retries=1), busy(), attempts=2) is None
    assert decide(state(policy=patient, retries=0), busy()) is None
    assert decide(state(policy=RetryPolicy(retries=0)), busy()) is None


def test_what_must_not_happen_twice_is_sent_again_only_if_it_was_refused():
    lost, unsent = ConnectionLostError("gone"), ConnectionLostError("gone")
    unsent.request_sent = False
    assert decide(state(FILE_UPLOAD), busy()) == 1.0
    assert decide(state(FILE_UPLOAD), unsent) == 0.25
    assert decide(state(FILE_UPLOAD), down()) is None
    assert decide(state(FILE_UPLOAD), lost) is None
    assert decide(state(), lost) == 0.25


def test_a_dead_connection_is_replaced_once_and_counts_for_nothing():
    stale = ConnectionLostError("reset")
    stale.stale = True
    retry = state(retries=0)
    assert decide(retry, stale) == 0.0
    assert decide(retry, stale, attempts=2) is None
    retry = state(retries=1)
    assert decide(retry, stale) == 0.0
    assert decide(retry, busy(), attempts=2) == 1.0
    assert decide(retry, busy(), attempts=3) is None
    assert decide(state(FILE_UPLOAD), stale) is None


def test_each_retry_is_paid_for_by_the_budget():
    budget = RetryBudget(2)
    retry = state(budget=budget)
    assert decide(retry, down()) == 0.25
    assert retry.drawn
    assert budget.left == 1
    retry.answered()
    assert not retry.drawn
    assert budget.left == 2
    retry.answered()
    assert budget.left == 2
    assert [decide(retry, down()) for _ in range(3)] == [0.25, 0.25, None]
    assert retry.hint == "Not retried: the client's retry budget is exhausted."
    retry.answered()
    assert budget.left == pytest.approx(0.1)


def test_a_queue_and_an_allowance_cost_nothing():
    budget = RetryBudget(1)
    retry = state(budget=budget, wait_for_quota=True)
    assert decide(retry, busy(), queues=True) == 1.0
    assert decide(retry, used_up()) == 11.5
    assert budget.left == 1


def test_a_shortage_of_this_machine_costs_nothing_either():
    budget = RetryBudget(1)
    shortage = LocalResourceError("no open files are left")
    assert decide(state(budget=budget), shortage) is not None
    assert budget.left == 1


def test_an_allowance_is_waited_for_only_on_demand():
    assert decide(state(), used_up()) is None
    assert decide(state(wait_for_quota=True), used_up()) == 11.5
    assert decide(state(wait_for_quota=True), used_up(-60.0)) == 1.5
    assert decide(state(wait_for_quota=True, retries=1), used_up(), attempts=2) is None
    assert decide(state(wait_for_quota=True, retries=1), used_up()) == 11.5
    assert decide(state(wait_for_quota=True, retries=0), used_up()) is None


class Pictures:
    """Files that can be written in another form, once."""

    replayable = True

    def __init__(self):
        self.forms = [True]

    def alternate(self):
        return bool(self.forms) and self.forms.pop()


def refused(code, message="no", status=400):
    return BadRequestError(message, status_code=status, code=code)


@pytest.mark.parametrize("code", ["1003", "1004"])
def test_a_token_is_signed_again_once(code):
    retry = state(signs=True, retries=1)
    assert decide(retry, refused(code, status=401)) == 0.0
    assert decide(retry, refused(code, status=401), attempts=2) is None
    assert decide(state(signs=True), refused("1000", status=401)) is None
    assert decide(state(signs=True, retries=0), refused(code, status=401)) is None
    assert decide(state(), refused(code, status=401)) is None


@pytest.mark.parametrize("message", ["the image cannot be read", "图片格式错误"])
def test_pictures_are_written_in_another_form_once(message):
    retry = state(files=Pictures(), retries=1)
    assert decide(retry, refused("1210", message)) == 0.0
    assert decide(retry, refused("1210", message), attempts=2) is None
    assert decide(retry, busy(), attempts=2) == 1.0
    assert decide(state(files=Pictures()), refused("1210", "max_tokens")) is None
    assert decide(state(files=Pictures()), refused("1211", message)) is None
    assert decide(state(files=Pictures(), retries=0), refused("1210", message)) is None
    assert decide(state(), refused("1210", message)) is None


def test_what_can_be_read_once_is_never_sent_again():
    once = Pictures()
    once.replayable = False
    assert decide(state(files=once), busy()) is None
    assert decide(state(files=once), refused("1210", "image")) is None


def test_nothing_is_drawn_before_the_first_retry():
    budget = RetryBudget(2)
    budget.draw()
    state(budget=budget).answered()
    assert budget.left == pytest.approx(1.1)


DEADLINE = "does not fit into the deadline of 10 s."


@pytest.mark.parametrize(
    ("error", "elapsed", "queues", "wait", "hint"),
    [
        (busy(), 8.9, False, 1.0, None),
        (busy(), 9.0, False, None, f"Not retried: a wait of 1 s {DEADLINE}"),
        (busy(), 9.0, True, 1.0, None),
        (busy(), 10.0, True, None, f"Not retried: a wait of 0 s {DEADLINE}"),
        (busy(retry_after=4.0), 5.9, True, 4.0, None),
        (busy(retry_after=4.0), 6.0, True, None, f"Not retried: a wait of 4 s {DEADLINE}"),
        (busy(retry_after=600.0), 0.0, True, None, f"Not retried: a wait of 600 s {DEADLINE}"),
        (busy(retry_after=600.0), 0.0, False, None, f"Not retried: a wait of 600 s {DEADLINE}"),
        (BadRequestError("no", status_code=400), 11.0, False, None, None),
    ],
)
def test_a_wait_that_does_not_fit_the_deadline_is_not_begun(error, elapsed, queues, wait, hint):
    retry = state(deadline=10.0)
    assert decide(retry, error, elapsed=elapsed, queues=queues) == wait
    assert retry.hint == hint


def test_who_gives_up_is_told_when_to_come_back():
    late = busy(retry_after=600.0)
    assert decide(state(), late) is None
    assert late.retry_at == NOW + timedelta(seconds=600)
    soon = busy(retry_after=6.0)
    assert decide(state(), soon) == 6.0
    assert soon.retry_at is None
    known = used_up()
    known.retry_after = 600.0
    assert decide(state(), known) is None
    assert known.retry_at == NOW + timedelta(seconds=10)


def test_what_was_not_even_an_attempt_counts_as_one():
    """A body that could not be made was not sent: without a count it would be made for ever."""
    retry = state(retries=2)
    lacking = LocalResourceError("no thread")
    waits = [decide(retry, lacking, attempts=0) for _ in range(3)]
    assert waits == [1.0, 2.0, None]
    assert decide(state(retries=0), lacking, attempts=0) is None


def test_who_gives_up_for_the_servers_sake_is_told_how_long_it_wants():
    retry = state()
    assert decide(retry, busy(retry_after=3600.0)) is None
    assert retry.hint == (
        "Not retried: the server asks for a wait of 3600 s; RetryPolicy(longest_retry_after=120)."
    )
    for asked, options in [(60.0, {}), (3600.0, {"retries": 0})]:
        retry = state(**options)
        decide(retry, busy(retry_after=asked))
        assert retry.hint is None


def test_once_stopped_nothing_is_retried():
    retry = state()
    retry.stop("Enough.")
    assert decide(retry, busy()) is None
    assert retry.hint == "Enough."


@pytest.mark.parametrize(
    ("error", "wait", "text"),
    [
        (busy(code="1302"), 1.0, "too many requests at once (code 1302); again in 1.00 s"),
        (busy(code="1302"), None, "too many requests at once (code 1302); again when a permit"),
        (
            ConnectionLostError("gone"),
            0.25,
            "the connection failed (ConnectionLostError); again in",
        ),
    ],
)
def test_a_retry_is_described_in_one_line(error, wait, text):
    assert describe_retry(error, wait).startswith(text)
