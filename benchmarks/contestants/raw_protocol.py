"""The floor in Python: a protocol, one regular expression for HTTP and SSE, msgspec."""

import asyncio
import re
from urllib.parse import urlsplit

import msgspec

from benchmarks.contestants import MODEL, QUESTION
from zai_async.models import ChatCompletion, ChatCompletionChunk

_REQUEST = (
    b"POST %b/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
_frames = re.compile(rb"data: (\{.*\})\n\n").findall
_chunk = msgspec.json.Decoder(ChatCompletionChunk).decode
_answer = msgspec.json.Decoder(ChatCompletion).decode
bytes(2**20)  # as ours does: else each read maps memory


class _Stream(asyncio.Protocol):
    def __init__(self, seen):
        self._seen = seen
        self._rest = b""
        self.done = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        data = self._rest + data
        end = data.rfind(b"\n\n") + 2
        self._rest = data[end:] if end > 1 else data
        for frame in _frames(data, 0, end):
            _chunk(frame)
            self._seen()
        if b"[DONE]" in data:
            self.done.set_result(None)

    def connection_lost(self, exc):
        del exc
        self.done.cancel()


class _Answer(asyncio.Protocol):
    def __init__(self):
        self.done = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.done.set_result(_answer(data.partition(b"\r\n\r\n")[2]).text)


class Contestant:
    def __init__(self, url):
        parts = urlsplit(url)
        self._place = parts.hostname, parts.port
        body = msgspec.json.encode({"model": MODEL, "messages": QUESTION})
        self._request = _REQUEST % (parts.path.encode(), len(body), body)
        self._idle = []

    async def __aenter__(self):
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_):
        for transport in self._idle:
            transport.close()

    async def stream(self, seen):
        make = lambda: _Stream(seen)  # noqa: E731
        transport, protocol = await self._loop.create_connection(make, *self._place)
        transport.write(self._request)
        try:
            await protocol.done
        finally:
            transport.close()

    async def ask(self):
        transport = self._idle.pop() if self._idle else await self._connected()
        protocol = transport.get_protocol()
        protocol.done = self._loop.create_future()
        transport.write(self._request)
        text = await protocol.done
        self._idle.append(transport)
        return text

    async def _connected(self):
        return (await self._loop.create_connection(_Answer, *self._place))[0]
