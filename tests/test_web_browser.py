"""Real `useChat` in a real Chromium, in front of our relay: of npm `@ai-sdk/react` 3 and 4."""

import asyncio
import subprocess
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Response

from tests.ai_page import NODE, VERSIONS, needs_npm_ai
from tests.browser import CHROMIUM, chromium_tabs
from tests.effort import THOROUGH
from tests.test_examples import served_by_uvicorn
from tests.test_web_relay import END, Script
from zai_async import AsyncZai, RetryPolicy, ThinkingDelta, tool
from zai_async.web import DataPart, Relay, UrlSource

pytestmark = [
    needs_npm_ai,
    pytest.mark.usefixtures("children_unmeasured"),
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]
PAGE = """<!doctype html>
<link rel="icon" href="data:,"><div id="root"></div><script src="app.js"></script>"""
# A browser and a bundle for each of them.
EACH = pytest.mark.parametrize("version", VERSIONS if THOROUGH else [])
ASK = "void chat.sendMessage({ text: 'Hi' })"
ANSWER = "document.querySelector('.assistant')?.innerText ?? ''"


def bundled(version: str) -> bytes:
    """Return the page, with the packages of one version in it."""
    number = version.removeprefix("ai")
    command = [
        "node",
        "node_modules/esbuild/bin/esbuild",
        "chat.mjs",
        "--bundle",
        '--define:process.env.NODE_ENV="production"',
        f"--alias:ai=ai{number}",
        f"--alias:@ai-sdk/react=react{number}",
    ]
    return subprocess.run(command, cwd=NODE, capture_output=True, check=True).stdout


@pytest.fixture
async def zai(zai_emulator):
    retry = RetryPolicy(retries=0)
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s", retry=retry) as zai:
        yield zai


@pytest.fixture
def asks(zai):
    """Ask the platform what the page has sent."""
    return lambda request: zai.chat.completions.stream(model="glm-5.3", messages=request.messages)


@asynccontextmanager
async def site(version, zai, answer):
    """Serve the page and a relay; give what opens a tab with a chat."""
    script = bundled(version)
    app = FastAPI()
    app.mount("/chats", Relay(zai, answer=answer))

    @app.get("/")
    async def page() -> Response:
        return Response(PAGE, media_type="text/html")

    @app.get("/app.js")
    async def bundle() -> Response:
        return Response(script, media_type="text/javascript")

    async with served_by_uvicorn(app) as url, chromium_tabs() as tab:

        async def opened(chat_id, status="ready"):
            page = await tab()
            await page.open(f"{url}/#{chat_id}")
            # A page first asks whether there is something to resume.
            await page.wait(f"window.chat && chat.status === {status!r}")
            return page

        yield opened


async def ready(page):
    await page.wait("chat.status === 'ready'")


async def has_answer(page, text):
    await page.wait(f"({ANSWER}) === {text!r}")


async def parts(page):
    """Return the parts of the last message in short: the kind, the state, and what is shown."""
    return await page.evaluate(
        """[...document.querySelectorAll("article:last-of-type p")]
        .map((each) => [each.className, each.dataset.state ?? null, each.innerText])
        .filter(([kind]) => kind !== "step-start")"""
    )


@EACH
async def test_page_shows_what_the_model_says(version, zai, asks, zai_emulator):
    zai_emulator.chat.reply("Hello", thinking="Hm.", chunk_size=2)
    async with site(version, zai, asks) as opened:
        page = await opened("chat-1")
        await page.evaluate(ASK)
        await has_answer(page, "Hm.\n\nHello")
        await ready(page)
        assert await parts(page) == [["reasoning", "done", "Hm."], ["text", "done", "Hello"]]
        # What is asked next has the answer before it, as the page holds it.
        await page.evaluate("void chat.sendMessage({ text: 'And now?' })")
        await page.wait("document.querySelectorAll('.assistant').length === 2")
        await ready(page)
        assert page.errors == []
    told = zai_emulator.requests[-1].json["messages"]
    assert [(each["role"], each["content"]) for each in told] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "And now?"),
    ]


