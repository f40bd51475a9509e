"""Tasks: when they are asked about, what ends them, and what no more than delays their end."""

import asyncio
import copy
import logging
import math
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from unittest.mock import ANY

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import KEY, give_up_a_read
from tests.task_wire import (
    BROKEN,
    BUSY,
    DONE,
    FAILED,
    HEAD,
    LOST,
    MISSING,
    RECEIPT,
    RUNNING,
    UNKNOWN,
    URL,
    VIDEO,
    generated,
    played,
)
from zai_async import (
    AccountError,
    AsyncZai,
    AuthenticationError,
    BadRequestError,
    BillingError,
    ConfigurationError,
    ConnectionLostError,
    GenerationFailedError,
    NotFoundError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    ResponseError,
    ServerError,
    Task,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    TLSError,
    TransportError,
    ZaiError,
)
from zai_async.tasks import PollBackoff, PollSchedule
from zai_async.testing import Emulator, FakeReply


def failing(work, *script, **changes):
    """Run work that must raise; return the error and the wire."""

    async def caught(zai):
        with pytest.raises(ZaiError) as info:
            await work(zai)
        return info.value

    return played(caught, *script, **changes)


async def found(zai, **params):
    return await zai.videos.task("t-1").wait(**params)


def error(code, status=200, **more):
    return FakeReply.json({"error": {"code": code, "message": "no"}}, status=status, **more)


PAGE = FakeReply(headers={"Content-Type": "text/html"}, steps=(b"<html>just a moment</html>",))
ALICE = FakeReply.json(
    {"id": "t-2", "task_status": "SUCCESS", "video_result": [{"url": "https://x.example/alice"}]}
)


# What was promised for the sequences that pollers get wrong


@pytest.mark.parametrize(
    "polls",
    [
        [BUSY, BUSY, BROKEN, RUNNING, DONE],
        [MISSING, MISSING, RUNNING, DONE],
        [UNKNOWN, UNKNOWN, UNKNOWN, DONE],
        [LOST, RUNNING, LOST, LOST, DONE],
        [FakeReply(delay=100.0), DONE],
        [FakeReply(steps=(b'{"task_sta', ConnectionLostError("cut"))), DONE],
        [FakeReply(status=408), FakeReply(status=503), FakeReply(status=502), DONE],
        [error("1305"), error("1234"), DONE],
        [PAGE, FakeReply(), FakeReply(steps=(b'{"id": "t-1", "task_st',)), RUNNING, PAGE, DONE],
        [ALICE, DONE],
        [FakeReply.json({**HEAD, "task_status": "QUEUED_ON_THE_MOON"}), DONE],
        [FakeReply.json({}), DONE],
        [
            FakeReply.json(
                {**HEAD, "model": "m", "task_status": "success", "video_result": {"url": URL}}
            )
        ],
        [FakeReply.json({"error": {"code": "x", "message": "moved"}}, status=302), DONE],
        [FakeReply.json({**HEAD, "task_status": "SUCCESS", "video_result": [{}, {"url": URL}]})],
    ],
    ids=range(15),
)
def test_a_video_comes_in_the_end(polls):
    video, wire = played(generated, RECEIPT, *polls)
    assert video.url == URL
    assert wire.submissions == 1
    assert len(wire.requests) == 1 + len(polls)
    assert {request.url for request in wire.requests[1:]} == {
        "https://api.z.ai/api/paas/v4/async-result/t-1"
    }


@pytest.mark.parametrize(
    ("last", "kind", "body"),
    [
        (FAILED, "task", '"task_status":"FAIL"'),
        (FakeReply.json({**HEAD, "task_status": "fail", "extra": "known"}), "task", "known"),
        (
            FakeReply.json({**HEAD, "task_status": "FAIL", "error": {"code": "1301"}}),
            "content",
            '"1301"',
        ),
        (FakeReply.json({**HEAD, "task_status": "SUCCESS"}), "task", "SUCCESS"),
        (FakeReply.json({**HEAD, "task_status": "SUCCESS", "video_result": [{}]}), "task", "url"),
        (FakeReply.json({**HEAD, "task_status": "cancelled"}), "task", "cancelled"),
    ],
    ids=range(6),
)
def test_a_failure_is_raised_at_once(last, kind, body):
    failure, wire = failing(generated, RECEIPT, RUNNING, last, DONE)
    assert type(failure) is TaskFailedError
    assert (failure.kind, failure.task.id) == (kind, "t-1")
    assert failure.task.done
    assert body in failure.body
    assert wire.submissions == 1
    assert len(wire.requests) == 3


