"""Answers that outlive their readers: resumed, read by many, stopped, and ended in order."""

import asyncio
import json
import signal
import sys
import threading
from collections import deque

import pytest

from tests import chat_wire
from tests.test_web_encoders import assert_balanced, kinds, parts
from tests.test_web_responses import BUSY, Reader
from tests.virtual_loop import run
from zai_async import (
    AsyncZai,
    ClientDrainingError,
    Finished,
    RateLimitError,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from zai_async.models import ChatCompletion, FunctionCall, ToolCall
from zai_async.web import (
    DataPart,
    EventResponse,
    MemoryReplay,
    OpenAIEncoder,
    Relay,
    ReplayHead,
    UIMessageEncoder,
    sse_response,
)
from zai_async.web.signals import ShutdownSignals
from zai_async.web.writing import split_events

ENDLESS = FunctionCall(name="look", arguments='{"n": 1e999}')  # as JSON has it, but no float
END = Finished("completed", "stop", ChatCompletion())


def without_numbers(frames: bytes) -> bytes:
    lines = frames.split(b"\n")
    return b"\n".join(line for line in lines if not line.startswith((b"id: ", b": "))).lstrip(b"\n")


def ids_in(frames: bytes) -> list[str]:
    lines = frames.decode().split("\n")
    return [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]


def text_in(frames: bytes) -> str:
    found = parts(without_numbers(frames))[:-1]
    return "".join(part["delta"] for part in found if part["type"] == "text-delta")


class Script:
    """An answer that goes on when the test says so."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue = asyncio.Queue()
        self.closed = False

    def say(self, *events) -> None:
        for event in events:
            self.queue.put_nowait(TextDelta(event) if isinstance(event, str) else event)

    @property
    async def events(self):
        try:
            while True:
                event = await self.queue.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            self.closed = True


class Reading:
    """A reader of a relay, and what it has got so far."""

    def __init__(self, response) -> None:
        self.reader = Reader()
        self.task = asyncio.ensure_future(self.reader.reads(response))

    async def until(self, text: str) -> None:
        while text not in text_in(self.reader.body + b"data: [DONE]\n\n"):
            assert not self.task.done(), self.reader.body
            await asyncio.sleep(0)

    async def leave(self) -> None:
        self.reader.gone.set()
        await self.task


class SlowReplay(MemoryReplay):
    """A replay that begins an answer when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def begin(self, *about):
        self.is_asked.set()
        await self.may_go_on.wait()
        return await super().begin(*about)


@pytest.fixture
async def zai():
    async with chat_wire.client() as zai:
        yield zai


@pytest.fixture
async def relay(zai):
    relay = Relay(zai, coalesce=0)
    yield relay
    await relay.aclose()


# Starting and resuming


async def test_reload_in_the_middle_replays_the_same_message(relay):
    script = Script()
    script.say("Good ")
    first = Reading(await relay.start("chat", script))
    await first.until("Good ")
    await first.leave()
    script.say("day")
    second = Reading(await relay.resume("chat"))
    await second.until("Good day")
    third = Reading(await relay.resume("chat"))
    script.say("!", END)
    await asyncio.gather(second.task, third.task)
    assert second.reader.body == third.reader.body
    assert text_in(second.reader.body) == "Good day!"
    starts = [
        parts(
            without_numbers(r.reader.body)
            if r is second
            else without_numbers(r.reader.body + b"data: [DONE]\n\n")
        )[0]
        for r in (first, second)
    ]
    assert starts[0]["messageId"] == starts[1]["messageId"]
    assert_balanced(without_numbers(second.reader.body))
    assert script.closed


async def test_reader_goes_on_behind_the_last_event_that_it_saw(relay):
    script = Script()
    script.say("a", "b", "c", END)
    whole = await Reader().reads(await relay.start("chat", script))
    events = split_events(whole.body)
    for seen in range(len(events)):
        name = ids_in(events[seen])[0]
        rest = await Reader().reads(await relay.resume("chat", last_event_id=name))
        assert b"".join(events[: seen + 1]) + rest.body == whole.body


@pytest.mark.parametrize(
    "nonsense", ["", "x", "2", "9" * 5000, "{}", *("{}-" + n for n in ("", "x", "-1", "9" * 5000))]
)
async def test_id_that_is_none_gets_the_whole_answer(relay, nonsense):
    script = Script()
    script.say("a", END)
    whole = await Reader().reads(await relay.start("chat", script))
    answer = ids_in(whole.body)[0].rpartition("-")[0]
    seen = nonsense.format(answer)
    again = await Reader().reads(await relay.resume("chat", last_event_id=seen))
    assert again.body == whole.body


async def test_id_of_the_answer_before_gets_the_whole_answer(relay):
    seen = []
    for _ in range(2):
        script = Script()
        script.say("a", END)
        answer = await Reader().reads(await relay.start("chat", script))
        seen.append(ids_in(answer.body))
    again = await Reader().reads(await relay.resume("chat", last_event_id=seen[0][2]))
    assert again.body == answer.body
    assert not set(seen[0]) & set(seen[1])


async def test_nothing_is_resumed_where_nothing_runs(relay):
    reader = await Reader().reads(await relay.resume("chat"))
    assert (reader.status, reader.body) == (204, b"")
    assert "content-length" not in reader.headers


def test_answer_is_kept_for_a_while_after_its_end():
    async def main():
        async with chat_wire.client() as zai:
            relay = Relay(zai, replay=MemoryReplay(keep=60))
            script = Script()
            script.say("a", END)
            await Reader().reads(await relay.start("chat", script))
            statuses = []
            for pause in (50, 20):
                await asyncio.sleep(pause)
                statuses.append((await Reader().reads(await relay.resume("chat"))).status)
            await relay.aclose()
            return statuses

    assert run(main()) == [200, 204]


async def test_new_answer_takes_the_place_of_the_last_one(relay):
    old, new = Script(), Script()
    old.say("old")
    first = Reading(await relay.start("chat", old))
    await first.until("old")
    new.say("new", END)
    second = Reading(await relay.start("chat", new))
    await asyncio.gather(first.task, second.task)
    assert old.closed
    assert kinds(without_numbers(first.reader.body))[-2:] == ["abort", "[DONE]"]
    resumed = await Reader().reads(await relay.resume("chat"))
    assert text_in(resumed.body) == "new"


async def test_answers_that_start_at_once_follow_each_other(relay):
    scripts = [Script() for _ in range(3)]
    for script in scripts:
        script.say("a")
    await relay.start("chat", scripts[0])
    started = await asyncio.gather(*(relay.start("chat", each) for each in scripts[1:]))
    readings = [Reading(each) for each in started]
    await readings[1].until("a")
    assert [script.closed for script in scripts] == [True, True, False]
    assert await relay.stop("chat")
    await asyncio.gather(*(reading.task for reading in readings))
    assert all(script.closed for script in scripts)
    assert not relay._starts


async def test_answer_that_starts_while_the_relay_closes_is_stopped(zai):
    replay = SlowReplay()
    relay = Relay(zai, replay=replay)
    starting = asyncio.create_task(relay.start("chat", Script()))
    await replay.is_asked.wait()
    closing = asyncio.create_task(relay.aclose())
    await asyncio.sleep(0)
    with pytest.raises(ClientDrainingError):
        await relay.start("chat", Script())
    replay.may_go_on.set()
    await closing
    await starting
    assert not relay._writers


async def test_answers_of_other_protocols_have_a_gap_where_they_are_cut(zai):
    relay = Relay(zai, protocol="openai", coalesce=0, replay=MemoryReplay(max_bytes=400))
    script = Script()
    script.say(*"abcdef", END)
    await Reader().reads(await relay.start("chat", script))
    reader = await Reader().reads(await relay.resume("chat"))
    gap, *rest = split_events(reader.body)
    told = json.loads(gap.partition(b"data: ")[2])
    assert gap.startswith(b"event: gap\n")
    assert told["first"] == 1
    assert ids_in(rest[0])[0].endswith(f"-{told['last'] + 1}")
    await relay.aclose()


async def test_page_is_told_that_the_beginning_is_gone(zai):
    relay = Relay(zai, coalesce=0, replay=MemoryReplay(max_bytes=100))
    script = Script()
    script.say(*"abcdef", END)
    await Reader().reads(await relay.start("chat", script))
    reader = await Reader().reads(await relay.resume("chat"))
    assert kinds(reader.body) == ["error", "[DONE]"]
    await relay.aclose()


def test_silence_is_filled_for_every_reader():
    async def main():
        async with chat_wire.client() as zai:
            relay = Relay(zai, heartbeat=15, prime=5)
            script = Script()
            reading = Reading(await relay.start("chat", script))
            await asyncio.sleep(50)
            script.say("a", END)
            await reading.task
            await relay.aclose()
            return reading.reader

    reader = run(main())
    beats = [
        at
        for at, text in zip(reader.times[1:], reader.bodies, strict=True)
        if text.startswith(b":")
    ]
    assert beats == [20, 35, 50]


# What goes wrong


async def test_refusal_is_answered_with_a_status_and_kept_for_nobody(zai):
    async with chat_wire.client(BUSY) as busy:
        relay = Relay(busy)
        reader = await Reader().reads(await relay.start("chat", chat_wire.stream(busy)))
        assert (reader.status, reader.headers["retry-after"]) == (429, "7")
        await asyncio.sleep(0)
        assert (await Reader().reads(await relay.resume("chat"))).status == 204
        await relay.aclose()


def test_refusal_that_comes_too_late_for_a_status_ends_the_message():
    async def main():
        async with chat_wire.client() as zai:
            relay = Relay(zai, prime=5, heartbeat=None)
            script = Script()
            reading = Reading(await relay.start("chat", script))
            await asyncio.sleep(10)
            script.say(RateLimitError("busy"))
            await reading.task
            resumed = await Reader().reads(await relay.resume("chat"))
            await relay.aclose()
            return reading.reader, resumed

    reader, resumed = run(main())
    assert reader.status == 200
    assert kinds(without_numbers(reader.body)) == ["error", "[DONE]"]
    assert resumed.body == reader.body


async def test_fault_of_the_server_before_the_first_event_is_raised(relay):
    script = Script()
    script.say(ZeroDivisionError("secret"))
    with pytest.raises(ZeroDivisionError):
        await Reader().reads(await relay.start("chat", script))


async def test_fault_of_the_server_in_the_middle_goes_to_the_log(relay):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    script = Script()
    script.say("a", ZeroDivisionError("secret"))
    reader = await Reader().reads(await relay.start("chat", script))
    assert kinds(without_numbers(reader.body))[-2:] == ["error", "[DONE]"]
    assert b"secret" not in reader.body
    assert isinstance(told[0]["exception"], ZeroDivisionError)


# Stopping


async def test_stop_ends_the_message_and_the_platform(relay):
    script = Script()
    script.say(ToolCallStarted(0, "c1", "look"), ToolCallDelta(0, '{"a'))
    reading = Reading(await relay.start("chat", script))
    while b"inputTextDelta" not in reading.reader.body:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert await relay.stop("chat")
    await reading.task
    seen = without_numbers(reading.reader.body)
    assert_balanced(seen)
    assert kinds(seen)[-4:] == ["tool-input-error", "finish-step", "abort", "[DONE]"]
    assert script.closed
    assert not await relay.stop("chat")


async def test_stop_before_the_first_event(relay):
    script = Script()
    reading = Reading(await relay.start("chat", script))
    await asyncio.sleep(0)
    await relay.stop("chat")
    await reading.task
    assert kinds(without_numbers(reading.reader.body)) == ["abort", "[DONE]"]


async def test_stop_reaches_the_platform(zai_emulator):
    zai_emulator.fault(silence_after=(1000, 600))
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        relay = Relay(zai)
        stream = zai.chat.completions.stream(model="glm-5.3", messages="Hi")
        reading = Reading(await relay.start("chat", stream))
        while not reading.reader.bodies:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await relay.stop("chat")
        await reading.task
        await zai_emulator.wait_disconnected(timeout=100)
        assert not any(window.in_flight for window in zai.limits.snapshot().values())
        await relay.aclose()


async def test_event_loop_that_ends_ends_the_answer(zai):
    relay = Relay(zai)
    script = Script()
    await relay.start("chat", script)
    writer = relay._writers["chat"]
    await asyncio.sleep(0)
    writer.task.cancel()
    await asyncio.wait({writer.task})
    assert writer.task.cancelled()
    await relay.aclose()


# Shutting down


def test_answers_may_end_within_the_grace():
    async def main():
        async with chat_wire.client() as zai:
            relay = Relay(zai, grace=10, coalesce=0)
            short, long = Script(), Script()
            readings = [Reading(await relay.start(str(n), s)) for n, s in enumerate((short, long))]
            short.say("a")
            long.say("b")
            await asyncio.sleep(1)
            relay.begin_shutdown()
            relay.begin_shutdown()
            assert relay.status()["status"] == "shutting down"
            with pytest.raises(ClientDrainingError):
                await relay.start("new", Script())
            await asyncio.sleep(5)
            short.say(END)
            await asyncio.gather(*(reading.task for reading in readings))
            loop = asyncio.get_running_loop()
            ended = loop.time()
            await relay.aclose()
            return ended, [kinds(without_numbers(each.reader.body))[-2] for each in readings]

    assert run(main()) == (11, ["finish", "abort"])


def test_shutdown_that_has_begun_can_be_cut_short():
    async def main():
        async with chat_wire.client() as zai:
            relay = Relay(zai)
            reading = Reading(await relay.start("chat", Script()))
            await asyncio.sleep(1)
            relay.begin_shutdown(1000)
            await asyncio.sleep(1)
            await relay.aclose()
            await reading.task
            return asyncio.get_running_loop().time()

    assert run(main()) == 2


# The application


async def ask(relay, method, path, body=b"", root="/chats", **headers):
    reader = Reader()
    named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": root + path,
        "root_path": root,
        "headers": named or [(b"content-type", b"application/json")],
    }
    pieces = [body[:5], body[5:]]

    async def receive():
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        return await reader.receive()

    reader.asked = True
    await relay(scope, receive, reader.send)
    return reader


