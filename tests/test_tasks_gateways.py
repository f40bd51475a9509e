"""Polls that answer in other words, about other tasks, or with nothing of the kind."""

import asyncio
import copy
import json
import logging
import math
import pickle

import pytest

from tests.calls import KEY
from tests.task_wire import BUSY, DONE, HEAD, RECEIPT, RUNNING, URL, VIDEO, Wire, generated, played
from tests.virtual_loop import run
from zai_async import (
    AsyncZai,
    CallOptions,
    ConfigurationError,
    NotFoundError,
    ResponseError,
    TaskFailedError,
    TaskTimeoutError,
    ZaiError,
)
from zai_async.testing import FakeReply


async def found(zai, **params):
    return await zai.videos.task("t-1").wait(**params)


def failing(work, *script, cls=ZaiError, **changes):
    async def caught(zai):
        with pytest.raises(cls) as info:
            await work(zai)
        return info.value

    return played(caught, *script, **changes)


# Other words


@pytest.mark.parametrize(
    "running", ["processing", "queued", "In Progress", "in-progress", "PENDING"]
)
@pytest.mark.parametrize(
    "done",
    [
        {"status": "completed", "video_url": URL},
        {"status": "Succeeded", "url": URL},
        {"state": "done", "output": {"video_url": URL}},
        {"taskStatus": "SUCCESS", "data": [{"url": URL}]},
        {"status": "finished", "video": {"url": URL}},
        {"status": "ready", "output": URL},
        {"status": "complete", "result": [URL]},
        {"task_status": "SUCCESS", "video_url": URL},
        {"video_url": URL},
    ],
    ids=json.dumps,
)
def test_a_video_is_found_in_the_words_of_any_gateway(running, done, caplog):
    polls = [{"id": "t-1", "status": running, "progress": 7}, {"id": "t-1", **done}]
    with caplog.at_level(logging.WARNING, "zai_async"):
        video, wire = played(generated, RECEIPT, *map(FakeReply.json, polls))
    assert (video.url, video.state) == (URL, "succeeded")
    assert len(wire.requests) == 3
    assert caplog.messages == []


def test_a_receipt_may_be_in_other_words_too():
    receipt = FakeReply.json({"id": "t-1", "status": "processing"})
    done = FakeReply.json({"id": "t-1", "status": "completed", "video_url": URL, "cover_url": "c"})
    video, _ = played(generated, receipt, done)
    assert (video.url, video.cover_url, len(video.files)) == (URL, "c", 1)


def test_an_image_is_found_as_well():
    done = FakeReply.json({"id": "t-1", "status": "completed", "image_url": URL})
    image, _ = played(lambda zai: zai.images.task("t-1").wait(), done)
    assert image.files[0].url == URL


def test_an_address_beside_a_result_is_not_put_in_its_place():
    done = {"id": "t-1", "status": "completed", "video_result": [{"url": URL}], "url": "other"}
    video, _ = played(generated, RECEIPT, FakeReply.json(done))
    assert video.urls == [URL]


def test_an_address_says_nothing_about_a_task_that_has_no_files():
    running = FakeReply.json({"id": "t-1", "status": "running", "url": URL})
    choice = {"finish_reason": "stop", "message": {"content": "Hi"}}
    done = FakeReply.json({"id": "t-1", "task_status": "SUCCESS", "choices": [choice]})
    answer, wire = played(lambda zai: zai.chat.completions.task("t-1").wait(), running, done)
    assert (answer.text, len(wire.requests)) == ("Hi", 2)


