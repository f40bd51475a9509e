"""What the benchmark server sends: prebuilt, and of the shape that the platform uses."""

import json

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"X-Log-Id: 20261009015456dfa744dc7c144abe\r\n\r\n"
)
_WORDS = ("世界", " token", "流", " “quoted”", " async", "。\n")


def _event(document: object) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def _chunk(**choice: object) -> dict[str, object]:
    return {
        "id": "20261009015456dfa744dc7c144abe",
        "created": 1791482096,
        "object": "chat.completion.chunk",
        "model": "glm-4.6",
        "choices": [{"index": 0, **choice}],
    }


def event(number: int) -> bytes:
    """Return one event as the platform writes it; every third one is reasoning."""
    field = "reasoning_content" if number % 3 == 0 else "content"
    return _event(_chunk(delta={"role": "assistant", field: _WORDS[number % len(_WORDS)]}))


def framed(data: bytes) -> bytes:
    """Return one chunk of HTTP; real servers send one for each event."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _last() -> bytes:
    usage = {"prompt_tokens": 8, "completion_tokens": 200, "total_tokens": 208}
    return _event({**_chunk(finish_reason="stop", delta={"content": "."}), "usage": usage})


def _whole(document: object) -> bytes:
    body = json.dumps(document, ensure_ascii=False).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


LAST = _last()
END = framed(LAST) + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
ANSWER = _whole(
    {
        **_chunk(finish_reason="stop", message={"role": "assistant", "content": "世界 " * 60}),
        "object": "chat.completion",
        "usage": {"prompt_tokens": 8, "completion_tokens": 60, "total_tokens": 68},
    }
)
FILE = _whole(
    {
        "id": "file-1",
        "object": "file",
        "bytes": 1,
        "created_at": 1791482096,
        "filename": "a.jsonl",
        "purpose": "batch",
        "status": "processed",
    }
)


def spoken_stream(events: int) -> bytes:
    """Return an answer that is thought about first and written then, as models do."""
    thoughts = [framed(event(3 * number)) for number in range(events // 3)]
    texts = [framed(event(3 * number + 1)) for number in range(events - len(thoughts))]
    return b"".join((HEAD, *thoughts, *texts, END))


def whole_stream(events: int) -> bytes:
    """Return an answer with this many events before the last one, headers included."""
    cycle = [framed(event(number)) for number in range(len(_WORDS))]
    rest = b"".join(cycle[: events % len(cycle)])
    return b"".join((HEAD, b"".join(cycle) * (events // len(cycle)), rest, END))
