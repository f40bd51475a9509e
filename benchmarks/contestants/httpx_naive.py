"""What many write first: httpx, its lines, and the json module."""

import json

import httpx

from benchmarks.contestants import MODEL, QUESTION


class Contestant:
    imports = "import httpx"
    opens = "httpx.AsyncClient()"
    most = 400  # its pool looks at every connection for every request: 1000 take minutes

    def __init__(self, url):
        limits = httpx.Limits(max_connections=None)
        self._url = f"{url}/chat/completions"
        self._client = httpx.AsyncClient(timeout=None, limits=limits)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self._client.aclose()

    async def stream(self, seen):
        body = {"model": MODEL, "messages": QUESTION, "stream": True}
        async with self._client.stream("POST", self._url, json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    json.loads(line[6:])
                    seen()

    async def stall(self, forever):
        body = {"model": MODEL, "messages": QUESTION, "stream": True}
        async with self._client.stream("POST", self._url, json=body) as response:
            async for _ in response.aiter_lines():
                await forever

    async def ask(self):
        response = await self._client.post(self._url, json={"model": MODEL, "messages": QUESTION})
        return response.json()["choices"][0]["message"]["content"]
