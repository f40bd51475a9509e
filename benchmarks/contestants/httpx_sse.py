"""httpx with httpx-sse, which cuts the events, and the json module."""

import json

import httpx
from httpx_sse import EventSource

from benchmarks.contestants import MODEL, QUESTION
from benchmarks.contestants.httpx_naive import Contestant as Naive

_HEADERS = {"Content-Type": "text/event-stream"}


class Contestant(Naive):
    imports = "import httpx, httpx_sse"
    ask = stall = None  # as httpx_naive does

    async def stream(self, seen):
        body = {"model": MODEL, "messages": QUESTION, "stream": True}
        async with self._client.stream("POST", self._url, json=body) as response:
            async for event in EventSource(response).aiter_sse():
                if event.data != "[DONE]":
                    json.loads(event.data)
                    seen()

    @staticmethod
    def parse(reads):
        response = httpx.Response(200, headers=_HEADERS, content=iter(reads))
        return sum(1 for _ in EventSource(response).iter_sse())