def test_a_chat_may_have_another_word_for_its_status():
    choice = {"finish_reason": "stop", "message": {"content": "Hi"}}
    script = [{"status": "running"}, {"status": "completed", "choices": [choice]}]
    answer, _ = played(
        lambda zai: zai.chat.completions.task("t-1").wait(), *map(FakeReply.json, script)
    )
    assert answer.text == "Hi"


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({"status": "failed"}, "the task ended as 'failed'"),
        (
            {"status": "failed", "message": "no\x1b credit"},
            r"the task ended as 'failed': no\x1b credit",
        ),
        ({"status": "cancelled", "reason": "by you"}, "the task ended as 'cancelled': by you"),
        ({"status": "failed", "error": {"message": "boom"}}, "the task ended as 'failed': boom"),
        ({"status": "error", "error": "boom"}, "the task ended as 'error': boom"),
        ({"status": "error", "message": "boom"}, "the task ended as 'error': boom"),
        ({"status": "failed", "error": {"code": "1301", "message": "no"}}, "no"),
        ({"status": "completed"}, "the task succeeded without a result"),
        ({"status": "completed", "video_url": ""}, "the task succeeded without a result"),
        ({"status": "completed", "output": {"x": 1}}, "the task succeeded without a result"),
    ],
    ids=str,
)
def test_a_failure_in_other_words_ends_the_wait(last, message):
    failure, wire = failing(generated, RECEIPT, FakeReply.json({"id": "t-1", **last}), DONE)
    assert (type(failure), failure.message) == (TaskFailedError, message)
    assert len(wire.requests) == 2


def test_a_word_of_the_platform_counts_more_than_those_beside_it():
    inner = {"status": "completed", "video_url": "early"}
    running = FakeReply.json({"id": "t-1", "task_status": "PROCESSING", "data": inner})
    video, wire = played(generated, RECEIPT, running, DONE)
    assert (video.url, len(wire.requests)) == (URL, 3)


# In the envelope of a relay

FILM = [{"url": URL}]


@pytest.mark.parametrize("around", [{}, {"code": 200, "msg": "ok"}, {"status": "success"}], ids=str)
@pytest.mark.parametrize("envelope", ["data", "result", "output", "response", "task"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_task_is_followed_in_any_envelope(around, envelope, listed, caplog):
    def wrapped(**task):
        inner = {"id": "t-1", **task}
        return FakeReply.json({**around, envelope: [inner] if listed else inner})

    running = wrapped(task_status="PROCESSING")
    done = wrapped(task_status="SUCCESS", video_result=FILM)
    with caplog.at_level(logging.WARNING, "zai_async"):
        video, wire = played(generated, RECEIPT, running, running, done)
    assert (video.url, video.id, len(wire.requests), caplog.messages) == (URL, "t-1", 4, [])
    assert [attempt.status_code for attempt in video.attempts] == [200]


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ({"task_status": "FAIL", "message": "no"}, "the task ended as 'FAIL': no"),
        ({"task_status": "FAIL", "url": URL}, "the task ended as 'FAIL'"),
        ({"status": "failed", "error": {"message": "no"}}, "the task ended as 'failed': no"),
        ({"state": "Failed", "fail_reason": "no"}, "the task ended as 'Failed': no"),
        ({"status": "cancelled", "failureReason": "no"}, "the task ended as 'cancelled': no"),
        ({"status": "completed"}, "the task succeeded without a result"),
    ],
    ids=str,
)
@pytest.mark.parametrize("around", [{}, {"code": 200}, {"status": "success"}], ids=str)
def test_a_failure_in_an_envelope_ends_the_wait(around, inner, message):
    failure, wire = failing(generated, RECEIPT, FakeReply.json({**around, "data": inner}), DONE)
    assert (type(failure), failure.message) == (TaskFailedError, message)
    assert len(wire.requests) == 2


def test_of_an_envelope_what_is_about_another_task_is_not_taken():
    other = FakeReply.json({"data": {"id": "t-2", "task_status": "SUCCESS", "video_result": FILM}})
    video, wire = played(generated, RECEIPT, other, DONE)
    assert (video.id, len(wire.requests)) == ("t-1", 3)


