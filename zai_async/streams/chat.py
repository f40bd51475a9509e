"""The chat stream: one object, read as chunks, as text, as thinking, or as events."""

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any, Final

from zai_async._protocol import ChatDecoder, DecoderContext
from zai_async._protocol.events import ChatEvent, EventBuilder
from zai_async.errors import ZaiError
from zai_async.models import ChatCompletion, ChatCompletionChunk, Usage
from zai_async.streams.event_stream import EventStream
from zai_async.streams.interfaces import StreamCall
from zai_async.streams.reader import StreamReader
from zai_async.streams.views import EventIterator, TextIterator

__all__ = ["ChatStream"]

# Other views have no way to say that what was handed out counts no more.
_MAY_RESET: Final = frozenset({"completion", "events"})


class ChatStream(EventStream[ChatCompletionChunk]):
    """A chat answer as it is written.

    Iterate over the stream itself for chunks as on the wire, or over one of ``text``, ``thinking``
    and ``events``. ``completion()`` reads what is left and returns the whole answer.

    Source: https://docs.z.ai/guides/capabilities/streaming
    """

    def __init__(self, call: StreamCall) -> None:
        super().__init__(StreamReader(call, _chat_decoder))
        self._builder: EventBuilder | None = None
        self._finished = False

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer, piece by piece, without the reasoning."""
        return TextIterator(partial(self._claim, "text"), self.__anext__, lambda chunk: chunk.text)

    @property
    def thinking(self) -> AsyncIterator[str]:
        """The reasoning, piece by piece, without the answer."""
        claim = partial(self._claim, "thinking")
        return TextIterator(claim, self.__anext__, lambda chunk: chunk.thinking)

    @property
    def events(self) -> AsyncIterator[ChatEvent]:
        """Everything that happens, as a closed union of structs to match on."""
        return EventIterator(partial(self._claim, "events"), self._next_events)

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer as far as it has been read, with whole tool calls only."""
        answer: ChatCompletion = self._reader.snapshot
        return answer

    @property
    def usage(self) -> Usage | None:
        """The token counts, as soon as the platform has told them."""
        return self._reader.decoder.usage

    @property
    def skipped(self) -> int:
        """Events without any content."""
        return self._reader.decoder.skipped

    @property
    def recovered(self) -> int:
        """Damaged frames that could be passed without harm."""
        recovered: int = self._decoder.generation.recovered
        return recovered

    @property
    def id_changes(self) -> int:
        """How often the id of the answer changed without a sign of another generation."""
        changes: int = self._decoder.generation.id_changes
        return changes

    async def completion(self) -> ChatCompletion:
        """Read what is left and return the whole answer.

        Raises:
            StreamConsumedError: The stream was closed before its end.
        """
        await self._exhaust()
        return self.snapshot

    @property
    def _decoder(self) -> Any:
        return self._reader.decoder

    def _claim(self, view: str) -> None:
        super()._claim(view)
        if view not in _MAY_RESET:
            self._decoder.generation.may_reset = False

    async def _next_events(self) -> Iterable[ChatEvent | ZaiError]:
        """Return what the next chunk changed; at the end, what only the end makes certain."""
        try:
            chunk = await self._reader.next()
        except StopAsyncIteration:
            if self._finished:
                raise
            self._finished = True
            whole = self.snapshot
            builder = self._builder or EventBuilder(self._decoder.answer)
            return builder.finish(whole, whole.outcome)
        decoder = self._decoder
        resets, decoder.generation.resets = decoder.generation.resets, []
        if self._builder is None or resets or self._builder.answer is not decoder.answer:
            self._builder = EventBuilder(decoder.answer)
        return [*resets, *self._builder.push(chunk)]


def _chat_decoder(context: DecoderContext) -> ChatDecoder:
    decoder = ChatDecoder(context=context)
    if context.view is not None and context.view not in _MAY_RESET:
        decoder.generation.may_reset = False
    return decoder
