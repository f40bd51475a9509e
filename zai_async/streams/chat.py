"""The chat stream: one object, read as chunks, as text, as thinking, or as events."""

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import cast

from zai_async._protocol import ChatDecoder, DecoderContext
from zai_async._protocol.events import ChatEvent, EventBuilder
from zai_async.errors import ZaiError
from zai_async.models import ChatCompletion, ChatCompletionChunk, Usage
from zai_async.streams.event_stream import EventStream
from zai_async.streams.guarded import GuardedReader
from zai_async.streams.interfaces import StreamCall
from zai_async.streams.reader import StreamReader
from zai_async.streams.views import EventIterator, TextIterator, claim

__all__ = ["ChatStream"]


class ChatStream(EventStream[ChatCompletionChunk]):
    """A chat answer as it is written.

    Iterate over the stream itself for chunks as on the wire, or over one of ``text``, ``thinking``
    and ``events``. ``completion()`` reads what is left and returns the whole answer.

    Source: https://docs.z.ai/guides/capabilities/streaming
    """

    def __init__(self, call: StreamCall) -> None:
        guard = call.options.repetition

        def decoder(context: DecoderContext) -> ChatDecoder:
            return ChatDecoder(context=context)

        super().__init__(
            StreamReader(call, decoder) if guard is None else GuardedReader(call, decoder, guard)
        )
        self._event_source = _EventSource(self._reader)

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer, piece by piece, without the reasoning."""
        return TextIterator(
            partial(claim, self._reader, "text"), self._reader.__anext__, lambda chunk: chunk.text
        )

    @property
    def thinking(self) -> AsyncIterator[str]:
        """The reasoning, piece by piece, without the answer."""
        return TextIterator(
            partial(claim, self._reader, "thinking"),
            self._reader.__anext__,
            lambda chunk: chunk.thinking,
        )

    @property
    def events(self) -> AsyncIterator[ChatEvent]:
        """Everything that happens, as a closed union of structs to match on."""
        return EventIterator(partial(claim, self._reader, "events"), self._event_source.advance)

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
        return _decoder_of(self._reader).generation.recovered

    @property
    def id_changes(self) -> int:
        """How often the id of the answer changed without a sign of another generation.

        That sign is another time of creation: with the same one, or none, both are one answer.
        """
        return _decoder_of(self._reader).generation.id_changes

    async def completion(self) -> ChatCompletion:
        """Read what is left and return the whole answer.

        Raises:
            StreamConsumedError: The stream was closed before its end.
        """
        await self._exhaust()
        return self.snapshot


class _EventSource:
    """Makes events of the chunks of a stream, from its first read to its end."""

    def __init__(self, reader: StreamReader[ChatCompletionChunk]) -> None:
        self._reader = reader
        self._builder: EventBuilder | None = None
        self._finished = False

    async def advance(self) -> Iterable[ChatEvent | ZaiError]:
        """Return what the next chunk changed; at the end, what only the end makes certain."""
        try:
            chunk = await self._reader.__anext__()
        except StopAsyncIteration:
            if self._finished:
                raise
            self._finished = True
            whole: ChatCompletion = self._reader.snapshot
            builder = self._builder or EventBuilder(_decoder_of(self._reader).answer)
            return builder.finish(whole, whole.outcome)
        # A generation that takes the place of another one is added up anew, from its first chunk.
        decoder = _decoder_of(self._reader)
        resets, decoder.generation.resets = decoder.generation.resets, []
        if self._builder is None or resets or self._builder.answer is not decoder.answer:
            self._builder = EventBuilder(decoder.answer)
        return [*resets, *self._builder.push(chunk)]


def _decoder_of(reader: StreamReader[ChatCompletionChunk]) -> ChatDecoder:
    return cast("ChatDecoder", reader.decoder)