@pytest.mark.parametrize(
    "inner", [{"status": "odd"}, {"status": 5}, [], [{"status": "failed"}] * 2, [5], "failed", 5]
)
def test_what_is_no_envelope_of_a_task_is_polled_on(inner):
    video, wire = played(generated, RECEIPT, FakeReply.json({"data": inner}), DONE)
    assert (video.url, len(wire.requests)) == (URL, 3)


def test_the_request_id_may_stand_on_either_side_of_an_envelope():
    done = {"task_status": "SUCCESS", "video_result": FILM}
    for body in (
        {"request_id": "r-1", "data": done},
        {"request_id": "outer", "data": {**done, "request_id": "r-1"}},
    ):
        video, _ = played(generated, RECEIPT, FakeReply.json(body))
        assert video.request_id == "r-1"


# An error in place of a status


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"error": {"code": "1113", "message": "no money"}}, "billing"),
        ({"code": 1220, "message": "not yours"}, "permission"),
        ("Not authenticated", "auth"),
    ],
    ids=str,
)
def test_a_poll_that_wraps_an_error_for_good_ends_the_wait(told, kind):
    failure, wire = failing(generated, RECEIPT, FakeReply.json({"detail": told}), DONE)
    assert (failure.kind, failure.status_code, failure.task.id) == (kind, 200, "t-1")
    assert (failure.operation, len(failure.attempts)) == ("tasks.result", 1)
    assert len(wire.requests) == 2


@pytest.mark.parametrize(
    "told", [{"error": {"code": "1302", "message": "busy"}}, {"code": 500, "msg": "x"}, "queued"]
)
def test_a_poll_that_wraps_a_passing_error_is_missed(told):
    refused = FakeReply.json({"detail": told}, retry_after="100")
    video, wire = played(generated, RECEIPT, refused, DONE)
    assert (video.url, len(wire.requests)) == (URL, 3)
    assert wire.times[2] - wire.times[1] == 100


# What repeats the key


@pytest.mark.parametrize(
    "answer",
    [
        {"status": KEY},
        {"status": f"{'x' * 50} {KEY}"},
        {KEY: 5},
        {"x" * 190: 1, KEY: 5},
        {"detail": {"code": 1113, "message": KEY}},
        {"status": "hidden-header"},
        {"id": "t-1", "status": "failed", "message": "bad hidden-header"},
        {"id": "t-hidden-header", "status": "processing"},
        {"status": "completed", "note": "hidden-header"},
    ],
    ids=str,
)
def test_no_error_and_no_warning_of_a_poll_repeats_the_key(answer, caplog):
    with caplog.at_level(logging.WARNING, "zai_async"):
        failure, _ = failing(
            lambda zai: found(zai, timeout=60),
            FakeReply.json(answer),
            headers={"X-Api-Token": "hidden-header"},
        )
    told = [failure.message, str(failure), repr(failure), failure.body or "", *caplog.messages]
    secret = KEY.partition(".")[2]
    for text in told:
        assert secret[:8] not in text
        assert "hidden-header" not in text


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        ({"progress": 5, "eta": 3}, "no status, but 'id', 'progress', 'eta'"),
        ({"status": 5}, "no status, but 'id', 'status'"),
        ({"task_status": "PAUSED\n"}, r"the unknown status 'PAUSED\n'"),
        ({"status": "x" * 100}, f"the unknown status {'x' * 64!r}"),
    ],
)
def test_an_unknown_shape_is_named_by_the_warning_and_the_timeout(answer, shape, caplog):
    odd = FakeReply.json({"id": "t-1", **answer})
    with caplog.at_level(logging.WARNING, "zai_async"):
        failure, _ = failing(lambda zai: found(zai, timeout=60), odd, cls=TaskTimeoutError)
    assert caplog.messages == [f"<Task videos 't-1'>: the answer has {shape}; polling on"]
    assert failure.message == f"the task was not done within 60 s; the last answer has {shape}"


