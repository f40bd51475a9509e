"""mitmproxy, which opens TLS with a certificate of its own and reads what passes.

Install: `pip install mitmproxy`, in an environment of its own, and put `mitmdump` on the path.
"""

import ssl

import pytest

from tests.interop.programs import running
from tests.ports import free_port
from zai_async import AsyncZai, RetryPolicy, StreamTruncatedError, ZaiError
from zai_async.testing import Emulator

pytestmark = pytest.mark.interop

TEXT = "word " * 400
# Whole bodies or piece by piece, and every second event without its beginning.
PASSING = "def responseheaders(flow): flow.response.stream = True"
BREAKING = """
def responseheaders(flow):
    flow.response.stream = lambda data: data.replace(b'"delta"', b'"del\\n\\ndata: {')
"""


@pytest.fixture
async def emulator():
    async with Emulator() as server:
        yield server


@pytest.fixture(params=[""])
def mitmproxy(request, tmp_path, emulator):
    """Return the address and the certificate of a proxy in front of the emulator."""
    port, script = free_port(), tmp_path / "script.py"
    script.write_text(request.param)
    arguments = [
        *("--listen-host", "127.0.0.1", "--listen-port", port, "--set", f"confdir={tmp_path}"),
        *("--mode", f"reverse:{emulator.root_url.removesuffix('/api')}", "--scripts", script),
    ]
    with running(port, "mitmdump", *arguments, log=tmp_path / "log"):
        yield f"https://127.0.0.1:{port}/api/paas/v4", tmp_path / "mitmproxy-ca-cert.pem"


def client(mitmproxy, **changes):
    url, certificate = mitmproxy
    settings = {"retry": RetryPolicy(retries=0), "trust_env": False}
    trusted = ssl.create_default_context(cafile=certificate)
    return AsyncZai(api_key="key", base_url=url, **settings | {"ssl": trusted} | changes)


async def read(zai):
    async with zai.chat.completions.stream(model="glm-4.6", messages="Hi") as stream:
        return (await stream.completion()).text


@pytest.mark.parametrize("mitmproxy", ["", PASSING], ids=["whole", "streamed"], indirect=True)
async def test_everything_is_passed_on_if_it_is_trusted(emulator, mitmproxy):
    async with client(mitmproxy) as zai:
        for _ in range(3):
            emulator.chat.reply(TEXT)
            assert await read(zai) == TEXT
            answer = await zai.chat.completions.create(model="glm-4.6", messages="Hi")
            assert answer.outcome == "completed"


async def test_nothing_is_sent_to_it_unless_it_is_trusted(emulator, mitmproxy):
    async with client(mitmproxy, ssl=None) as zai:
        with pytest.raises(ZaiError, match=r"(?i)certificate"):
            await read(zai)
    assert emulator.requests == []


@pytest.mark.parametrize("mitmproxy", [BREAKING], ids=["breaking"], indirect=True)
async def test_what_it_breaks_is_an_error(emulator, mitmproxy):
    emulator.chat.reply(TEXT)
    async with client(mitmproxy) as zai:
        with pytest.raises(ZaiError) as caught:
            await read(zai)
    assert not isinstance(caught.value, StreamTruncatedError) or TEXT.startswith(
        caught.value.partial.text
    )
