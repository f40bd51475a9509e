"""The one door from a thread into an event loop: asyncio's debug mode refuses every other one.

Without it, what another thread has to say is heard when the loop happens to wake up, or never.
"""

import asyncio
import signal
import threading
from types import SimpleNamespace

import pytest

from zai_async import Hooks
from zai_async._threads import abandonable, call_in
from zai_async.session.queueing import _call_in
from zai_async.tasks.groups import _cancel
from zai_async.tools.execution import RunningCall
from zai_async.web.signals import ShutdownSignals


def told_by_a_thread(make):
    """Have a thread call what ``make`` returns; return what is told, each with its thread."""
    told, home = [], threading.current_thread()

    def tell(*data):
        told.append((data, threading.current_thread() is home))

    async def work():
        await asyncio.to_thread(make(asyncio.get_running_loop(), tell))
        return told

    return asyncio.run(work(), debug=True)


def queues(loop, tell):
    return lambda: tell(_call_in(loop, tell, "now", 5))


def handlers(loop, tell):
    signals = ShutdownSignals(lambda: tell("begin"))
    signals._loop = loop
    signals._former = {signal.SIGTERM: tell}
    return lambda: signals._heard(signal.SIGTERM, None)


def progress(loop, tell):
    del loop
    record = SimpleNamespace(status="started", call=SimpleNamespace(id="c1"))
    running = RunningCall(record, lambda event: tell(event.call_id, event.data), Hooks())
    return lambda: running.report("half")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda loop, tell: lambda: call_in(loop, tell), [((), True)]),
        (queues, [((True,), False), (("now", 5), True)]),
        (handlers, [((signal.SIGTERM, None), False), (("begin",), True)]),
        (progress, [(("c1", "half"), True)]),
    ],
    ids=["drain", "queue", "signal", "progress"],
)
def test_a_thread_is_heard_in_the_thread_of_the_loop(make, told):
    assert sorted(told_by_a_thread(make), key=str) == sorted(told, key=str)


def test_in_its_own_loop_a_function_is_called_at_once():
    async def work():
        told = []
        call_in(asyncio.get_running_loop(), lambda: told.append(True))
        return told

    assert asyncio.run(work(), debug=True) == [True]


@pytest.mark.parametrize(
    ("work", "told"),
    [(lambda: 5, 5), (lambda: 1 / 0, ZeroDivisionError), (lambda: next(iter(())), RuntimeError)],
)
def test_what_a_thread_has_done_ends_the_wait_for_it(work, told):
    async def wait():
        return (await asyncio.gather(abandonable(work), return_exceptions=True))[0]

    found = asyncio.run(wait(), debug=True)
    assert type(found) is told if isinstance(told, type) else found == told


def test_a_thread_that_collects_an_iterator_ends_its_waits():
    async def work():
        waits = {asyncio.create_task(asyncio.Event().wait()) for _ in range(3)}
        await asyncio.sleep(0)
        await asyncio.to_thread(_cancel, waits)
        await asyncio.sleep(0)
        return [wait.cancelled() for wait in waits]

    assert asyncio.run(work(), debug=True) == [True] * 3