@pytest.mark.parametrize(
    "reply",
    [
        {"status": "error", "message": "try again"},
        {"status": "error"},
        {"status": "error", "url": "x"},
    ],
    ids=str,
)
def test_an_error_that_names_no_task_may_be_about_the_poll_alone(reply):
    video, wire = played(generated, RECEIPT, FakeReply.json(reply), DONE)
    assert (video.url, len(wire.requests)) == (URL, 3)


def test_an_answer_of_nothing_is_an_unknown_shape(caplog):
    failure, _ = failing(
        lambda zai: found(zai, timeout=1), FakeReply.json({}), cls=TaskTimeoutError
    )
    assert "the last answer has no status, but nothing" in failure.message


@pytest.mark.parametrize("answer", [{}, {"id": "t-1", "progress": 5}], ids=str)
def test_answers_without_a_status_do_not_go_on_for_ever(answer):
    updates = []
    failure, wire = failing(
        lambda zai: found(zai, on_update=updates.append, interval=10, max_poll_failure=100),
        FakeReply.json(answer),
        cls=ResponseError,
    )
    assert failure.message.startswith("no answer told in 100 s how far the task is: ")
    assert "no status" in failure.message
    assert "max_poll_failure" in failure.hint
    assert (failure.task.id, failure.partial.task_status) == ("t-1", "")
    assert (len(wire.requests), len(updates)) == (12, 11)


def test_the_updates_of_a_task_without_a_status_end_too():
    async def follow(zai):
        async for update in zai.videos.task("t-1").updates(max_poll_failure=100):
            assert update.task_status == ""

    failure, _ = failing(follow, FakeReply.json({}), cls=ResponseError)
    assert failure.task.id == "t-1"


def test_missed_polls_and_silent_ones_are_one_row():
    silent, lost = FakeReply.json({}), FakeReply.json({}, status=502)
    failure, _ = failing(
        lambda zai: found(zai, interval=10, max_poll_failure=100),
        *[silent, lost] * 20,
        DONE,
        cls=ZaiError,
    )
    assert failure.task.id == "t-1"
    # A status ends the row.
    running = FakeReply.json({"id": "t-1", "task_status": "PROCESSING"})
    video, wire = played(
        lambda zai: found(zai, interval=10, max_poll_failure=100),
        *[*[silent] * 9, running] * 3,
        DONE,
    )
    assert (video.url, len(wire.requests)) == (URL, 31)


def test_warnings_are_bounded(caplog):
    odd = [FakeReply.json({"task_status": f"ODD{number}"}) for number in range(40)]
    played(generated, RECEIPT, *odd, DONE)
    assert len(caplog.messages) == 16


def test_a_timeout_says_why_the_last_poll_failed():
    failure, _ = failing(lambda zai: found(zai, timeout=7), BUSY, cls=TaskTimeoutError)
    assert failure.message == "the task was not done within 7 s; the last poll failed: slow down"
    for polls in ([RUNNING], [BUSY, RUNNING]):
        failure, _ = failing(lambda zai: found(zai, timeout=12), *polls, cls=TaskTimeoutError)
        assert failure.message == "the task was not done within 12 s"


# Not about this task


