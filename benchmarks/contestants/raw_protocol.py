"""A floor that decodes: a protocol, one regular expression for HTTP and SSE, msgspec."""

import asyncio
import re
import ssl
from urllib.parse import urlsplit

import msgspec

from benchmarks.contestants import MODEL, QUESTION
from zai_async.models import ChatCompletion, ChatCompletionChunk

_REQUEST = (
    b"POST %b/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
frames_in = re.compile(rb"data: (\{.*\})\n\n").findall
chunk_of = msgspec.json.Decoder(ChatCompletionChunk).decode
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
        for frame in frames_in(data, 0, end):
            chunk_of(frame)
            self._seen()
        if data.endswith(b"0\r\n\r\n"):
            self.done.set_result(None)

    def connection_lost(self, exc):
        del exc
        self.done.cancel()


class _Answer(asyncio.Protocol):
    def __init__(self, _):
        self.done = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.done.set_result(_answer(data.partition(b"\r\n\r\n")[2]).text)


class Contestant:
    reader = _Stream

    def __init__(self, url):
        parts = urlsplit(url)
        self.place = parts.hostname, parts.port
        body = msgspec.json.encode({"model": MODEL, "messages": QUESTION})
        self.request = _REQUEST % (parts.path.encode(), len(body), body)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._idle = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for transport in self._idle:
            transport.close()

    async def stream(self, seen):
        await self._send(self.reader, seen)

    async def ask(self):
        return await self._send(_Answer, None)

    async def _send(self, make, seen):
        transport = self._idle.pop() if self._idle else await self._connected()
        protocol = make(seen)
        transport.set_protocol(protocol)
        try:
            transport.write(self.request)
            answer = await protocol.done
        except BaseException:
            transport.close()
            raise
        self._idle.append(transport)
        return answer

    async def _connected(self):
        connect = asyncio.get_running_loop().create_connection
        return (await connect(asyncio.Protocol, *self.place, ssl=self._ssl))[0]