@EACH
async def test_page_shows_why_there_is_no_answer(version, zai, asks, zai_emulator):
    async with site(version, zai, asks) as opened:
        zai_emulator.fault(status=429, code="1302", message="ACME Ltd. asks too often")
        page = await opened("refused")
        await page.evaluate(ASK)
        await page.wait("chat.status === 'error'")
        assert (await page.text("strong")).startswith("Too many requests")
        assert await page.text(".assistant") is None
        zai_emulator.fault(error_in_stream="1305", after=4)
        page = await opened("cut")
        await page.evaluate(ASK)
        await page.wait("chat.status === 'error'")
        *_, (kind, state, said) = await parts(page)
        assert (state, bool(said)) == ("done", True)
        assert kind in {"reasoning", "text"}
        assert await page.text("strong")
        assert page.errors == []


@EACH
async def test_stop_button_stops_the_platform(version, zai, asks, zai_emulator):
    zai_emulator.fault(silence_after=(1000, 600))
    async with site(version, zai, asks) as opened:
        page = await opened("chat-1")
        await page.evaluate(ASK)
        await page.wait("document.querySelector('.assistant p:not(.step-start)')")
        await page.click("button")
        await ready(page)
        await zai_emulator.wait_disconnected(timeout=100)
        assert {state for _, state, _ in await parts(page)} == {"done"}
        assert page.errors == []


@EACH
async def test_answer_is_bought_once_however_often_it_is_read(version, zai):
    scripts = []

    def answer(request):
        scripts.append(Script())
        return scripts[-1]

    async with site(version, zai, answer) as opened:
        first = await opened("chat-1")
        await first.evaluate(ASK)
        while not scripts:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (script,) = scripts
        script.say(
            ThinkingDelta("Hm."), "Good ", DataPart("seen", 1), UrlSource("s", "https://x.y")
        )
        await has_answer(first, "Hm.\n\nGood\n\n1\n\nhttps://x.y")
        # In the middle: the same tab once more, and another one.
        await first.call("Page.reload")
        second = await opened("chat-1", "streaming")
        for page in (first, second):
            await has_answer(page, "Hm.\n\nGood\n\n1\n\nhttps://x.y")
        script.say("day", END)
        for page in (first, second):
            await has_answer(page, "Hm.\n\nGood day\n\n1\n\nhttps://x.y")
            await ready(page)
        ids = [await page.evaluate("chat.messages.at(-1).id") for page in (first, second)]
        assert ids[0] == ids[1]
        # And at the end, when a page has not yet kept what it shows.
        await first.call("Page.reload")
        await has_answer(first, "Hm.\n\nGood day\n\n1\n\nhttps://x.y")
        assert len(scripts) == 1
        assert first.errors == second.errors == []


@EACH
async def test_tools_run_on_the_server_when_the_page_allows_it(version, zai):
    deleted, waiting = [], {}

    @tool(approve=True)
    def delete_file(path: str) -> str:
        """Delete a file."""
        deleted.append(path)
        return "gone"

    async def answer(request):
        state = waiting.pop(request.id, None)
        completions = zai.chat.completions
        if state is not None and request.approvals:
            said = {each.call_id: each.approved for each in request.approvals}
            run = completions.resume_tools(state, tools=[delete_file], decisions=said)
        else:
            question = {"model": "glm-5.3", "messages": request.messages}
            run = completions.run_tools(**question, tools=[delete_file])
        async with run:
            async for event in run.events:
                yield event
        if run.pending is not None:
            waiting[request.id] = run.pending

    async with site(version, zai, answer) as opened:
        page = await opened("chat-1")
        for allowed, count in ((True, 1), (False, 1)):
            await page.evaluate(
                """void chat.sendMessage({ text: 'Please delete file "notes.txt".' })"""
            )
            await page.wait("document.querySelector('[data-state=approval-requested]')")
            await ready(page)
            assert len(deleted) == (0 if allowed else 1)
            await page.evaluate(
                f"""void chat.addToolApprovalResponse({{
                    id: chat.messages.at(-1).parts.findLast((p) => p.approval).approval.id,
                    approved: {str(allowed).lower()},
                }})"""
            )
            await page.wait("document.querySelector('article:last-of-type .text')")
            await ready(page)
            called = [part for part in await parts(page) if part[0].startswith("tool-")]
            assert called == [
                ["tool-delete_file", "output-available", '"gone"']
                if allowed
                else ["tool-delete_file", "output-error", '"output-error"']
            ]
            assert len(deleted) == count
        assert await page.evaluate("chat.messages.length") == 4
        assert page.errors == []
