"""The limiter: a pure machine, so time is a number here and nothing waits."""

from __future__ import annotations

from zai_async.limiter import Limits, Window


def test_window_opens_as_requests_pass_and_shrinks_to_what_was_fine() -> None:
    window = Window(Limits(start=2))
    for _ in range(20):
        window.request()
    first = window.admit(0.0)
    assert len(first) == 2
    for ticket in first:
        window.accepted(ticket)
    second = window.admit(0.1)
    assert len(second) == 2
    for ticket in second:
        window.rejected(ticket, 0.2, "throttle", chance=0.0)
    assert window.admit(0.2) == []
    assert window.snapshot().limit == 2
    assert window.snapshot().waiting == 18