def posted(chat="chat-1", **message):
    said = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]} | message
    return json.dumps({"id": chat, "messages": [said], "trigger": "submit-message"}).encode()


async def test_page_asks_resumes_and_stops(zai_emulator):
    zai_emulator.chat.reply("Hello")
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        relay = Relay(zai, model="glm-5.3-flash")
        for root in ("/chats", ""):
            asked = await ask(relay, "POST", "/", posted("a/b"), root)
            assert (asked.status, asked.headers["x-vercel-ai-ui-message-stream"]) == (200, "v1")
            resumed = await ask(relay, "GET", "/a/b/stream", root=root)
            assert resumed.body == asked.body
        tail = await ask(relay, "GET", "/a/b/stream", last_event_id=ids_in(asked.body)[0])
        assert asked.body.endswith(tail.body)
        assert len(tail.body) < len(asked.body)
        assert (await ask(relay, "POST", "/a/b/stop")).status == 204
        assert zai_emulator.requests[0].json["model"] == "glm-5.3-flash"
        assert zai_emulator.requests[0].json["messages"] == [{"role": "user", "content": "Hi"}]
        status = await ask(relay, "GET", "/status")
        assert json.loads(status.body)["status"] == "ok"
        relay.begin_shutdown()
        assert (await ask(relay, "GET", "/status")).status == 503
        assert (await ask(relay, "POST", "/", posted())).status == 503
        await relay.aclose()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "truncated"),
        (posted(""), 400, "needs an id"),
        (posted("x" * 201), 400, "needs an id"),
        (posted(parts=[{"type": "text", "text": "x" * 2000}]), 413, "larger than 1000 bytes"),
    ],
)
async def test_bad_request_is_answered_so(zai, body, status, says):
    relay = Relay(zai, max_body=1000)
    reader = await ask(relay, "POST", "/", body)
    assert reader.status == status
    assert says in reader.body.decode()


