"""zai-async, with every protection on; the limit is fixed, so that all streams may be open."""

from benchmarks.contestants import MODEL
from zai_async import AsyncZai
from zai_async._protocol.sse import SSEParser


class Contestant(AsyncZai):
    imports = "import zai_async"
    opens = "zai_async.AsyncZai(api_key='benchmark.key')"
    longest = 4 * 10**6

    def __init__(self, url):
        super().__init__(api_key="benchmark.key", base_url=url, limits=20_000)

    async def stream(self, seen):
        async with self.chat.completions.stream(model=MODEL, messages="Hi") as stream:
            async for _ in stream:
                seen()

    async def stall(self, forever):
        async with self.chat.completions.stream(model=MODEL, messages="Hi") as stream:
            await anext(stream)
            await forever

    async def ask(self):
        return (await self.chat.completions.create(model=MODEL, messages="Hi")).text

    async def upload(self, path):
        await self.files.create(file=path, purpose="batch")

    @staticmethod
    def parse(reads):
        return sum(map(len, map(SSEParser().payloads, reads)))
