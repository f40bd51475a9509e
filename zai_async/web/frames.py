"""Server-sent events as they go to a browser.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from typing import Any, Final

import msgspec

__all__ = ["DONE", "EVENT_STREAM", "HEARTBEAT", "data_frame", "event_frame", "numbered"]

DONE: Final = b"data: [DONE]\n\n"
# A comment is an event for nobody. Proxies count it as traffic, and readers pass it over.
HEARTBEAT: Final = b": heartbeat\n\n"
EVENT_STREAM: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    # Compression in between would collect events until a block is full.
    "cache-control": "no-cache, no-transform",
    # nginx collects whole answers unless it is told not to.
    "x-accel-buffering": "no",
}

_encode: Final = msgspec.json.Encoder().encode


def data_frame(value: Any) -> bytes:
    """Return an event with a value as JSON, which never holds a line break."""
    return b"data: %b\n\n" % _encode(value)


def event_frame(name: str, value: Any) -> bytes:
    """Return an event of a name of its own, which readers that do not know it pass over."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(value))


def numbered(frames: bytes, number: int) -> bytes:
    """Return frames whose first one carries an id, from which a reader can go on."""
    return b"id: %d\n%b" % (number, frames)
