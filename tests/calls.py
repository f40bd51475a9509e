"""What the tests of calls share: a client, a small answer, and a clock that does not wait."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from zai_async import AsyncZai, ConnectionLostError, RetryPolicy
from zai_async._transport import Request
from zai_async.models import ChatCompletion
from zai_async.testing import FakeReply, FakeTransport

KEY = "canary0123456789.secret9876543210"
ONCE = RetryPolicy(retries=0)
PROMPT = "Hello prompt9876543210"
ASK = {"model": "glm-5.3", "messages": PROMPT}
COMPLETION = {
    "id": "1",
    "model": "glm-5.3",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    ],
}
BODY = json.dumps(COMPLETION).encode()
FINE = FakeReply.json(COMPLETION, X_Log_Id="log-1")
BUSY = FakeReply.json({"error": {"code": "1302"}}, status=429, X_Log_Id="log-0")
LOST = FakeReply(failure=ConnectionLostError("gone"))


def client(url: str = "http://127.0.0.1:9/api/paas/v4", **changes: Any) -> AsyncZai:
    return AsyncZai(
        **{"api_key": KEY, "base_url": url, "trust_env": False, "retry": ONCE, "limits": "off"}
        | changes
    )


async def ask(zai: AsyncZai, **params: Any) -> ChatCompletion:
    return await zai.chat.completions.create(**ASK | params)


async def give_up_a_read(items: AsyncIterator[Any]) -> None:
    """Begin to read an item and stop waiting for it, as a heartbeat does."""
    read = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    read.cancel()
    await asyncio.wait({read})
    assert read.cancelled()


class FakeClock:
    """Waiting takes no time; ``slept`` holds the waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_790_000_000.0 + self.now

    def random(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def scripted(*script: Any, **changes: Any) -> tuple[AsyncZai, FakeTransport]:
    """Return a client that tries again, without waiting, and the transport that answers it."""
    transport = FakeTransport(*script)
    fields = {"retry": RetryPolicy(), "clock": FakeClock()} | changes
    return client(transport=transport, **fields), transport


def raw_request(url: str, **changes: Any) -> Request:
    """Return what a transport sends."""
    fields = {"operation": "test", "method": "POST", "url": url, "headers": {}, "body": b"{}"}
    return Request(**fields | changes)
