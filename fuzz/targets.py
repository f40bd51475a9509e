"""What is fuzzed: functions that take any bytes, and fail only by an exception that is a bug."""

from collections.abc import Callable
from typing import get_args

import msgspec

from fuzz.streams import check_stream
from tests.sse_reference import Interpretation
from zai_async._codes import Kind, Repeat
from zai_async._protocol.sse import SSEParser
from zai_async._secrets import Secret
from zai_async._wire.replies import error_in_body
from zai_async.errors import APIError
from zai_async.models import ChatCompletion, ChatCompletionChunk
from zai_async.models.encoding import encode
from zai_async.models.tolerant import decode

__all__ = ["TARGETS"]

KEY = Secret("canary0123456789.secret9876543210")
HEADERS = ({}, {"Retry-After": "7"}, {"Content-Type": "text/html"}, {"X-Log-Id": "log-1"})
STATUSES = (200, 200, 400, 401, 404, 429, 500, 503)
DECODERS = tuple(map(msgspec.json.Decoder, (ChatCompletionChunk, ChatCompletion)))


def pieces_of(data: bytes) -> list[bytes]:
    """Cut a stream; its first byte says how long the pieces are."""
    size = 1 + data[0] if data else 1
    return [data[at : at + size] for at in range(1, len(data), size)]


def check_parser(data: bytes) -> None:
    """Read a stream in pieces as the reference reads it whole, and as one reads it in one piece."""
    pieces = pieces_of(data)
    expected = Interpretation(b"".join(pieces))
    full, fast, whole = SSEParser(), SSEParser(), SSEParser()
    events = [event for piece in pieces for event in full.feed(piece)]
    payloads = [payload for piece in pieces for payload in fast.payloads(piece)]
    assert [(event.data, event.event, event.id) for event in events] == expected.events
    assert payloads == [event.data for event in expected.events]
    assert list(whole.payloads(b"".join(pieces))) == payloads
    last = full.close()
    assert (last is None) == (fast.close() is None) == (whole.close() is None)
    assert (full.last_event_id, full.retry) == (expected.last_event_id, expected.retry)


def check_chunks(data: bytes) -> None:
    """Decode a document into an answer that can be looked at, or refuse it with one error."""
    for decoder in DECODERS:
        try:
            value = decode(decoder, data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        assert repr(value)
        assert decode(decoder, encode(value)) == value
        if isinstance(value, ChatCompletion):
            assert isinstance(value.text + value.thinking, str)


def check_faults(data: bytes) -> None:
    """Find the error in an answer, in known words, without the key."""
    head, body = data[:1], data[1:].replace(b"\x00", KEY.reveal().encode())
    choice = head[0] if head else 0
    error = error_in_body(
        body,
        status=STATUSES[choice % len(STATUSES)],
        headers=HEADERS[choice // len(STATUSES) % len(HEADERS)],
        now=1_790_000_000.0,
        secrets=[KEY],
    )
    if error is None:
        return
    assert isinstance(error, APIError)
    assert error.kind in get_args(Kind)
    assert error.repeat in get_args(Repeat)
    assert len(error.message) <= 500
    assert KEY.reveal() not in f"{error} {error.body} {vars(error)}"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "parser": check_parser,
    "chunks": check_chunks,
    "streams": check_stream,
    "faults": check_faults,
}