async def test_form_of_another_site_is_refused(relay):
    assert (await ask(relay, "POST", "/", posted(), content_type="text/plain")).status == 415


async def test_reader_who_leaves_amid_the_body_is_not_answered(relay):
    reader = Reader()
    reader.asked = True
    reader.gone.set()
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await relay(scope, reader.receive, reader.send)
    assert reader.sent == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("PUT", "/"),
        ("GET", "/stream"),
        ("POST", "/stop"),
        ("GET", "/a/other"),
        ("GET", "/a/status"),
    ],
)
async def test_anything_else_is_not_there(relay, method, path):
    assert (await ask(relay, method, path)).status == 404


@pytest.mark.parametrize("waits", [True, False])
async def test_chats_of_others_are_not_there(zai, waits):
    def mine(scope, chat_id):
        return chat_id == "mine"

    async def later(scope, chat_id):
        return mine(scope, chat_id)

    async def answered(request):
        script = Script()
        script.say("a", END)
        return script

    relay = Relay(zai, authorize=later if waits else mine, answer=answered)
    assert (await ask(relay, "POST", "/", posted("mine"))).status == 200
    assert (await ask(relay, "GET", "/mine/stream")).status == 200
    assert (await ask(relay, "GET", "/other/stream")).status == 404
    assert (await ask(relay, "POST", "/other/stop")).status == 404
    assert (await ask(relay, "POST", "/", posted("other"))).status == 400
    await relay.aclose()


