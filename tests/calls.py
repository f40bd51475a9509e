"""What the tests of calls share: a client, a small answer, and a clock that does not wait."""

import json
from typing import Any

from zai_async import AsyncZai, RetryPolicy
from zai_async.models import ChatCompletion

KEY = "canary0123456789.secret9876543210"
ONCE = RetryPolicy(retries=0)
ASK = {"model": "glm-5.3", "messages": "Hello"}
COMPLETION = {
    "id": "1",
    "model": "glm-5.3",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    ],
}
BODY = json.dumps(COMPLETION).encode()


def client(url: str = "http://127.0.0.1:9/api/paas/v4", **changes: Any) -> AsyncZai:
    return AsyncZai(
        **{"api_key": KEY, "base_url": url, "trust_env": False, "retry": ONCE} | changes
    )


async def ask(zai: AsyncZai, **params: Any) -> ChatCompletion:
    return await zai.chat.completions.create(**ASK | params)


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
