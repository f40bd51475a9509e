"""Streams that are ended when the model goes in circles."""

from collections.abc import Callable

from zai_async._protocol import Decoder, DecoderContext
from zai_async._protocol.repetition import RepetitionDetector
from zai_async.errors import RepetitionError
from zai_async.models import ChatCompletionChunk, RepetitionGuard
from zai_async.streams.interfaces import StreamCall
from zai_async.streams.reader import StreamReader

__all__ = ["GuardedReader"]


class GuardedReader(StreamReader[ChatCompletionChunk]):
    """Reads as every reader does, and looks at what it has read."""

    def __init__(
        self,
        call: StreamCall,
        make_decoder: Callable[[DecoderContext], Decoder[ChatCompletionChunk]],
        guard: RepetitionGuard,
    ) -> None:
        super().__init__(call, make_decoder)
        self._detector = RepetitionDetector(guard)

    async def __anext__(self) -> ChatCompletionChunk:
        """Return the next chunk.

        Raises:
            RepetitionError: The model repeats itself; the stream is closed.
        """
        chunk = await super().__anext__()
        unit = self._detector.find(chunk)
        if unit is None:
            return chunk
        error = RepetitionError("the model repeats itself, and the stream was closed", unit=unit)
        error.in_stream = error.emitted = True
        self.call.fail(error)
        self.conclude(error)
        # Raises the error, or comes to the end where this outcome is allowed.
        return await super().__anext__()