def test_a_failure_says_how_it_was_found_out():
    failure, _ = failing(generated, RECEIPT, FAILED)
    assert failure.operation == "tasks.result"
    assert [attempt.status_code for attempt in failure.attempts] == [200]
    assert failure.task.status == "FAIL"


@pytest.mark.parametrize("length", [10, 2500, 100_000])
@pytest.mark.parametrize("more", [{}, {"error": {"code": "1301"}}])
def test_a_failure_may_be_told_at_any_length(length, more):
    last = FakeReply.json({"message": "x" * length, **more, **HEAD, "task_status": "FAIL"})
    failure, wire = failing(generated, RECEIPT, RUNNING, last, DONE)
    assert (type(failure), failure.task.status, failure.task.done) == (
        TaskFailedError,
        "FAIL",
        True,
    )
    assert len(wire.requests) == 3


@pytest.mark.parametrize("status", ["FAIL", "CANCELLED"])
@pytest.mark.parametrize(
    "told",
    [
        {"message": f"not for {KEY}"},
        {"error": {"code": "1301", "message": f"no {KEY}"}},
        {"note": KEY},
    ],
)
def test_a_failure_does_not_repeat_the_key(told, status):
    """Whether the call finds it out, as with FAIL, or the task, which knows other words."""
    failure, _ = failing(
        generated, RECEIPT, FakeReply.json({**told, **HEAD, "task_status": status})
    )
    assert isinstance(failure, TaskFailedError)
    assert KEY not in f"{failure} {failure!r} {failure.body} {failure.partial!r}"


@pytest.mark.parametrize("told", [{"id": "t-2", "task_status": "PROCESSING"}, {"id": "t-1"}])
def test_an_answer_that_tells_nothing_of_the_task_does_not_repeat_the_key_either(told):
    async def work(zai):
        task = await zai.videos.submit(**VIDEO)
        return await task.wait(max_poll_failure=20)

    failure, _ = failing(work, RECEIPT, FakeReply.json({**told, "note": KEY}))
    assert isinstance(failure, ResponseError)
    assert failure.partial is not None
    assert KEY not in f"{failure} {failure!r} {failure.body} {failure.partial!r}"


def test_another_word_of_failure_is_not_that_of_the_task():
    """A proxy that says {"status": "fail"} knows nothing of the video."""
    proxy = FakeReply.json({"status": "fail", "message": "try again"}, status=502)
    video, _ = played(generated, RECEIPT, proxy, DONE)
    assert video.url == URL


def test_a_poll_that_is_refused_is_no_task_that_failed():
    refusal = FakeReply.json({"status": "failed", "message": "no such header"}, status=400)
    failure, _ = failing(generated, RECEIPT, refusal, DONE)
    assert (type(failure), failure.task.done) == (BadRequestError, False)


LOST_HALFWAY = {
    "task_status": "SUCCESS",
    "choices": [{"finish_reason": "network_error", "message": {}}],
}


@pytest.mark.parametrize(
    ("work", "last"),
    [
        (lambda zai: zai.videos.task("t-1").fetch(), {"task_status": "FAIL"}),
        (lambda zai: zai.videos.task("t-1").fetch(), {"task_status": "SUCCESS"}),
        (lambda zai: zai.chat.completions.task("t-1").fetch(), LOST_HALFWAY),
        (lambda zai: zai.videos.task("t-1").fetch(), {"error": {"code": "1000"}}),
    ],
    ids=["failed", "without a result", "judged", "refused"],
)
def test_errors_say_how_long_the_question_took(work, last):
    reply = FakeReply(delay=2.0, steps=(msgspec.json.encode({**HEAD, **last}),))
    failure, _ = failing(work, reply)
    assert failure.timing.total == failure.timing.first_byte == 2.0
    assert [attempt.duration for attempt in failure.attempts] == [2.0]
    assert failure.operation == "tasks.result"


