"""What is told about rows before anything is sent."""

import pytest

from zai_async import Price
from zai_async.batch.rows import RowParser
from zai_async.batch.validation import Validation

PRICES = {"glm-5.3": Price(prompt=1_000_000, completion=2_000_000, call=0.5)}


def checked(*rows, prices=PRICES):
    check = Validation(RowParser(model="glm-5.3"), prices)
    return [check.check(row) for row in rows], check.estimate


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"prompt": ', "no JSON object"),
        ({"prompt": 3}, "prompt must be a text"),
        ({"body": {"messages": []}}, "messages is missing"),
        ({"body": {"messages": "Hi"}}, "messages"),
        ({"body": {"messages": [{"role": "wizard"}]}}, "wizard"),
        ({"body": {"messages": [{"content": "Hi"}]}}, "role"),
        ({"prompt": "Hi", "max_tokens": "many"}, "max_tokens"),
        ({"prompt": "Hi", "url": "/v4/dance", "body": {}}, "none of a batch"),
    ],
)
def test_what_is_wrong_is_said(row, said):
    (fault,), estimate = checked(row)
    assert said in fault
    assert (estimate.rows, estimate.wrong) == (0, 1)


def test_an_id_is_used_once():
    rows = [{"custom_id": "a", "prompt": text} for text in ("One", "Two")]
    faults, _ = checked(*rows, {"prompt": "One"}, {"prompt": "One"})
    assert faults == [None, "custom_id 'a' is used more than once", None, None]


def test_tokens_and_money_are_added_up():
    rows = [{"prompt": "word " * 400, "max_tokens": 100}, {"prompt": "\u6587" * 300}]
    faults, estimate = checked(*rows, {"prompt": "Hi", "model": "glm-4.6"})
    assert faults == [None, None, None]
    assert (estimate.rows, estimate.unbounded, estimate.unpriced) == (3, 2, 1)
    assert estimate.completion_tokens == 100
    assert 700 < estimate.prompt_tokens < 800
    assert estimate.cost == pytest.approx(estimate.prompt_tokens + 2 * 100 + 2 * 0.5, abs=30)
