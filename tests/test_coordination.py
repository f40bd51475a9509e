"""Slots that processes share: never more than there are, and free again when a process ends."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests import virtual_loop
from tests.calls import ASK, FINE, ask, client
from tests.chat_wire import GOOD
from zai_async import AsyncZai, ConfigurationError, Hooks, MachineSlots
from zai_async.session import coordination
from zai_async.session.coordination import window_name
from zai_async.testing import Emulator, FakeReply, FakeTransport

ROOT = Path(__file__).parents[1]
BUSY = FakeReply.json({"error": {"code": "1302"}}, status=429)


class Counted:
    """A store of our own that remembers who has what."""

    def __init__(self, gate=None):
        self.windows, self.sizes, self.taken, self.peak, self.asked = set(), set(), 0, 0, 0
        self.gate = gate

    async def acquire(self, window, slots):
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        self.windows.add(window)
        self.sizes.add(slots)
        self.taken += 1
        self.peak = max(self.peak, self.taken)
        return self._release

    def _release(self):
        self.taken -= 1


# Any coordinator


async def test_every_request_has_a_slot_while_it_lasts():
    store = Counted()
    transport = FakeTransport(FakeReply(headers=FINE.headers, steps=FINE.steps, delay=0.001))
    async with (
        client(transport=transport, limits=3, coordinator=store) as zai,
        anyio.create_task_group() as group,
    ):
        for _ in range(20):
            group.start_soon(ask, zai)
    assert (store.taken, store.peak, store.asked, store.sizes) == (0, 3, 20, {3})


async def test_only_those_that_the_limiter_holds_back_say_that_they_wait():
    waits = []
    settings = {"coordinator": Counted(), "hooks": Hooks(on_queue=waits.append)}
    async with client(transport=FakeTransport(FINE), limits=1, **settings) as zai:
        for _ in range(3):
            await ask(zai)
    assert waits == []


async def test_a_stream_keeps_its_slot_until_it_is_closed():
    store = Counted()
    script = FakeTransport(FakeReply.stream(GOOD))
    async with client(transport=script, limits=1, coordinator=store) as zai:
        async with zai.chat.completions.stream(**ASK) as stream:
            await anext(stream)
            assert store.taken == 1
        assert store.taken == 0


def test_a_refused_request_gives_its_slot_to_others_while_it_waits():
    async def work():
        store = Counted()
        transport = FakeTransport(BUSY, FINE)
        async with (
            AsyncZai(api_key="k", transport=transport, limits=1, coordinator=store) as zai,
            anyio.create_task_group() as group,
        ):
            group.start_soon(ask, zai)
            await anyio.sleep(0.01)
            assert (store.asked, store.taken) == (1, 0)
        assert (store.asked, store.taken) == (2, 0)

    virtual_loop.run(work())


@pytest.mark.parametrize("moment", ["first", "after a refusal"])
def test_a_call_that_is_cancelled_while_it_waits_for_a_share(moment):
    async def work():
        gate = anyio.Event()
        store = Counted(gate)
        transport = FakeTransport(BUSY, FINE)
        async with AsyncZai(api_key="k", transport=transport, limits=1, coordinator=store) as zai:
            if moment != "first":
                gate.set()
            with anyio.move_on_after(0.1):
                async with anyio.create_task_group() as group:
                    group.start_soon(ask, zai)
                    await anyio.sleep(0.05)
                    store.gate = anyio.Event()
            figures = zai.limits.snapshot()["glm-5.3"]
            assert (figures.in_flight, figures.waiting, store.taken) == (0, 0, 0)

    virtual_loop.run(work())


async def test_windows_are_named_the_same_everywhere_and_tell_no_secret():
    store, keys = Counted(), ["key-one", "key-one", "key-two"]
    for key in keys:
        async with client(
            transport=FakeTransport(FINE), api_key=key, limits=1, coordinator=store
        ) as zai:
            await ask(zai)
    assert len(store.windows) == 2
    assert not any("key" in window for window in store.windows)
    assert window_name("a", "bc") != window_name("ab", "c")


@pytest.mark.parametrize("limits", [None, "off", "adaptive"])
def test_only_a_known_number_can_be_shared(limits):
    with pytest.raises(ConfigurationError, match="a number that is known"):
        AsyncZai(api_key="k", limits=limits, coordinator=Counted())


# One machine

unix = pytest.mark.skipif(sys.platform == "win32", reason="needs the file locks of Unix")


def test_where_there_are_no_locks(monkeypatch, tmp_path):
    monkeypatch.setattr(coordination, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="Unix"):
        MachineSlots(tmp_path)


@unix
async def test_a_directory_that_does_not_exist(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot share slots in"):
        await MachineSlots(tmp_path / "none").acquire("w", 1)


@unix
async def test_slots_are_shared_by_all_that_use_the_directory(tmp_path):
    mine, theirs = MachineSlots(tmp_path), MachineSlots(tmp_path)
    first, second = await mine.acquire("w", 2), await theirs.acquire("w", 2)
    with anyio.move_on_after(0.05) as scope:
        await mine.acquire("w", 2)
    assert scope.cancelled_caught
    other = await mine.acquire("another window", 1)
    threading.Thread(target=first).start()
    third = await theirs.acquire("w", 2)
    for release in (second, third, other):
        release()
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@unix
@pytest.mark.parametrize("trap", ["link", "open", "file"])
async def test_a_folder_that_is_not_ours_alone_is_refused(trap, tmp_path):
    place = tmp_path / f"zai-slots-{os.getuid()}"
    if trap == "link":
        (tmp_path / "elsewhere").mkdir(0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif trap == "open":
        place.mkdir()
        place.chmod(0o777)
    else:
        place.touch()
    with pytest.raises(ConfigurationError, match=r"cannot share slots in|is open to others"):
        await MachineSlots(tmp_path).acquire("w", 1)


@unix
async def test_no_link_is_followed_to_a_file_of_others(tmp_path):
    victim = tmp_path / "victim"
    folder = tmp_path / f"zai-slots-{os.getuid()}"
    folder.mkdir(0o700)
    (folder / "w.0").symlink_to(victim)
    with pytest.raises(ConfigurationError, match="cannot share slots in"):
        await MachineSlots(tmp_path).acquire("w", 1)
    assert not victim.exists()


@unix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
async def test_a_folder_of_somebody_else_is_refused(tmp_path):
    folder = tmp_path / f"zai-slots-{os.getuid()}"
    folder.mkdir(0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(ConfigurationError, match="is open to others"):
        await MachineSlots(tmp_path).acquire("w", 1)


@unix
async def test_the_child_of_a_fork_does_not_keep_the_slots_of_its_parent(tmp_path, monkeypatch):
    slots = MachineSlots(tmp_path)
    release = await slots.acquire("w", 2)
    (inherited,) = slots._held
    monkeypatch.setattr(os, "getpid", lambda: -1)
    (await slots.acquire("w", 2))()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(inherited)
    assert release.args == (inherited,)


@unix
async def test_no_more_are_taken_than_there_are(tmp_path):
    taken = peak = 0

    async def work(slots):
        nonlocal taken, peak
        release = await slots.acquire("w", 3)
        taken += 1
        peak = max(peak, taken)
        await anyio.sleep(0.001)
        taken -= 1
        release()

    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(work, MachineSlots(tmp_path))
    assert (taken, peak) == (0, 3)


HOLD = """
import asyncio, sys
from zai_async import MachineSlots

