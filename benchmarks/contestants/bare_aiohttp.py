"""The loop that one would write by hand on aiohttp and msgspec: no protection of any kind."""

import aiohttp
import msgspec

from benchmarks.contestants import MODEL, QUESTION
from zai_async._protocol.sse import SSEParser
from zai_async.models import ChatCompletion, ChatCompletionChunk

_encode = msgspec.json.Encoder().encode
_chunk = msgspec.json.Decoder(ChatCompletionChunk).decode
_answer = msgspec.json.Decoder(ChatCompletion).decode
_HEADERS = {"Authorization": "Bearer benchmark.key", "Content-Type": "application/json"}
bytes(2**20)  # as ours does: else each read maps memory


class Contestant:
    imports = "import aiohttp, msgspec"

    def __init__(self, url):
        self._url = f"{url}/chat/completions"

    async def __aenter__(self):
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout()
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=2**16, headers=_HEADERS
        )
        return self

    async def __aexit__(self, *_):
        await self._session.close()

    async def stream(self, seen):
        body = _encode({"model": MODEL, "messages": QUESTION, "stream": True})
        async with self._session.post(self._url, data=body) as response:
            parser = SSEParser()
            while data := await response.content.readany():
                for event in parser.payloads(data):
                    if event != b"[DONE]":
                        _chunk(event)
                        seen()

    async def stall(self, forever):
        body = _encode({"model": MODEL, "messages": QUESTION, "stream": True})
        async with self._session.post(self._url, data=body) as response:
            for event in SSEParser().payloads(await response.content.readany()):
                _chunk(event)
                await forever

    async def ask(self):
        body = _encode({"model": MODEL, "messages": QUESTION})
        async with self._session.post(self._url, data=body) as response:
            return _answer(await response.read()).text

    async def upload(self, path):
        form = aiohttp.FormData({"purpose": "batch"})
        with path.open("rb") as file:
            form.add_field("file", file, filename=path.name)
            async with self._session.post(self._url, data=form) as response:
                await response.read()
