"""Clients with several keys: calls go where there is room, and around what is used up."""

import asyncio
import logging
import math
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests.batches import client, collect, completion, echo, refusal, rows
from tests.calls import FakeClock
from zai_async import (
    AuthenticationError,
    CallOptions,
    ConfigurationError,
    MissingKeyError,
    QuotaError,
    RateLimitError,
    TaskFailedError,
    ledger,
)
from zai_async.session import in_flight
from zai_async.session.keys import ClientKey, KeyRing
from zai_async.testing import FakeReply

KEYS = ["key-of-the-first", "key-of-the-second"]
FIRST, SECOND = KEYS
SOUND = b"RIFF" + bytes(4) + b"WAVEfmt " + bytes(32)
IN_AN_HOUR = f"{datetime.now(UTC) + timedelta(hours=9):%Y-%m-%d %H:%M:%S}"
QUOTA = refusal("1308", 429, f"Your limit will reset at {IN_AN_HOUR}")


def key_of(request):
    return request.secret_headers["Authorization"].reveal().removeprefix("Bearer ")


def clients(answers, **settings):
    """Return a client of two keys, of which each gets its own answers."""

    def script(request):
        answer = answers.get(key_of(request), echo)
        return answer if isinstance(answer, FakeReply) else answer(request)

    return client(script, **{"api_key": KEYS, "clock": FakeClock(), **settings})


def used(transport):
    return Counter(map(key_of, transport.requests))


async def ask(zai, text="Hi."):
    return await zai.chat.completions.create(model="glm-5.3", messages=text)


async def test_each_key_has_a_window_of_its_own():
    slow = FakeReply(
        delay=0.01, steps=FakeReply.json(completion()).steps, headers={"Content-Type": "json"}
    )
    zai, transport = clients({FIRST: slow, SECOND: slow}, limits=3, clock=None)
    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(ask(zai))
    assert used(transport) == {FIRST: 6, SECOND: 6}
    assert zai.limits.snapshot()["glm-5.3"].limit == 6
    unlimited, _ = clients({}, limits="off")
    await ask(unlimited)
    assert unlimited.limits.snapshot()["glm-5.3"].limit is None


async def test_a_key_that_is_used_up_rests():
    zai, transport = clients({FIRST: QUOTA})
    for _ in range(5):
        await ask(zai)
    assert used(transport) == {FIRST: 1, SECOND: 5}
    # Until the moment that the platform has named.
    zai._manager.clock.now += 10_000_000
    await ask(zai)
    assert used(transport)[FIRST] == 2


async def test_when_all_keys_are_used_up_the_caller_is_told():
    zai, transport = clients({FIRST: QUOTA, SECOND: refusal("1304", 429)})
    for _ in range(3):
        with pytest.raises(QuotaError):
            await ask(zai)
    assert used(transport).total() <= 4
    zai._manager.clock.now += 301  # one that has named no moment is tried again soon
    with pytest.raises(QuotaError):
        await ask(zai)
    assert used(transport)[SECOND] >= 2


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ((True, None), (False, 100)),
        ((True, 10), (False, 100)),
        ((False, 100), (False, 50)),
        ((True, 100), (True, 50)),
        ((False, 0.5), (False, 0)),  # whose rest ends at this very moment
    ],
)
@pytest.mark.parametrize("turned", [False, True])
async def test_where_none_is_good_the_best_key_is_tried(worse, better, turned):
    zai, transport = clients({})
    states = zai._manager._ring.states
    for state, (dead, rests) in zip(
        states, (better, worse) if turned else (worse, better), strict=True
    ):
        state.dead = dead
        state.rests_until = -math.inf if rests is None else zai._manager.clock.wall() + rests
    await ask(zai)
    assert used(transport) == {KEYS[not turned]: 1}


async def test_a_key_may_be_used_at_the_moment_at_which_its_rest_ends():
    zai, transport = clients({})
    zai._manager._ring.states[0].rests_until = zai._manager.clock.wall()
    await ask(zai)
    assert used(transport) == {FIRST: 1}


@pytest.mark.parametrize("reply", [refusal("1000", 401), refusal("1112"), refusal("1113", 429)])
async def test_a_dead_key_is_dropped_with_one_warning(caplog, reply):
    caplog.set_level(logging.WARNING, "zai_async")
    zai, transport = clients({FIRST: reply})
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask(zai))
    before = used(transport)[FIRST]
    await ask(zai.with_options(timeout=5))
    assert used(transport) == {FIRST: before, SECOND: 5}
    assert len(caplog.records) == 1
    assert "is not used any more" in caplog.text
    assert FIRST not in caplog.text


async def test_the_last_key_is_tried_although_it_is_dead():
    zai, transport = clients(dict.fromkeys(KEYS, refusal("1000", 401)))
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await ask(zai)
    assert len(transport.requests) >= 3


async def test_a_throttled_key_yields_to_the_other():
    zai, transport = clients({FIRST: refusal("1302", 429)}, limits="off")
    answers = [await ask(zai) for _ in range(3)]
    assert {answer.text for answer in answers} == {"You said: Hi."}
    assert used(transport)[FIRST] == 6
    zai, transport = clients({FIRST: refusal("1302", 429)}, clock=None)
    for _ in range(5):
        await ask(zai)
    assert used(transport)[FIRST] <= 4
    both, _ = clients(dict.fromkeys(KEYS, refusal("1302", 429)), limits="off")
    with pytest.raises(RateLimitError):
        await ask(both)


