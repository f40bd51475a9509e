"""Submitting: once, and never again when nobody knows what became of it."""

import asyncio
import contextlib

import pytest

from tests.task_wire import RECEIPT, VIDEO, played
from zai_async import (
    BadRequestError,
    BillingError,
    CallOptions,
    ClientClosedError,
    ClientDrainingError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    Hooks,
    LimitError,
    RequestTimeoutError,
    SubmitUnknownError,
    TaskError,
    ZaiError,
)
from zai_async.testing import FakeReply

OVERLOADED = FakeReply.json({"error": {"code": "1305", "message": "busy"}}, status=429)
LOST = FakeReply(failure=ConnectionLostError("gone"))


async def submit(zai, **params):
    return await zai.videos.submit(**VIDEO, **params)


def refused(*script, work=submit, cls=SubmitUnknownError, **changes):
    async def caught(zai):
        with pytest.raises(cls) as info:
            await work(zai)
        return info.value

    return played(caught, *script, **changes)


@pytest.mark.parametrize(
    "reply",
    [
        LOST,
        FakeReply(failure=RequestTimeoutError("silence")),
        FakeReply(steps=(b'{"id":"t-', ConnectionLostError("cut"))),
        FakeReply(steps=(b"<html>fine</html>",)),
        FakeReply(status=500),
        FakeReply(status=502, steps=(b"<html>Bad Gateway</html>",)),
        FakeReply(status=503, steps=(b'{"code": 503, "message": "later"}',)),
        FakeReply(status=504),
        FakeReply.json({"error": {"code": "500", "message": "Internal"}}, status=500),
        FakeReply.json({"task_status": "FAIL"}),
    ],
    ids=range(10),
)
def test_what_may_have_been_accepted_is_not_submitted_again(reply):
    failure, wire = refused(reply, RECEIPT)
    assert len(wire.requests) == 1
    assert isinstance(failure, TaskError)
    assert failure.task is None
    assert failure.message.startswith("it is unknown whether the task was accepted: ")
    assert "console" in failure.hint
    assert failure.operation == "videos.submit"
    assert [attempt.number for attempt in failure.attempts] == [1]
    assert failure.kind == failure.__cause__.kind


def test_hooks_are_told_what_the_caller_is():
    ends, left = [], []

    @contextlib.contextmanager
    def around(event):
        try:
            yield
        except ZaiError as error:
            left.append((event.kind, type(error)))
            raise

    hooks = Hooks(on_finish=ends.append, around=around)
    failure, _ = refused(FakeReply.json({"task_status": "FAIL"}), hooks=hooks)
    assert [end.error for end in ends] == [failure]
    assert ends[0].end == "failed"
    # What has failed is a request, as the record of the attempts says.
    assert left == [("attempt", type(failure.__cause__)), ("call", SubmitUnknownError)]
    assert failure.attempts[0].error == type(failure.__cause__).__name__
    assert failure.attempts[0].maybe_billed is False


def test_a_drain_after_a_refusal_leaves_nothing_unknown():
    async def draining(zai):
        closing = asyncio.create_task(zai.drain(0.5))
        try:
            await submit(zai)
        finally:
            await closing

    failure, _ = refused(OVERLOADED, work=draining, cls=ClientDrainingError)
    assert {attempt.error for attempt in failure.attempts} == {"RateLimitError"}


def test_a_deadline_hides_the_answer_too():
    options = CallOptions(deadline=5.0)
    failure, wire = refused(FakeReply(delay=100.0), work=lambda zai: submit(zai, options=options))
    assert (failure.kind, len(wire.requests)) == ("timeout", 1)


def test_an_answer_that_is_too_large_hides_the_task():
    failure, _ = refused(FakeReply(steps=(b" " * 2000,)), max_response_bytes=1000)
    assert isinstance(failure.__cause__, LimitError)


@pytest.mark.parametrize(
    "reply",
    [
        OVERLOADED,
        FakeReply.json({"error": {"code": "1302", "message": "slow down"}}, status=500),
        FakeReply.json({"error": {"code": "1234", "message": "network"}}, status=500),
        FakeReply(status=429),
        FakeReply(failure=ConnectError("refused")),
    ],
    ids=range(5),
)
def test_what_was_refused_is_submitted_again(reply):
    task, wire = played(submit, reply, reply, RECEIPT)
    assert (task.id, task.model, task.request_id) == ("t-1", "cogvideox-3", "r-1")
    assert len(wire.requests) == 3


