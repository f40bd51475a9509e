"""What all encoders have in common, and the simplest one: plain text.

An encoder turns the events of an answer into the bytes of a protocol and does no I/O. Whoever
sends them calls ``encode()`` for each event and then exactly one of ``end()``, ``fail()`` and
``abort()``, after which the answer is over for every reader.
"""

import abc
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from zai_async._protocol.events import Finished, TextDelta
from zai_async.errors import StreamTruncatedError, ZaiError
from zai_async.web.frames import EVENT_STREAM, HEARTBEAT, mended
from zai_async.web.parts import RelayedEvent

__all__ = ["AnswerEncoder", "Protocol", "TextEncoder"]

Protocol = Literal["ui-message-v1", "openai", "text"]
"""What the reader speaks: the UI message stream of the AI SDK, chunks of the API of OpenAI, or
nothing but the text."""


class AnswerEncoder(abc.ABC):
    """Turns the events of one answer into the bytes of a protocol."""

    protocol: ClassVar[str]
    """The name under which a replay finds the encoder again."""
    headers: ClassVar[Mapping[str, str]] = EVENT_STREAM
    heartbeat: ClassVar[bytes] = HEARTBEAT
    """What keeps a silent connection alive, between two events; none where all bytes are text."""

    def __init__(self) -> None:
        self.finished: Finished | None = None
        """The last end of a step that nothing has followed yet."""
        self.is_cut = False
        """Whether the answer failed in a way that only a connection that breaks can tell."""

    @classmethod
    def restored(cls, frames: bytes) -> Self:  # noqa: ARG003 - for those that keep a state
        """Return an encoder that can end an answer of which these frames have been sent."""
        return cls()

    @abc.abstractmethod
    def encode(self, event: RelayedEvent) -> bytes:
        """Return the frames of an event, none if this protocol has no word for it."""

    def end(self) -> bytes:
        """Return the last frames after the last event.

        An answer whose events stop without ``Finished`` was cut, and is told as an error.
        """
        if self.finished is None:
            return self.fail(StreamTruncatedError("the events stopped before the answer did"))
        return self._finish(self.finished)

    @abc.abstractmethod
    def _finish(self, finished: Finished) -> bytes:
        """Return the frames of a proper end."""

    @abc.abstractmethod
    def fail(self, error: ZaiError) -> bytes:
        """Return the last frames of an answer that failed, without what only we should know."""

    @abc.abstractmethod
    def abort(self, reason: str) -> bytes:
        """Return the last frames of an answer that was stopped on purpose."""


class TextEncoder(AnswerEncoder):
    """The text of an answer and nothing else.

    There is no way to say in it that an answer failed: its connection is broken off instead.
    """

    protocol = "text"
    headers = EVENT_STREAM | {"content-type": "text/plain; charset=utf-8"}
    heartbeat = b""

    def encode(self, event: RelayedEvent) -> bytes:
        """Return the text of an event."""
        if isinstance(event, Finished):
            self.finished = event
        if not isinstance(event, TextDelta):
            return b""
        try:
            return event.text.encode()
        except UnicodeEncodeError:
            text: str = mended(event.text)
            return text.encode()

    def _finish(self, finished: Finished) -> bytes:  # noqa: ARG002 - as every encoder
        return b""

    def fail(self, error: ZaiError) -> bytes:  # noqa: ARG002 - as every encoder
        """Return nothing: the connection tells it."""
        self.is_cut = True
        return b""

    def abort(self, reason: str) -> bytes:  # noqa: ARG002 - as every encoder
        """Return nothing: the connection tells it."""
        self.is_cut = True
        return b""
