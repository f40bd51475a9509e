"""Uploads that fail: what was not sent to its end was not accepted, and is sent again."""

import asyncio
import re
import socket
from contextlib import asynccontextmanager

import pytest

from tests.calls import FakeClock, client
from tests.fault_server import answer
from tests.virtual_loop import put_forward
from zai_async import (
    ConnectionLostError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    SubmitUnknownError,
)

# More than the buffers of two sockets take: one may send 4 MiB ahead, and the other is kept small,
# as what is free in it grows with what the system remembers of earlier connections.
SIZE, TAKEN = 16 * 2**20, 2**16
OUT = answer(b"", status="503 Service Unavailable")
RECEIPT = answer(b'{"id": "file-1", "task_id": "task-1", "bytes": 16777216}')
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@asynccontextmanager
async def server(first):
    """Serve: the first request is answered by ``first(body, writer)``, all others in full."""
    requests = []

    async def met(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        requests.append(head)

        async def body():
            await reader.readexactly(int(LENGTH.search(head)[1]))

        if len(requests) == 1:
            await first(body, writer)
        else:
            await body()
            writer.write(RECEIPT)
        await writer.drain()
        writer.close()

    unread = socket.socket()
    unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TAKEN)
    unread.bind(("127.0.0.1", 0))
    port = unread.getsockname()[1]
    listening = await asyncio.start_server(met, sock=unread)
    async with listening:
        options = {"retry": RetryPolicy(), "clock": FakeClock()}
        async with client(f"http://127.0.0.1:{port}/api/paas/v4", **options) as zai:
            yield zai, requests


async def early(body, writer):
    writer.write(OUT)


async def late(body, writer):
    await body()
    writer.write(OUT)


async def reset_early(body, writer):
    writer.transport.abort()


async def reset_late(body, writer):
    await body()
    writer.transport.abort()


async def deaf(body, writer):
    put_forward(3600)
    await asyncio.sleep(1)


@pytest.mark.parametrize("first", [early, reset_early, deaf])
async def test_an_upload_that_was_not_sent_to_its_end_is_sent_again(first):
    async with server(first) as (zai, requests):
        file = await zai.files.create(file=("a.txt", b"x" * SIZE), purpose="agent")
        assert file.id == "file-1"
        assert len(requests) == 2
        assert [attempt.maybe_billed for attempt in file.attempts] == [False, False]


@pytest.mark.parametrize(
    ("first", "error"), [(late, ServerError), (reset_late, ConnectionLostError)]
)
async def test_an_upload_that_may_have_been_accepted_is_not_sent_again(first, error):
    async with server(first) as (zai, requests):
        with pytest.raises(error) as caught:
            await zai.files.create(file=("a.txt", b"x" * SIZE), purpose="agent")
        assert caught.value.request_sent
        assert len(requests) == 1


async def test_what_can_be_read_once_is_sent_once():
    async def pieces():
        for _ in range(SIZE // 2**16):
            yield bytes(2**16)

    async def early_to_a_chunked_body(_, writer):
        writer.write(OUT)

    async with server(early_to_a_chunked_body) as (zai, requests):
        with pytest.raises(ServerError) as caught:
            await zai.files.create(file=("a.txt", pieces()), purpose="agent")
        assert not caught.value.request_sent
        assert len(requests) == 1


async def test_a_submission_that_was_not_sent_to_its_end_is_not_of_unknown_fate():
    submit = {"file": ("a.pdf", b"%PDF-1.4" + b"x" * SIZE), "tool_type": "lite", "file_type": "PDF"}
    async with server(early) as (zai, requests):
        task = await zai.file_parser.submit(**submit)
        assert (task.id, len(requests)) == ("task-1", 2)
    async with server(late) as (zai, requests):
        with pytest.raises(SubmitUnknownError):
            await zai.file_parser.submit(**submit)
        assert len(requests) == 1


async def test_an_upload_that_nobody_reads_ends_by_its_timeout():
    async with server(deaf) as (zai, _):
        with pytest.raises(RequestTimeoutError) as caught:
            await zai.with_options(retry=RetryPolicy(retries=0)).files.create(
                file=("a.txt", b"x" * SIZE), purpose="agent"
            )
        assert not caught.value.attempts[0].maybe_billed
