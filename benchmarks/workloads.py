"""What the guard counts the instructions of: fixed work on prebuilt bytes, in one process.

``python -m benchmarks.workloads NAME AMOUNT`` does one of them. With ``--fork`` and more such pairs
each is done by a child of a process that has imported everything, and the children are listed.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import aiohttp  # noqa: F401 - so that no child has to

from benchmarks.wire import ANSWER, END, HEAD, LAST, event, framed
from zai_async import AsyncZai
from zai_async._protocol.sse import SSEParser
from zai_async.testing import FakeReply, FakeTransport

ASK: Final[dict[str, Any]] = {"model": "glm-4.6", "messages": "Hi"}
_EVENTS: Final = tuple(map(event, range(6)))
_BODY: Final = ANSWER.partition(b"\r\n\r\n")[2]


def parser(events: int) -> None:
    """Cut one event out of each read."""
    one, payloads = event(1), SSEParser().payloads
    for _ in range(events):
        payloads(one)


def stream(events: int) -> None:
    """Read a chat stream of one event a read, without a network."""
    steps = itertools.islice(itertools.cycle(_EVENTS), events)
    asyncio.run(_read(FakeReply.stream(*steps, LAST)))


def lump(events: int) -> None:
    """Read a chat stream of a hundred events a read, without a network."""
    read = b"".join(itertools.islice(itertools.cycle(_EVENTS), 100))
    asyncio.run(_read(FakeReply.stream(*[read] * (events // 100), LAST)))


async def _read(reply: FakeReply) -> None:
    async with (
        AsyncZai(api_key="key", transport=FakeTransport(reply)) as zai,
        zai.chat.completions.stream(**ASK) as chunks,
    ):
        async for _ in chunks:
            pass


def call(calls: int) -> None:
    """Make calls that are answered at once, without a network."""
    asyncio.run(_call(calls))


async def _call(calls: int) -> None:
    reply = FakeReply(headers={"Content-Type": "application/json"}, steps=(_BODY,))
    async with AsyncZai(api_key="key", transport=FakeTransport(reply)) as zai:
        for _ in range(calls):
            await zai.chat.completions.create(**ASK)


def socket(events: int) -> None:
    """Read a chat stream of one event a read from a socket; its server is counted, too."""
    asyncio.run(_in_step(events))


def short(streams: int) -> None:
    """Read streams of two events, one after the other, from a socket; its server is counted."""
    asyncio.run(_one_by_one(streams))


class _Server(asyncio.Protocol):
    """Answers with the head of a stream."""

    transport: asyncio.Transport
    answer = HEAD

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        del data
        self.transport.write(self.answer)


class _ShortServer(_Server):
    """Answers with a whole stream."""

    answer = HEAD + framed(event(1)) + END


@asynccontextmanager
async def _client_of(protocol: type[_Server]) -> AsyncGenerator[AsyncZai]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with AsyncZai(api_key="key", base_url=url, trust_env=False) as zai:
        yield zai
    server.close()


async def _one_by_one(streams: int) -> None:
    async with _client_of(_ShortServer) as zai:
        for _ in range(streams):
            async with zai.chat.completions.stream(**ASK) as chunks:
                async for _ in chunks:
                    pass


async def _in_step(events: int) -> None:
    async with _client_of(_Server) as zai:
        stream = await zai.chat.completions.stream(**ASK).open()
        one = framed(event(1))
        for _ in range(events):
            _Server.transport.write(one)
            await anext(stream)
        _Server.transport.write(END)
        await stream.completion()


WORKLOADS: Final[dict[str, Callable[[int], None]]] = {
    work.__name__: work for work in (parser, stream, lump, call, socket, short)
}


def fork(name: str, amount: int) -> int:
    """Do it in a child, and return its number; the child ends with what it has been counted."""
    child = os.fork()
    if not child:
        WORKLOADS[name](amount)
        sys.exit()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(f"{name} failed")
    return child


def main(argv: list[str]) -> None:
    forks = argv[:1] == ["--fork"]
    pairs = argv[forks:]
    for name, amount in zip(pairs[::2], map(int, pairs[1::2]), strict=True):
        if forks:
            print(fork(name, amount), name, amount, flush=True)
        else:
            WORKLOADS[name](amount)


if __name__ == "__main__":
    main(sys.argv[1:])
