"""The key is in no log line, no message, no repr and no traceback, whatever happens."""

import copy
import gc
import logging
import pickle
import traceback

import anyio
import msgspec
import pytest

from tests.calls import ASK, FINE, KEY, PROMPT, FakeClock, ask, client
from tests.chat_wire import GOOD
from tests.fault_server import FaultServer, answer
from zai_async import (
    AsyncZai,
    CallOptions,
    ConnectTimeoutError,
    Hooks,
    RetryPolicy,
    Timeout,
    ZaiError,
)
from zai_async._operations import CHAT
from zai_async._secrets import Secret
from zai_async._transport import NetworkSettings, Request, open_transport
from zai_async.providers import ZAI
from zai_async.testing import Emulator, FakeReply, FakeTransport

HALF = KEY.rpartition(".")[2]
ECHO = f"the key {KEY} is unknown, and so is {HALF}"
FAULTS = [
    {"code": "1000"},
    {"code": "1000", "message": ECHO},
    {"code": "1113"},
    {"code": "1210", "message": ECHO, "http_200": True},
    {"code": "1302"},
    {"code": "1305", "times": 1},
    {"code": "1308"},
    {"status": 500},
    {"status": 502},
    {"body": b"<p>no</p>", "content_type": "text/html"},
    {"body": ECHO.encode()},
    {"drop": True},
    {"cut_after": 20},
    {"hang": True},
    {"error_in_stream": "1305", "after": 2, "message": ECHO},
    {"raw_frames": [f"data: {ECHO}\n\n"]},
    {"no_done": True, "eof_after": 300},
]


