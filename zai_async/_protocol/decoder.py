"""The decoder that all others are built on: bytes in, typed items out, one outcome at the end."""

import abc
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec

from zai_async._protocol.context import DecoderContext
from zai_async._protocol.salvage import (
    END_MARK,
    SurrogateJoiner,
    documents,
    may_be_frame,
)
from zai_async._protocol.sse import ERROR_EVENT, RUN, SSEParser, in_order, lines_of
from zai_async._protocol.state import DecoderState
from zai_async._wire import single_object, within
from zai_async.errors import (
    EventTooLargeError,
    IncompleteError,
    StreamTruncatedError,
    ZaiError,
)
from zai_async.errors.repeats import raised_again
from zai_async.models import Outcome, Usage
from zai_async.models.counting import has_more_values
from zai_async.models.tolerant import UNREADABLE, decode

__all__ = ["Decoder", "EventDecoder"]

T = TypeVar("T")

# Members of an enum are looked up by a function of its own before Python 3.12.
_WAITING: Final = DecoderState.WAITING
_DOCUMENT: Final = DecoderState.DOCUMENT
# Some servers send them to keep a connection open, and not as comments.
_SILENT: Final = frozenset({b"", b"null", b"ping", b"[ping]", b"heartbeat", b"[heartbeat]"})
_MOST_FOREIGN: Final = 2**15
_PAGE: Final = 2**13
"""Bytes of a page, or of an error, after which to wait for no more."""
# Of an event, the end mark in group 1, or nothing as long as it may be one that was not read whole.
_EVENT_LINE: Final = re.compile(
    rb"[\r\n]data:( {0,2}\[DONE\]|(?! {0,2}(?:\[(?:D(?:O(?:NE?)?)?)?)?\Z))"
)
_LONGEST_MARK: Final = 16
_BOM: Final = b"\xef\xbb\xbf"
_NO_BLANK: Final = re.compile(rb"\S")


class EventDecoder:
    """Decodes the JSON of events, quickly where it is as it should be, and else leniently."""

    def __init__(self, decoder: msgspec.json.Decoder[Any]) -> None:
        self.strictly: Callable[[bytes], Any] = decoder.decode
        self.decode: Callable[[bytes], Any] = decoder.decode
        self.run = RUN
        """How many events may be decoded in one go, before it is known what they are."""
        self.payloads: list[bytes] | None = None
        """What has been decoded lately, byte for byte, for a caller who forwards it."""
        self._decoder = decoder
        self._joiner = SurrogateJoiner()

    def leniently(self, data: bytes) -> Any:
        """Decode what has odd types, or half a character.

        Raises:
            msgspec.ValidationError: It is JSON, but no event.
            msgspec.DecodeError: It is no JSON.
        """
        event = decode(self._decoder, self._joiner.join(data))
        if self.payloads is not None:
            self.payloads.append(data)
        return event

    def keep_payloads(self) -> None:
        """Keep the bytes of each event from now on; who wants none of them pays nothing."""
        payloads = self.payloads = []

        def kept(data: bytes) -> Any:
            event = self.strictly(data)
            payloads.append(data)
            return event

        # One by one: of events that are decoded in one go, some may have to be decoded again.
        self.decode, self.run = kept, 1

    def forget_payloads(self) -> None:
        """Keep them no longer."""
        self.payloads = None
        self.decode, self.run = self.strictly, RUN


