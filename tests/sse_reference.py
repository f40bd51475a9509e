"""The event stream interpretation of WHATWG 9.2.6, sentence by sentence.

Slow and simple on purpose: it takes a whole stream and serves as the judge of the fast parser.
"""

from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
DIGITS = frozenset(b"0123456789")


class Dispatched(NamedTuple):
    data: bytes
    event: str
    id: str


class Interpretation:
    """What a stream means up to its end: the events, and what outlives them."""

    def __init__(self, stream: bytes) -> None:
        self.events: list[Dispatched] = []
        self.last_event_id = ""
        self.retry: int | None = None
        self._id_buffer = b""
        self._clear()
        lines, _ = split_lines(stream)
        for line in lines:
            self._interpret(line)

    def _clear(self) -> None:
        self._data_buffer = b""
        self._type_buffer = b""

    def _interpret(self, line: bytes) -> None:
        if not line:
            self._dispatch()
        elif line[:1] == b":":
            pass
        elif b":" in line:
            colon = line.index(b":")
            value = line[colon + 1 :]
            self._process(line[:colon], value[1:] if value[:1] == b" " else value)
        else:
            self._process(line, b"")

    def _process(self, field: bytes, value: bytes) -> None:
        if field == b"event":
            self._type_buffer = value
        if field == b"data":
            self._data_buffer += value + b"\n"
        if field == b"id" and b"\0" not in value:
            self._id_buffer = value
        if field == b"retry" and value and DIGITS.issuperset(value):
            self.retry = int(value)

    def _dispatch(self) -> None:
        self.last_event_id = self._id_buffer.decode(errors="replace")
        if self._data_buffer:
            kind = self._type_buffer.decode(errors="replace") or "message"
            self.events.append(Dispatched(self._data_buffer[:-1], kind, self.last_event_id))
        self._clear()


def split_lines(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines without their ends, and what follows the last line end."""
    position = len(BOM) if stream.startswith(BOM) else 0
    lines = []
    line = b""
    while position < len(stream):
        if stream[position : position + 2] == b"\r\n":
            position += 1
        byte = stream[position : position + 1]
        if byte in {b"\r", b"\n"}:
            lines.append(line)
            line = b""
        else:
            line += byte
        position += 1
    return lines, line