async def test_answer_goes_on_with_the_message_of_a_tool_of_the_page(zai):
    script = Script()
    script.say("a", END)
    relay = Relay(zai, answer=lambda request: script)
    body = json.loads(posted())
    output = {
        "type": "tool-x",
        "toolCallId": "c",
        "state": "output-available",
        "input": {},
        "output": 1,
    }
    body["messages"].append({"id": "a1", "role": "assistant", "parts": [output]})
    reader = await ask(relay, "POST", "/", json.dumps(body).encode())
    assert parts(without_numbers(reader.body))[0]["messageId"] == "a1"
    await relay.aclose()


async def test_only_requests_are_answered(relay):
    assert await relay({"type": "lifespan"}, None, None) is None


def test_what_cannot_be_resumed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="plain text"):
        Relay(None, protocol="text")
    for wrong in ({"max_bytes": 0}, {"keep": -1}):
        with pytest.raises(ValueError, match="must be positive"):
            MemoryReplay(**wrong)


async def test_task_of_the_framework_runs_after_the_response(relay):
    ran = []
    script = Script()
    script.say("a", END)
    response = await relay.start("chat", script)

    async def background():
        ran.append(True)

    response.background = background
    await Reader().reads(response)
    assert ran == [True]


# Encoders that go on where another process has stopped