@pytest.fixture
def logged(caplog):
    """Capture every logger of the process."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(map(repr, [record.getMessage() for record in caplog.records]))


class Shown:
    """Collects whatever a curious program could print.

    Local variables hold the bytes of an answer: they do not count where the server itself told
    the key.
    """

    def __init__(self, *, told=False):
        self.texts = []
        self.told = told

    def add(self, value):
        self.texts += [repr(value), str(value)]

    @property
    def hooks(self):
        return Hooks(on_request=self.add, on_response=self.add, on_retry=self.add)

    def add_error(self, error):
        self.add(error)
        self.add(vars(error))
        self.add(copy.copy(error))
        self.add(vars(pickle.loads(pickle.dumps(error))))
        self.texts += traceback.format_exception(error)
        trace = traceback.TracebackException.from_exception(error, capture_locals=not self.told)
        ours = [frame for frame in trace.stack if "/zai_async/" in frame.filename]
        self.texts += [f"{frame.filename}: {frame.locals}" for frame in ours]

    @property
    def text(self):
        return "\n".join(self.texts)


async def use(zai, shown, *, stream, patience=60.0):
    options = CallOptions(tag="canary", timeout=Timeout(first_byte=patience))
    try:
        if not stream:
            shown.add(await ask(zai, options=options))
            return
        async with await ask(zai, options=options, stream=True) as opened:
            shown.add(opened)
            async for event in opened.events:
                shown.add(event)
    except ZaiError as error:
        shown.add_error(error)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [{}, *FAULTS], ids=lambda fault: str(fault)[:30])
async def test_the_key_is_nowhere(logged, fault, stream):
    shown = Shown(told=HALF in str(fault))
    async with Emulator() as emulator:
        if fault:
            emulator.fault(**{"times": None} | fault)
        retry = RetryPolicy(retries=1)
        zai = client(emulator.url, hooks=shown.hooks, retry=retry, clock=FakeClock())
        async with zai:
            shown.add(zai)
            shown.add(vars(zai))
            shown.add(zai._manager.settings)
            await use(zai, shown, stream=stream, patience=0.05 if "hang" in fault else 60.0)
            call = zai._manager.begin(CHAT, {"model": "m", "messages": "x"})
            shown.add(call.request)
        await emulator.wait_requests(1)
        assert emulator.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert HALF not in shown.text
    assert HALF not in logged()
    assert "RequestEvent" in shown.text


def shown_objects():
    """Return what every object of the package says of itself, those of the emulator apart."""
    gc.collect()  # what other tests have left behind
    ours = [each for each in gc.get_objects() if str(type(each).__module__).startswith("zai_async")]
    shown = [each for each in ours if "testing" not in type(each).__module__]
    return "\n".join(f"{each!r} {each!s}" for each in shown)


@pytest.mark.parametrize("key_in", ["header", "query", "jwt"])
async def test_no_object_shows_the_key_the_token_or_the_prompt(key_in):
    """While a stream is open, another call is queued, and a third one has ended."""
    provider = msgspec.structs.replace(ZAI, key_in=key_in)
    transport = FakeTransport(FINE, FakeReply.stream(GOOD[:200], 60.0))
    client = AsyncZai(api_key=KEY, provider=provider, transport=transport, limits=1)
    async with client as zai, anyio.create_task_group() as group:
        answer = await ask(zai)
        async with zai.chat.completions.stream(**ASK) as stream:
            await anext(stream)
            group.start_soon(ask, zai)
            await anyio.wait_all_tasks_blocked()
            shown = shown_objects() + repr([answer, stream, zai])
        group.cancel_scope.cancel()
    [token] = {*transport.requests[0].secret_headers.values()} or [Secret(KEY)]
    assert "<Request chat.completions.create: POST" in shown
    secrets = (HALF, PROMPT, token.reveal())
    assert not [line for line in shown.splitlines() if any(one in line for one in secrets)]


@pytest.mark.parametrize("garbage", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX\r\n\r\n"])
async def test_the_key_is_not_in_what_aiohttp_says(logged, garbage):
    """Its exceptions carry the whole request."""
    shown = Shown()
    async with FaultServer([garbage, "fin"]) as server, client(server.url) as zai:
        await use(zai, shown, stream=False)
    assert "the answer is not valid HTTP" in shown.text
    assert HALF not in shown.text
    assert HALF not in logged()


async def test_a_key_in_an_address_is_not_shown(logged):
    """Neither by a failure to connect, whose text has the whole address."""
    transport = open_transport(NetworkSettings(trust_env=False))
    request = Request(
        operation="test",
        method="GET",
        url="http://127.0.0.1:9/",
        headers={},
        secret_query={"api_token": Secret(KEY)},
        connect_timeout=1e-9,
    )
    shown = Shown()
    with pytest.raises(ConnectTimeoutError) as caught:
        await transport.send(request)
    shown.add_error(caught.value)
    await transport.aclose()
    assert HALF not in shown.text
    assert HALF not in logged()


def test_wrong_arguments_do_not_show_the_key():
    shown = Shown()
    for changes in ({"provider": "nobody"}, {"base_url": "x"}, {"ca_file": "/nowhere"}):
        with pytest.raises(ZaiError) as caught:
            client(**changes)
        shown.add_error(caught.value)
    with pytest.raises(ZaiError) as caught:
        client(api_key=f"{KEY}\n{KEY}")
    shown.add_error(caught.value)
    assert HALF not in shown.text


async def test_an_answer_that_echoes_the_key_and_breaks_off(logged):
    shown = Shown(told=True)
    broken = answer(ECHO.encode(), status="401 No")[:-9]
    async with FaultServer([broken, "fin"]) as server, client(server.url) as zai:
        await use(zai, shown, stream=False)
    assert HALF not in shown.text
    assert HALF not in logged()


REDIRECTING = {
    "Location": "https://cdn.example/film.mp4?Signature=Canary&Expires=1",
    "Refresh": "3;url=https://cdn.example/?token=Canary",
    "Set-Cookie": "session=Canary",
    "X-Log-Id": "log-1",
}


async def test_hooks_see_no_signed_address_and_no_cookie():
    seen = []
    reply = FakeReply.json({"error": {"code": "500"}}, status=500)
    reply = msgspec.structs.replace(reply, headers={**reply.headers, **REDIRECTING})
    zai = AsyncZai(
        api_key=KEY,
        transport=FakeTransport(reply),
        retry=RetryPolicy(retries=0),
        hooks=Hooks(on_response=seen.append),
    )
    async with zai:
        with pytest.raises(ZaiError):
            await ask(zai)
    (event,) = seen
    assert "Canary" not in repr(event)
    assert event.headers["location"] == "https://cdn.example/film.mp4?**********"
    assert event.headers["X-Log-Id"] == event.headers["x-log-id"] == "log-1"


async def test_the_platform_writes_no_lines_into_the_log(logged, caplog):
    forged = {"error": {"code": "1120", "message": "no\n2026-01-01 ERROR forged\x1b[31m"}}
    replies = FakeReply.json(forged, status=429), FINE
    zai = AsyncZai(api_key=KEY, transport=FakeTransport(*replies), clock=FakeClock())
    async with zai:
        await ask(zai)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "INFO"]
    assert lines
    assert all("\n" not in line and "\x1b" not in line for line in lines)


async def test_no_variable_of_ours_holds_a_header_of_the_caller():
    headers = {"X-Custom": "Canary-one", "X-Api-Key": "Canary-two", "Bad Name": "Canary-three"}
    zai = AsyncZai(api_key=KEY, transport=FakeTransport(FINE))
    shown = Shown()
    async with zai:
        with pytest.raises(ZaiError) as caught:
            await ask(zai, options=CallOptions(headers=headers))
    shown.add_error(caught.value)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    ours = [f"{frame.locals}" for frame in frames if "/zai_async/" in frame.filename]
    assert "Canary" not in "".join(ours) + shown.text
