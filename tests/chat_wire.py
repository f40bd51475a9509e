"""Chat streams as the platform writes them, for tests: built from the grammar, not captured."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

from tests.calls import KEY
from zai_async import AsyncZai, CallOptions, RetryPolicy
from zai_async.testing import FakeReply, FakeTransport

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
FIRST, SECOND = "20261120101112aaaaaaaaaaaaaa", "20261120101300bbbbbbbbbbbbbb"


def chunk(
    delta: dict[str, Any] | None = None,
    *,
    finish: str | None = None,
    id: str = FIRST,
    usage: dict[str, Any] | None = None,
    **top: Any,
) -> dict[str, Any]:
    """One chunk; like the platform, without a finish_reason key before the last one."""
    choice: dict[str, Any] = {"index": 0}
    if finish is not None:
        choice["finish_reason"] = finish
    choice["delta"] = {"role": "assistant"} | (delta or {})
    body = {"id": id, "created": 1, "object": "chat.completion.chunk", "model": "glm-5.1"}
    return body | {"choices": [choice]} | ({"usage": usage} if usage else {}) | top


def frame(value: Any) -> bytes:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return b"data: " + data + b"\n\n"


def texts(*pieces: str, id: str = FIRST) -> list[dict[str, Any]]:
    return [chunk({"content": piece}, id=id) for piece in pieces]


def thoughts(*pieces: str, id: str = FIRST) -> list[dict[str, Any]]:
    return [chunk({"reasoning_content": piece}, id=id) for piece in pieces]


def last(finish: str = "stop", *, id: str = FIRST) -> dict[str, Any]:
    return chunk({"content": ""}, finish=finish, id=id, usage=USAGE)


def tool(
    arguments: str | None, *, index: int | None = 0, id: str | None = None, name: str | None = None
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call: dict[str, Any] = {"function": {k: v for k, v in function.items() if v is not None}}
    call |= {k: v for k, v in {"index": index, "id": id}.items() if v is not None}
    return chunk({"tool_calls": [call]})


def body(chunks: Iterable[dict[str, Any]], *, done: bool = True) -> bytes:
    return b"".join(map(frame, chunks)) + DONE * done


GOOD = body([*thoughts("Let me ", "think."), *texts("Grüße", ", ", "世界 🌍"), last()])
GOOD_TEXT = "Grüße, 世界 🌍"


def client(*script: Any, **settings: Any) -> AsyncZai:
    """A client of a scripted transport that tries once, so that each fault is seen."""
    settings.setdefault("retry", RetryPolicy(retries=0))
    transport = FakeTransport(*map(reply, script))
    return AsyncZai(api_key=KEY, transport=transport, **settings)


def reply(entry: Any) -> Any:
    return FakeReply.stream(entry, X_Log_Id="log-1") if isinstance(entry, bytes) else entry


def stream(zai: AsyncZai, **options: Any) -> Any:
    extra = {"options": CallOptions(**options)} if options else {}
    return zai.chat.completions.stream(model="glm-5.1", messages="hi", **extra)


def cuts(data: bytes, *positions: int) -> tuple[bytes, ...]:
    edges = [0, *sorted(positions), len(data)]
    return tuple(data[a:b] for a, b in itertools.pairwise(edges))
