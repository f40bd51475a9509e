"""haproxy in front of the emulator.

Install: `apt-get install haproxy`.
"""

from urllib.parse import urlsplit

import anyio
import pytest

from tests.interop.programs import running
from tests.ports import free_port
from zai_async import AsyncZai, RetryPolicy, ServerError, StreamTruncatedError
from zai_async.testing import Emulator

pytestmark = pytest.mark.interop

TEXT = "word " * 400
CONFIG = """
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 2s
  timeout queue 20s
frontend here
  bind 127.0.0.1:{port}
  default_backend there
backend there
  server emulator 127.0.0.1:{target} maxconn 4
"""


@pytest.fixture
async def emulator():
    async with Emulator() as server:
        yield server


@pytest.fixture
def start(tmp_path):
    """Return how to start haproxy in front of a port."""

    def start(target):
        port, config = free_port(), tmp_path / "haproxy.cfg"
        config.write_text(CONFIG.format(port=port, target=target))
        program = running(port, "haproxy", "-db", "-f", config, log=tmp_path / "log")
        return program, f"http://127.0.0.1:{port}/api/paas/v4"

    return start


@pytest.fixture
def haproxy(emulator, start):
    program, url = start(urlsplit(emulator.root_url).port)
    with program:
        yield url


def client(url, **changes):
    settings = {"retry": RetryPolicy(retries=0), "trust_env": False, "limits": "off"}
    return AsyncZai(api_key="key", base_url=url, **settings | changes)


async def ask(zai):
    return await zai.chat.completions.create(model="glm-4.6", messages="Hi")


async def read(zai):
    async with zai.chat.completions.stream(model="glm-4.6", messages="Hi") as stream:
        return (await stream.completion()).text


async def test_everything_is_passed_on(emulator, haproxy):
    async with client(haproxy) as zai:
        for _ in range(4):
            emulator.chat.reply(TEXT)
            assert await read(zai) == TEXT
            assert (await ask(zai)).outcome == "completed"


async def test_a_silent_stream_is_cut(emulator, haproxy):
    emulator.chat.reply(TEXT, chunk_size=5)
    emulator.fault(silence_after=(3000, 30.0))
    async with client(haproxy) as zai:
        with pytest.raises(StreamTruncatedError) as caught:
            await read(zai)
    assert TEXT.startswith(caught.value.partial.text)


async def test_a_server_that_hangs_is_a_page_of_its_own(emulator, haproxy):
    emulator.fault(hang=True)
    async with client(haproxy) as zai:
        with pytest.raises(ServerError, match="HTTP 504 with a page"):
            await ask(zai)


async def test_a_server_that_is_down_is_a_page_of_its_own(start):
    program, url = start(free_port())
    with program:
        async with client(url) as zai:
            with pytest.raises(ServerError, match="HTTP 503 with a page"):
                await ask(zai)


async def test_what_is_queued_is_answered(emulator, haproxy):
    emulator.fault(delay=0.05, times=None)
    answers = []

    async def one(zai):
        answers.append((await ask(zai)).outcome)

    async with client(haproxy) as zai, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one, zai)
    assert answers == ["completed"] * 20
    assert emulator.peak_in_flight <= 4