def test_after_a_refusal_the_answer_may_be_lost():
    failure, wire = refused(OVERLOADED, LOST, RECEIPT)
    assert len(wire.requests) == 2
    assert [attempt.error for attempt in failure.attempts] == [
        "RateLimitError",
        "ConnectionLostError",
    ]


@pytest.mark.parametrize(
    ("code", "status", "cls"), [("1113", 429, BillingError), ("1210", 400, BadRequestError)]
)
def test_a_refusal_for_good_is_raised_as_it_is(code, status, cls):
    reply = FakeReply.json({"error": {"code": code, "message": "no"}}, status=status)
    assert len(refused(reply, RECEIPT, cls=cls)[1].requests) == 1


def test_what_was_not_sent_is_no_unknown_submission():
    failure, wire = refused(
        RECEIPT, work=lambda zai: zai.videos.submit(model=""), cls=ConfigurationError
    )
    assert (type(failure), wire.requests) == (ConfigurationError, [])


def test_a_closed_client_has_submitted_nothing():
    async def work(zai):
        await zai.aclose()
        await submit(zai)

    failure, wire = refused(RECEIPT, work=work, cls=ClientClosedError)
    assert (failure.attempts, wire.requests) == ((), [])


def test_a_receipt_without_a_name_is_no_receipt():
    receipt = b'{"task_status": "PROCESSING", "request_id": "r-9"}'
    failure, wire = refused(FakeReply(delay=2.0, steps=(receipt,)))
    assert (failure.request_id, len(failure.attempts), len(wire.requests)) == ("r-9", 1, 1)
    assert failure.timing.total == 2
    assert "not an answer of videos.submit, which has id" in failure.message
    assert failure.body == receipt.decode()


def test_a_submission_can_be_cancelled():
    async def work(zai):
        task = asyncio.create_task(submit(zai))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert played(work, FakeReply(delay=10.0))[1].submissions == 1


# The other kinds of tasks


def test_an_agent_that_answers_at_once_is_done():
    reply = {"id": "a-1", "status": "success", "choices": [{"messages": {"content": "Hallo"}}]}

    async def work(zai):
        task = await zai.agents.submit(agent_id="general_translation", messages=[{}])
        return task.done, task.id, (await task.wait()).text

    result, wire = played(work, FakeReply.json(reply))
    assert result == (True, "a-1", "Hallo")
    assert len(wire.requests) == 1


def test_an_agent_that_says_nothing_has_no_task():
    work = lambda zai: zai.agents.submit(agent_id="a", messages=[{}])  # noqa: E731
    refused(FakeReply.json({"agent_id": "a", "status": "pending"}), work=work)


def test_an_agents_task_is_asked_about_with_both_names():
    async def work(zai):
        task = await zai.agents.submit(agent_id="vidu_template_agent", messages=[{}])
        await task.fetch()

    reply = FakeReply.json({"async_id": "x-1", "status": "pending"})
    assert played(work, reply)[1].bodies[1] == {
        "agent_id": "vidu_template_agent",
        "async_id": "x-1",
    }


@pytest.mark.parametrize("kind", ["text", "download_link"])
def test_a_file_is_parsed_into_what_was_wanted(kind):
    async def work(zai):
        task = await zai.file_parser.submit(
            file=("a.pdf", b"%PDF-1.7"), tool_type="lite", file_type="PDF", format_type=kind
        )
        await task.fetch()

    script = [{"task_id": "f-1"}, {"task_id": "f-1", "status": "processing"}]
    _, wire = played(work, *map(FakeReply.json, script))
    assert wire.requests[1].url == f"https://api.z.ai/api/paas/v4/files/parser/result/f-1/{kind}"


def test_a_file_task_without_a_name_is_unknown():
    work = lambda zai: zai.file_parser.submit(file=b"x", tool_type="lite")  # noqa: E731
    refused(FakeReply.json({"success": True}), work=work)


def test_a_model_that_is_not_named_is_the_one_that_was_asked():
    task, _ = played(submit, FakeReply.json({"id": "t-1"}))
    assert task.model == "cogvideox-3"
