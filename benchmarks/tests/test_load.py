"""Short versions of the benchmarks under load: nothing grows, nothing fails that need not."""

from pathlib import Path

import pytest

from tests import virtual_loop

if not Path("/proc/self/statm").exists():
    pytest.skip("the benchmarks count with /proc", allow_module_level=True)

from benchmarks import batch, emulator, leak, many_streams, storm


def test_a_storm_is_weathered():
    figures = virtual_loop.run(storm.storm(calls=1000, workers=50))
    assert figures["success"] == 1.0
    assert figures["beyond_deadline"] == 0
    assert figures["requests_per_call"] < 1.35
    assert figures["slots_left"] == 0


def test_a_storm_that_is_too_strong_ends_within_the_deadline():
    figures = virtual_loop.run(storm.storm(calls=100, workers=50, share=0.97))
    assert sum(figures["errors"].values()) == round(100 * (1 - figures["success"])) > 0
    assert figures["beyond_deadline"] == 0
    assert figures["slots_left"] == 0


async def test_mixed_calls_leave_nothing_behind():
    await leak.run(seconds=0.0, calls=60)  # what is made once is made here
    figures = await leak.run(seconds=0.0, calls=60)
    assert figures["calls"] == 180
    assert 0 < figures["failed"] < 150
    assert figures["slots_left"] == figures["tasks_per_1000_calls"] == 0
    assert figures["descriptors_per_1000_calls"] == 0
    assert figures["own_objects_per_1000_calls"] < 1000  # one for each call would be a leak


async def test_no_frame_of_many_streams_is_lost():
    with many_streams.server() as port:
        figures = await many_streams.run(port, count=50, seconds=1)
    assert (figures["frames"], figures["lost"]) == (50, 0)


def test_the_emulator_answers_every_row():
    figures = emulator.measure(rows=200, at_once=20, keep=10)
    assert figures["statuses"] == {"200": 400}


def test_a_batch_that_is_killed_buys_no_more_than_was_in_flight():
    figures = batch.kills(rows=120, at_once=5, times=2)
    assert figures["lines"] == figures["keys"] == 120
    assert figures["requests"] <= figures["allowed"]
    assert figures["status"] == 0
