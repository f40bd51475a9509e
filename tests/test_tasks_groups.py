"""Many tasks: all of them, or each as it is done; whoever leaves leaves nothing running."""

import asyncio
import gc

import pytest

from tests.effort import times
from tests.task_wire import HEAD, URL, LoopClock, played
from tests.virtual_loop import run
from zai_async import Task, TaskFailedError, TaskTimeoutError, as_completed, wait_all
from zai_async.models import Video, VideoFile
from zai_async.tasks import VIDEOS
from zai_async.testing import FakeReply


def film(request, *, after=0.0, fails=()):
    """Answer about a task by its number: number 3 takes 3 times as long as number 1."""
    number = int(request.url.rpartition("/")[2])
    if asyncio.get_running_loop().time() < after * number:
        return FakeReply.json({**HEAD, "id": str(number), "task_status": "PROCESSING"})
    if number in fails:
        failed = {"id": str(number), "task_status": "FAIL", "error": {"message": str(number)}}
        return FakeReply.json(HEAD | failed)
    files = [{"url": f"{URL}?{number}"}]
    done = {"id": str(number), "task_status": "SUCCESS", "video_result": files}
    return FakeReply.json(HEAD | done)


def films(zai, numbers):
    return [zai.videos.task(str(number)) for number in numbers]


def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_results_come_in_the_order_of_the_tasks():
    async def work(zai):
        return [video.url for video in await wait_all(films(zai, [3, 1, 2, 1]))]

    urls, _ = played(work, lambda request: film(request, after=20))
    assert urls == [f"{URL}?3", f"{URL}?1", f"{URL}?2", f"{URL}?1"]


def test_the_first_failure_is_raised_after_all_have_ended():
    async def work(zai):
        tasks = films(zai, [3, 2, 1])
        with pytest.raises(TaskFailedError, match="2"):
            await wait_all(tasks)
        return [task.done for task in tasks]

    assert played(work, lambda request: film(request, after=20, fails={1, 2}))[0] == [True] * 3


def test_errors_can_stand_in_the_place_of_results():
    async def work(zai):
        return await wait_all(films(zai, [1, 2, 3]), 55, return_errors=True)

    ends, _ = played(work, lambda request: film(request, after=20, fails={1}))
    assert [type(end).__name__ for end in ends] == ["TaskFailedError", "Video", "TaskTimeoutError"]


def test_nothing_to_wait_for_is_no_wait():
    async def work(zai):
        return await wait_all([]), [task async for task in as_completed([])]

    result, wire = played(work, film)
    assert (result, wire.requests) == (([], []), [])


def test_a_cancelled_wait_for_all_leaves_nothing_running():
    async def work(zai):
        waiting = asyncio.create_task(wait_all(films(zai, range(1, 6))))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return others()

    assert played(work, lambda request: film(request, after=20))[0] == set()


class Engine:
    """Answers without a request: done after ten seconds."""

    def __init__(self):
        self.clock = LoopClock()
        self.times = {}

    async def call(self, operation, params):
        now = self.clock.monotonic() - self.clock.BEGUN
        self.times.setdefault(params["id"], []).append(now)
        await asyncio.sleep(0.2)
        if now < 10:
            return Video(task_status="PROCESSING")
        return Video(task_status="SUCCESS", video_result=[VideoFile(url=URL)])


def test_thousands_of_tasks_ask_once_in_an_interval_at_most():
    count = times(10_000, 1000)

    async def work():
        engine = Engine()
        tasks = [Task(VIDEOS, {"id": str(number)}, engine=engine) for number in range(count)]
        await wait_all(tasks)
        return engine.times

    asked = run(work())
    assert len(asked) == count
    assert set(map(tuple, asked.values())) == {(0, 5, 12.5)}


# As they are done


def test_tasks_come_as_they_are_done():
    async def work(zai):
        seen = []
        async for task in as_completed(films(zai, [3, 1, 2])):
            assert task.done
            seen.append((task.id, task.result().url))
        return seen, others()

    (seen, left), _ = played(work, lambda request: film(request, after=20))
    assert seen == [(number, f"{URL}?{number}") for number in "123"]
    assert left == set()


def test_a_failure_is_raised_by_the_result_of_its_task():
    async def work(zai):
        ends = {}
        async for task in as_completed(films(zai, [1, 2, 3]), 55):
            try:
                ends[task.id] = task.result().url
            except (TaskFailedError, TaskTimeoutError) as error:
                ends[task.id] = type(error)
        return ends

    assert played(work, lambda request: film(request, after=20, fails={2}))[0] == {
        "1": f"{URL}?1",
        "2": TaskFailedError,
        "3": TaskTimeoutError,
    }


def test_nothing_is_asked_before_the_first_is_wanted():
    async def work(zai):
        as_completed(films(zai, [1]))
        async with as_completed(films(zai, [1])):
            await asyncio.sleep(100)

    assert played(work, film)[1].requests == []


@pytest.mark.parametrize("how", ["aclose", "async with", "collected"])
def test_whoever_leaves_early_leaves_nothing_running(how):
    async def work(zai):
        completed = as_completed(films(zai, range(1, 6)))
        if how == "async with":
            async with completed as entered:
                assert await anext(entered) is not None
            assert others() == set()
        else:
            await anext(completed)
        if how == "aclose":
            await completed.aclose()
            assert others() == set()
            with pytest.raises(StopAsyncIteration):
                await anext(completed)
            await completed.aclose()
        del completed
        gc.collect()
        await asyncio.sleep(0.1)
        return others()

    left, wire = played(work, lambda request: film(request, after=20))
    assert left == set()
    assert max(wire.times) < 30


def test_a_cancelled_turn_loses_no_task():
    async def work(zai):
        completed = as_completed(films(zai, [1]))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await anext(completed)
        return [task.id async for task in completed]

    assert played(work, lambda request: film(request, after=20))[0] == ["1"]


def test_an_iterator_that_outlives_its_loop_is_collected_in_silence():
    async def work(zai):
        completed = as_completed(films(zai, [1, 2]))
        await anext(completed)
        return completed

    completed, _ = played(work, lambda request: film(request, after=20))
    waits = completed._waits
    del completed
    gc.collect()
    assert not waits
