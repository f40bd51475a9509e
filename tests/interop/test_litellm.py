"""LiteLLM's proxy between us and the emulator: a gateway that reads and writes everything anew.

Install: `pip install 'litellm[proxy]'` in an environment of its own, with its `bin` in PATH.
"""

import json
from contextlib import contextmanager

import pytest

from tests.interop.programs import running
from tests.ports import free_port
from zai_async import (
    APIError,
    AsyncZai,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamTruncatedError,
)
from zai_async.testing import Emulator

pytestmark = pytest.mark.interop

KEY = "sk-interop-0123456789"
TEXT = "Grüße, 世界 🌍! " * 40


@pytest.fixture(scope="module")
def upstream():
    with Emulator() as server:
        yield server


@pytest.fixture(scope="module")
def url(tmp_path_factory, upstream):
    folder = tmp_path_factory.mktemp("litellm")
    model = {"model": "openai/glm-4.6", "api_base": upstream.url, "api_key": "upstream"}
    config = {
        "model_list": [{"model_name": "glm-4.6", "litellm_params": model}],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": KEY},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # which is YAML as well
    port = free_port()
    options = ["--config", path, "--host", "127.0.0.1", "--port", port]
    with litellm_offline(), running(port, "litellm", *options, log=folder / "log"):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def litellm_offline():
    """Keep it from fetching its table of prices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        yield


@pytest.fixture
def emulator(upstream):
    """Reset it after each test too: the proxy keeps connections to it."""
    upstream.reset()
    yield upstream
    upstream.reset()


@pytest.fixture
async def zai(url, emulator):
    retry = RetryPolicy(retries=0)
    async with AsyncZai(api_key=KEY, base_url=url, retry=retry, trust_env=False) as client:
        yield client


async def create(zai):
    return await zai.chat.completions.create(model="glm-4.6", messages="Hi")


async def stream(zai):
    async with zai.chat.completions.stream(model="glm-4.6", messages="Hi") as answer:
        return await answer.completion()


BOTH = pytest.mark.parametrize("call", [create, stream])


@BOTH
async def test_text(zai, emulator, call):
    emulator.chat.reply(TEXT, thinking="Let me think.")
    answer = await call(zai)
    assert (answer.outcome, answer.text) == ("completed", TEXT)


@BOTH
async def test_errors_keep_their_meaning(zai, emulator, call):
    emulator.fault(code="1302")
    with pytest.raises(RateLimitError):
        await call(zai)
    emulator.fault(status=500)
    with pytest.raises(ServerError):
        await call(zai)


async def test_a_stream_that_is_cut(zai, emulator):
    emulator.chat.reply(TEXT, chunk_size=5)
    emulator.fault(cut_after=3000)
    with pytest.raises((StreamTruncatedError, APIError)) as caught:
        await stream(zai)
    assert TEXT.startswith(caught.value.partial.text)
