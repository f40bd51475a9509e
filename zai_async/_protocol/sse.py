r"""Server-sent events: bytes in, whole events out, by the grammar of the WHATWG HTML standard.

Line ends become line feeds first, so a blank line, which ends an event, is always two of them.
The text up to the last blank line of a read is interpreted at once. What follows it is held back,
and of the next read only the new bytes are searched: each byte is looked at a fixed number of
times, however the stream is cut.

The standard: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import contextlib
import sys
from collections.abc import Iterable

import msgspec

from zai_async.errors import EventTooLargeError, LimitError
from zai_async.models.counting import LARGE, MOST_AT_ONCE, ValueCounter

__all__ = ["ERROR_EVENT", "RUN", "Event", "SSEParser", "in_order", "lines_of"]

_BOM = b"\xef\xbb\xbf"
_CR = 13  # a number, because `13 in data` takes a fifth of the time of `b"\r" in data`
_LF = 10
_FIELDS = frozenset({b"", b"data", b"event", b"id", b"retry"})  # a comment has no name
_HEARTBEATS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})
_MOST_STRAY, _LONGEST_STRAY = 32, 2**15
ERROR_EVENT = b"event: error\n"
"""What stands before the data of an event with such a name, among the stray lines."""
RUN = 64  # events that may be decoded in one go


class Event(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event (WHATWG 9.2.6, "dispatch the event")."""

    data: bytes
    """The values of all ``data`` lines, joined by line feeds; not decoded."""
    event: str = "message"
    """The value of the last ``event`` line."""
    id: str = ""
    """The last event ID of the stream so far, which may come from an earlier event."""


