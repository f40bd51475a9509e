"""Prism checks each request against the published OpenAPI document, and makes answers from it.

Install: `npm install @stoplight/prism-cli`, with its `.bin` folder in PATH. ZAI_OPENAPI is the path
of the document.
"""

import os
from contextlib import nullcontext

import aiohttp
import pytest

from tests.interop.programs import running
from tests.ports import free_port
from zai_async import APIError, AsyncZai, RetryPolicy

pytestmark = pytest.mark.interop

SAY = [{"role": "user", "content": "Hi"}]
ASK_AGENT = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00@\x1f\x00\x00\x80>\x00\x00"
WAV += b"\x02\x00\x10\x00data\x00\x00\x00\x00"
VIDEO = {"model": "cogvideox-3", "prompt": "A lighthouse", "quality": "speed", "fps": 30}

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}

OPERATIONS = {
    "chat": lambda zai: zai.chat.completions.create(model="glm-4.6", messages=SAY, top_p=0.5),
    "chat with tools": lambda zai: zai.chat.completions.create(
        model="glm-4.6",
        messages="Hi",
        thinking={"type": "enabled"},
        tools=[TOOL],
    ),
    "video": lambda zai: zai.videos.submit(**VIDEO),
    "result": lambda zai: zai.videos.task("1").fetch(),
    "image": lambda zai: zai.images.generate(model="glm-image", prompt="x", size="1280x1280"),
    "image later": lambda zai: zai.images.submit(model="glm-image", prompt="x"),
    "transcription": lambda zai: zai.audio.transcriptions.create(
        model="glm-asr-2512", file=("a.wav", WAV)
    ),
    "tokens": lambda zai: zai.tokenizer.count(model="glm-4.6", messages=SAY),
    "layout": lambda zai: zai.layout_parsing.parse(model="glm-ocr", file="https://x.example/a.pdf"),
    "search": lambda zai: zai.web_search.create(search_engine="search-prime", search_query="q"),
    "reader": lambda zai: zai.reader.read(url="https://x.example", timeout=5),
    "file": lambda zai: zai.files.create(file=("a.pdf", b"%PDF-1.4"), purpose="agent"),
    "agent": lambda zai: zai.agents.invoke(
        agent_id="general_translation", messages=ASK_AGENT, custom_variables={"target_lang": "en"}
    ),
    "agent result": lambda zai: zai.agents.task(
        agent_id="vidu_template_agent", async_id="1"
    ).fetch(),
    "conversation": lambda zai: zai.agents.conversation(
        agent_id="slides_glm_agent", conversation_id="1"
    ),
}


@pytest.fixture(scope="module")
def prism(tmp_path_factory):
    document = os.environ.get("ZAI_OPENAPI") or pytest.skip("ZAI_OPENAPI is not set")
    port, log = free_port(), tmp_path_factory.mktemp("prism") / "log"
    with running(port, "prism", "mock", "-h", "127.0.0.1", "-p", port, document, log=log):
        yield f"http://127.0.0.1:{port}/paas/v4"


def raises_made_up_error():
    return pytest.raises(APIError, match=r"string \(code string, HTTP 200\)")


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_request_is_as_the_document_says(prism, name):
    violations = []

    async def note(_session, _context, params):
        violations.append(params.response.headers.get("sl-violations", ""))

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(note)
    async with (
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        AsyncZai(
            api_key="key", base_url=prism, session=session, retry=RetryPolicy(retries=0)
        ) as zai,
    ):
        # Answers are made up, and that about a conversation has room for an error.
        with raises_made_up_error() if name == "conversation" else nullcontext():
            assert await OPERATIONS[name](zai)
    assert "request" not in violations[0], violations
    assert len(violations) == 1
