"""Every example runs, against the emulator, with the servers and the browser people would use."""

import asyncio
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from tests.browser import CHROMIUM, chromium_page

pytestmark = pytest.mark.usefixtures("children_unmeasured")
EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    """Import an example by its path, as it is not part of a package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fastapi_backend = load("fastapi_backend.py")
chat_server = load("chat_ui/server.py")


@pytest.fixture
def platform(zai_emulator, monkeypatch):
    """Point the environment at the emulator, which is how the examples find it."""
    monkeypatch.setenv("ZAI_BASE_URL", zai_emulator.url)
    monkeypatch.setenv("ZAI_API_KEY", "test")
    return zai_emulator


# The two servers


@asynccontextmanager
async def served_by_uvicorn(app, **settings):
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, **settings))
    # Its own serve() would take over the signals of the test run.
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def served_by_aiohttp(app):
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def fastapi_site():
    return served_by_uvicorn(fastapi_backend.app)


def chat_site():
    return served_by_aiohttp(chat_server.make_app())


SITES = pytest.mark.parametrize(
    ("site", "question"),
    [
        pytest.param(fastapi_site, {"text": "Hello"}, id="fastapi"),
        pytest.param(chat_site, {"messages": [{"role": "user", "content": "Hello"}]}, id="chat_ui"),
    ],
)


@asynccontextmanager
async def asked(url, question):
    async with (
        aiohttp.ClientSession(url) as session,
        session.post("/chat", json=question) as answer,
    ):
        yield answer


async def events_of(answer):
    """Read both dialects: that of the page, and the UI message stream."""
    assert answer.content_type == "text/event-stream"
    assert answer.headers["Cache-Control"].startswith("no-cache")
    frames = (await answer.text()).split("\n\n")
    return [event_of(json.loads(f[6:])) for f in frames if f.startswith("data: {")]


KINDS = {"reasoning-delta": "thinking", "text-delta": "text", "finish": "finished"}


def event_of(data):
    kind = KINDS.get(data["type"], data["type"])
    ended = "completed" if data.get("finishReason") == "stop" else None
    told = {"text": data.get("delta"), "outcome": ended, "kind": data.get("errorText")} | data
    return SimpleNamespace(**told | {"type": kind})


@SITES
async def test_server_streams_thinking_and_text_apart(platform, site, question):
    platform.chat.reply("Good day", thinking="Greet them.", chunk_size=4)
    async with site() as url, asked(url, question) as answer:
        events = await events_of(answer)
    assert "".join(e.text for e in events if e.type == "thinking") == "Greet them."
    assert "".join(e.text for e in events if e.type == "text") == "Good day"
    assert (events[-1].type, events[-1].outcome) == ("finished", "completed")


@SITES
async def test_server_answers_a_refusal_with_a_status(platform, site, question):
    platform.fault(code="1113", message="The account of ACME Ltd. is empty")
    async with site() as url, asked(url, question) as answer:
        text = await answer.text()
    assert answer.status == 502
    assert "billing" in text or text == "This service cannot use the model at the moment."
    assert "ACME" not in text


@SITES
async def test_server_reports_a_failure_within_the_stream(platform, site, question):
    platform.fault(error_in_stream="1305", after=4)
    async with site() as url, asked(url, question) as answer:
        *before, last = await events_of(answer)
    assert before
    assert last.type == "error"
    assert last.kind.startswith(("overload", "The model is busy"))


@SITES
async def test_server_stops_the_generation_when_the_reader_leaves(platform, site, question):
    """The platform sees its connection closed while the answer is still being written."""
    platform.fault(silence_after=(1000, 600))
    async with site() as url:
        async with asked(url, question) as answer:
            await answer.content.readany()
            answer.connection.transport.abort()
        await platform.wait_disconnected(timeout=1000)
    assert platform.requests[0].disconnected_at is not None
    assert platform.open_connections == 0


async def test_fastapi_passes_on_when_to_come_back(platform):
    platform.fault(code="1302", headers={"Retry-After": "3600"})
    async with fastapi_site() as url, asked(url, {"text": "Hello"}) as answer:
        text = await answer.text()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "3600")
    assert text.startswith("Too many requests")


async def test_fastapi_shares_connections_between_requests(platform):
    async with fastapi_site() as url:
        for _ in range(8):
            async with asked(url, {"text": "Hello"}) as answer:
                assert (await events_of(answer))[-1].type == "finished"
    assert len(platform.requests) == 8
    assert platform.connections < 8  # one is not used again if its last byte is late


# The batch


@contextmanager
def reaped(process):
    """End a child with its test, however that ends: it would ask in the next one."""
    with process:
        try:
            yield process
        finally:
            process.kill()


class Batch:
    def __init__(self, folder, platform):
        self.input, self.output = folder / "questions.jsonl", folder / "answers.jsonl"
        self._environment = os.environ | {"ZAI_BASE_URL": platform.url, "ZAI_API_KEY": "test"}

    def ask(self, *rows):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        self.input.write_text("\n".join(lines) + "\n")

    def start(self):
        command = [sys.executable, EXAMPLES / "batch_jsonl.py", self.input, self.output]
        return subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def run(self):
        with reaped(self.start()) as process:
            return process.wait()

    @property
    def results(self):
        return [json.loads(line) for line in self.output.read_text().splitlines()]


@pytest.fixture
def batch(tmp_path, zai_emulator):
    return Batch(tmp_path, zai_emulator)


def test_batch_answers_every_row_and_repeats_only_those_that_failed(batch, zai_emulator):
    batch.ask({"id": "good", "prompt": "one"}, {"id": "bad", "prompt": "two"}, "no JSON")
    zai_emulator.fault(code="1301", path="chat")
    for failures, asked in ((2, 2), (1, 3)):
        assert batch.run() == 5
        last = {row["custom_id"]: row["error"] for row in batch.results}
        assert sum(error is not None for error in last.values()) == failures
        assert len(zai_emulator.requests) == asked


def test_batch_goes_on_where_it_was_killed(batch, zai_emulator):
    batch.ask(*({"id": f"{n}", "prompt": f"Number {n}"} for n in range(40)))
    zai_emulator.fault(delay=0.02, times=6)
    zai_emulator.fault(hang=True, times=None)
    with reaped(batch.start()) as process:
        zai_emulator.wait_requests(8, timeout=1000).result()
        process.kill()
    done = batch.results
    with batch.output.open("a") as output:
        output.write('{"custom_id":"40","er')  # what a killed write may leave behind
    zai_emulator.reset()
    assert batch.run() == 0
    assert sorted(int(row["custom_id"]) for row in batch.results) == [*range(40)]
    assert len(zai_emulator.requests) == 40 - len(done)


# The page


with_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
ANSWERED = "document.querySelector('.answer:not(.busy)')"
SHOWN_BUTTONS = (
    "[...document.querySelectorAll('form button:not([hidden])')].map((b) => b.ariaLabel)"
)


@asynccontextmanager
async def chat_page():
    async with chat_site() as url, chromium_page() as page:
        await page.look()
        await page.open(url)
        await page.wait("document.activeElement?.matches('input, textarea')")
        yield page
        assert page.errors == []


@with_chromium
async def test_page_shows_thinking_apart_and_sends_the_conversation_back(platform):
    platform.chat.reply("**Bold** and `code`\n\n- <b>one</b>\n- two", thinking="Let me think.")
    platform.chat.reply("Again")
    async with chat_page() as page:
        await page.type("Hello")
        await page.wait(ANSWERED)
        assert await page.text(".question") == "Hello"
        assert (await page.text("summary")).startswith("Thought for")
        assert await page.evaluate("document.querySelector('details').open") is False
        await page.click("summary")
        assert await page.text("details p") == "Let me think."
        assert await page.text(".text strong") == "Bold"
        assert await page.text(".text li") == "<b>one</b>"

        await page.evaluate("question.focus()")
        await page.type("Once more")
        await page.wait("document.querySelectorAll('.answer:not(.busy)').length === 2")
    messages = platform.requests[1].json["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert messages[1]["reasoning_content"] == "Let me think."


@with_chromium
async def test_stop_button_ends_the_generation(platform):
    platform.chat.reply("The beginning and the end", chunk_size=13)
    platform.fault(silence_after=(300, 600))
    async with chat_page() as page:
        await page.type("Tell me")
        await page.wait("document.querySelector('.answer .text')?.innerText")
        assert await page.evaluate(SHOWN_BUTTONS) == ["Stop"]
        await page.click("#stop")
        await platform.wait_disconnected(timeout=1000)
        await page.wait(ANSWERED)
        assert await page.text(".answer .text") == "The beginning"
        assert await page.text(".answer footer") == "Stopped"
        assert await page.evaluate(SHOWN_BUTTONS) == ["Send"]


@with_chromium
async def test_new_chat_ends_the_old_one_and_forgets_it(platform):
    platform.fault(silence_after=(1000, 600))
    async with chat_page() as page:
        await page.type("Hello")
        await page.wait("document.querySelector('.answer details[open] p')?.innerText")
        await page.click("#reset")
        await platform.wait_disconnected(timeout=1000)
        await page.wait("!document.querySelector('.answer') && !document.activeElement.value")
        await page.wait("document.querySelector('form button:not([hidden])').ariaLabel === 'Send'")
        await page.click(".suggestion")
        await page.wait(ANSWERED)
    assert len(platform.requests[1].json["messages"]) == 1


@with_chromium
async def test_page_shows_an_error_and_tries_again(platform):
    platform.fault(code="1301")
    platform.chat.reply("Better now")
    async with chat_page() as page:
        await page.click(".suggestion")
        await page.wait(ANSWERED)
        assert "refused for what it says" in await page.text(".failed footer")
        await page.click(".failed button")
        await page.wait("document.querySelector('.answer:not(.busy):not(.failed)')")
        assert await page.text(".answer .text") == "Better now"
    first, second = (request.json["messages"] for request in platform.requests)
    assert first == second


@with_chromium
async def test_page_fits_a_phone_and_follows_the_colour_scheme(platform):
    async with chat_page() as page:
        await page.click(".suggestion")
        await page.wait(ANSWERED)
        await page.look(width=360, height=640, scheme="dark")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        colours = "getComputedStyle(document.body).backgroundColor"
        dark = await page.evaluate(colours)
        await page.look(scheme="light")
        assert await page.evaluate(colours) != dark
        assert (await page.screenshot()).startswith(b"\x89PNG")


@with_chromium
async def test_fastapi_page_shows_the_answer(platform):
    platform.chat.reply("Good day", thinking="Greet them. ")
    async with fastapi_site() as url, chromium_page() as page:
        await page.open(url)
        await page.evaluate("document.querySelector('input').focus()")
        await page.type("Hello")
        await page.wait("document.querySelector('output').innerText.endsWith('Good day')")
        thinking = "[...document.querySelectorAll('output i')].map((i) => i.innerText).join('')"
        assert await page.evaluate(thinking) == "Greet them. "
        assert page.errors == []


# The commands in the docstrings


@pytest.mark.parametrize("name", ["fastapi_backend.py", "chat_ui/server.py"])
async def test_server_runs_without_a_key(name):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZAI_")}
    command = [sys.executable, "-u", EXAMPLES / name, "--emulate", "--port", "0"]
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts, that is all
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with reaped(process):
        page = await first_answer(await asyncio.to_thread(address_told_by, process))
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.stdout.read)
        process.wait()
    assert page.startswith("<!doctype html>")


def address_told_by(process):
    for line in process.stdout:
        if told := re.search(r"unning on (http://[\d.]+:\d+)", line):
            return told[1]
    raise AssertionError("it ended without a word")


async def first_answer(url):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_example_is_installed_from_a_clone(path):
    """There is no release yet."""
    assert re.findall(r'^ *pip install "?(\S).*clone', path.read_text(), re.MULTILINE) == ["."]