class SSEParser:
    """Cut a stream of bytes into events, however the network cut it into reads.

    ``payloads()`` and ``feed()`` share one state and may be mixed; the first is several times as
    fast and enough where the data says everything. The size of an event is that of its lines,
    comments and unknown fields included, with one byte for each line end.

    Args:
        max_event_bytes: The size up to which an event is accepted, in bytes.
        max_event_values: How much an event may hold that is accepted.
        max_bytes: The size up to which the stream is read, in bytes.
    """

    __slots__ = (
        "_counted",
        "_counter",
        "_given",
        "_held",
        "_left",
        "_max_bytes",
        "_max_event_bytes",
        "_max_event_values",
        "_most",
        "_optional",
        "_place",
        "_room",
        "_undecided",
        "last_event_id",
        "retry",
        "stray",
    )

    last_event_id: str
    """Where to resume: the last ``id`` that a blank line has confirmed; empty before."""
    retry: int | None
    """The last reconnection time that was sent, in milliseconds."""
    stray: list[tuple[int, bytes]]
    """Lines of no known field, which the standard ignores; only the first few, and cut.

    Before each line stands how many events of the same read come before it. An event that is named
    an error is among them as well, behind ``ERROR_EVENT``, as ``payloads()`` tells no names.

    Servers that break write pages and bare JSON into their streams. Whoever wants to know empties
    the list after each read.
    """

    def __init__(
        self,
        *,
        max_event_bytes: int = 4 * 2**20,
        max_event_values: int = MOST_AT_ONCE,
        max_bytes: int = sys.maxsize,
    ) -> None:
        self.last_event_id = ""
        self.retry = None
        self.stray = []
        self._place = 0
        self._max_event_bytes = max_event_bytes
        self._max_event_values = max_event_values
        self._most = max_event_bytes  # less than nothing when that was too much once
        self._left = self._max_bytes = max_bytes
        # How much the quick way may take, which is for whole events after whole events.
        self._given = self._room = 0
        # The unfinished event. Not a list of reads: tiny ones would take many times their size.
        self._held = bytearray()
        # How much it holds, once it is large, and how many of its bytes that is known of.
        self._counter: ValueCounter | None = None
        self._counted = 0
        # What is skipped if it comes next, and how much of it has come.
        self._optional = _BOM
        self._undecided = b""

    def payloads(self, data: bytes) -> list[bytes]:
        """Return the ``data`` of every event that this read completes.

        Raises:
            EventTooLargeError: An event outgrew the limit. Other events of the same read are lost,
                and the parser is of no further use: every later call raises again.
            LimitError: The stream outgrew the limit, with the same consequence.
        """
        size = len(data)
        room = self._room - size
        # Of what is most usual, one event in one read, nothing is looked at twice. To take both of
        # its ends off, and see that eight bytes went, takes less than comparing them.
        body = data.removeprefix(b"data: ").removesuffix(b"\n\n") if room >= 0 else data
        if len(body) == size - 8 and _CR not in body:
            self._room = room
        else:
            if room >= 0 and data[-2:] == b"\n\n" and _CR not in data:
                self._room = room
                text = data
            else:
                text = self._finished(data)
            if text[:6] != b"data: ":
                return _data_in(self._events(text)) if text else []
            body = text[6:-2]
        if _LF not in body:
            return [body]
        pieces = body.split(b"\n\ndata: ")
        # Without a line feed in any piece, each event is this one line and nothing else.
        if _LF not in b"".join(pieces):
            return pieces
        return _data_in(self._events(b"data: %b\n\n" % body))

    def feed(self, data: bytes) -> list[Event]:
        """Return every event that this read completes.

        Raises:
            EventTooLargeError: As in ``payloads()``.
            LimitError: As there.
        """
        text = self._finished(data)
        return self._events(text) if text else []

    def close(self) -> Event | None:
        """Return the event that the end of the stream left unfinished, and forget it.

        The standard discards it (WHATWG 9.2.6), but some servers leave out the last blank line, so
        the caller decides. Of a last line without its line end only ``data`` counts, since half an
        ``event``, ``id`` or ``retry`` means something else; ``last_event_id`` stays as it is.

        Raises:
            EventTooLargeError: It holds too much.
        """
        held, last_event_id = bytes(self._held), self.last_event_id
        if len(held) > LARGE:
            self._require_few(held[self._counted :])
        self._place = self._counted = 0
        self._counter = None
        self._held.clear()
        lines, _, cut_off = held.rpartition(b"\n")
        is_data = cut_off.startswith(b"data:")
        event = self._event(held if is_data else lines)
        if not (is_data or cut_off.partition(b":")[0] in _FIELDS):
            self._ignore(cut_off, after=event is not None)
        self.last_event_id = last_event_id
        return event

    def _finished(self, data: bytes) -> bytes:
        """Return the text up to and including the last blank line, and hold the rest."""
        # What the quick way has taken since is counted here, and its room made anew below.
        self._left -= self._given - self._room + len(data)
        self._given = self._room = 0
        if self._left < 0:
            self._held.clear()
            limit = self._max_bytes
            message = f"the answer is larger than {limit} bytes"
            raise LimitError(message, limit=limit, setting="max_response_bytes")
        if self._optional or _CR in data:
            data = self._normalised(data)
        text = self._cut(data)
        if not (self._held or self._optional):
            # What is large may be one event that holds too much, and has to be looked through.
            self._given = self._room = min(self._most, self._left, LARGE)
        return text

    def _normalised(self, data: bytes) -> bytes:
        """Skip what is optional and make every line end a line feed."""
        if self._optional:
            data = self._after_optional(data)
        if data.endswith(b"\r"):
            # The line ends here, without waiting for the line feed that may still follow.
            self._optional = b"\n"
        # Of bytes, unlike str, splitlines() knows exactly CR, LF and CRLF; the full stop keeps it
        # from dropping the last line end.
        return b"\n".join((data + b".").splitlines())[:-1]

    def _after_optional(self, data: bytes) -> bytes:
        """Skip the byte order mark of the stream, or the rest of a CRLF that was cut in two."""
        data = self._undecided + data
        optional = self._optional
        if optional.startswith(data):
            self._undecided = data
            return b""
        self._optional = self._undecided = b""
        return data.removeprefix(optional)

    def _cut(self, data: bytes) -> bytes:
        end = self._end_of_events(data) if _LF in data else 0
        if not end:
            self._hold(data)
            return b""
        text = b"".join((self._held, data[:end]))
        if len(text) > LARGE:
            self._require_few_in(text)
        self._held.clear()
        self._hold(data[end:])
        # Of many events in one read, only one that is too large by itself is refused.
        if len(text) > self._most and any(
            len(lines.removeprefix(b"\n")) >= self._most for lines in text.split(b"\n\n")
        ):
            raise self._too_large()
        return text

    def _require_few_in(self, text: bytes) -> None:
        """Refuse whole events of which one holds too much, the first one being that begun."""
        # What is held has no blank line, but may have the first line feed of one.
        start, begun = 0, max(len(self._held) - 1, 0)
        while len(text) - start > LARGE:
            # All that ends within reach is small, and left behind in one step.
            end = text.rfind(b"\n\n", start, start + LARGE + 2)
            if end < 0:
                end = text.find(b"\n\n", max(start + LARGE, begun))
                self._require_few(text[start + self._counted : end])
            self._counter, self._counted = None, 0
            start = end + 2

    def _require_few(self, more: bytes) -> None:
        """Refuse an event that holds, with this, more than may be decoded in one go."""
        limit, setting = self._max_event_values, "max_event_values"
        self._counter = self._counter or ValueCounter()
        self._counted += len(more)
        if any(count > limit for count in self._counter.count(more)):
            self._most = -1
            self._held.clear()
            text = f"an event holds more than {limit} values"
            raise EventTooLargeError(text, limit=limit, setting=setting)

    def _end_of_events(self, data: bytes) -> int:
        """Return where the last blank line of the read ends, 0 without one."""
        if last := data.rfind(b"\n\n") + 1:
            return last + 1
        at_line_start = not self._held or self._held.endswith(b"\n")
        return int(at_line_start and data.startswith(b"\n"))

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._most:
            raise self._too_large()
        # Not read by read, since counting a few bytes takes as long as counting a thousand.
        if len(self._held) > self._counted + LARGE:
            self._require_few(bytes(self._held[self._counted :]))

    def _too_large(self) -> EventTooLargeError:
        self._most = -1
        self._held.clear()
        limit, setting = self._max_event_bytes, "max_event_bytes"
        text = f"an event is larger than {limit} bytes"
        return EventTooLargeError(text, limit=limit, setting=setting)

    def _events(self, text: bytes) -> list[Event]:
        events: list[Event] = []
        for lines in filter(None, text[:-2].split(b"\n\n")):
            self._place = len(events)
            event = self._event(lines)
            if event is not None:
                events.append(event)
        return events

    def _event(self, lines: bytes) -> Event | None:
        """Interpret the lines of one event; without any ``data`` there is none (WHATWG 9.2.6)."""
        event = b""
        data: list[bytes] = []
        for line in lines.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                event = value
            # These two outlive their event.
            elif field == b"id" and 0 not in value:
                self.last_event_id = _decode(value)
            elif field == b"retry" and value.isdigit():
                with contextlib.suppress(ValueError):  # int() takes no more than 4300 digits
                    self.retry = int(value)
            elif field not in _FIELDS:
                self._ignore(line, after=bool(data))
        if event.endswith((b"error", b"failed")):
            self._ignore(ERROR_EVENT + b"\n".join(data), after=False)
        if not data:
            return None
        if len(data) > 1 and not data[0]:
            # Legal, but of JSON nobody writes it: a frame was cut behind its field name.
            self._ignore(b"data:", after=False)
        return Event(b"\n".join(data), _decode(event) or "message", self.last_event_id)

    def _ignore(self, line: bytes, *, after: bool) -> None:
        """Keep a line that stands before or after the data of the present event."""
        if len(self.stray) < _MOST_STRAY:
            self.stray.append((self._place + after, line[:_LONGEST_STRAY]))


def _data_in(events: Iterable[Event]) -> list[bytes]:
    """Return the data of events; nothing for a heartbeat whose data, a time or so, is no JSON."""
    return [
        b"" if event.event in _HEARTBEATS and not event.data.startswith(b"{") else event.data
        for event in events
    ]


def _decode(value: bytes) -> str:
    return value.decode(errors="replace")


def in_order(
    payloads: list[bytes], stray: list[tuple[int, bytes]], run: int = RUN
) -> list[bytes | list[bytes]]:
    """Return the events in runs of so many at most, none of them empty, and each line by itself."""
    if not stray and 0 < len(payloads) <= run:
        return [payloads]
    entries: list[bytes | list[bytes]] = []
    done = 0
    for place, line in stray:
        entries += _runs(payloads[done:place], run)
        entries.append(line)
        done = place
    return entries + _runs(payloads[done:], run)


def lines_of(entries: Iterable[bytes | list[bytes]]) -> list[bytes]:
    """Return the lines alone."""
    return [entry for entry in entries if isinstance(entry, bytes)]


def _runs(payloads: list[bytes], run: int) -> list[bytes | list[bytes]]:
    return [payloads[start : start + run] for start in range(0, len(payloads), run)]