@pytest.mark.parametrize(
    "events",
    [
        (),
        ("a",),
        ("a", ToolCallStarted(0, "c1", "look"), ToolCallDelta(0, '{"a')),
        (ToolCallStarted(0, "c1", "look"), ToolCallStarted(1, "c2", "see"), ToolCallDelta(1, "{}")),
        ("a", Finished("tool_calls", None, ChatCompletion())),
        (DataPart("x", 1), "a"),
        (ToolCallStarted(0, "c1", "look"), ToolCall(id="c1", function=ENDLESS), "a"),
    ],
)
def test_encoder_is_restored_from_what_it_has_written(events):
    encoder = UIMessageEncoder("m")
    told = [TextDelta(event) if isinstance(event, str) else event for event in events]
    frames = b"".join(map(encoder.encode, told))
    error = RateLimitError("x")
    assert UIMessageEncoder.restored(b": heartbeat\n\n" + frames).fail(error) == encoder.fail(error)


def test_encoder_without_parts_has_nothing_to_restore():
    assert OpenAIEncoder.restored(b"").fail(RateLimitError("x")).endswith(b"data: [DONE]\n\n")


# Signals


@pytest.fixture
def heard(monkeypatch):
    """Play the signals of a process, as servers take them: none of them is sent."""
    taken = {signal.SIGTERM: print, signal.SIGINT: signal.SIG_DFL}
    monkeypatch.setattr(signal, "getsignal", taken.get)
    monkeypatch.setattr(signal, "signal", taken.__setitem__)
    return taken


