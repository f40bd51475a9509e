"""The platform's own SDK, which is synchronous."""

import httpx
from zai import ZaiClient
from zai.core._streaming import SSELineParser

from benchmarks.contestants import MODEL, QUESTION


class Contestant:
    imports = "import zai"
    opens = "zai.ZaiClient(api_key='benchmark.key')"
    most = 1

    def __init__(self, url):
        self._client = ZaiClient(api_key="benchmark.key", base_url=url, max_retries=0)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self._client.close()

    async def stream(self, seen):
        for _ in self._client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True):
            seen()

    async def ask(self):
        answer = self._client.chat.completions.create(model=MODEL, messages=QUESTION)
        return answer.choices[0].message.content

    @staticmethod
    def parse(reads):
        lines = httpx.Response(200, content=iter(reads)).iter_lines()
        return sum(1 for _ in SSELineParser().iter_lines(lines))
