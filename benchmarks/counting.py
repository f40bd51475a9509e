"""A server that counts: `python -m benchmarks.counting MILLISECONDS [LIMIT]`.

It costs less than any client. It answers chat completions after so many milliseconds, refuses those
beyond a hidden limit as the platform does, and counts how often each prompt was asked. It prints
its port. What it has counted is at ``/stats``, and what was asked more than once at ``/twice``;
``/limit/7`` sets the limit.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter
from typing import Any, Final, cast

import uvloop

from benchmarks.scenarios.work import need_descriptors

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PROMPT: Final = re.compile(rb'"content": ?"([^"]*)"')
_ANSWER: Final = {
    "id": "20261129",
    "created": 1,
    "model": "glm-5.3",
    "request_id": "r",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "A short answer. " * 4},
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 16, "total_tokens": 26},
}
_REFUSAL: Final = {"error": {"code": "1302", "message": "Rate limit reached for requests"}}


def reply(document: Any, status: str = "200 OK") -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


ANSWER: Final = reply(_ANSWER)
REFUSED: Final = reply(_REFUSAL, "429 Too Many Requests")


class Counts:
    """What all connections share.

    ``possible`` is how many answers a client would have got that had always asked as much as is
    allowed, from its first request to the last one.
    """

    def __init__(self, latency: float, limit: float) -> None:
        self.latency = latency
        self.limit = limit
        self.asked: Counter[bytes] = Counter()
        self.answered = self.refused = self.in_flight = self.peak = 0
        self.possible = 0.0
        self.first: float | None = None
        self.last: float | None = None

    def pass_time(self) -> None:
        """Add what would have been possible since the last request or answer."""
        now = time.monotonic()
        self.first = self.first or now
        if self.last is not None and self.latency:
            self.possible += (now - self.last) * self.limit / self.latency
        self.last = now

    def figures(self) -> dict[str, float]:
        return {
            "asked": self.asked.total(),
            "distinct": len(self.asked),
            "answered": self.answered,
            "refused": self.refused,
            "peak": self.peak,
            "possible": self.possible if self.possible < float("inf") else 0.0,
            "seconds": (self.last or 0.0) - (self.first or 0.0),
            "cpu": time.process_time(),
        }


class Connection(asyncio.Protocol):
    """One connection; a request is answered when its body is there."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        found = _LENGTH.search(head)
        if len(body) < (int(found[1]) if found else 0):
            return
        self._data = b""
        words = head.split(b" ", 2)[1].strip(b"/").split(b"/")
        if words[0] == b"stats":
            self._transport.write(reply(self._counts.figures()))
        elif words[0] == b"twice":
            asked = self._counts.asked.items()
            prompts = [prompt.decode() for prompt, count in asked if count > 1]
            self._transport.write(reply({"prompts": prompts}))
        elif words[0] == b"limit":
            self._counts.pass_time()
            self._counts.limit = float(words[1])
            self._transport.write(reply({}))
        else:
            self._ask(body)

    def _ask(self, body: bytes) -> None:
        counts = self._counts
        counts.pass_time()
        if counts.in_flight >= counts.limit:
            counts.refused += 1
            self._transport.write(REFUSED)
            return
        prompts = _PROMPT.findall(body)
        counts.asked[prompts[-1] if prompts else b""] += 1
        counts.in_flight += 1
        counts.peak = max(counts.peak, counts.in_flight)
        if counts.latency:
            asyncio.get_running_loop().call_later(counts.latency, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        self._counts.in_flight -= 1
        self._counts.pass_time()
        if not self._transport.is_closing():
            self._counts.answered += 1
            self._transport.write(ANSWER)


async def serve(latency: float, limit: float) -> None:
    counts = Counts(latency, limit)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counts), "127.0.0.1", backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    need_descriptors(0)
    milliseconds, *limit = map(float, sys.argv[1:])
    uvloop.run(serve(milliseconds / 1000, limit[0] if limit else float("inf")))
