"""Hooks: what they are told, and what their own failures do."""

import asyncio
import gc
import weakref
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial

import anyio
import anyio.lowlevel
import msgspec
import pytest

from tests import virtual_loop
from tests.calls import ASK, COMPLETION, KEY, PROMPT, FakeClock, ask, client
from tests.chat_wire import GOOD
from tests.virtual_loop import in_virtual_time
from zai_async import (
    BadRequestError,
    CallOptions,
    ClientDrainingError,
    ConfigurationError,
    DeadlineError,
    EmptyAnswerError,
    Hooks,
    NotFoundError,
    RateLimitError,
    RequestEvent,
    RetryPolicy,
    ServerError,
    StartEvent,
    ToolEvent,
    tool,
)
from zai_async._operations import CHAT
from zai_async.session import work_block
from zai_async.session.observer import running_hook
from zai_async.testing import FakeReply, FakeTransport

FINE = FakeReply.json(COMPLETION, X_Log_Id="log-1")
BUSY = FakeReply.json({"error": {"code": "1302", "message": "slow down"}}, status=429)


class Seen(list):
    """Remembers events; as hooks that are functions, or coroutine functions."""

    def plain(self) -> Hooks:
        return Hooks(on_request=self.append, on_response=self.append, on_retry=self.append)

    def waiting(self) -> Hooks:
        async def hook(event):
            self.append(event)

        return Hooks(on_request=hook, on_response=hook, on_retry=hook)

    @property
    def names(self):
        return [type(event).__name__ for event in self]


def watched(hooks, *script):
    transport = FakeTransport(*script)
    return client(transport=transport, hooks=hooks, retry=RetryPolicy(), clock=FakeClock())


@pytest.mark.parametrize("kind", ["plain", "waiting"])
async def test_hooks_see_everything_in_order(kind):
    seen = Seen()
    async with watched(getattr(seen, kind)(), BUSY, FINE) as zai:
        await ask(zai, options=CallOptions(tag="mine"))
    request, response, retry, again, answer = seen
    assert seen.names == [
        "RequestEvent",
        "ResponseEvent",
        "RetryEvent",
        "RequestEvent",
        "ResponseEvent",
    ]
    assert {event.operation for event in seen} == {"chat.completions.create"}
    assert {event.tag for event in seen} == {"mine"}
    assert [event.attempt for event in seen] == [1, 1, 1, 2, 2]
    assert (request.method, request.url) == (
        "POST",
        "http://127.0.0.1:9/api/paas/v4/chat/completions",
    )
    assert again.url == request.url
    assert (response.status_code, response.request_id, response.duration) == (429, None, 0.0)
    assert (retry.error.code, retry.wait) == ("1302", 1.0)
    assert (answer.status_code, answer.request_id) == (200, "log-1")
    assert answer.connection_reused is False
    assert KEY not in repr(list(seen))


