"""A headless Chromium, driven over its DevTools protocol; just enough to click and to look."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    # A microphone that beeps, and nobody who has to allow it.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


class Page:
    """One open page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        self.violations: list[str] = []
        """What the policy of the page has refused."""

    async def call(self, method: str, **params: object) -> dict:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while (message := await self._socket.receive_json()).get("id") != number:
            if message["method"] == "Runtime.exceptionThrown":
                self.errors.append(
                    message["params"]["exceptionDetails"]["exception"]["description"]
                )
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["source"] == "security" or "Content Security Policy" in entry["text"]:
                    self.violations.append(entry["text"])
        assert "error" not in message, message
        return message["result"]

    async def open(self, url: str) -> None:
        await self.call("Runtime.enable")
        await self.call("Page.enable")
        await self.call("Log.enable")
        await self.call("Page.navigate", url=url)
        await self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def evaluate(self, script: str) -> object:
        """Return the JSON value of an expression; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def wait(self, condition: str) -> None:
        """Wait until an expression is true; the timeout of the test is the limit."""
        while not await self.evaluate(f"Boolean({condition})"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def text(self, selector: str) -> object:
        return await self.evaluate(f"document.querySelector({selector!r})?.innerText")

    async def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element."""
        x, y = await self.evaluate(f"""(() => {{
            const box = document.querySelector({selector!r}).getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def type(self, text: str) -> None:
        """Write where the focus is, and press Enter."""
        await self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key="Enter", text="\r")

    async def look(self, *, width: int = 1200, height: int = 800, scheme: str = "light") -> None:
        """Set the window's size and the reader's colour scheme."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def traced(
        self, work: Awaitable[object], condition: str, categories: list[str]
    ) -> list[dict]:
        """Do something, and return what the browser has traced until a condition is true."""
        config = {"includedCategories": categories}
        await self.call("Tracing.start", transferMode="ReportEvents", traceConfig=config)
        await work
        await self.wait(condition)
        await self.call("Tracing.end")
        events: list[dict] = []
        while (message := await self._socket.receive_json())["method"] != "Tracing.tracingComplete":
            if message["method"] == "Tracing.dataCollected":
                events += message["params"]["value"]
        return events

    async def screenshot(self) -> bytes:
        """Return a picture of the window as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])


@asynccontextmanager
async def chromium_tabs() -> AsyncIterator[Callable[[], Awaitable[Page]]]:
    """Start Chromium with a new profile, and give what opens a tab of it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(  # noqa: ASYNC220 - a test may wait
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not (port := port_of(Path(profile))):
                assert process.poll() is None, "Chromium has died"
                await asyncio.sleep(0.05)
            async with (
                AsyncExitStack() as stack,
                aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
            ):

                async def tab() -> Page:
                    async with session.put("/json/new?about:blank") as target:
                        url = (await target.json())["webSocketDebuggerUrl"]
                    socket = session.ws_connect(url, max_msg_size=0)
                    return Page(await stack.enter_async_context(socket))

                yield tab
        finally:
            process.terminate()
            try:
                process.wait()
            finally:
                process.kill()


@asynccontextmanager
async def chromium_page() -> AsyncIterator[Page]:
    """Start Chromium with a new profile and give a page of it."""
    async with chromium_tabs() as tab:
        yield await tab()


@contextmanager
def running_chromium() -> Iterator[str]:
    """Start Chromium for several tests, and give the port by which it is driven."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not (port := port_of(Path(profile))):
                assert process.poll() is None, "Chromium has died"
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            try:
                process.wait()
            finally:
                process.kill()


@asynccontextmanager
async def tabs_of_new_profile(port: str, count: int = 1) -> AsyncIterator[list[Page]]:
    """Open tabs that share what they keep, in a Chromium that runs already."""
    origin = f"http://127.0.0.1:{port}/"
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(origin))
        async with session.get("json/version") as about:
            address = (await about.json())["webSocketDebuggerUrl"]
        socket = session.ws_connect(address, max_msg_size=0)
        browser = Page(await stack.enter_async_context(socket))
        context = (await browser.call("Target.createBrowserContext"))["browserContextId"]
        tabs: list[Page] = []
        for _ in range(count):
            made = await browser.call(
                "Target.createTarget", url="about:blank", browserContextId=context
            )
            socket = session.ws_connect(f"devtools/page/{made['targetId']}", max_msg_size=0)
            tabs.append(Page(await stack.enter_async_context(socket)))
        yield tabs
        await browser.call("Target.disposeBrowserContext", browserContextId=context)


def port_of(profile: Path) -> str:
    """Return what Chromium has written down about where it listens, nothing before that."""
    note = profile / "DevToolsActivePort"
    return note.read_text().partition("\n")[0] if note.exists() else ""
