"""What a decoder knows of the call that its bytes answer, and the errors that follow from it."""

import re
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from zai_async._outcomes import ensure_success
from zai_async._protocol.salvage import is_prose
from zai_async._secrets import Secret, redact
from zai_async._wire import find_fault, not_the_api, shown_body, to_error, told_fault
from zai_async.errors import EmptyAnswerError, StreamMalformedError
from zai_async.models import Outcome
from zai_async.models.counting import MOST_AT_ONCE
from zai_async.models.tasks import known_state
from zai_async.models.tolerant import UNREADABLE, decode

__all__ = ["DecoderContext"]

_EXCERPT: Final = 200
_SNIPPET: Final = 100
# What shows each chunk as it came, or nothing but the whole.
_SHOWS_ALL: Final = frozenset({None, "completion", "chunks"})
_objects: Final = msgspec.json.Decoder(dict[str, Any])
# How an event calls itself, and what those call themselves that report a failure.
_TITLES: Final = ("type", "event", "object")
_FAILURE: Final = re.compile("error|failed|failure", re.IGNORECASE)
_EXPLAINS: Final = ("detail", "message")


class DecoderContext(msgspec.Struct, kw_only=True):
    """What a decoder knows of the call that its bytes answer."""

    allow: Collection[str] = ()
    """Outcomes that are returned instead of raised."""
    on_restart: Literal["raise", "reset"] = "raise"
    max_event_bytes: int = 4 * 2**20
    max_event_values: int = MOST_AT_ONCE
    max_bytes: int = sys.maxsize
    """The size of a stream up to which it is read."""
    headers: Mapping[str, str] = MappingProxyType({})
    """The header fields of the answer, for what errors say."""
    secrets: tuple[Secret, ...] = ()
    """What is never repeated in the text of an error."""
    now: Callable[[], float] = time.time
    """The present in seconds since the epoch, for the times that errors name."""
    unwrap: Callable[[bytes], bytes] = bytes
    """Takes a document out of the envelope of a gateway."""
    view: str | None = None
    """What the caller reads, where that is known."""
    keeps_payloads: bool = False
    """Whether the caller wants, or may still want, the bytes of the events."""

    def raise_fault(self, data: bytes, *, in_place: bool = False, shown: bytes = b"") -> None:
        """Raise the error that an event reports, if it reports one; ``shown`` is what came.

        Of what is ``in_place`` of an answer, also the error that it wraps.
        """
        try:
            document = msgspec.json.decode(data)
        except UNREADABLE:
            return
        fault = told_fault(document) if in_place else find_fault(document)
        if fault is not None:
            raise to_error(
                fault,
                status=200,
                headers=self.headers,
                now=self.now(),
                body=(shown or data).decode("utf-8", "replace"),
                secrets=self.secrets,
            )

    def raise_failure(self, data: bytes, *, whole: bool = False, named: bool = False) -> None:
        """Raise the failure that an event without content tells.

        It may do so in any words, but where the answer is ``whole`` without it; and if it is
        ``named`` an error, it is one whatever it holds.
        """
        self.raise_fault(data)
        if whole:
            return
        told: dict[str, Any] = {}
        with suppress(msgspec.DecodeError):
            told = decode(_objects, data)
        # Beside something else, a text may tell of progress, and what was said be about codes.
        if not any(isinstance(told.get(name), str) for name in ("detail", "delta", "text")):
            self.raise_fault(data, in_place=True)
        explains = [name for name in _EXPLAINS if told.get(name)]
        titles = [title for title in map(told.get, _TITLES) if isinstance(title, str)]
        if (
            named
            or told.get("error")
            or any(map(_FAILURE.search, titles))
            or (explains and known_state(str(told.get("status", ""))) == "failed")
            or (explains and len(told) == len(explains))
        ):
            text = data.decode("utf-8", "replace").strip() or "the stream reports an error"
            self.raise_fault(msgspec.json.encode({"error": told or text}), shown=data)

    def raise_told(self, events: bytes, *, begun: bool) -> None:
        """Raise the error that one of some events has told, each in a line of its own."""
        for event in events.splitlines():
            if not begun:
                self.raise_fault(event, in_place=True)
            self.raise_failure(event)

    def ensure_shown(self, number: int) -> None:
        """Raise if the only choice of an answer, of this number, was hidden from the caller."""
        if self.view in _SHOWS_ALL:
            return
        raise StreamMalformedError(
            f"the only choice of the answer is number {number}, not 0",
            hint="It is whole in the error's partial, and in what completion() returns.",
            retryable=False,
            repeat="never",
        )

    def raise_foreign(self, data: bytes) -> None:
        """Raise what came in place of an answer: an error, a page, anything else."""
        # What may be the beginning of an event that was cut off is none of that.
        if b"data".startswith(data.strip()):  # also nothing at all
            return
        raise not_the_api(
            data, status=200, headers=self.headers, now=self.now(), secrets=self.secrets
        )

    def ensure_success(self, outcome: Outcome, noise: bytes | bytearray) -> Outcome:
        """Return how a stream beside chat ended, or raise it; what was only noise is shown."""
        try:
            return ensure_success(outcome, self.allow)
        except EmptyAnswerError as error:
            self.raise_fault(bytes(noise), in_place=True)
            error.body = shown_body(bytes(noise), self.secrets)
            raise

    def malformed(self, data: bytes) -> StreamMalformedError:
        """Make the exception for an event that cannot be read."""
        excerpt = redact(data[:_EXCERPT].decode("utf-8", "replace"), self.secrets)
        text = "a frame of the stream cannot be read"
        if is_prose(data):
            text = f"{text}: {excerpt[:_SNIPPET]}"
        elif data.startswith(b"<"):
            text = "a page stands among the events of the stream"
        return StreamMalformedError(text, body=excerpt)