async def test_signal_begins_the_shutdown_before_the_server_acts(zai, heard):
    acted = []
    heard[signal.SIGTERM] = lambda *_: acted.append(True)
    async with Relay(zai, grace=0) as relay:
        assert heard[signal.SIGINT] is signal.SIG_DFL
        heard[signal.SIGTERM](signal.SIGTERM, None)
        await asyncio.sleep(0)
        assert relay.status()["status"] == "shutting down"
        assert acted == [True]
    heard[signal.SIGTERM](signal.SIGTERM, None)
    assert acted == [True, True]


async def test_server_that_takes_the_signal_later_is_asked_again(zai, heard):
    async with Relay(zai, grace=0) as relay:
        first = heard[signal.SIGTERM]
        heard[signal.SIGTERM] = later = lambda *_: None
        await relay.resume("chat")
        assert heard[signal.SIGTERM] == first
        heard[signal.SIGTERM] = other = lambda *_: None
    assert heard[signal.SIGTERM] is other
    assert later is not other


async def test_signal_after_the_loop_reaches_the_server_only(heard):
    acted = []
    heard[signal.SIGTERM] = lambda *_: acted.append(True)
    signals = ShutdownSignals(lambda: None)
    signals.is_wanted = True
    signals.install()
    signals._loop = None
    signals._heard(signal.SIGTERM, None)
    signals._heard(signal.SIGUSR1, None)
    assert acted == [True]


def test_thread_hears_of_no_signal(heard):
    async def main():
        signals = ShutdownSignals(lambda: None)
        signals.is_wanted = True
        signals.install()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()
    assert heard[signal.SIGTERM] is print


# Odds and ends


def test_answer_that_has_been_replaced_is_not_dropped_with_its_time():
    async def main():
        replay = MemoryReplay(keep=10)
        head = ReplayHead(answer_id="a", protocol="openai")
        old = await replay.begin("chat", head)
        await old.finish(keep=True)
        new = await replay.begin("chat", head)
        await asyncio.sleep(20)
        return await replay.find("chat") is new

    assert run(main())


class Watched(deque):
    """Counts how many of its items are looked at."""

    looks = 0

    def __iter__(self):
        for item in super().__iter__():
            self.looks += 1
            yield item

    def __reversed__(self):
        for item in super().__reversed__():
            self.looks += 1
            yield item


async def test_reader_looks_at_each_event_once():
    kept = await MemoryReplay().begin("chat", ReplayHead(answer_id="a", protocol="openai"))
    kept.events = Watched()
    reader, read = kept.read(), []
    for _ in range(100):
        await kept.append([b"a", b"b"])
        read.append(await anext(reader))
    await reader.aclose()
    assert read == [(2 * n, [b"a", b"b"]) for n in range(1, 101)]
    assert kept.events.looks == 200


async def test_answer_that_is_replaced_while_it_ends_stays_replaced(relay):
    old, new = Script(), Script()
    await relay.start("chat", old)
    writer = relay._writers["chat"]
    relay._writers["chat"] = object()
    writer.stop("stopped")
    writer.stop("again")
    await asyncio.wait({writer.task})
    await asyncio.sleep(0)
    assert relay._writers.pop("chat") is not writer
    assert not new.closed


async def test_response_is_no_class_of_a_framework_that_is_not_there(monkeypatch):
    monkeypatch.delitem(sys.modules, "starlette.responses")
    assert type(sse_response(Script())) is EventResponse
