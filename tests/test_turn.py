"""The place of a call in the queue, where it has none."""

from zai_async import RateLimitError
from zai_async.limiter import Limits
from zai_async.session.gate import Gates, turn_of
from zai_async.session.settings import Settings


async def test_a_call_without_a_slot_has_nothing_to_report_or_to_give_back():
    gates = Gates(Limits())
    turn = turn_of(Settings(), gates, "glm-5.3")
    busy = RateLimitError("busy")
    turn.accepted()
    await turn.again(busy)
    turn.leave()
    assert not turn.admitted
    assert not turn.counts(busy)
    assert turn.figures == gates.snapshot().popitem()[1]
    assert (turn.figures.in_flight, turn.figures.rejected) == (0, 0)


async def test_a_slot_is_kept_until_it_is_given_back():
    turn = turn_of(Settings(), Gates(Limits(mode="fixed", start=1)), "glm-5.3")
    assert turn.try_take()
    assert turn.try_take()
    await turn.take()
    assert turn.figures.in_flight == 1
    turn.leave()
    turn.leave()
    assert turn.figures.in_flight == 0
