"""Server-sent events as they go to a browser.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

__all__ = [
    "DONE",
    "EVENT_STREAM",
    "HEARTBEAT",
    "data_frame",
    "event_frame",
    "mended",
    "number_in",
    "numbered",
    "to_json",
]

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

_MOST_DIGITS: Final = 15

_encode: Final = msgspec.json.Encoder().encode


def to_json(value: Any) -> bytes:
    """Return a value as JSON, in which marks stand for halves of surrogate pairs.

    Names of files have some that are no UTF-8, and tools return such names.
    """
    try:
        return _encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, enc_hook=msgspec.json.decode, str_keys=True)
        return _encode(mended(plain))


def mended(value: Any) -> Any:
    """Return plain data with marks for halves of surrogate pairs, for which UTF-8 has no bytes."""
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case list() | tuple():
            items: Iterable[Any] = cast("Iterable[Any]", value)
            return [mended(each) for each in items]
        case dict():
            fields: Mapping[Any, Any] = cast("Mapping[Any, Any]", value)
            return {mended(key): mended(each) for key, each in fields.items()}
        case _:
            return value


def data_frame(value: Any) -> bytes:
    """Return an event with a value as JSON, which never holds a line break."""
    return b"data: %b\n\n" % to_json(value)


def event_frame(name: str, value: Any) -> bytes:
    """Return an event of a name of its own, which readers that do not know it pass over."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(value))


def numbered(frames: bytes, answer_id: str, number: int) -> bytes:
    """Return frames whose first one carries an id, from which a reader can go on."""
    return b"id: %b-%d\n%b" % (answer_id.encode(), number, frames)


def number_in(event_id: str, answer_id: str) -> int:
    """Return the number in the id of an event; 0, the beginning, for whatever is no such id."""
    # A reader may have seen the answer before, whose numbers say nothing of this one.
    name, _, number = event_id.rpartition("-")
    is_ours = name == answer_id and number.isdecimal() and len(number) <= _MOST_DIGITS
    return int(number) if is_ours else 0