class Decoder(abc.ABC, Generic[T]):
    """Turns the body of an answer into items and one outcome, without any I/O.

    ``feed()`` takes the bytes as they come, cut anywhere, and returns the items that they
    complete; ``end_of_input()`` says how the answer ended. ``state.py`` tells which states there
    are in between, and how one leads to the other.

    A reader that hands items out one at a time uses ``receive()``, ``ready`` and ``advance()``
    instead: what it has not taken yet counts neither in the state nor in the snapshot.
    """

    _ends_by_reason: ClassVar = False
    """Whether an answer is whole by its finish reason only, so that half of one never passes."""

    def __init__(self, json: EventDecoder, context: DecoderContext) -> None:
        self._context = context
        self.json = json
        if context.keeps_payloads:
            json.keep_payloads()
        self._parser = SSEParser(
            max_event_bytes=context.max_event_bytes,
            max_event_values=context.max_event_values,
            max_bytes=context.max_bytes,
        )
        self._state = DecoderState.WAITING
        self.ready: Iterator[T] = iter(())
        """Items that can be taken."""
        self.waiting: deque[bytes | list[bytes]] = deque()
        """Events that have been read but not decoded, and lines of no event, in their order."""
        # A body that is one document; of an event stream, the lines that belong to no event.
        self._foreign: bytearray = bytearray()
        self.error: ZaiError | None = None
        """Why the answer did not come to a proper end."""
        self.outcome: Outcome | None = None
        """How the answer ended; None while it has not, and where it failed."""
        self.skipped = 0
        """Events without any content."""
        self.progress = 0
        """Pieces of content so far; comments and empty deltas are none."""

    def feed(self, data: bytes) -> list[T]:
        """Take the next bytes of the body and return the items that they complete.

        No bytes are the end of the input, which may complete one more item. Items that came before
        an error are returned first; the next call raises it.

        Raises:
            APIError: An event, or the body, reports an error of the platform.
            IncompleteError: The answer did not come to a proper end.
            ResponseError: The body is no answer of the API.
            EventTooLargeError: An event is larger than ``max_event_bytes``, or holds more than
                ``max_event_values``.
        """
        if self.error is not None:
            raise raised_again(self.error)
        items: list[T] = []
        # What is whole before an error has been paid for, and is handed out before it is raised.
        try:
            first = self.receive(data)
            items += () if first is None else (first,)
            while self.waiting:
                item = self.advance()
                items += (*(() if item is None else (item,)), *self.ready)
        except ZaiError as error:
            self.fail(error)
            if self.error is not None and not items:
                raise
        return items

    def end_of_input(self) -> Outcome:
        """Say how the answer ended, after its last byte.

        What only the end completes, as an answer in one piece or an event without its blank line,
        is in the snapshot; as an item it comes from ``feed(b"")``, for which it is too late here.

        Raises:
            APIError: As of ``feed()``, like all others.
        """
        self.feed(b"")
        if self.error is None and self.outcome is None:
            try:
                self.conclude(done=False)
            except ZaiError as error:
                self.fail(error)
        if self.error is not None:
            raise self.error
        return self.outcome or "completed"

    @property
    @abc.abstractmethod
    def snapshot(self) -> Any:
        """The answer as far as it has been read."""

    @property
    def state(self) -> DecoderState:
        """How far the answer has come."""
        self.settle()
        return self._state

    @property
    def usage(self) -> Usage | None:
        """The token counts, as soon as the platform has told them."""
        return None

    # What a reader uses that hands items out one at a time.

    def receive(self, data: bytes) -> T | None:
        """Take the bytes of one read, none at the end; return an item that comes alone at once."""
        if self.outcome is not None:
            return None
        ends = not data
        if self._state is _WAITING or self._state is _DOCUMENT:
            data = self._sniff(data)
        payloads = self._parser.payloads(data) if data else []
        if ends:
            # The standard discards an event without its blank line; if it is whole, it counts.
            last = self._parser.close()
            payloads += [last.data] if last is not None and last.data else []
        elif len(payloads) == 1 and not self._parser.stray:
            return self._accept(payloads[0])
        self.waiting += in_order(payloads, self._parser.stray, self.json.run)
        self._parser.stray.clear()
        return None

    def advance(self) -> T | None:
        """Decode what comes next of ``waiting``; None if it is no item."""
        entry = self.waiting[0]
        if isinstance(entry, bytes):
            self.waiting.popleft()
            self._note_stray(entry)
            # The standard ignores such a line, and with it a whole event of the answer.
            if may_be_frame(entry):
                self._accept_damaged(entry)
            return None
        data = entry.pop(0)
        if not entry:
            self.waiting.popleft()
        return self._accept(data)

    def settle(self) -> None:
        """Take note of what was put off."""

    def conclude(self, *, done: bool) -> None:
        """End the answer, at its end mark or at the end of the input, or raise what is wrong."""
        # An error may stand behind the end mark, in the same read, and outside of any event.
        for line in lines_of(self.waiting):
            self._note_stray(line)
        self.outcome = self._judge(done=done)
        self._state = DecoderState.ENDED
        self.drop()

    def fail(self, error: ZaiError) -> None:
        """End the answer with an error, or with its outcome where that is allowed."""
        outcome: Outcome = error.outcome if isinstance(error, IncompleteError) else "error"
        if error.partial is None:
            error.partial = self.snapshot
        if outcome in self._context.allow:
            self.outcome, self._state = outcome, DecoderState.ENDED
        else:
            self.error, self._state = error, DecoderState.FAILED
        self.drop()

    def drop(self) -> None:
        """Forget what has been read and not been taken."""
        self.settle()
        self.ready = iter(())
        self.waiting.clear()

    # What the kinds of answers differ in.

    @abc.abstractmethod
    def _accept(self, data: bytes) -> T | None:
        """Decode an event and take note of it; None for one that is not for the caller."""

    @abc.abstractmethod
    def _judge(self, *, done: bool) -> Outcome:
        """Say how the answer ended, or raise what is wrong with its end."""

    def _event(self, data: bytes) -> Any:
        """Decode an event; None for one that says nothing, and for the end mark."""
        try:
            return self.json.decode(data)
        except UNREADABLE:
            data = data.strip()  # an end mark, odd types, or damage
        # Not part of the standard, but of OpenAI's API: https://platform.openai.com/docs/api-reference
        if data.startswith(END_MARK):
            self.conclude(done=True)
            return None
        if data.lower() in _SILENT:
            self.skipped += 1
            return None
        try:
            return self.json.leniently(data)
        except msgspec.ValidationError:
            self._context.raise_fault(data, in_place=True)
            raise self._context.malformed(data) from None
        except msgspec.DecodeError:
            self._accept_damaged(data)
            return None

    def _accept_damaged(self, data: bytes) -> None:
        """Make sense of an event that is no JSON; most answers cannot, and need it to the end."""
        if self.state is not DecoderState.FINISHED:
            raise self._context.malformed(data)
        self.skipped += 1

    def _note_stray(self, line: bytes) -> None:
        """Raise an error that was written without being made an event."""
        if len(self._foreign) < _MOST_FOREIGN:
            self._foreign += line + b"\n"
        if line.startswith(ERROR_EVENT):
            self._context.raise_failure(line.removeprefix(ERROR_EVENT), named=True)
        if line.startswith(b"{"):
            whole = self._ends_by_reason or self._state is DecoderState.FINISHED
            self._context.raise_failure(line, whole=whole)

    def truncated(self, text: str) -> ZaiError:
        """Make the exception for an answer that stops before its end."""
        return StreamTruncatedError(text)

    # Documents in place of events.

    def _sniff(self, data: bytes) -> bytes:
        """Hold a body back that is one document; return what is to be read as events."""
        # Header fields cannot be trusted with this: gateways label events as JSON and the reverse.
        known = len(self._foreign)
        self._foreign += data
        if self._state is _WAITING:
            # Blanks that were there before are not looked at again.
            begin = _NO_BLANK.search(self._foreign, known or len(_BOM) * data.startswith(_BOM))
            if begin is not None and begin[0] in b"{[<":
                self._state = DecoderState.DOCUMENT
                del self._foreign[: begin.start()]
                known = 0
            elif begin is None and data:
                # Blank lines say nothing in either form, and millions of them would at once.
                line = data.rfind(b"\n") + 1
                blank = bytes(self._foreign[: known + line]) if line else b""
                del self._foreign[: len(blank)]
                if len(self._foreign) <= self._context.max_event_bytes:
                    return blank
        # JSON has no line that begins with "data:", as line ends in its strings are escaped.
        waits = self._state is _WAITING
        known = max(0, known - _LONGEST_MARK)
        event = None if waits else _EVENT_LINE.search(self._foreign, known)
        # A relay may end each body alike, and keep its connection open.
        ends = event is not None and bool(event[1]) and self._foreign.startswith(b"{")
        if waits or (event is not None and not ends):
            data, self._foreign = bytes(self._foreign), bytearray()
            self._state = DecoderState.RECEIVING
            return data
        size = len(self._foreign) if event is None else event.start()
        if size > self._context.max_event_bytes:
            limit = self._context.max_event_bytes
            text = f"the document is larger than {limit} bytes"
            raise EventTooLargeError(text, limit=limit, setting="max_event_bytes")
        if ends or not data:
            document = single_object(bytes(self._foreign[:size]))
            self._accept_document(self._context.unwrap(document))
        elif size <= _PAGE and data.rstrip().endswith(b"}"):
            # An error is raised although its connection stays open.
            self._context.raise_fault(bytes(self._foreign))
        elif size >= _PAGE and self._foreign.startswith(b"<"):
            self._context.raise_foreign(bytes(self._foreign))
        return b""

    def _accept_document(self, data: bytes) -> None:
        """Read an answer that was not streamed, or the events of one that have no field name."""
        self._foreign = bytearray(data[:_MOST_FOREIGN])
        self._state = DecoderState.RECEIVING
        most = self._context.max_event_values
        if has_more_values(data, most):
            text = f"the document holds more than {most} values"
            raise EventTooLargeError(text, limit=most, setting="max_event_values")
        self.waiting += in_order([*documents(within(data)), END_MARK], [], self.json.run)
