"""Files that the caller names for writing: paths, devices, and pipes whose reader is late."""

import asyncio
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from zai_async import AsyncZai, InvalidFileError, _files
from zai_async._files import OutputFile, file_path
from zai_async._threads import FILE_THREADS, abandonable
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