@pytest.mark.parametrize("name", ["on_request", "on_response"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_a_hook_raises_ends_the_call(name, asynchronous):
    def fail(event):
        raise LookupError(name)

    async def fail_later(event):
        raise LookupError(name)

    hooks = Hooks(**{name: fail_later if asynchronous else fail})
    transport = FakeTransport(BUSY, FINE)
    async with client(
        transport=transport, hooks=hooks, retry=RetryPolicy(), clock=FakeClock()
    ) as zai:
        with pytest.raises(LookupError, match=name):
            await ask(zai)
    assert len(transport.requests) == (name != "on_request")
    assert transport.open_responses == 0


# Which events belong together, and what the first one tells


class Everything(list):
    """Remembers every event of every hook."""

    @property
    def hooks(self):
        names = ("on_start", "on_queue", "on_request", "on_response", "on_retry", "on_finish")
        return Hooks(**dict.fromkeys(names, self.append))

    @property
    def names(self):
        return [type(event).__name__ for event in self]


async def test_events_of_one_call_carry_one_id():
    seen = Everything()
    async with watched(seen.hooks, BUSY, FINE, FINE) as zai:
        await ask(zai)
        first = {event.call_id for event in seen}
        seen.clear()
        await ask(zai)
        second = {event.call_id for event in seen}
    assert len(first) == len(second) == 1
    assert first != second
    assert all(first | second)


def test_a_call_is_no_stream_unless_it_is_said():
    event = StartEvent(call_id="1", operation="chat", model="glm-5.3")
    assert (event.stream, event.provider, event.content) == (False, "", None)


async def test_events_say_what_they_are_about():
    seen = Everything()
    async with watched(seen.hooks, BUSY, FINE) as zai:
        await ask(zai)
    kinds = {type(event).__name__: event.kind for event in seen}
    assert kinds == {
        "StartEvent": "call",
        "RequestEvent": "attempt",
        "ResponseEvent": "attempt",
        "RetryEvent": "call",
        "FinishEvent": "call",
    }


async def test_the_first_event_tells_what_was_asked_for_but_not_what_was_asked():
    seen = Everything()
    params = {
        "temperature": 0.5,
        "max_tokens": 7,
        "extra": {"max_tokens": 8, "seed": 1, "secret_plan": "x"},
        "tools": [{"type": "function", "function": {"name": "secret_tool"}}],
    }
    async with watched(seen.hooks, FINE) as zai:
        await ask(zai, **params)
    start = seen[0]
    assert (start.provider, start.model, start.stream) == ("zai", "glm-5.3", False)
    assert start.parameters == {"temperature": 0.5, "max_tokens": 8, "seed": 1}
    assert PROMPT not in repr(list(seen))
    assert "secret" not in repr(list(seen))


async def test_the_first_event_of_a_stream_says_so():
    seen = Everything()
    async with watched(seen.hooks, FakeReply.stream(GOOD)) as zai:
        await zai.chat.completions.stream(**ASK).completion()
    assert seen[0].stream
    assert len({event.call_id for event in seen}) == 1


# Blocks around calls and attempts


class Blocks(list):
    """Remembers when blocks are entered and left, and with which error."""

    @property
    def hooks(self):
        return Hooks(around=self.around, on_finish=lambda _: self.append("finish"))

    @contextmanager
    def around(self, event):
        self.append(f"{event.kind} begins")
        try:
            yield
        except BaseException as error:
            self.append(f"{event.kind}: {type(error).__name__}")
            raise
        self.append(f"{event.kind} ends")


async def test_a_block_goes_around_the_call_and_around_each_attempt():
    seen = Blocks()
    async with watched(seen.hooks, BUSY, FINE) as zai:
        await ask(zai)
    assert seen == [
        "call begins",
        "attempt begins",
        "attempt: RateLimitError",
        "attempt begins",
        "attempt ends",
        "finish",
        "call ends",
    ]


async def test_a_block_sees_the_error_that_the_caller_sees():
    seen = Blocks()
    empty = FakeReply.json(COMPLETION | {"choices": []})
    async with watched(seen.hooks, empty) as zai:
        with pytest.raises(EmptyAnswerError):
            await ask(zai)
    assert seen[2:] == ["attempt: EmptyAnswerError", "finish", "call: EmptyAnswerError"]


@in_virtual_time
async def test_a_block_sees_a_cancellation():
    seen = Blocks()
    async with watched(seen.hooks, FakeReply(delay=60.0)) as zai:
        with anyio.move_on_after(0.01):
            await ask(zai)
    assert seen[2:] == ["attempt: CancelledError", "finish", "call: CancelledError"]


STREAMS = [
    (FakeReply.stream(GOOD), ["attempt ends", "finish", "call ends"]),
    (
        FakeReply.sse({"error": {"code": "1210"}}, done=False),
        ["attempt: BadRequestError", "finish", "call: BadRequestError"],
    ),
]


@pytest.mark.parametrize(("reply", "end"), STREAMS, ids=["whole", "failed"])
async def test_blocks_around_a_stream_last_until_its_end(reply, end):
    seen = Blocks()
    async with watched(seen.hooks, reply) as zai, zai.chat.completions.stream(**ASK) as stream:
        assert seen == ["call begins", "attempt begins"]
        with suppress(BadRequestError):
            await stream.completion()
    assert seen[2:] == end


async def test_what_a_block_puts_into_context_variables_can_be_taken_back_by_another_task(caplog):
    """As OpenTelemetry does it with the span that is the current one."""
    current, undone = ContextVar("current", default="outside"), []

    @contextmanager
    def around(event):
        token = current.set(event.kind)
        try:
            yield
        finally:
            current.reset(token)
            undone.append(event.kind)

    async with watched(Hooks(around=around), FakeReply.stream(GOOD)) as zai:
        stream = zai.chat.completions.stream(**ASK)
        await asyncio.create_task(opened(stream))
        await stream.completion()
        assert current.get() == "outside"
    assert undone == ["attempt", "call"]
    assert not caplog.records


async def opened(stream):
    return await stream.open()


async def test_a_call_without_a_stream_runs_in_the_context_of_its_blocks():
    current, seen = ContextVar("current", default=None), []

    @contextmanager
    def around(event):
        token = current.set(event.kind)
        yield
        current.reset(token)

    hooks = Hooks(around=around, on_response=lambda _: seen.append(current.get()))
    async with watched(hooks, FINE) as zai:
        await ask(zai)
    assert seen == ["attempt"]
    assert current.get() is None


async def test_who_wants_no_block_returns_none():
    async with watched(Hooks(around=lambda _: None), FINE) as zai:
        assert (await ask(zai)).text == "Hi"


@pytest.mark.parametrize("kind", ["call", "attempt"])
async def test_a_block_that_cannot_be_entered_ends_the_call(kind):
    @contextmanager
    def around(event):
        if event.kind == kind:
            raise LookupError(kind)
        yield

    async with watched(Hooks(around=around), FINE) as zai:
        with pytest.raises(LookupError, match=kind):
            await ask(zai)


@pytest.mark.parametrize("reply", [FINE, BUSY], ids=["answered", "refused"])
async def test_a_block_that_fails_at_its_end_changes_nothing(reply, caplog):
    @contextmanager
    def around(event):
        try:
            yield
        finally:
            raise LookupError(event.kind)

    async with watched(Hooks(around=around), reply) as zai:
        with suppress(RateLimitError):
            assert (await ask(zai, options=CallOptions(retries=0))).text == "Hi"
    assert len(caplog.records) == 2
    assert {record.levelname for record in caplog.records} == {"ERROR"}


# Hooks that fail or hang


class AsyncObject:
    async def __call__(self, event):
        pass


async def wait_and_see(event):
    pass


@pytest.mark.parametrize(
    "hook", [wait_and_see, partial(wait_and_see), AsyncObject(), AsyncObject().__call__]
)
def test_a_hook_that_could_not_be_waited_for_is_refused(hook):
    with pytest.raises(ConfigurationError, match="on_finish cannot be a coroutine function"):
        Hooks(on_finish=hook)
    assert Hooks(on_start=hook, on_retry=hook)


def test_a_drain_ends_a_hook_that_hangs():
    async def work():
        zai = client(transport=FakeTransport(FINE), hooks=Hooks(on_start=hang))
        async with anyio.create_task_group() as group:
            asking = asyncio.create_task(ask(zai))
            await anyio.lowlevel.checkpoint()
            group.start_soon(zai.drain, 1.0)
        with pytest.raises(ClientDrainingError):
            await asking

    virtual_loop.run(work())


def fail(event):
    raise LookupError("the hook's own")


async def test_a_hook_that_fails_at_the_end_takes_no_answer_away(caplog):
    async with watched(Hooks(on_finish=fail), FINE) as zai:
        assert (await ask(zai)).text == "Hi"
        assert zai.usage.total.calls == 1
    assert caplog.messages == ["on_finish failed"]


async def test_a_hook_that_asks_a_cancelled_future_at_the_end_cancels_nothing(caplog):
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    async with watched(Hooks(on_finish=lambda _: future.result()), FINE) as zai:
        assert (await ask(zai)).text == "Hi"
    assert caplog.messages == ["on_finish failed"]


async def test_a_hook_that_fails_at_the_end_replaces_no_error(caplog):
    async with watched(Hooks(on_finish=fail), BUSY) as zai:
        with pytest.raises(RateLimitError):
            await ask(zai, options=CallOptions(retries=0))
    assert caplog.messages == ["on_finish failed"]


@in_virtual_time
async def test_a_hook_that_fails_at_the_end_replaces_no_cancellation():
    async with watched(Hooks(on_finish=fail), FakeReply(delay=60.0)) as zai:
        task = asyncio.create_task(ask(zai))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_stream_survives_a_hook_that_fails_at_its_end(caplog):
    async with watched(Hooks(on_finish=fail), FakeReply.stream(GOOD)) as zai:
        answer = await zai.chat.completions.stream(**ASK).completion()
        assert answer.outcome == "completed"
    assert caplog.messages == ["on_finish failed"]


async def fail_later(event):
    await asyncio.sleep(0)
    raise LookupError("the hook's own")


@pytest.mark.parametrize("hook", [fail, fail_later])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hook_that_fails_before_a_retry_leaves_the_error(hook, streamed, caplog):
    caplog.set_level("WARNING", "zai_async")
    ends = []
    hooks = Hooks(on_retry=hook, on_finish=ends.append)
    async with watched(hooks, BUSY, FINE) as zai:
        with pytest.raises(RateLimitError) as caught:
            await ask(zai, stream=streamed)
    assert caplog.messages == ["on_retry failed: chat.completions.create is not sent again"]
    assert [(end.end, end.error) for end in ends] == [("failed", caught.value)]
    assert len(caught.value.attempts) == 1


async def test_a_hook_that_fails_before_a_stream_is_asked_for_again_leaves_the_error():
    ends = []
    hooks = Hooks(on_retry=fail, on_finish=ends.append)
    broken = FakeReply.sse({"error": {"code": "1234", "message": "down"}}, done=False)
    async with watched(hooks, broken, FakeReply.stream(GOOD)) as zai:
        with pytest.raises(ServerError) as caught:
            await zai.chat.completions.stream(**ASK).completion()
    assert [(end.end, end.error) for end in ends] == [("failed", caught.value)]


async def test_an_error_that_is_told_twice_keeps_one_hint():
    async with watched(Hooks(), FakeReply.json({}, status=404)) as zai:
        with pytest.raises(NotFoundError) as caught:
            await ask(zai)
        call = zai._manager.begin(CHAT, ASK)
        error = caught.value
        error.hint = "Look elsewhere."
        call.fail(error)
        call.fail(error)
        assert error.hint.count("The address was") == 1
        assert "/paas/v4/chat/completions." in error.hint


def test_who_waits_unobserved_is_no_matter_to_other_hooks():
    async def work():
        ends = []
        transport = FakeTransport(FakeReply(delay=1.0, steps=FINE.steps, headers=FINE.headers))
        hooks = Hooks(on_finish=ends.append)
        async with (
            client(transport=transport, hooks=hooks, limits=1) as zai,
            anyio.create_task_group() as group,
        ):
            group.start_soon(ask, zai)
            group.start_soon(ask, zai)
        assert [end.end for end in ends] == ["completed"] * 2

    virtual_loop.run(work())


async def test_a_hook_may_raise_the_error_that_it_is_told_of(caplog):
    caplog.set_level("WARNING", "zai_async")

    def give_up(event):
        raise event.error

    async with watched(Hooks(on_retry=give_up), BUSY, FINE) as zai:
        with pytest.raises(RateLimitError):
            await ask(zai)
    assert not caplog.records


async def hang(event):
    await asyncio.sleep(3600)


async def hang_and_fail(event):
    try:
        await asyncio.sleep(3600)
    finally:
        raise LookupError("the hook's own")


async def hang_and_go_on(event):
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)


HANGING = pytest.mark.parametrize("hook", [hang, hang_and_fail, hang_and_go_on])


@HANGING
@pytest.mark.parametrize("name", ["on_start", "on_request", "on_response"])
def test_no_hook_outlives_the_deadline(hook, name):
    async def work():
        transport = FakeTransport(FINE)
        async with client(transport=transport, hooks=Hooks(**{name: hook})) as zai:
            with pytest.raises(DeadlineError):
                await ask(zai, options=CallOptions(deadline=5.0))
            assert asyncio.get_running_loop().time() == pytest.approx(5.0)
            assert transport.open_responses == 0

    virtual_loop.run(work())


@HANGING
def test_no_hook_outlives_the_deadline_while_others_are_waited_for(hook):
    async def work():
        transport = FakeTransport(FakeReply(delay=60.0, steps=FINE.steps, headers=FINE.headers))
        hooks = Hooks(on_queue=hook)
        async with (
            client(transport=transport, hooks=hooks, limits=1) as zai,
            anyio.create_task_group() as group,
        ):
            group.start_soon(ask, zai)
            await asyncio.sleep(1)
            with pytest.raises(DeadlineError):
                await ask(zai, options=CallOptions(deadline=5.0))
            assert asyncio.get_running_loop().time() == pytest.approx(6.0)

    virtual_loop.run(work())


@HANGING
@pytest.mark.parametrize("limits", [1, "off"])
def test_before_a_retry_the_error_is_what_the_deadline_leaves(hook, limits):
    async def work():
        transport = FakeTransport(BUSY, FINE)
        options = {"hooks": Hooks(on_retry=hook), "limits": limits, "retry": RetryPolicy()}
        async with client(transport=transport, **options) as zai:
            with pytest.raises(RateLimitError) as caught:
                await ask(zai, options=CallOptions(deadline=5.0))
            assert asyncio.get_running_loop().time() == pytest.approx(5.0)
            assert "Not retried: the deadline of 5 s has passed." in caught.value.hint
        assert len(transport.requests) == 1

    virtual_loop.run(work())


@HANGING
@pytest.mark.parametrize("name", ["on_start", "on_request", "on_response", "on_retry"])
def test_no_hook_replaces_a_cancellation(hook, name):
    async def work():
        transport = FakeTransport(BUSY if name == "on_retry" else FINE)
        hooks, loop = Hooks(**{name: hook}), asyncio.get_running_loop()
        async with client(transport=transport, hooks=hooks, retry=RetryPolicy()) as zai:
            task = asyncio.create_task(ask(zai))
            loop.call_later(5, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
            with anyio.move_on_after(5) as scope:
                await ask(zai)
            assert scope.cancelled_caught
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await ask(zai)
            assert loop.time() == pytest.approx(15.0)
            assert transport.open_responses == 0
        assert asyncio.current_task().cancelling() == 0

    virtual_loop.run(work())


# Calls inside a hook


def test_a_call_inside_a_hook_works_although_the_outer_one_holds_the_last_permit():
    async def work():
        inner = []

        async def hook(event):
            inner.append((await ask(zai, messages="inner")).text)

        names = ("on_start", "on_request", "on_response", "on_retry")
        hooks = Hooks(**dict.fromkeys(names, hook))
        replies = iter([FINE, FINE, BUSY, FINE, FINE, FINE, FINE])
        transport = FakeTransport(lambda _: next(replies, FINE))
        options = {"limits": 1, "hooks": hooks, "retry": RetryPolicy()}
        async with client(transport=transport, **options) as zai:
            assert (await ask(zai, options=CallOptions(deadline=60.0))).text == "Hi"
            assert zai.limits.snapshot()["glm-5.3"].in_flight == 0
        assert inner == ["Hi"] * 6

    virtual_loop.run(work())


@pytest.mark.parametrize("derived", [False, True])
def test_a_client_that_is_derived_for_a_hook_needs_no_permit_either(derived):
    async def work():
        async def hook(event):
            await ask(zai.with_options(hooks=Hooks()) if derived else zai)

        hooks = Hooks(on_request=hook)
        async with client(transport=FakeTransport(FINE), limits=1, hooks=hooks) as zai:
            assert (await ask(zai, options=CallOptions(deadline=60.0))).text == "Hi"

    virtual_loop.run(work())


async def test_the_hooks_of_another_client_are_called_inside_a_hook():
    seen = Everything()
    async with watched(seen.hooks, FINE) as other:

        async def hook(event):
            await ask(other)

        async with watched(Hooks(on_start=hook), FINE) as zai:
            await ask(zai)
    assert seen.names == ["StartEvent", "RequestEvent", "ResponseEvent", "FinishEvent"]


async def test_two_clients_whose_hooks_call_each_other_come_to_an_end():
    depth = []

    def calling(clients):
        async def hook(event):
            depth.append(1)
            await ask(clients[0])

        return hook

    clients = []
    first = watched(Hooks(on_start=calling(clients)), FINE)
    second = watched(Hooks(on_start=calling([first])), FINE)
    clients.append(second)
    async with first, second:
        await ask(first)
    assert len(depth) == 2


async def test_a_task_that_a_hook_has_started_is_watched_like_any_other():
    seen, tasks = Everything(), []

    def finish(event):
        seen.append(event)
        if not tasks:
            tasks.append(asyncio.create_task(ask(zai)))

    hooks = msgspec.structs.replace(seen.hooks, on_finish=finish)
    async with watched(hooks, FINE) as zai:
        await ask(zai)
        await tasks[0]
    assert seen.names.count("StartEvent") == seen.names.count("FinishEvent") == 2


async def test_what_a_hook_has_started_is_no_part_of_it_when_it_has_ended():
    seen, tasks, ended = Everything(), [], anyio.Event()

    async def start(event):
        seen.append(event)
        if not tasks:
            tasks.append(asyncio.create_task(later()))

    async def later():
        await ended.wait()
        await ask(zai)

    hooks = msgspec.structs.replace(seen.hooks, on_start=start)
    async with watched(hooks, FINE) as zai:
        await ask(zai)
        assert running_hook.get() is None
        ended.set()
        await tasks[0]
    assert seen.names.count("StartEvent") == seen.names.count("FinishEvent") == 2


# What hooks add to requests, and what they see when they ask for all


@pytest.mark.parametrize("name", ["around", "on_request"])
async def test_a_hook_may_add_header_fields(name):
    def mark(event):
        if isinstance(event, RequestEvent):
            event.headers.update({"x-attempt": str(event.attempt), "Api-Key": KEY})

    transport = FakeTransport(BUSY, FINE)
    zai = client(
        transport=transport,
        hooks=Hooks(**{name: mark}),
        retry=RetryPolicy(),
        clock=FakeClock(),
        headers={"X-Attempt": "mine"},
    )
    async with zai:
        await ask(zai)
    for number, request in enumerate(transport.requests, 1):
        assert request.headers["x-attempt"] == str(number)
        assert KEY not in repr(request.headers)


async def test_a_header_field_that_cannot_be_sent_ends_the_call():
    def break_in(event):
        event.headers["X-Mark"] = "a\r\nb: c"

    transport = FakeTransport(FINE)
    async with client(transport=transport, hooks=Hooks(on_request=break_in)) as zai:
        with pytest.raises(ConfigurationError, match="X-Mark"):
            await ask(zai)
    assert not transport.requests


@pytest.mark.parametrize("content", [True, False])
async def test_content_is_in_events_that_ask_for_it(content):
    seen = []
    hooks = Hooks(on_start=seen.append, on_finish=seen.append, content=content)
    async with watched(hooks, FINE, FakeReply.stream(GOOD)) as zai:
        await ask(zai)
        async with zai.chat.completions.stream(**ASK) as stream:
            whole = await stream.completion()
    start, finish, _, finish_of_stream = seen
    assert (finish.response_id, finish.response_model) == ("1", "glm-5.3")
    assert finish.finish_reasons == finish_of_stream.finish_reasons == ("stop",)
    assert (PROMPT in repr(seen)) is content
    if content:
        assert start.content["messages"] == PROMPT
        assert finish.answer.text == "Hi"
        assert finish_of_stream.answer.text == whole.text
    else:
        assert start.content is finish.answer is finish_of_stream.answer is None


# Two sets of hooks


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_joined_hooks_do_what_both_do(asynchronous):
    seen = []

    def hooks_of(name):
        @contextmanager
        def around(event):
            seen.append(f"{name} {event.kind} begins")
            yield
            seen.append(f"{name} {event.kind} ends")

        async def later(event):
            seen.append(name)

        on_start = later if asynchronous else lambda _: seen.append(name)
        return Hooks(around=around, on_start=on_start, on_finish=lambda _: seen.append(name))

    async with watched(hooks_of("one").joined(hooks_of("two")), FINE) as zai:
        await ask(zai)
    assert seen == [
        *("one call begins", "two call begins", "one", "two"),
        *("one attempt begins", "two attempt begins", "two attempt ends", "one attempt ends"),
        *("one", "two", "two call ends", "one call ends"),
    ]


async def test_joined_hooks_may_be_different_ones():
    seen = []
    mine = Hooks(on_start=seen.append, around=lambda _: None, content=True)
    theirs = Hooks(on_finish=seen.append, around=lambda _: None, content=True)
    async with watched(mine.joined(theirs).joined(Hooks()), FINE) as zai:
        assert zai.hooks.content
        await ask(zai)
    assert [type(event).__name__ for event in seen] == ["StartEvent", "FinishEvent"]


# Blocks around a tool


@pytest.mark.parametrize("content", [True, False])
async def test_a_block_goes_around_a_tool(zai_emulator, content):
    seen = []

    @tool
    def double(number: int) -> int:
        """Double a number."""
        seen.append("runs")
        return 2 * number

    @contextmanager
    def around(event):
        seen.append(event)
        yield
        seen.append("left")
        raise LookupError("logged, and nothing else")

    zai_emulator.chat.reply(tool_calls=[{"name": "double", "arguments": {"number": 2}}])
    zai_emulator.chat.reply("4")
    hooks = Hooks(around_work=around, content=content)
    async with (
        client(zai_emulator.url, hooks=hooks) as zai,
        zai.chat.completions.run_tools(**ASK, tools=[double]) as run,
    ):
        assert (await run.completion()).text == "4"
    event, *rest = seen
    assert (event.kind, event.name, rest) == ("tool", "double", ["runs", "left"])
    assert event.arguments == ({"number": 2} if content else None)


def test_what_fails_in_a_tool_is_gone_as_soon_as_nobody_holds_it():
    hooks = Hooks(around_work=lambda _: nullcontext())
    gc.collect()
    gc.disable()
    try:
        try:
            with work_block(hooks, ToolEvent(name="double", tool_call_id="1")):
                raise BadRequestError("no number")  # noqa: TRY301 - the block ends with it
        except BadRequestError as error:
            failed = weakref.ref(error)
        assert failed() is None
    finally:
        gc.enable()
