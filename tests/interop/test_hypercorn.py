"""hypercorn, which frames bodies by another library than uvicorn and aiohttp do.

Install: `pip install hypercorn`, in an environment of its own, and put it on the path.
"""

from pathlib import Path

import pytest

from tests.interop.asgi_platform import WORDS
from tests.interop.programs import running
from tests.ports import free_port
from zai_async import AsyncZai, RetryPolicy, StreamTruncatedError

pytestmark = pytest.mark.interop

TEXT = "".join(WORDS)


@pytest.fixture
async def zai(tmp_path):
    port = free_port()
    arguments = ["--bind", f"127.0.0.1:{port}", "asgi_platform:app"]
    with running(port, "hypercorn", *arguments, log=tmp_path / "log", cwd=Path(__file__).parent):
        async with AsyncZai(
            api_key="key",
            base_url=f"http://127.0.0.1:{port}/api/paas/v4",
            retry=RetryPolicy(retries=0),
            trust_env=False,
        ) as client:
            yield client


async def read(zai, question="Hi"):
    async with zai.chat.completions.stream(model="glm-4.6", messages=question) as stream:
        return (await stream.completion()).text


async def test_answers_and_streams_are_read(zai):
    for _ in range(3):
        assert await read(zai) == TEXT
        answer = await zai.chat.completions.create(model="glm-4.6", messages="Hi")
        assert answer.text == TEXT
    assert answer.attempts[0].connection_reused


async def test_an_application_that_breaks_is_a_stream_that_was_cut(zai):
    with pytest.raises(StreamTruncatedError) as caught:
        await read(zai, "break")
    assert TEXT.startswith(caught.value.partial.text)
    assert await read(zai) == TEXT