def test_a_timeout_says_how_long_the_wait_was():
    failure, _ = failing(lambda zai: found(zai, timeout=7), RUNNING)
    assert failure.timing.total == 7
    assert [attempt.status_code for attempt in failure.attempts] == [200]
    assert failure.operation == "tasks.result"


@pytest.mark.parametrize(("last", "attempts"), [(LOST, 1), (FakeReply(delay=100.0), 0)])
def test_a_timeout_tells_of_the_last_question_that_ended(last, attempts):
    failure, _ = failing(lambda zai: found(zai, timeout=7), last)
    assert (failure.timing.total, len(failure.attempts)) == (7, attempts)


@pytest.mark.parametrize(
    ("reply", "cls"),
    [
        (error("1000", 401), AuthenticationError),
        (error("1113", 429), BillingError),
        (error("1310", 429), QuotaError),
        (error("1309", 429), AccountError),
        (error("1120", 429), AccountError),
        (FakeReply(failure=TLSError("no")), TLSError),
        (FakeReply(status=403, steps=(b"<html>",)), PermissionDeniedError),
    ],
    ids=str,
)
def test_what_will_not_pass_is_raised_at_once(reply, cls):
    failure, wire = failing(generated, RECEIPT, reply, DONE)
    assert type(failure) is cls
    assert len(wire.requests) == 2


def test_a_new_task_may_be_unknown_three_times():
    failure, wire = failing(generated, RECEIPT, *[MISSING] * 4, DONE)
    assert type(failure) is NotFoundError
    assert len(wire.requests) == 5


@pytest.mark.parametrize(
    ("work", "script"), [(found, [MISSING]), (generated, [RECEIPT, RUNNING, MISSING])]
)
def test_a_known_task_must_not_be_unknown(work, script):
    failure, wire = failing(work, *script, DONE)
    assert type(failure) is NotFoundError
    assert len(wire.requests) == len(script)


# When they are asked about


async def submitted(zai, group, **params):
    return await (await group.submit(**params)).wait()


