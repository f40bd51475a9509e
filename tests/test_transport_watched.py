"""Whoever watches aiohttp's client sees every request of ours: test doubles, tracers, patches."""

import json
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.calls import ASK, BODY, COMPLETION, KEY, FakeClock, ask, client
from tests.chat_wire import DONE, frame, last, texts
from tests.every_kind import arrived, every_kind
from tests.fault_server import FaultServer, answer
from zai_async import AsyncZai, ConnectionLostError
from zai_async._transport._client import ClientTransport

ROOT = Path(__file__).parent.parent
OK = answer(BODY)
API = "https://api.z.ai/api/paas/v4"
CHAT = f"{API}/chat/completions"


@pytest.fixture
async def zai():
    """A default client, of the real platform: what gets past the double meets the network guard."""
    async with AsyncZai(api_key=KEY) as zai:
        yield zai


# aioresponses


async def test_aioresponses_sees_a_call(zai, zai_aioresponses):
    zai_aioresponses.post(CHAT, payload=COMPLETION)
    assert (await ask(zai)).text == "Hi"
    [[call]] = zai_aioresponses.requests.values()
    assert call.kwargs["headers"]["Authorization"] == f"Bearer {KEY}"


async def test_aioresponses_sees_a_call_of_a_client_that_is_in_use(zai_aioresponses):
    async with FaultServer([OK]) as server, client(server.url) as zai:
        zai_aioresponses.stop()
        await ask(zai)
        zai_aioresponses.start()
        zai_aioresponses.post(f"{server.url}/chat/completions", payload=COMPLETION)
        await ask(zai)
        zai_aioresponses.stop()
        await ask(zai)
        assert (len(server.requests), server.connections) == (2, 1)
        zai_aioresponses.start()


async def test_aioresponses_sees_a_stream(zai, zai_aioresponses):
    body = b"".join(map(frame, [*texts("Hel", "lo"), last()])) + DONE
    zai_aioresponses.post(CHAT, body=body, content_type="text/event-stream")
    async with zai.chat.completions.stream(**ASK) as stream:
        assert [text async for text in stream.text] == ["Hel", "lo"]


async def test_aioresponses_sees_the_polls_of_a_task(zai, zai_aioresponses):
    asked = {"id": "t1", "model": "cogvideox-3", "task_status": "PROCESSING"}
    done = asked | {"task_status": "SUCCESS", "video_result": [{"url": "https://x.invalid/v.mp4"}]}
    zai_aioresponses.post(f"{API}/videos/generations", payload=asked)
    zai_aioresponses.get(f"{API}/async-result/t1", payload=done)
    task = await zai.videos.submit(model="cogvideox-3", prompt="a lighthouse")
    assert (await task.wait()).url == "https://x.invalid/v.mp4"


async def test_aioresponses_answers_an_error_and_a_failure(zai, zai_aioresponses):
    from zai_async import AuthenticationError, CallOptions

    zai_aioresponses.post(CHAT, status=401, payload={"error": {"code": "1000", "message": "no"}})
    with pytest.raises(AuthenticationError):
        await ask(zai)
    zai_aioresponses.post(CHAT, exception=aiohttp.ServerDisconnectedError())
    with pytest.raises(ConnectionLostError):
        await ask(zai, options=CallOptions(retries=0))