async def test_what_another_key_would_not_change_is_raised():
    zai, transport = clients(dict.fromkeys(KEYS, refusal("1301")))
    with pytest.raises(Exception, match="No"):
        await ask(zai)
    assert len(transport.requests) == 1


async def test_a_task_is_asked_about_with_the_key_that_it_belongs_to():
    def script(request):
        if request.method == "POST":
            return FakeReply.json({"id": f"task-of-{key_of(request)}", "task_status": "PROCESSING"})
        whose = request.url.rpartition("task-of-")[2]
        return FakeReply.json({"task_status": "FAIL" if whose == key_of(request) else "SUCCESS"})

    zai, transport = clients(dict.fromkeys(KEYS, script))
    first, second = zai._manager._ring.states
    for resting in (first, second, first):
        resting.rests_until = math.inf
        task = await zai.videos.submit(model="cogvideox-3", prompt="x")
        # By now the other one would be taken, if it did not belong to this one.
        first.rests_until, second.rests_until = -math.inf, -math.inf
        (second if resting is first else first).rests_until = math.inf
        with pytest.raises(TaskFailedError):
            await task.wait()
        first.rests_until, second.rests_until = -math.inf, -math.inf
    polled = [request for request in transport.requests if request.method == "GET"]
    assert [key_of(request) for request in polled] == [SECOND, FIRST, SECOND]
    zai, transport = clients(dict.fromkeys(KEYS, FakeReply.json({"object": "list", "data": []})))
    assert (await zai.models.list()).data == []
    assert len(transport.requests) == 1


def test_of_many_tasks_the_latest_are_remembered(monkeypatch):
    from zai_async.session import keys

    monkeypatch.setattr(keys, "_MOST_IDS", 2)
    ring = KeyRing(())
    state = ClientKey(key=None)
    for number in range(3):
        ring.remember(FakeTask(f"task-{number}"), state)
    assert ring.owner({"id": "task-0"}) is None
    assert ring.owner({"id": "task-1"}) is ring.owner({"batch_id": "task-2"}) is state


class FakeTask:
    def __init__(self, id):
        self.id = id


async def test_streams_bytes_and_uploads_go_where_there_is_room():
    zai, transport = clients({FIRST: QUOTA, SECOND: FakeReply(steps=(b"RIFF",))})
    with pytest.raises(QuotaError):
        await zai.audio.transcriptions.create(model="glm-asr-2512", file=("a.wav", SOUND))
    speech = await zai.audio.speech.create(model="glm-tts", input="Hi.", voice="tongtong")
    assert speech.content == b"RIFF"
    assert used(transport) == {FIRST: 1, SECOND: 1}
    events = FakeReply.sse(
        {"choices": [{"delta": {"content": "Fine."}, "finish_reason": "stop", "index": 0}]}
    )
    zai, transport = clients(dict.fromkeys(KEYS, events))
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hi.") as stream:
        assert (await stream.completion()).text == "Fine."
    assert len(transport.requests) == 1


async def test_a_stream_goes_to_the_key_with_most_room():
    events = FakeReply.sse(
        {"choices": [{"delta": {"content": "Fine."}, "finish_reason": "stop", "index": 0}]}
    )
    zai, transport = clients(dict.fromkeys(KEYS, events), limits=3)
    async with AsyncExitStack() as stack:
        for taken in ({FIRST: 1}, {FIRST: 1, SECOND: 1}, {FIRST: 2, SECOND: 1}):
            stream = zai.chat.completions.stream(model="glm-5.3", messages="Hi.")
            await (await stack.enter_async_context(stream)).open()
            assert used(transport) == taken


async def test_a_batch_goes_through_all_keys(tmp_path):
    zai, transport = clients({FIRST: QUOTA}, clock=None)
    results = await collect(zai.batch.run(rows(20), out=tmp_path / "out", model="glm-5.3"))
    assert len(results) == 20
    assert used(transport)[FIRST] < used(transport)[SECOND] == 20


@pytest.mark.parametrize("keys", [[], [""], ["a-good-key", " "]])
def test_keys_that_are_missing(keys):
    with pytest.raises(MissingKeyError):
        client(api_key=keys)


def test_keys_that_are_none():
    with pytest.raises(ConfigurationError, match="is in quotes"):
        client(api_key=["a-good-key", '"quoted"'])


async def test_one_key_twice_is_one_key():
    zai, transport = client(api_key=["the-very-same", " the-very-same "])
    await ask(zai)
    assert type(zai._manager).__name__ == "SessionManager"
    assert "the-very-same" not in repr(zai)
    assert len(transport.requests) == 1


async def test_windows_and_accounts_stay_within_their_limits_with_several_keys(monkeypatch):
    monkeypatch.setattr(in_flight, "_MOST_WINDOWS", 20)
    monkeypatch.setattr(ledger, "_MOST_ACCOUNTS", 20)
    zai, transport = clients({}, limits=3)
    for number in range(60):
        options = CallOptions(tag=f"tag {number}")
        await zai.chat.completions.create(model=f"m{number}", messages="Hi.", options=options)
    assert len(zai._manager.sessions.queues._by_model) <= 20
    assert 0 < len(zai.usage.by_tag()) <= 20
    assert transport.requests