FAMILIES = {
    "videos": (generated, RUNNING, DONE, [5, 12.5, 23.75, 38.75, 53.75]),
    "images": (
        lambda zai: submitted(zai, zai.images, model="glm-image", prompt="A cat"),
        RUNNING,
        FakeReply.json({**HEAD, "task_status": "SUCCESS", "image_result": [{"url": URL}]}),
        [2, 5, 9.5, 16.25, 24.25],
    ),
    "chats": (
        lambda zai: submitted(zai, zai.chat.completions, model="glm-5.3", messages="Hi"),
        RUNNING,
        FakeReply.json(
            {
                **HEAD,
                "task_status": "SUCCESS",
                "choices": [
                    {"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
                ],
            }
        ),
        [3, 7.5, 14.25, 24.25, 34.25],
    ),
    "agents": (
        lambda zai: submitted(zai, zai.agents, agent_id="vidu_template_agent", messages=[{}]),
        FakeReply.json({"agent_id": "a", "async_id": "t-1", "status": "pending"}),
        FakeReply.json(
            {
                "async_id": "t-1",
                "status": "success",
                "choices": [{"message": [{"content": [{"type": "video_url", "video_url": URL}]}]}],
            }
        ),
        [3, 7.5, 14.25, 24.25, 34.25],
    ),
    "files": (
        lambda zai: submitted(zai, zai.file_parser, file=b"%PDF-1.7", tool_type="lite"),
        FakeReply.json({"task_id": "t-1", "status": "processing"}),
        FakeReply.json({"task_id": "t-1", "status": "succeeded", "content": ""}),
        [2, 5, 9.5, 16.25, 26.25],
    ),
    "batches": (
        lambda zai: zai.batches.wait("t-1"),
        FakeReply.json({"id": "t-1", "status": "in_progress"}),
        FakeReply.json({"id": "t-1", "status": "completed", "output_file_id": "f-1"}),
        [0, 10, 25, 47.5, 81.25],
    ),
}


@pytest.mark.parametrize("chance", [0.0, 0.5])
@pytest.mark.parametrize("name", FAMILIES)
def test_questions_become_rarer(name, chance):
    work, running, done, expected = FAMILIES[name]
    polls = [running] * 4 + [done]
    receipt = running if name != "batches" else None
    script = [receipt, *polls] if receipt else polls
    result, wire = played(work, *script, chance=chance)
    assert result.state == "succeeded"
    assert [time / (1 + 0.2 * chance) for time in wire.times[-5:]] == pytest.approx(expected)


def test_a_failed_question_is_asked_again_later_and_later():
    script = [RECEIPT, LOST, BUSY, LOST, LOST, RUNNING, DONE]
    _, wire = played(generated, *script)
    gaps = [b - a for a, b in zip(wire.times, wire.times[1:], strict=False)]
    assert gaps == [5, 10, 20, 40, 60, 15]


def test_what_failed_at_once_is_not_asked_again_at_once():
    """Chance makes a back-off longer, as it does an interval, and never shorter."""
    _, wire = played(generated, RECEIPT, BUSY, error("1302", 429, Retry_After="90"), DONE, chance=1)
    assert wire.times == pytest.approx([0, 6, 18, 126])


def test_the_server_may_ask_for_a_longer_wait():
    wait = error("1302", 429, Retry_After="90")
    _, wire = played(generated, RECEIPT, wait, DONE)
    assert wire.times == [0, 5, 95]


def test_failures_without_end_are_raised_after_some_patience():
    failure, wire = failing(generated, RECEIPT, BUSY)
    assert type(failure) is RateLimitError
    assert wire.times == [0, 5, 15, 35, 75, 135, 195, 255]


def test_an_outage_without_end_neither_overflows_nor_stretches_the_backoff():
    backoff = PollBackoff(PollSchedule(5.0, 15.0))
    broken = ServerError("no", repeat="short")
    for now in range(2000):
        backoff.polled(now, 0.0)
        assert backoff.tolerates(broken, now, 0.5, math.inf)
        assert backoff.wait(now) <= 66.0
    backoff.answered("PROCESSING")
    backoff.polled(5000, 0.0)
    assert backoff.wait(5000) == 15.0


def test_an_answer_in_between_renews_the_patience():
    script = [RECEIPT, *([LOST] * 5 + [RUNNING]) * 4, DONE]
    video, wire = played(generated, *script)
    assert video.url == URL
    assert len(wire.requests) == len(script)


def test_a_wait_that_is_asked_for_too_long_is_raised_at_once():
    wait = error("1302", 429, Retry_After="3600")
    failure, wire = failing(generated, RECEIPT, wait)
    assert type(failure) is RateLimitError
    assert wire.times == [0, 5]


def test_the_patience_with_failures_can_be_chosen_and_a_task_can_be_waited_for_again():
    async def work(zai):
        task = zai.videos.task("t-1")
        with pytest.raises(ServerError):
            await task.wait(max_poll_failure=20)
        with pytest.raises(ServerError):
            task.result()
        assert not task.done
        return await task.wait(max_poll_failure=20)

    video, wire = played(work, BROKEN, BROKEN, BROKEN, DONE)
    assert video.url == URL
    assert wire.times == [0, 10, 30, 41.25]


# Timeouts and cancelling


def test_a_timeout_is_exact_and_names_the_task():
    async def work(zai):
        task = await zai.videos.submit(**VIDEO)
        with pytest.raises(TaskTimeoutError, match=r"within 7 s") as info:
            await task.wait(7)
        assert asyncio.get_running_loop().time() == 7
        assert info.value.task is task
        assert isinstance(info.value, TimeoutError)
        return await info.value.task.wait(100)

    video, wire = played(work, RECEIPT, RUNNING, DONE)
    assert video.url == URL
    assert wire.times == [0, 5, 12.5]


def asked(seconds):
    """Return a poll that is refused, with the seconds to wait before the next one."""
    document = {"error": {"code": "1302", "message": "slow down"}}
    return FakeReply.json(document, status=429, retry_after=f"{seconds}")


@pytest.mark.parametrize("seconds", [30, 4])
def test_a_wait_for_the_next_poll_that_does_not_fit_does_not_begin(seconds):
    async def work(zai):
        time, task = asyncio.get_running_loop().time, zai.videos.task("t-1")
        await asyncio.sleep(50)
        with pytest.raises(TaskTimeoutError, match=r"within 3 s; the last poll failed") as info:
            await task.wait(3)
        # The back-off of polls is the longer of the two.
        rest = max(seconds, 10)
        assert (time(), info.value.task, info.value.retry_after) == (50, task, rest)
        assert info.value.hint == f"The next poll is due in {rest:g} s."
        # What was known before is waited for: a loop would go round and round.
        with pytest.raises(TaskTimeoutError) as again:
            await task.wait(4)
        assert (time(), again.value.retry_after) == (54, rest - 4)
        with pytest.raises(TaskTimeoutError) as last:
            await task.wait(rest - 4.5)
        assert last.value.retry_after == 0.5
        return rest, await task.wait(100)

    (rest, video), wire = played(work, asked(seconds), DONE)
    assert (video.url, wire.times) == (URL, [50, 50 + rest])


def test_a_failure_that_another_waiter_has_found_is_raised_by_all_of_them():
    async def work(zai):
        task = zai.videos.task("t-1")
        return await asyncio.gather(task.wait(), task.wait(), return_exceptions=True)

    late = msgspec.structs.replace(RUNNING, delay=8.0)
    found, _ = played(work, late, FAILED)
    assert [type(each) for each in found] == [TaskFailedError] * 2


def test_what_another_waiter_was_asked_to_wait_counts_for_all_of_them():
    async def work(zai):
        time, task = asyncio.get_running_loop().time, zai.videos.task("t-1")
        assert (await task.fetch()).task_status == "PROCESSING"

        async def late(seconds, interval):
            with pytest.raises(TaskTimeoutError):
                await task.wait(seconds, interval=interval)
            return time()

        return await asyncio.gather(late(6, 1), late(12, 3), late(12, None))

    times, wire = played(work, RUNNING, asked(60))
    assert (times, wire.times) == ([1, 3, 5], [0, 1])


def test_a_wait_for_the_next_poll_that_fits_is_waited_for():
    async def work(zai):
        await asyncio.sleep(50)
        return await found(zai, timeout=31)

    video, wire = played(work, asked(30), DONE)
    assert (video.url, wire.times) == (URL, [50, 80])
    failure, _ = failing(lambda zai: found(zai, timeout=30), asked(30), DONE)
    assert type(failure) is TaskTimeoutError
    assert failure.timing.total == 0  # at that moment the time is over, too


@pytest.mark.parametrize("status", ["SUCCESS", "success", " Success "])
def test_success_is_known_however_it_is_written(status):
    async def work(zai):
        task = zai.videos.task("t-1")
        await task.fetch()
        return task.done

    done = {**HEAD, "task_status": status, "video_result": [{"url": URL}]}
    assert played(work, FakeReply.json(done))[0]


def test_a_timeout_interrupts_a_question_that_hangs():
    async def work(zai):
        task = zai.videos.task("t-1")
        with pytest.raises(TaskTimeoutError):
            await task.wait(1)
        return asyncio.get_running_loop().time(), await task.wait()

    (moment, video), wire = played(work, FakeReply(delay=1e6), DONE)
    assert (moment, video.url, wire.times) == (1, URL, [0, 5])


def test_a_timeout_of_generate_keeps_the_task():
    failure, wire = failing(lambda zai: generated(zai, timeout=6), RECEIPT, RUNNING)
    assert (type(failure), failure.task.id, wire.submissions) == (TaskTimeoutError, "t-1", 1)


async def test_cancelling_a_wait_at_any_moment_leaves_the_task_alone():
    async with Emulator() as emulator:
        url = emulator.url
        async with AsyncZai(api_key=KEY, base_url=url, trust_env=False, clock=Hasty()) as zai:
            task = await zai.videos.submit(**VIDEO)
            for steps in range(1000):
                wait = asyncio.create_task(task.wait())
                for _ in range(steps):
                    await asyncio.sleep(0)
                if wait.done():
                    break
                wait.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await wait
            video = await wait
    operations = [request.operation for request in emulator.requests]
    assert operations.count("videos.create") == 1
    assert set(operations) == {"videos.create", "tasks.retrieve"}
    assert video.url


class Hasty:
    """Does not wait at all."""

    def monotonic(self):
        return asyncio.get_running_loop().time()

    def wall(self):
        return 1_790_000_000.0

    def random(self):
        return 0.0

    async def sleep(self, seconds):
        self.monotonic = lambda: 1e9 + seconds
        await asyncio.sleep(0)
        del self.monotonic


def test_an_outer_scope_is_not_a_timeout_of_the_task():
    async def work(zai):
        with anyio.move_on_after(6) as scope:
            await generated(zai, timeout=100)
        return scope.cancelled_caught

    assert played(work, RECEIPT, RUNNING)[0]


# Updates


def test_updates_are_every_answer_and_end_with_the_result():
    async def work(zai):
        task = zai.videos.task("t-1")
        seen = [(update.task_status, task.status) async for update in task.updates()]
        again = [update.url async for update in task.updates()]
        return seen, again, task.result().url, await task.fetch() is await task.wait()

    result, wire = played(work, RUNNING, LOST, RUNNING, DONE)
    told = ["PROCESSING", "PROCESSING", "SUCCESS"]
    assert result == ([(status, status) for status in told], [URL], URL, True)
    assert len(wire.requests) == 4


def test_updates_are_over_when_they_are_over():
    async def work(zai):
        updates = zai.videos.task("t-1").updates()
        await anext(updates)
        return [update async for update in updates]

    assert played(work, DONE)[0] == []


def test_a_wait_for_an_update_that_is_given_up_drops_no_poll():
    async def work(zai):
        updates = zai.videos.task("t-1").updates()
        await give_up_a_read(updates)
        first = await anext(updates)
        await give_up_a_read(updates)
        return [first.task_status, *[update.task_status async for update in updates]]

    told, wire = played(work, RUNNING, DONE)
    assert told == ["PROCESSING", "SUCCESS"]
    assert len(wire.requests) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_on_update_sees_every_answer(asynchronous):
    seen = []

    async def slow(update):
        await asyncio.sleep(1)
        seen.append(update.task_status)

    watch = slow if asynchronous else lambda update: seen.append(update.task_status)
    played(lambda zai: generated(zai, on_update=watch), RECEIPT, RUNNING, DONE)
    assert seen == ["PROCESSING", "SUCCESS"]


def test_what_on_update_raises_ends_the_wait_and_not_the_task():
    async def work(zai):
        task = zai.videos.task("t-1")
        with pytest.raises(ZeroDivisionError):
            await task.wait(on_update=lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            task.result()
        with pytest.raises(ZeroDivisionError):
            await task.wait(on_update=lambda _: 1 / 0)
        return task.done, task.result().url

    assert played(work, RUNNING, DONE)[0] == (True, URL)


def test_many_who_wait_share_the_questions():
    async def work(zai):
        task = zai.videos.task("t-1")
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(task.wait)
        return task.result().url

    url, wire = played(work, RUNNING, RUNNING, DONE)
    assert (url, wire.times) == (URL, [0, 5, 12.5])


def test_a_question_that_fails_after_the_end_was_found_is_of_no_interest():
    late = FakeReply.json({"error": {"code": "1000", "message": "no"}}, status=401)

    async def work(zai):
        task = zai.videos.task("t-1")
        async with anyio.create_task_group() as group:
            group.start_soon(task.wait)
            group.start_soon(task.wait)
        return asyncio.get_running_loop().time(), task.result().url

    slow = [msgspec.structs.replace(DONE, delay=12.0), msgspec.structs.replace(late, delay=10.0)]
    assert played(work, *slow)[0] == (15, URL)


def test_an_unknown_status_is_reported_once(caplog):
    odd = FakeReply.json({**HEAD, "task_status": "PAUSED"})
    other = FakeReply.json({**HEAD, "task_status": "RESUMED"})
    with caplog.at_level(logging.WARNING, "zai_async"):
        played(generated, RECEIPT, odd, odd, RUNNING, odd, other, DONE)
    assert caplog.messages == [
        "<Task videos 't-1'>: the answer has the unknown status 'PAUSED'; polling on",
        "<Task videos 't-1'>: the answer has the unknown status 'RESUMED'; polling on",
    ]


# Results


def test_nothing_is_known_before_anything_was_asked():
    async def work(zai):
        task = zai.videos.task("t-1")
        with pytest.raises(TaskError, match="not done") as info:
            task.result()
        return info.value.task is task, task.done, task.status

    (same, done, status), wire = played(work, DONE)
    assert (same, done, status, wire.requests) == (True, False, "", [])


def test_a_wait_that_was_cancelled_says_nothing_about_the_task():
    async def work(zai):
        task = zai.videos.task("t-1")
        with anyio.move_on_after(1):
            await task.wait()
        with pytest.raises(TaskError, match="not done") as info:
            task.result()
        return info.value.task is task, (await task.wait()).url

    (same, url), _ = played(work, RUNNING, DONE)
    assert same
    assert url


def test_a_failure_stays():
    async def work(zai):
        task = zai.videos.task("t-1")
        errors = []
        for ask in (task.wait, task.wait, task.fetch, task.result):
            with pytest.raises(TaskFailedError) as info:
                await ask() if ask != task.result else ask()
            errors.append(info.value)
        return errors

    errors, wire = played(work, FAILED)
    assert len({id(each) for each in errors}) == 1
    assert len(wire.requests) == 1


def test_a_lost_completion_is_not_handed_out_as_a_result():
    lost = {"finish_reason": "network_error", "message": {"role": "assistant", "content": "Hal"}}
    reply = FakeReply.json({**HEAD, "task_status": "SUCCESS", "choices": [lost]})

    async def work(zai):
        task = zai.chat.completions.task("t-1")
        with pytest.raises(GenerationFailedError) as info:
            await task.wait()
        assert task.done
        return info.value

    failure, _ = played(work, reply)
    assert (failure.partial.text, failure.operation) == ("Hal", "tasks.result")
    assert len(failure.attempts) == 1


def test_a_batch_that_failed_can_be_looked_at():
    expired = FakeReply.json(
        {"id": "b-1", "status": "expired", "request_counts": {"total": 2, "completed": 1}}
    )
    failure, _ = failing(lambda zai: zai.batches.wait("b-1"), expired)
    assert (failure.message, failure.partial.request_counts.completed) == (
        "the task ended as 'expired'",
        1,
    )


def test_a_file_that_could_not_be_parsed_says_why():
    failed = FakeReply.json({"task_id": "t-1", "status": "failed", "message": "encrypted"})
    failure, _ = failing(lambda zai: zai.file_parser.task("t-1").wait(), failed)
    assert failure.message == "the task ended as 'failed': encrypted"


AGENT = {"agent_id": "a", "async_id": "x-1"}


@pytest.mark.parametrize(
    ("code", "message"), [("1301", "no"), ("400", "custom_variables is required")]
)
def test_an_agent_that_fails_is_believed(code, message):
    body = {**AGENT, "status": "failed", "error": {"code": code, "message": message}}
    failure, wire = failing(lambda zai: zai.agents.task(**AGENT).wait(), FakeReply.json(body))
    assert (type(failure), failure.code, failure.message) == (TaskFailedError, code, message)
    assert wire.bodies == [AGENT]


def test_an_agent_that_is_busy_is_asked_again():
    busy = {**AGENT, "status": "failed", "error": {"code": "1302", "message": "busy"}}
    done = {**AGENT, "status": "success", "choices": [{"message": [{"content": "Hi"}]}]}
    script = [FakeReply.json(busy), FakeReply.json(done)]
    reply, wire = played(lambda zai: zai.agents.task(**AGENT).wait(), *script)
    assert (reply.text, len(wire.requests)) == ("Hi", 2)


# Handles


def handle():
    return AsyncZai(api_key=KEY, base_url="http://127.0.0.1:9").videos.task("t-1")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "make",
    [
        lambda zai: zai.videos.task("t-1"),
        lambda zai: zai.images.task("t-1"),
        lambda zai: zai.chat.completions.task("t-1"),
        lambda zai: zai.agents.task(agent_id="a", async_id="x"),
        lambda zai: zai.file_parser.task("t-1", "download_link"),
        lambda zai: zai.batches.task("t-1"),
    ],
    ids=range(6),
)
def test_a_handle_survives_a_pickle(make, protocol):
    async def work(zai):
        task = make(zai)
        data = pickle.dumps(task, protocol)
        assert KEY.encode() not in data
        other = pickle.loads(data)
        assert other == task == ANY
        assert hash(other) == hash(task)
        assert repr(other) == repr(task)
        with pytest.raises(ConfigurationError, match=r"zai\.attach\(task\)"):
            await other.wait()
        with pytest.raises(ConfigurationError, match=r"zai\.attach\(task\)"):
            await other.fetch()

    assert played(work, RUNNING)[1].requests == []


def test_a_handle_is_attached_in_another_client():
    async def work(zai):
        task = await zai.videos.submit(**VIDEO)
        copied = zai.attach(copy.copy(task))
        assert (copied.model, copied.request_id) == ("cogvideox-3", "r-1")
        return await copied.wait()

    assert played(work, RECEIPT, DONE)[0].url == URL


def test_handles_of_different_tasks_differ():
    async def work(zai):
        videos, images = zai.videos, zai.images
        assert videos.task("t-1") == videos.task("t-1")
        assert videos.task("t-1") != videos.task("t-2")
        assert videos.task("t-1") != images.task("t-1")
        assert videos.task("t-1") != "t-1"
        assert len({videos.task("t-1"), videos.task("t-1")}) == 1

    played(work, RUNNING)


def waited_elsewhere(task: Task, url: str) -> str:
    async def work():
        async with AsyncZai(api_key=KEY, base_url=url, trust_env=False) as zai:
            return (await zai.attach(task).wait()).url

    return asyncio.run(work())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_task_is_waited_for_in_another_process():
    async def work(url):
        async with AsyncZai(api_key=KEY, base_url=url, trust_env=False) as zai:
            return await zai.videos.submit(**VIDEO)

    with Emulator() as emulator:
        emulator.tasks.polls = 1
        task = asyncio.run(work(emulator.url))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            url = pool.submit(waited_elsewhere, task, emulator.url).result()
    assert url.endswith(".mp4")


# All of it at once


POLLS = {
    "running": RUNNING,
    "odd": FakeReply.json({**HEAD, "task_status": "ODD"}),
    "busy": BUSY,
    "broken": BROKEN,
    "lost": LOST,
    "missing": MISSING,
    "denied": error("1000", 401),
    "failed": FAILED,
    "empty": FakeReply.json({**HEAD, "task_status": "SUCCESS"}),
    "page": FakeReply(steps=(b"<html>",)),
    "hangs": FakeReply(delay=1e5),
    "done": DONE,
}


@given(
    polls=st.lists(st.sampled_from(sorted(POLLS)), min_size=1, max_size=12),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_whatever_happens_there_is_one_end_and_one_submission(polls, chance):
    async def work(zai):
        task = await zai.videos.submit(**VIDEO)
        try:
            end = (await task.wait(1e4)).url
        except TaskFailedError as error:
            end = error
        except TaskTimeoutError:
            return "timeout", task.done
        except (NotFoundError, AuthenticationError, ResponseError, ServerError) as error:
            return type(error).__name__, task.done
        except (RateLimitError, TransportError) as error:
            return type(error).__name__, task.done
        return ("done" if end == URL else "failed"), task.done

    (end, done), wire = played(work, RECEIPT, *(POLLS[name] for name in polls), chance=chance)
    assert wire.submissions == 1
    assert done == (end in {"done", "failed"})
    asked = polls[: len(wire.requests) - 1]
    if end == "done":
        assert asked.index("done") == len(asked) - 1
    if end == "failed":
        assert asked[-1] in {"failed", "empty"}
    gaps = [b - a for a, b in zip(wire.times, wire.times[1:], strict=False)]
    assert all(gap >= 5 for gap in gaps)


@pytest.mark.parametrize("seconds", [-1, -0.1, math.nan, True, "1"])
@pytest.mark.parametrize("limit", ["interval", "max_poll_failure"])
def test_updates_at_impossible_times_are_refused_before_anything_is_sent(limit, seconds):
    async def work(zai):
        task = zai.videos.task("t-1")
        with pytest.raises(ConfigurationError, match=limit):
            task.updates(**{limit: seconds})

    _, wire = played(work)
    assert wire.requests == []