def test_what_is_replaced_before_the_first_import_is_seen_too():
    """The module may be imported while a double is in place."""
    code = """
import asyncio, aiohttp
async def seen(self, *args, **kwargs):
    raise aiohttp.ServerDisconnectedError("seen")
aiohttp.ClientSession._request = seen
from zai_async import AsyncZai, CallOptions
async def main():
    async with AsyncZai(api_key="a.b", base_url="http://127.0.0.1:9", trust_env=False) as zai:
        options = CallOptions(retries=0)
        await zai.chat.completions.create(model="m", messages="x", options=options)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConnectionLostError: the connection broke: seen" in done.stderr


# Tracers


class Tracer:
    """Counts requests, as tracers do."""

    def __init__(self):
        self.config = aiohttp.TraceConfig()
        self.seen = []

        async def begun(session, context, params):
            self.seen.append(f"{params.method} {params.url}")

        self.config.on_request_start.append(begun)


@pytest.mark.parametrize("early", [True, False], ids=["before", "after the first call"])
async def test_a_tracer_that_wraps_the_constructor_sees_every_request(monkeypatch, tmp_path, early):
    tracer, make = Tracer(), aiohttp.ClientSession.__init__

    def traced(self, *args, trace_configs=None, **kwargs):
        make(self, *args, trace_configs=[*(trace_configs or []), tracer.config], **kwargs)

    async with FaultServer([OK]) as server, client(server.url) as zai:
        if not early:
            await ask(zai)
        monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
        await ask(zai)
        async with FaultServer([answer(b"file")]) as other:
            await zai.download(f"http://127.0.0.1:{other.port}/file.txt", tmp_path)
        assert len(tracer.seen) == 2
        monkeypatch.undo()
        await ask(zai)
        assert len(tracer.seen) == 2


async def test_opentelemetry_sees_every_request(zai_emulator, tmp_path):
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.aiohttp_client")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = instrumentation.AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        async with client(zai_emulator.url, clock=FakeClock()) as zai:
            await every_kind(zai, tmp_path)
    finally:
        instrumentor.uninstrument()
    told = [span.attributes for span in spans.get_finished_spans()]
    seen = [f"{each['http.method']} {each['http.url']}" for each in told]
    assert seen == arrived(zai_emulator)
    assert {each["http.status_code"] for each in told} == {200}
    assert all(request.headers.get("traceparent") for request in zai_emulator.requests)


@pytest.mark.usefixtures("children_unmeasured")
def test_sentry_sees_every_request():
    pytest.importorskip("sentry_sdk")
    program = [sys.executable, "-m", "tests.sentry_watches"]
    told = json.loads(subprocess.check_output(program, cwd=ROOT, text=True))
    assert told["seen"] == told["arrived"]
    assert told["statuses"] == ["ok"]
    assert told["traced"]


async def test_a_trace_config_sees_every_request(zai_emulator, tmp_path, monkeypatch):
    """That of a session of the caller's is the same as that of a tracer, but for files."""
    tracer, make = Tracer(), aiohttp.ClientSession.__init__

    def traced(self, *args, trace_configs=None, **kwargs):
        make(self, *args, trace_configs=[*(trace_configs or []), tracer.config], **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
    async with client(zai_emulator.url, clock=FakeClock()) as zai:
        await every_kind(zai, tmp_path)
    assert tracer.seen == arrived(zai_emulator)


async def test_a_trace_config_of_the_callers_session_sees_every_request():
    tracer = Tracer()
    async with (
        FaultServer([OK]) as server,
        aiohttp.ClientSession(trace_configs=[tracer.config]) as session,
        client(server.url, session=session) as zai,
    ):
        await ask(zai)
    assert len(tracer.seen) == 1


@pytest.mark.parametrize("name", ["_request", "request"])
async def test_a_patched_method_is_used(monkeypatch, name):
    genuine, seen = getattr(aiohttp.ClientSession, name), []

    def patched(self, method, url, **kwargs):
        seen.append(method)
        return genuine(self, method, url, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, name, patched)
    async with FaultServer([OK]) as server, client(server.url) as zai:
        await ask(zai)
    assert seen == ["POST"]


@pytest.mark.parametrize("early", [True, False], ids=["before", "after the first call"])
async def test_a_replaced_class_is_used(monkeypatch, early):
    seen = []

    with pytest.warns(DeprecationWarning, match="Inheritance"):

        class Own(aiohttp.ClientSession):
            async def _request(self, method, url, **kwargs):
                seen.append(method)
                return await super()._request(method, url, **kwargs)

    async with FaultServer([OK]) as server, client(server.url) as zai:
        if not early:
            await ask(zai)
        monkeypatch.setattr(aiohttp, "ClientSession", Own)
        await ask(zai)
        assert seen == ["POST"]
        monkeypatch.undo()
        await ask(zai)
        assert seen == ["POST"]


async def test_a_class_that_is_no_client_at_all_is_used(monkeypatch):
    """As a test double that does no more than what it is asked for."""

    class Double:
        trace_configs = ()

        def __init__(self, **_):
            pass

        async def request(self, method, url, **_):
            raise aiohttp.ServerDisconnectedError(f"{method} {url.path}")

        def detach(self):
            pass

    async with FaultServer([OK]) as server, client(server.url) as zai:
        await ask(zai)
        monkeypatch.setattr(aiohttp, "ClientSession", Double)
        with pytest.raises(ConnectionLostError, match="POST /api/paas/v4/chat/completions"):
            await ask(zai)
        monkeypatch.undo()
        await ask(zai)


async def test_nobody_who_watches_means_no_detour(monkeypatch):
    def refuse(self, *args, **kwargs):
        raise AssertionError

    async with FaultServer([OK]) as server, client(server.url) as zai:
        monkeypatch.setattr(ClientTransport, "exchange", refuse)
        assert (await ask(zai)).text == "Hi"
