"""What the tests of batches share: a client that answers at once, and rows."""

import json
from collections import deque

import msgspec

from zai_async import AsyncZai
from zai_async.testing import FakeReply, FakeTransport

_KEPT = deque(maxlen=20)


def completion(text="Fine.", **fields):
    return {
        "id": "1",
        "model": "glm-5.3",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        **fields,
    }


def asked(request):
    """Return the last question of a request."""
    return msgspec.json.decode(request.body)["messages"][-1]["content"]


def echo(request):
    return FakeReply.json(completion(f"You said: {asked(request)}"))


def refusal(code, status=400, message="No."):
    return FakeReply.json({"error": {"code": code, "message": message}}, status=status)


def client(*script, **settings):
    """Return a client, and the transport that plays the platform for it."""
    transport = FakeTransport(*(script or (echo,)))
    zai = AsyncZai(**{"api_key": "test", "transport": transport, **settings})
    # Its sessions end with the loop of the test, which it has to outlive for that.
    _KEPT.append(zai)
    return zai, transport


def rows(count, start=0):
    return [{"custom_id": f"row-{n}", "prompt": f"Say {n}."} for n in range(start, start + count)]


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def collect(run):
    return {result.key: result async for result in run}
