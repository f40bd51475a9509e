"""What is relayed: the events of any stream of ours, or what a server makes of them."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, TypeAlias

import anyio

from zai_async._protocol.events import Finished, TextDelta
from zai_async.models import ChatCompletion
from zai_async.streams import ChatStream, EventStream, SpeechStream
from zai_async.streams.combinators import SteadyIterator, close, steady
from zai_async.web.parts import RelayedEvent

__all__ = ["AnswerSource", "Relayable", "head_of"]

Relayable: TypeAlias = EventStream[Any] | AsyncIterable[RelayedEvent | str]
"""A stream of ours, anything with ``events``, or an iterator of events, parts and texts."""


class AnswerSource:
    """The events of one answer, which it owns: whoever relays them closes it, however that ends."""

    cancel_safe = True

    def __init__(self, answer: Relayable) -> None:
        untyped: Any = answer
        self._answer = untyped
        self._ahead: list[RelayedEvent] = []
        self._events: AsyncIterator[RelayedEvent]
        if hasattr(answer, "events"):  # of a stream, of a run of tools, of a class of one's own
            self._events = steady(untyped.events)
        elif isinstance(answer, SpeechStream):
            raise TypeError("speech has no text to relay")
        else:
            # An answer that has only text gets an end that says how it ended.
            self._events = SteadyIterator(_with_end(untyped, isinstance(answer, EventStream)))

    def __aiter__(self) -> AsyncIterator[RelayedEvent]:
        return self

    async def __anext__(self) -> RelayedEvent:
        return self._ahead.pop() if self._ahead else await anext(self._events)

    @property
    def has_begun(self) -> bool:
        """Whether there is content to be sent at once."""
        timing = getattr(self._answer, "timing", None)
        return bool(self._ahead) or (timing is not None and timing.first_token is not None)

    @property
    def request_id(self) -> str | None:
        """The id by which the platform knows the request; None until it has answered."""
        attempts: Any = getattr(self._answer, "attempts", ())
        return attempts[-1].request_id if attempts else None

    async def prime(self, seconds: float | None) -> None:
        """Wait for the first content, at most for so long; raise the error that comes instead."""
        prime: Any = getattr(self._answer, "prime", None)
        if prime is not None:
            await prime(seconds)
            return
        with anyio.move_on_after(seconds):
            try:
                self._ahead.append(await anext(self._events))
            except StopAsyncIteration:
                return

    async def aclose(self) -> None:
        """Close the answer, whatever the server does with what is left of the response."""
        await close(self._events)
        await close(self._answer)


def head_of(answer: Relayable) -> ChatCompletion | None:
    """Return what is known of an answer: its id, its model and when it was made."""
    return answer.snapshot if isinstance(answer, ChatStream) else None


async def _with_end(answer: Any, is_stream: bool) -> AsyncIterator[RelayedEvent]:
    """Yield texts as events, and at their end an event that says so.

    Events of a caller have an end of their own, or were cut.
    """
    is_text = is_stream
    async for item in answer.text if is_stream else answer:
        is_text = isinstance(item, str)
        yield TextDelta(item) if is_text else item
    if is_text:
        yield Finished(getattr(answer, "outcome", None) or "completed", "stop", ChatCompletion())
