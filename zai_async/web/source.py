"""What is relayed: the events of any stream of ours, or what a server makes of them."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import Any, TypeAlias

import anyio

from zai_async._protocol.events import Finished, TextDelta
from zai_async.models import ChatCompletion
from zai_async.streams import ChatStream, EventStream, SpeechStream
from zai_async.streams.combinators import SteadyIterator, close, steady
from zai_async.tools import RoundStarted, ToolRun
from zai_async.web.parts import RelayedEvent

__all__ = ["AnswerSource", "Relayable", "head_of"]

Relayable: TypeAlias = EventStream[Any] | ToolRun | AsyncIterable[RelayedEvent | str]
"""A stream or a run of tools of ours, or an iterator of events, of parts and of texts."""


class AnswerSource:
    """The events of one answer, which it owns: whoever relays them closes it, however that ends."""

    cancel_safe = True

    def __init__(self, answer: Relayable) -> None:
        untyped: Any = answer
        self._answer = untyped
        self._ahead: deque[RelayedEvent] = deque()
        self._events: AsyncIterator[RelayedEvent]
        if hasattr(answer, "events") and not isinstance(answer, ToolRun):
            self._events = steady(untyped.events)  # of a stream, of a class of one's own
        elif isinstance(answer, SpeechStream):
            raise TypeError("speech has no text to relay")
        else:
            self._events = SteadyIterator(_events_of(untyped))

    def __aiter__(self) -> AsyncIterator[RelayedEvent]:
        return self

    async def __anext__(self) -> RelayedEvent:
        return self._ahead.popleft() if self._ahead else await anext(self._events)

    @property
    def has_begun(self) -> bool:
        """Whether there is content to be sent at once."""
        timing = getattr(self._answer, "timing", None)
        # A round begins before the model is asked.
        said = any(not isinstance(event, RoundStarted) for event in self._ahead)
        return said or (timing is not None and timing.first_token is not None)

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
            async for event in self._events:
                self._ahead.append(event)
                if self.has_begun:
                    return

    async def aclose(self) -> None:
        """Close the answer, whatever the server does with what is left of the response."""
        await close(self._events)
        await close(self._answer)


def head_of(answer: Relayable) -> ChatCompletion | None:
    """Return what is known of an answer: its id, its model and when it was made."""
    return answer.snapshot if isinstance(answer, ChatStream) else None


async def _events_of(answer: Any) -> AsyncGenerator[RelayedEvent, None]:
    """Yield the events of a run, or what an iterator yields, and behind texts an end that says so.

    Events of a caller have an end of their own, or were cut.
    """
    if isinstance(answer, ToolRun):
        # Entered here, where it is left as well: a group of tasks belongs to one task.
        async with answer:
            async for event in answer.events:
                yield event
        return
    is_text = isinstance(answer, EventStream)
    items = aiter(answer.text if is_text else answer)
    try:
        async for item in items:
            is_text = isinstance(item, str)
            yield TextDelta(item) if is_text else item
    finally:
        await close(items)
    if is_text:
        yield Finished(getattr(answer, "outcome", None) or "completed", "stop", ChatCompletion())
