import math
import pickle
from typing import get_args

import pytest

from zai_async.models import Price
from zai_async.models.options import CallOptions, CallParams, Outcome, Timeout, outcome_of


@pytest.mark.parametrize(
    ("finish_reason", "outcome"),
    [
        ("stop", "completed"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("sensitive", "sensitive"),
        ("network_error", "network_error"),
        ("model_context_window_exceeded", "context_exceeded"),
        ("invented_tomorrow", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_outcome_of_a_finish_reason(finish_reason, outcome):
    assert outcome_of(finish_reason) == outcome
    assert outcome in get_args(Outcome)


def test_timeout_has_four_clocks():
    assert Timeout() == Timeout(
        connect=10.0, first_byte=600.0, first_progress=300.0, between_progress=300.0
    )


@pytest.mark.parametrize("clock", Timeout.__struct_fields__)
@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf])
def test_timeout_refuses_what_is_no_limit(clock, seconds):
    with pytest.raises(ValueError, match=f"^{clock} must be None or seconds above 0"):
        Timeout(**{clock: seconds})


@pytest.mark.parametrize("clock", Timeout.__struct_fields__)
@pytest.mark.parametrize("seconds", [None, 1, 0.001])
def test_timeout_accepts_limits_and_none(clock, seconds):
    assert getattr(Timeout(**{clock: seconds}), clock) == seconds


def test_options_change_nothing_by_default():
    options = CallOptions()
    assert (options.timeout, options.deadline, options.retries, options.tag) == (None,) * 4
    assert (dict(options.headers), tuple(options.allow), options.on_restart) == ({}, (), "raise")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", 0),
        ("timeout", math.nan),
        ("deadline", -1),
        ("deadline", math.inf),
        ("retries", -1),
        ("on_restart", "ignore"),
        ("allow", "length"),
        ("allow", ["lenght"]),
    ],
)
def test_options_name_the_field_that_is_wrong(field, value):
    with pytest.raises(ValueError, match=f"^{field} must be"):
        CallOptions(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", 2.5),
        ("timeout", Timeout(connect=None)),
        ("deadline", 20),
        ("retries", 0),
        ("on_restart", "reset"),
        ("allow", {"length", "empty"}),
        ("headers", {"X-Team": "search"}),
        ("tag", "nightly"),
    ],
)
def test_options_keep_what_is_right(field, value):
    options = CallOptions(**{field: value})
    assert getattr(options, field) == value
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize("frozen", [Timeout(), CallOptions()])
def test_options_cannot_be_changed_behind_the_back_of_a_call(frozen):
    with pytest.raises(AttributeError):
        setattr(frozen, frozen.__struct_fields__[0], None)


def test_every_operation_takes_options_and_extra():
    assert CallParams.__optional_keys__ == {"options", "extra"}
    assert CallParams.__required_keys__ == frozenset()


@pytest.mark.parametrize("name", ["prompt", "completion", "cached", "call"])
@pytest.mark.parametrize("price", [-0.01, float("nan"), float("inf")])
def test_prices_that_make_no_sense(name, price):
    with pytest.raises(ValueError, match=f"^{name} must be a price of 0 or more"):
        Price(**{name: price})
    assert getattr(Price(**{name: 0.0}), name) == 0.0
