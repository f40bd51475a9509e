import asyncio
import math
import time

import anyio
import pytest

from zai_async._clock import RescheduleTimeout, SystemClock

try:
    from uvloop import new_event_loop as make_uvloop
except ImportError:  # Windows, PyPy
    make_uvloop = asyncio.new_event_loop


async def test_system_clock_reads_the_event_loop_and_the_system():
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert before <= clock.monotonic() <= anyio.current_time()
    assert abs(clock.wall() - time.time()) < 60
    assert all(0 <= clock.random() < 1 for _ in range(100))
    assert len({clock.random() for _ in range(10)}) > 1


@pytest.mark.parametrize("make", [asyncio.new_event_loop, make_uvloop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("later", [0.0, 60.0])
def test_a_moment_that_is_now_can_be_moved_like_any_other(make, later):
    """uvloop makes another kind of handle for what is due at once."""
    ended = []

    async def wait():
        loop = asyncio.get_running_loop()
        with RescheduleTimeout() as timeout:
            timeout.reschedule(loop.time())
            timeout.reschedule(loop.time() + later)
            try:
                await asyncio.sleep(0.05 if later else math.inf)
            finally:
                ended.append(later)

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(wait())
    assert ended == [later]
