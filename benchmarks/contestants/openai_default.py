"""openai-python with its default transport; it allows 1000 connections; retries are off,
and connecting may take longer than 5 s."""

from openai import AsyncOpenAI
from openai._streaming import SSEDecoder

from benchmarks.contestants import MODEL, QUESTION


class Contestant(AsyncOpenAI):
    imports = "import openai"
    opens = "openai.AsyncOpenAI(api_key='benchmark.key')"

    def __init__(self, url):
        super().__init__(api_key="benchmark.key", base_url=url, max_retries=0, timeout=600.0)

    async def stream(self, seen):
        async with await self.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True
        ) as stream:
            async for _ in stream:
                seen()

    async def stall(self, forever):
        async with await self.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True
        ) as stream:
            await anext(stream)
            await forever

    async def ask(self):
        answer = await self.chat.completions.create(model=MODEL, messages=QUESTION)
        return answer.choices[0].message.content

    async def upload(self, path):
        await self.files.create(file=path, purpose="batch")

    @staticmethod
    def parse(reads):
        return sum(1 for _ in SSEDecoder().iter_bytes(iter(reads)))
