"""Files that the caller names for writing: paths, devices, and pipes whose reader is late."""

import asyncio
import errno
import os
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from zai_async import AsyncZai, InvalidFileError, _files
from zai_async._files import OutputFile, file_path, reserve
from zai_async._threads import FILE_THREADS, abandonable
from zai_async.cli.output import write_content
from zai_async.models import BinaryReply
from zai_async.testing import Emulator

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")

SOUND = BinaryReply(content=bytes(2**20))


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def two_threads(monkeypatch):
    """So many that a third one who waits for ever stops everything."""
    monkeypatch.setattr(FILE_THREADS, "_most", 2)


async def speech(zai, path):
    await zai.audio.speech.stream(model="glm-tts", input="Hello.", voice="tongtong").save(path)


async def download(zai, path):
    answer = await zai.images.generate(model="cogview-4", prompt="a cat")
    await zai.download(answer.data[0].url, path)


async def reply(_, path):
    await SOUND.save(path)


@pytest.fixture
async def waiting(monkeypatch):
    """Set whenever a thread waits for the reader of a pipe."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def sleep(seconds):
        loop.call_soon_threadsafe(event.set)
        time.sleep(seconds)

    monkeypatch.setattr(_files, "time", SimpleNamespace(sleep=sleep))
    return event


async def cancel(work, waiting, by_anyio):
    """Run some work until it waits for a pipe, and no longer."""
    waiting.clear()
    scope = anyio.CancelScope()

    async def within():
        with scope:
            await work

    task = asyncio.create_task(within())
    await waiting.wait()
    if by_anyio:
        scope.cancel()
    else:
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() != by_anyio


@pytest.mark.parametrize("by_anyio", [False, True])
@pytest.mark.parametrize("write", [speech, download, reply])
async def test_a_pipe_that_nobody_reads_keeps_no_thread(
    write, by_anyio, pipe, two_threads, waiting
):
    async with (
        Emulator() as emulator,
        AsyncZai(api_key="test", base_url=emulator.url, trust_env=False) as zai,
    ):
        for _ in range(3):
            await cancel(write(zai, pipe), waiting, by_anyio)
        assert (await zai.files.create(file=Path(__file__), purpose="agent")).id


async def test_a_pipe_whose_reader_stops_can_be_left(pipe, two_threads):
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(SOUND.save(pipe), 0.01)
        assert await abandonable(lambda: 1)
    finally:
        os.close(reader)


async def test_a_pipe_whose_reader_is_late_gets_everything(pipe, waiting):
    """Also more than it can hold at a time."""
    got = []
    saving = asyncio.create_task(SOUND.save(pipe))
    await waiting.wait()
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert await saving == 2**20
    reader.join()
    assert got == [SOUND.content]


async def test_a_pipe_that_has_lost_its_reader_is_told(pipe):
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    async with OutputFile(pipe) as file:
        await file.overwrite(b"there is no way back")
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            await file.write(b"x")


async def test_a_file_is_emptied_first_and_can_be_written_over(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"long before")
    async with OutputFile(path) as file:
        await file.write(b"abc")
        await file.overwrite(b"X")
    assert path.read_bytes() == b"Xbc"
    assert path.stat().st_mode & 0o111 == 0


@pytest.mark.parametrize("path", ["\0", Path("a\0b"), "a\ud800"])
async def test_what_can_be_no_path_is_refused(path, zai_emulator):
    with pytest.raises(InvalidFileError, match="no file can be called so"):
        await SOUND.save(path)
    async with AsyncZai(api_key="test", base_url=zai_emulator.url, trust_env=False) as zai:
        with pytest.raises(InvalidFileError):
            await zai.download(f"{zai_emulator.url}/film.mp4", path)
        with pytest.raises(InvalidFileError):
            await speech(zai, path)
    assert not zai_emulator.requests


class BytesPath:
    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return self._path


def test_a_path_of_bytes_is_a_path():
    assert file_path(BytesPath(b"/a/\xff")) == Path("/a/\udcff")


# Disks without room.


@pytest.fixture
def short_of_room():
    """Let files of this process grow to 100 kB, and no further: every write says so like a disk."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@pytest.fixture(params=["reserved", "unknown", "lacking"])
def way_to_reserve(request, monkeypatch):
    if request.param == "unknown":

        def fallocate(*_):
            raise OSError(errno.EOPNOTSUPP, "no")

        monkeypatch.setattr(os, "posix_fallocate", fallocate)
    elif request.param == "lacking":
        monkeypatch.delattr(os, "posix_fallocate")


async def save_whole(path, size):
    await BinaryReply(content=b"n" * size).save(path)


async def save_pieces(path, size):
    async with OutputFile(path) as file:
        await file.write(b"n" * (size // 2))
        await file.write(b"n" * (size - size // 2))


async def save_by_command(path, size):
    await asyncio.to_thread(write_content, b"n" * size, None, str(path))


WAYS = [save_whole, save_pieces, save_by_command]


@pytest.mark.parametrize("save", WAYS)
async def test_what_finds_no_room_leaves_the_older_file_as_it_was(
    tmp_path, short_of_room, way_to_reserve, save
):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"older")
    path.chmod(0o640)
    other.hardlink_to(path)
    with pytest.raises(OSError, match="too large") as caught:
        await save(path, 200_000)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == other.read_bytes() == b"older"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("save", [save_whole, save_by_command])
async def test_what_finds_no_room_leaves_no_file_where_there_was_none(
    tmp_path, short_of_room, save
):
    with pytest.raises(OSError, match="too large"):
        await save(tmp_path / "a", 200_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("save", WAYS)
@pytest.mark.parametrize("before", [0, 3, 90_000])
@pytest.mark.parametrize("size", [0, 10, 80_000])
async def test_what_is_written_over_keeps_links_and_permissions(
    tmp_path, way_to_reserve, save, before, size
):
    path, other, link = tmp_path / "a", tmp_path / "b", tmp_path / "link"
    path.write_bytes(b"o" * before)
    path.chmod(0o604)
    other.hardlink_to(path)
    link.symlink_to(path)
    number = path.stat().st_ino
    await save(link, size)
    assert path.read_bytes() == other.read_bytes() == b"n" * size
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (number, 0o604)
    assert link.is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "link"]


async def test_a_block_that_fails_leaves_the_older_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"older")

    async def failing():
        async with OutputFile(path) as file:
            await file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert path.read_bytes() == b"older"


async def test_a_file_is_written_where_nothing_can_lie_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"older")

    def refused(**_):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    await save_pieces(path, 3)
    assert path.read_bytes() == b"nnn"


def test_where_nothing_can_be_reserved_a_file_stays_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"older")
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.delattr(os, "pwrite")
    with path.open("r+b") as file:
        reserve(file.fileno(), 100)
    assert path.read_bytes() == b"older"


@pytest.mark.parametrize("save", WAYS)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device without room")
async def test_a_device_without_room_says_so(save):
    with pytest.raises(OSError, match="No space"):
        await save(Path("/dev/full"), 10)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB, where this machine lets a test have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, check=False).returncode:
        pytest.skip("no right to mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("save", WAYS)
async def test_a_full_disk_keeps_the_older_file(small_disk, save):
    path = small_disk / "a"
    path.write_bytes(b"o" * 40_000)
    with pytest.raises(OSError, match="No space"):
        await save(path, 100_000)
    assert path.read_bytes() == b"o" * 40_000
    if save is not save_pieces:
        await save(path, 50_000)  # which would not fit beside the other
        assert path.read_bytes() == b"n" * 50_000
