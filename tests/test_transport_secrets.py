"""What error trackers see of a failed request: every frame, every local variable, every cause."""

import asyncio
import json
import os
import traceback

import aiohttp
import pytest

from tests.calls import ASK, BODY, KEY, ask, client
from tests.fault_server import FaultServer, Proxy, answer
from tests.ways import send_by
from zai_async import AsyncZai, CallOptions, ConfigurationError, Timeout, ZaiError
from zai_async.models import VideoFile
from zai_async.web import sse_response

sentry_sdk = pytest.importorskip("sentry_sdk")

PASSWORD = "proxy-canary-0123456789"
HEADER = "header-canary-0123456789"
SIGNATURE = "signature-canary-0123456789"
SECRETS = {
    "key": KEY,
    "half a key": KEY.partition(".")[2],
    "proxy": PASSWORD,
    "header": HEADER,
    "signed address": SIGNATURE,
}
OK = answer(BODY)


@pytest.fixture(autouse=True, params=["direct", "client", "public"])
def way(request, monkeypatch):
    send_by(request.param, monkeypatch)


@pytest.fixture
def events():
    """Return what would be sent to Sentry, with all that it collects from frames."""
    seen = []

    def record(event, hint):
        seen.append(event)

    with sentry_sdk.isolation_scope():
        sentry_sdk.init(
            dsn="http://public@127.0.0.1:9/1",
            before_send=record,
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=True,
            auto_session_tracking=False,
            send_client_reports=False,
        )
        yield seen
        sentry_sdk.get_client().close()