PAGE = FakeReply(headers={"Content-Type": "text/html"}, steps=(b"<html>just a moment</html>",))
ALICE = FakeReply.json(
    {**HEAD, "id": "t-2", "task_status": "SUCCESS", "video_result": [{"url": "x"}]}
)
ELSEWHERE = {
    "videos": (lambda zai: zai.videos.task("t-1"), ALICE),
    "images": (lambda zai: zai.images.task("t-1"), ALICE),
    "chats": (lambda zai: zai.chat.completions.task("t-1"), ALICE),
    "agents": (
        lambda zai: zai.agents.task(agent_id="a", async_id="t-1"),
        FakeReply.json({"id": "t-1", "async_id": "t-2", "status": "success"}),
    ),
    "files": (
        lambda zai: zai.file_parser.task("t-1"),
        FakeReply.json({"task_id": "t-2", "status": "succeeded", "content": "secret"}),
    ),
    "batches": (
        lambda zai: zai.batches.task("t-1"),
        FakeReply.json({"id": "t-2", "status": "failed"}),
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_answer_about_another_task_is_never_taken(name):
    make, reply = ELSEWHERE[name]
    failure, _ = failing(lambda zai: make(zai).fetch(), reply, cls=ResponseError)
    assert failure.message == "the answer is about the task 't-2' and not 't-1'"
    assert not failure.task.done


@pytest.mark.parametrize(
    "reply",
    [
        PAGE,
        ALICE,
        FakeReply(),
        FakeReply(status=204),
        FakeReply(status=302, headers={"Location": "https://login.example/"}),
        FakeReply(steps=(b'{"id": "t-1"',)),
        FakeReply(steps=(b"null",)),
        FakeReply(steps=(b"[]",)),
    ],
    ids=range(8),
)
def test_what_says_nothing_about_the_task_is_a_missed_poll_for_a_while(reply):
    failure, wire = failing(generated, RECEIPT, reply, cls=ResponseError)
    assert len(wire.requests) == 8
    assert failure.task.id == "t-1"


def test_an_answer_that_is_too_large_is_raised_at_once():
    large = FakeReply(steps=(b" " * 2000,))
    failure, wire = failing(generated, RECEIPT, large, max_response_bytes=1000)
    assert (type(failure).__name__, len(wire.requests)) == ("LimitError", 2)


# Errors carry the task


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply.json({"error": {"code": "1000", "message": "no"}}, status=401),
        FakeReply.json({**HEAD, "task_status": "FAIL"}),
        FakeReply.json({**HEAD, "task_status": "SUCCESS"}),
        PAGE,
        BUSY,
    ],
    ids=range(5),
)
def test_every_error_after_a_submission_carries_the_task(reply):
    failure, _ = failing(generated, RECEIPT, reply)
    assert failure.task.id == "t-1"
    copied = pickle.loads(pickle.dumps(failure))
    assert copied.task == failure.task
    failure, _ = failing(lambda zai: zai.videos.task("t-1").fetch(), reply)
    assert failure.task.id == "t-1"


async def followed(zai):
    async for _ in zai.videos.task("t-1").updates():
        pass


@pytest.mark.parametrize("work", [found, generated, followed])
def test_a_cancellation_carries_the_task(work):
    async def play(zai):
        waiting = asyncio.create_task(work(zai))
        await asyncio.sleep(6)
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError as error:
            return error

    error, _ = played(play, RECEIPT, FakeReply(delay=100.0))
    if work is found:
        error, _ = played(play, FakeReply(delay=100.0))
    assert error.task.id == "t-1"
    assert error.__notes__ == ["while using <Task videos 't-1'>, which goes on"]


def test_a_cancellation_between_two_polls_carries_the_task():
    async def play(zai):
        try:
            await asyncio.wait_for(found(zai), 2)
        except TimeoutError as error:
            return error.__cause__.task.id

    assert played(play, RUNNING)[0] == "t-1"


def test_what_the_caller_raises_is_noted():
    async def play(zai):
        with pytest.raises(ZeroDivisionError) as caught:
            await generated(zai, on_update=lambda _: 1 / 0)
        return caught.value

    error, _ = played(play, RECEIPT, RUNNING)
    assert error.task.id == "t-1"


def test_a_cancelled_submission_says_that_it_may_run():
    async def play(zai):
        waiting = asyncio.create_task(generated(zai))
        await asyncio.sleep(1)
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError as error:
            return error

    error, _ = played(play, FakeReply(delay=10.0))
    assert "It may run and be billed" in error.__notes__[0]
    assert "videos.submit" in error.__notes__[0]


# Intervals


def test_an_interval_takes_the_place_of_the_schedule():
    _, wire = played(lambda zai: found(zai, interval=2), *[RUNNING] * 4, DONE)
    assert wire.times == [0, 2, 4, 6, 8]


