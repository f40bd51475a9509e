"""An error that is raised again, or to several callers, keeps nobody's frames for another."""

import pytest

from tests import virtual_loop
from tests.calls import ASK
from tests.task_wire import FAILED, RUNNING, played
from zai_async import AsyncZai, IncompleteError, RateLimitError, TaskFailedError, ZaiError
from zai_async.errors.repeats import own_copy, raised_again
from zai_async.testing import FakeReply, FakeTransport


def frames(error):
    names, trace = [], error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names


async def lengths(raising, count=5):
    seen = []
    for _ in range(count):
        with pytest.raises(ZaiError) as caught:
            await raising()
        seen.append(len(frames(caught.value)))
    return seen


def test_a_task_raises_its_failure_as_often_as_it_is_asked():
    async def work(zai):
        task = zai.videos.task("t-1")

        async def result():
            return task.result()

        first = await lengths(task.wait, 1)
        return first, await lengths(task.wait), await lengths(result), await lengths(task.fetch)

    (first, *later), _ = played(work, FAILED)
    assert first
    assert all(len(set(seen)) == 1 for seen in later)


def test_a_result_says_where_what_the_caller_does_with_updates_failed():
    async def failing(update):
        raise LookupError(update.id)

    async def work(zai):
        task, seen = zai.videos.task("t-1"), []
        with pytest.raises(LookupError):
            await task.wait(on_update=failing)
        for _ in range(3):
            with pytest.raises(LookupError) as caught:
                task.result()
            seen.append(frames(caught.value))
        return seen

    first, *later = played(work, RUNNING)[0]
    assert first[-1] == "failing"
    assert later == [first, first]


@pytest.mark.parametrize("way", ["read", "completion", "open"])
def test_a_stream_raises_its_failure_as_often_as_it_is_read(way):
    cut = FakeReply.sse({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}, done=False)

    async def work():
        async with (
            AsyncZai(api_key="k", transport=FakeTransport(cut)) as zai,
            zai.chat.completions.stream(**ASK) as stream,
        ):

            async def reading():
                async for _ in stream:
                    pass

            with pytest.raises(IncompleteError):
                await reading()
            again = {"read": reading, "completion": stream.completion, "open": stream.open}
            return await lengths(again[way])

    assert len(set(virtual_loop.run(work()))) == 1


def rows():
    yield "Hi"
    raise LookupError("no more rows")


async def test_a_batch_says_where_its_source_failed_as_often_as_it_is_read(tmp_path):
    answer = {"choices": [{"finish_reason": "stop", "message": {"content": "Hi"}}]}
    async with AsyncZai(api_key="k", transport=FakeTransport(FakeReply.json(answer))) as zai:
        run = zai.batch.run(rows(), out=tmp_path / "out.jsonl", model="glm-5.3")
        seen = []
        for _ in range(3):
            with pytest.raises(LookupError) as caught:
                async for _ in run:
                    pass
            seen.append(frames(caught.value))
    assert seen[0][-1] == "rows"
    assert len(set(map(tuple, seen))) == 1


class OddError(Exception):
    """It cannot be copied."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def failing(cause):
    raise RateLimitError("busy", code="1302") from cause


def test_a_copy_is_told_apart_and_says_the_same():
    cause = OSError("the store is down")
    with pytest.raises(RateLimitError) as caught:
        failing(cause)
    error, own = caught.value, own_copy(caught.value)
    assert own is not error
    assert (type(own), own.code, str(own)) == (RateLimitError, "1302", str(error))
    assert (own.__cause__, own.__suppress_context__, frames(own)) == (cause, True, frames(error))
    error.add_note("for all")
    own = own_copy(error)
    own.add_note("for one")
    assert (error.__notes__, own.__notes__) == (["for all"], ["for all", "for one"])
    odd = OddError(1, 2)
    assert own_copy(odd) is odd


def test_what_is_raised_again_begins_where_that_is():
    failure = TaskFailedError("no")
    for _ in range(3):
        with pytest.raises(TaskFailedError) as caught:
            raise raised_again(failure)
        assert frames(caught.value) == ["test_what_is_raised_again_begins_where_that_is"]
