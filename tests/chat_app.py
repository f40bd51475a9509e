"""The chat app of `zai ui` in front of the emulator, and what its page posts."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from zai_async import AsyncZai
from zai_async.web.ui import make_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from zai_async.testing import Emulator


@asynccontextmanager
async def chat_app(
    emulator: Emulator, *, port: int = 0, bundle: Path | None = None, **options: Any
) -> AsyncIterator[str]:
    """Serve the app and give its address; `options` are of the client."""
    own = {} if bundle is None else {"bundle": bundle}
    async with AsyncZai(base_url=emulator.url, api_key="test", **options) as zai:
        app = make_app(zai, **own)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()


def question(text: str, *, id: str = "chat-1", **settings: Any) -> dict[str, Any]:
    message = {"id": "q1", "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": id, "trigger": "submit-message", "messages": [message], **settings}


async def parts_of(response: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    """Read a stream to its end."""
    lines = (await response.text()).splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def metadata_in(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge what the parts tell about the message."""
    facts: dict[str, Any] = {}
    for part in parts:
        facts |= part.get("messageMetadata", {})
    return facts