def chain(error):
    """Return an exception and everything that hangs on it, hidden contexts included."""
    found, waiting = [], [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return found


def assert_nothing_told(error, events):
    sentry_sdk.capture_exception(error)
    told = [json.dumps(event, default=str) for event in events]
    assert told
    for each in chain(error):
        told += [f"{each} {each!r} {each.args} {vars(each)}"]
        told += traceback.format_exception(each)
        for frame, _ in traceback.walk_tb(each.__traceback__):
            name = frame.f_globals.get("__name__", "")
            # The tests hold the canaries themselves.
            if not name.startswith(("tests.", "_pytest", "asyncio")):
                told += [f"{name}.{frame.f_code.co_name}: {frame.f_locals}"]
            assert not name.startswith("aiohttp"), f"a frame of {name}"
    for what, secret in SECRETS.items():
        assert not [text[:2000] for text in told if secret in text and "tests/" not in text], what


async def failure(work):
    try:
        await work
    except BaseException as error:  # noqa: BLE001 - a cancellation, too
        return error
    raise AssertionError("nothing failed")


def hidden(url, **changes):
    return client(url, headers={"X-Team": HEADER}, timeout=Timeout(first_byte=0.3), **changes)


LARGE = "x" * 100_000


@pytest.mark.parametrize("prompt", ["short", LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "script",
    [["rst"], ["fin"], [b"SSH-2.0-x\r\n\r\n", "fin"], ["hang"], [OK[:-5], "rst"], [OK[:20], "rst"]],
    ids=["reset", "end", "no HTTP", "silence", "cut body", "cut head"],
)
async def test_a_call_that_fails(script, prompt, events):
    async with FaultServer(script) as server, hidden(server.url) as zai:
        error = await failure(ask(zai, messages=prompt))
    assert isinstance(error, ZaiError)
    assert_nothing_told(error, events)


async def test_a_refused_connection(events):
    async with FaultServer([OK]) as server:
        gone = server.url
    async with hidden(gone) as zai:
        assert_nothing_told(await failure(ask(zai)), events)
        assert_nothing_told(await failure(ask(zai, messages=LARGE)), events)


@pytest.mark.parametrize("secure", [True, False], ids=["tunnel", "plain"])
async def test_a_proxy_that_is_down(secure, events):
    async with Proxy() as gone:
        address = gone.url.replace("//", f"//me:{PASSWORD}@")
    async with hidden(f"http{'s' * secure}://127.0.0.1:9", proxy=address) as zai:
        assert_nothing_told(await failure(ask(zai)), events)


@pytest.mark.parametrize("secure", [True, False], ids=["tunnel", "plain"])
async def test_a_proxy_that_refuses(secure, events):
    async with Proxy("Basic other") as proxy:
        address = proxy.url.replace("//", f"//me:{PASSWORD}@")
        async with hidden(f"http{'s' * secure}://127.0.0.1:9", proxy=address) as zai:
            error = await failure(ask(zai))
    assert_nothing_told(error, events)


@pytest.mark.parametrize("prompt", ["short", LARGE], ids=["small", "large"])
async def test_a_key_in_the_query(prompt, events):
    async with (
        FaultServer(["rst"]) as server,
        AsyncZai(
            api_key=f"at_{KEY}",
            provider="lowcodeapi",
            base_url=server.url,
            trust_env=False,
        ) as zai,
    ):
        work = ask(zai, messages=prompt, options=CallOptions(retries=0))
        error = await failure(work)
        assert KEY in server.requests[0].head
    assert_nothing_told(error, events)


async def test_an_upload_that_fails(events, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-" + bytes(3_000_000))

    async with Impatient([]) as server, hidden(server.url) as zai:
        error = await failure(zai.files.create(file=path, purpose="agent"))
    assert_nothing_told(error, events)


async def test_a_file_that_fails_while_it_is_sent(events):
    class BrokenError(Exception):
        pass

    async def pieces():
        yield b"%PDF-" + bytes(100_000)
        raise BrokenError("the camera is off")

    async with FaultServer([OK]) as server, hidden(server.url) as zai:
        error = await failure(zai.files.create(file=("a.pdf", pieces()), purpose="agent"))
    # The caller sees where in its own code it came from.
    assert "pieces" in "".join(traceback.format_exception(error))
    assert_nothing_told(error, events)


class Impatient(FaultServer):
    """Takes what fits into its buffers, and no more."""

    async def serve(self, reader, writer):
        await reader.readexactly(200_000)
        writer.transport.abort()


async def through_a_fifo(zai, folder):
    fifo = folder / "a.pdf"
    os.mkfifo(fifo)
    # For reading and writing, so that neither end waits for the other.
    end = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(end, b"%PDF-" + bytes(50_000))
        await zai.files.create(file=fifo, purpose="agent", options=CallOptions(deadline=0.5))
    finally:
        os.close(end)


async def with_an_open_file(zai, folder):
    (folder / "a.pdf").write_bytes(b"%PDF-" + bytes(3_000_000))
    with (folder / "a.pdf").open("rb") as file:
        await zai.files.create(file=file, purpose="agent")


async def from_a_generator(zai, folder):
    async def pieces():
        for _ in range(40):
            yield b"%PDF-" + bytes(100_000)

    await zai.files.create(file=("a.pdf", pieces()), purpose="agent")


@pytest.mark.parametrize("send", [through_a_fifo, with_an_open_file, from_a_generator])
async def test_every_kind_of_upload_that_fails(send, events, tmp_path):
    async with Impatient([]) as server, hidden(server.url) as zai:
        error = await failure(send(zai, tmp_path))
    assert isinstance(error, ZaiError)
    assert_nothing_told(error, events)


async def with_a_session(zai, url, folder):
    async with (
        aiohttp.ClientSession(headers={"X-More": HEADER}) as session,
        client(url, session=session) as other,
    ):
        await ask(other)


async def with_a_batch(zai, url, folder):
    """Errors of rows are values; what they leave on disk is searched, too."""
    rows = [{"custom_id": "a", "body": ASK}]
    async with zai.batch.run(rows, out=folder / "out.jsonl") as run:
        [failed] = [result async for result in run]
    written = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    raise RuntimeError(f"{failed!r} {failed.error!r} {written}")


async def with_tools(zai, url, folder):
    def now() -> str:
        return "noon"

    async with zai.chat.completions.run_tools(**ASK, tools=[now]) as run:
        await run.completion()


async def with_a_page(zai, url, folder):
    response = sse_response(zai.chat.completions.stream(**ASK))
    told = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        told.append(message)

    await response({"type": "http", "headers": []}, receive, send)
    raise RuntimeError(repr(told))


async def with_a_file(zai, url, folder):
    await zai.download(f"{url}/a.mp4", folder / "a.mp4")


async def with_a_refused_target(zai, url, folder):
    await zai.download(f"{url}/a.mp4", folder / "a.mp4", allow=lambda *_: False)


@pytest.mark.parametrize("script", [["rst"], [OK[:-5], "rst"]], ids=["reset", "cut body"])
@pytest.mark.parametrize(
    "work",
    [with_a_session, with_a_batch, with_tools, with_a_page, with_a_file, with_a_refused_target],
)
async def test_every_way_to_call(work, script, events, tmp_path):
    async with FaultServer(script, script, script) as server, hidden(server.url) as zai:
        error = await failure(work(zai, server.url, tmp_path))
    assert isinstance(error, ZaiError | RuntimeError)
    assert_nothing_told(error, events)


def broken_watcher(received, size):
    raise RuntimeError("the watcher is broken")


FILM = answer(b"film").replace(b"application/json", b"video/mp4")
PAGE = answer(b"<html>").replace(b"application/json", b"text/html")
AWAY = answer(b"", f"Location: /b.mp4?Signature={SIGNATURE}", status="302 Found")


@pytest.mark.parametrize(
    ("script", "options"),
    [
        (["rst"], {}),
        ([OK[:-5], "fin"], {}),
        ([AWAY, "rst"], {}),
        ([AWAY], {}),
        ([PAGE], {}),
        ([answer(b"", status="403 Expired")], {}),
        ([FILM], {"max_bytes": 1}),
        ([FILM], {"on_progress": broken_watcher}),
        ([FILM], {"allow": lambda *_: 1 / 0}),
        (["hang"], {}),
        (["cancel"], {}),
        ([FILM], {"to": "nowhere/a.mp4"}),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else None,
)
async def test_a_signed_address(script, options, events, tmp_path):
    """Whoever has it has the film, until it expires."""
    cancels, options = script == ["cancel"], {"to": "a.mp4", **options}
    options["to"] = tmp_path / options["to"]
    async with FaultServer(["hang"] if cancels else script) as server, hidden(server.url) as zai:
        film = VideoFile(url=f"http://127.0.0.1:{server.port}/a.mp4?Signature={SIGNATURE}")
        vars(film)["downloader"] = zai.download
        task = asyncio.ensure_future(film.download(**options))
        if cancels:
            await server.arrived.wait()
            task.cancel()
        error = await failure(task)
    if "on_progress" in options:  # where it comes from is told all the same
        assert "broken_watcher" in "".join(traceback.format_exception(error))
    assert_nothing_told(error, events)


def echoed(text):
    event = b"data: " + text + b"\n\n"
    return answer(event).replace(b"application/json", b"text/event-stream")


COMPLAINT = json.dumps({"error": {"code": "1000", "message": f"Wrong key: {KEY}"}}).encode()


async def streamed(zai):
    async with zai.chat.completions.stream(**ASK) as stream:
        await stream.completion()


async def spoken(zai):
    await zai.audio.speech.create(model="glm-tts", input="Hi", voice="tongtong")


async def polled(zai):
    await zai.videos.task("1").wait(max_poll_failure=0)


async def embedded(zai):
    await zai.embeddings.create(model="embedding-3", input=["Hi"] * 65)


@pytest.mark.parametrize("way", ["direct"], indirect=True)
@pytest.mark.parametrize("work", [ask, streamed, spoken, polled, embedded])
@pytest.mark.parametrize(
    "reply",
    [
        answer(COMPLAINT, status="401 No"),
        answer(COMPLAINT),
        answer(f"<html>{KEY}".encode()),
        answer(f"[{KEY}".encode()),
        answer(json.dumps([KEY]).encode()),
        answer(json.dumps([KEY, LARGE * 2]).encode()),
        echoed(COMPLAINT),
        echoed(f"[{KEY}".encode()),
    ],
    ids=range(8),
)
async def test_a_server_that_repeats_the_key(work, reply, events):
    async with FaultServer([reply]) as server, hidden(server.url) as zai:
        error = await failure(work(zai))
    assert isinstance(error, ZaiError)
    assert_nothing_told(error, events)


async def test_circles_of_redirects(events):
    moved = answer(b"", "Location: /x", status="308 Moved")
    async with FaultServer([moved]) as server, hidden(server.url) as zai:
        assert_nothing_told(await failure(ask(zai)), events)


@pytest.mark.parametrize("prompt", ["short", LARGE], ids=["small", "large"])
async def test_a_call_that_is_cancelled(prompt, events):
    async with FaultServer(["hang"]) as server, hidden(server.url) as zai:
        task = asyncio.ensure_future(ask(zai, messages=prompt))
        await server.arrived.wait()
        task.cancel()
        error = await failure(task)
    assert isinstance(error, asyncio.CancelledError)
    assert_nothing_told(error, events)


async def test_a_stream_that_breaks(events):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    script = [head + b"Transfer-Encoding: chunked\r\n\r\n", 0.01, b"zz\r\n", "hang"]
    async with FaultServer(script) as server, hidden(server.url) as zai:
        stream = await zai.chat.completions.stream(**ASK).open()
        error = await failure(stream.completion())
        await stream.aclose()
    assert_nothing_told(error, events)


async def test_a_header_that_cannot_be_sent(events):
    async with FaultServer([OK]) as server, client(server.url) as zai:
        options = CallOptions(headers={"X-Team": f"{HEADER}\r\nX-More: 1"})
        error = await failure(ask(zai, options=options))
        assert server.requests == []
    assert isinstance(error, ConfigurationError | ValueError)
    assert_nothing_told(error, events)


async def test_a_session_of_the_callers_keeps_its_headers_from_file_hosts(tmp_path):
    """Nor its cookies: the platform's files lie with somebody else."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        FaultServer([answer(b"file", "Set-Cookie: a=b")]) as files,
        FaultServer([OK]) as server,
        aiohttp.ClientSession(headers={"X-Team": HEADER}, cookie_jar=jar) as session,
        client(server.url, session=session) as zai,
    ):
        jar.update_cookies({"session": HEADER})
        await ask(zai)
        assert HEADER in server.requests[0].head
        for number in range(2):
            await zai.download(f"http://127.0.0.1:{files.port}/a.txt", tmp_path / f"{number}.txt")
        assert not [
            seen.head for seen in files.requests if HEADER in seen.head or "a=b" in seen.head
        ]
        assert not session.closed
