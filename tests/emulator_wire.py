"""What the tests of the emulator share: a client that knows nothing of the SDK, and readers."""

import json
from contextlib import asynccontextmanager

import httpx

NOBODY: dict[str, str] = {}
KEY = {"Authorization": "Bearer test.secret"}


@asynccontextmanager
async def wire(emulator, headers=KEY):
    """Yield a client for the root of the emulator; paths begin with ``/paas/v4`` or ``/v1``."""
    url = emulator.root_url
    # certificates take a tenth of a second to load, and nothing here is encrypted
    async with httpx.AsyncClient(base_url=url, headers=headers, verify=False) as client:
        yield client


def error_of(reply):
    return reply.status_code, reply.json()["error"]["code"]


def events_of(reply):
    """Decode the events of a stream that ends as it should."""
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    *frames, done, rest = reply.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]