def test_an_interval_is_for_submissions_that_wait_too():
    _, wire = played(lambda zai: generated(zai, interval=1), RECEIPT, RUNNING, DONE)
    assert wire.times == [0, 1, 2]
    done = FakeReply.json({"id": "t-1", "status": "completed", "output_file_id": "f-1"})
    script = [FakeReply.json({"id": "t-1", "status": "in_progress"}), done]
    _, wire = played(lambda zai: zai.batches.wait("t-1", interval=2), *script)
    assert wire.times == [0, 2]


def test_an_interval_is_for_updates_too_and_yields_to_a_back_off():
    async def work(zai):
        return [each async for each in zai.videos.task("t-1").updates(interval=1)]

    updates, wire = played(work, RUNNING, BUSY, RUNNING, DONE)
    assert wire.times == [0, 1, 11, 12]
    assert len(updates) == 3


@pytest.mark.parametrize(
    "limits",
    [
        {"interval": 0},
        {"interval": -1},
        {"interval": math.inf},
        {"interval": math.nan},
        {"interval": "5"},
        {"interval": True},
        {"timeout": -1},
        {"timeout": math.nan},
        {"timeout": "soon"},
        {"max_poll_failure": -1},
        {"max_poll_failure": math.nan},
    ],
    ids=str,
)
def test_a_time_that_cannot_be_waited_for_is_refused(limits):
    (name,) = limits
    failure, wire = failing(lambda zai: found(zai, **limits), DONE, cls=ConfigurationError)
    assert failure.message.startswith(f"{name} must be a number of seconds")
    assert wire.requests == []


def test_times_may_be_zero_or_endless():
    video, _ = played(lambda zai: found(zai, timeout=math.inf, max_poll_failure=math.inf), DONE)
    assert video.url == URL
    failure, _ = failing(lambda zai: found(zai, timeout=0), RUNNING, cls=TaskTimeoutError)
    assert failure.task.id == "t-1"


# Handles from elsewhere


MISSING = FakeReply.json({"error": {"code": "1233", "message": "no such task"}}, status=404)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        (
            {"api_key": "other.secret-of-mine"},
            "submitted with another key, and polled at https://api.z",
        ),
        (
            {"provider": "bigmodel"},
            "submitted at https://api.z.ai/api, and polled at https://open.bigmodel.cn/api",
        ),
        ({}, None),
    ],
)
def test_a_handle_from_another_gateway_or_key_says_so(changes, hint):
    async def play():
        async with AsyncZai(api_key=KEY, transport=Wire(RECEIPT)) as zai:
            task = copy.copy(await zai.videos.submit(**VIDEO))
        data = pickle.dumps(task)
        assert KEY.rpartition(".")[2].encode() not in data
        other = {"api_key": KEY, "transport": Wire(MISSING)} | changes
        async with AsyncZai(**other) as zai:
            with pytest.raises(NotFoundError) as caught:
                await zai.attach(pickle.loads(data)).fetch()
        return str(caught.value)

    text = run(play())
    assert (hint in text) if hint else "submitted" not in text


def test_of_a_handle_by_name_nobody_knows_where_it_was_submitted():
    async def play():
        async with AsyncZai(api_key=KEY, transport=Wire()) as zai:
            data = pickle.dumps(zai.videos.task("t-1"))
        async with AsyncZai(api_key="other.of-mine", transport=Wire(MISSING)) as zai:
            with pytest.raises(NotFoundError) as caught:
                await zai.attach(pickle.loads(data)).fetch()
        return str(caught.value)

    assert "submitted" not in run(play())


# What was allowed when a task was submitted