async def main():
    await MachineSlots(sys.argv[1]).acquire("w", 1)
    print("taken", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@unix
async def test_a_process_that_crashes_frees_its_slots(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert await holder.stdout.readline() == b"taken\n"
        slots = MachineSlots(tmp_path)
        with anyio.move_on_after(0.05) as scope:
            await slots.acquire("w", 1)
        assert scope.cancelled_caught
    finally:
        holder.send_signal(signal.SIGKILL)
        await holder.communicate()
    with anyio.fail_after(100):
        (await slots.acquire("w", 1))()


@unix
async def test_a_slot_is_free_although_a_child_was_forked_while_it_was_taken(tmp_path):
    slots = MachineSlots(tmp_path)
    release = await slots.acquire("w", 1)
    (file,) = release.args
    copy = os.dup(file)  # what the child of a fork has
    try:
        release()
        with anyio.fail_after(100):
            (await slots.acquire("w", 1))()
    finally:
        os.close(copy)


WORK = """
import asyncio, sys
from zai_async import AsyncZai, MachineSlots

async def main(url, directory):
    slots = MachineSlots(directory)
    async with AsyncZai(api_key="k", base_url=url, limits=4, coordinator=slots) as zai:
        await asyncio.gather(*(
            zai.chat.completions.create(model="glm-5.3", messages="Hi") for _ in range(40)
        ))

asyncio.run(main(*sys.argv[1:]))
"""


@unix
async def test_four_processes_stay_within_the_limit_of_the_account(tmp_path):
    async with Emulator() as emulator:
        emulator.account.limit(concurrency=4)
        emulator.fault(times=None, delay=0.01)
        run = partial(anyio.run_process, cwd=ROOT)
        command = [sys.executable, "-c", WORK, emulator.url, str(tmp_path)]
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(run, command)
        refused = [request for request in emulator.requests if request.status == 429]
        assert len(emulator.requests) - len(refused) == 160
        assert len(refused) < 8
        assert emulator.peak_in_flight >= 3
