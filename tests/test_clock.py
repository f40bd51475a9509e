import time

import anyio

from zai_async._clock import SystemClock


async def test_system_clock_reads_the_event_loop_and_the_system():
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert before <= clock.monotonic() <= anyio.current_time()
    assert abs(clock.wall() - time.time()) < 60
    assert all(0 <= clock.random() < 1 for _ in range(100))
    assert len({clock.random() for _ in range(10)}) > 1