def test_an_outcome_that_was_allowed_at_the_submission_is_a_result():
    choice = {"finish_reason": "length", "message": {"content": "", "reasoning_content": "hm"}}
    done = FakeReply.json({"id": "t-1", "task_status": "SUCCESS", "choices": [choice]})

    async def work(zai, **params):
        chats = zai.chat.completions
        task = await chats.submit(model="glm-5.3", messages="Hi", **params)
        return await zai.attach(pickle.loads(pickle.dumps(task))).wait()

    failure, _ = failing(work, RECEIPT, done)
    assert failure.outcome == "empty"
    options = CallOptions(allow={"empty"})
    answer, _ = played(lambda zai: work(zai, options=options), RECEIPT, done)
    assert (answer.outcome, answer.thinking) == ("empty", "hm")


@pytest.mark.parametrize("word", ["running", "pending", "starting", "a_word_of_theirs"])
def test_the_words_of_gateways_are_the_status_of_the_task(word):
    async def work(zai):
        task = zai.videos.task("t-1")
        await task.fetch()
        return task.status

    assert played(work, FakeReply.json({"state": word}))[0] == word


# Tasks of other kinds

SAID = [{"role": "assistant", "content": "as far as it came"}]


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        ("SUCCESS", {}, "the task succeeded without a result"),
        ("FAILED", {}, "the task ended as 'FAILED'"),
        ("CANCELLED", {"error": "by you"}, "the task ended as 'CANCELLED': by you"),
        ("EXPIRED", {"fail_reason": "late"}, "the task ended as 'EXPIRED': late"),
    ],
)
def test_a_chat_that_ends_without_an_answer_says_why(status, reason, message):
    answer = {"id": "t-1", "task_status": status, "choices": [], **reason}
    failure, _ = failing(
        lambda zai: zai.chat.completions.task("t-1").wait(), FakeReply.json(answer)
    )
    assert (type(failure), failure.message) == (TaskFailedError, message)


def test_what_a_chat_said_is_no_reason_of_its_failure():
    said = [{"index": 0, "message": SAID[0]}]
    answer = {"id": "t-1", "task_status": "CANCELLED", "choices": said}
    failure, _ = failing(
        lambda zai: zai.chat.completions.task("t-1").wait(), FakeReply.json(answer)
    )
    assert failure.message == "the task ended as 'CANCELLED'"
    assert failure.partial.text == SAID[0]["content"]


@pytest.mark.parametrize(
    "content", [[], "", [{"type": "video_url", "video_url": ""}], [{"type": "text", "text": ""}]]
)
def test_an_agent_that_says_nothing_has_no_result(content):
    said = [{"index": 0, "message": [{"role": "assistant", "content": content}]}]
    answer = {"status": "success", "async_id": "t-1", "choices": said}
    failure, _ = failing(
        lambda zai: zai.agents.task(agent_id="a", async_id="t-1").wait(), FakeReply.json(answer)
    )
    assert failure.message == "the task succeeded without a result"


@pytest.mark.parametrize("submitted", [False, True])
def test_a_link_that_was_asked_for_has_to_be_there(submitted):
    done = {"status": "succeeded", "task_id": "t-1"}

    async def parsed(zai, kind):
        task = zai.file_parser.task("t-1", kind)
        if submitted:
            params = {"file": ("a.pdf", b"%PDF"), "tool_type": "lite", "file_type": "PDF"}
            task = await zai.file_parser.submit(format_type=kind, **params)
        copied = zai.attach(pickle.loads(pickle.dumps(task)))
        with pytest.raises(TaskFailedError, match="without a result"):
            await copied.wait()
        return await task.wait()

    receipt = [FakeReply.json({"task_id": "t-1"})] if submitted else []
    link = FakeReply.json(done | {"parsing_result_url": URL})
    file, _ = played(lambda zai: parsed(zai, "download_link"), *receipt, FakeReply.json(done), link)
    assert file.parsing_result_url == URL


def test_a_blank_page_has_no_text():
    done = FakeReply.json({"status": "succeeded", "task_id": "t-1"})
    file, _ = played(lambda zai: zai.file_parser.task("t-1").wait(), done)
    assert file.text == ""
