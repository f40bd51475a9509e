"""Calls in the background let others go first, and not for ever."""

from functools import partial

import anyio
import pytest
from msgspec.structs import replace

from tests.batches import asked, client, completion, rows
from tests.virtual_loop import in_virtual_time
from zai_async import AsyncZai, CallOptions, Limits
from zai_async.limiter import SharedWindow, WindowLink
from zai_async.limiter.window import Window
from zai_async.testing import FakeReply, FakeTransport


def full_window():
    window = Window(Limits(mode="fixed", start=1))
    return window, window.try_admit(0.0)


def order(window, running):
    """Let everybody go, one after the other."""
    going = []
    while running is not None:
        window.released(running)
        running = next(iter(window.admit(0.0)), None)
        going.append(running)
    return going[:-1]


def test_calls_in_the_background_go_last():
    window, running = full_window()
    batch = [window.request(background=True) for _ in range(2)]
    others = [window.request() for _ in range(2)]
    assert order(window, running) == [*others, *batch]
    assert not window._background


@in_virtual_time
async def test_a_call_says_whether_it_is_in_the_background():
    going = []
    transport = FakeTransport(lambda request: replace(FakeReply.json(completion()), delay=1.0))
    async with (
        AsyncZai(api_key="k", limits=1, transport=transport) as zai,
        anyio.create_task_group() as group,
    ):

        async def call(name, **options):
            asked = {"model": "glm-5.3", "messages": "Hi."}
            await zai.chat.completions.create(**asked, options=CallOptions(**options))
            going.append(name)

        for name, options in (("first", {}), ("later", {"priority": "background"}), ("now", {})):
            group.start_soon(partial(call, name, **options))
            await anyio.sleep(0.1)
    assert going == ["first", "now", "later"]


def test_whoever_has_let_many_go_first_waits_no_longer():
    window, running = full_window()
    batch = window.request(background=True)
    others = [window.request() for _ in range(30)]
    assert order(window, running).index(batch) == 20
    assert len(others) == 30


def test_whoever_has_gone_is_overtaken_by_nobody():
    window, running = full_window()
    given_up, batch = window.request(background=True), window.request(background=True)
    window.released(given_up)
    other = window.request()
    assert order(window, running) == [other, batch]
    window, _ = full_window()
    window.request(background=True)
    window.forget_requests()
    assert not window._background


def test_calls_in_the_background_let_those_of_other_processes_go_first():
    limits = Limits.of(1)
    shared = SharedWindow(limits)
    mine, other = (WindowLink(limits, lambda: None) for _ in range(2))

    def going(link):
        link.heard(shared.exchange(link.report(), 0.0), 0.0)
        return link.admit(0.0)

    running = mine.request()
    batch = mine.request(background=True)
    assert going(mine) == [running]
    shared = SharedWindow(limits)  # the other one is lost: everything is told again
    assert going(mine) == []
    assert going(mine) == []
    urgent = other.request()
    assert going(other) == []
    mine.released(running)
    assert going(mine) == []
    assert going(other) == [urgent]
    other.released(urgent)
    assert going(other) == []
    assert going(mine) == [batch]


async def test_interactive_calls_go_before_the_rows_of_a_batch(tmp_path):
    asked_in_order = []

    def script(request):
        asked_in_order.append(asked(request))
        steps = FakeReply.json(completion()).steps
        return FakeReply(delay=0.001, steps=steps, headers={"Content-Type": "application/json"})

    zai, _ = client(script, limits=1)
    run = zai.batch.run(rows(60), out=tmp_path / "out", model="glm-5.3", concurrency=8)
    await anext(run)
    # Several rows wait for the only permit now; the call goes before them.
    answer = await zai.chat.completions.create(model="glm-5.3", messages="Quick!")
    assert answer.text == "Fine."
    await run
    assert asked_in_order.index("Quick!") < len(asked_in_order) - 6


def test_there_are_two_priorities():
    with pytest.raises(ValueError, match="priority must be"):
        CallOptions(priority="urgent")
    assert CallOptions(priority="background").priority == "background"
