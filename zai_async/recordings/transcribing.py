"""The parts of a long recording, transcribed at the same time and handed out in order."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from operator import attrgetter
from types import TracebackType
from typing import Final, Self, cast

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from zai_async._secrets import one_line
from zai_async._threads import never_copied
from zai_async.errors import StreamConsumedError, TranscriptionIncompleteError, ZaiError
from zai_async.models import TranscribedPart, Transcription, TranscriptionEvent
from zai_async.models.files import FileInput
from zai_async.recordings.cutting import Piece
from zai_async.recordings.joining import joined, separator
from zai_async.recordings.reading import Recording
from zai_async.streams import TranscriptionStream
from zai_async.streams.combinators import SteadyIterator
from zai_async.streams.views import TextIterator

__all__ = ["LongTranscriptionStream", "OnPart", "transcribe"]

OnPart = Callable[[TranscribedPart, float | None], Awaitable[None] | None]
"""Called with each part and with the seconds of the whole, None where the file does not tell."""

_Item = TranscriptionEvent | TranscribedPart
_Emit = Callable[[_Item], None]
# The limiter decides how many are in flight; the sound of so many is in memory.
_AT_ONCE: Final = 8


class PartInProgress:
    """What has been heard of a part so far; ``None`` among the items is its end."""

    def __init__(self) -> None:
        self.piece: Piece | None = None
        self.items: asyncio.Queue[_Item | None] = asyncio.Queue()
        self.failure: Exception | None = None


class PartsInOrder:
    """Hears several parts at the same time; iterate over what is heard, in their order.

    After a failure no further part is begun; those under way are heard to their end.
    """

    def __init__(
        self,
        recording: Recording,
        hear: Callable[[Piece, _Emit], Awaitable[Transcription]],
        finished: Sequence[TranscribedPart],
    ) -> None:
        self._recording = recording
        self._hear = hear
        self._known = {(part.start, part.end): part for part in finished}
        self._pieces = recording.pieces()
        self._reading = anyio.Lock()
        self._stopped = False
        self._order: asyncio.Queue[PartInProgress | None] = asyncio.Queue()
        self._items = self._in_order()
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> AsyncIterator[_Item]:
        # Entered by hand: what is raised inside of the context is not wrapped in a group of one.
        self._group = await anyio.create_task_group().__aenter__()
        for _ in range(_AT_ONCE):
            self._group.start_soon(self._work)
        return self._items

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        group = cast("TaskGroup", self._group)
        group.cancel_scope.cancel()
        try:
            await group.__aexit__(None, None, None)
        finally:
            await self._items.aclose()
            await self._pieces.aclose()

    async def _work(self) -> None:
        """Hear one piece after the other, as long as there are any."""
        while not self._stopped:
            part = PartInProgress()
            try:
                # One reader at a time, so that parts are begun in the order of the recording.
                async with self._reading:
                    part.piece = piece = await anext(self._pieces)
                    self._order.put_nowait(part)
                heard = self._known.get((piece.start, piece.end))
                if heard is not None:
                    # To who reads events, a part from before is one that comes all at once.
                    text = heard.transcription.text
                    event = TranscriptionEvent(type="transcript.text.done", delta=text)
                    part.items.put_nowait(event)
                else:
                    said = await self._hear(piece, part.items.put_nowait)
                    heard = TranscribedPart(
                        number=piece.number, start=piece.start, end=piece.end, transcription=said
                    )
                part.items.put_nowait(heard)
            except StopAsyncIteration:
                break
            except Exception as error:  # noqa: BLE001 - raised where the items are read
                part.failure = error
                self._stopped = True
                # It was the reading that failed: the part is in nobody's order yet.
                if part.piece is None:
                    self._order.put_nowait(part)
            part.items.put_nowait(None)
        self._order.put_nowait(None)

    async def _in_order(self) -> AsyncGenerator[_Item, None]:
        done: list[TranscribedPart] = []
        failed: PartInProgress | None = None
        working = _AT_ONCE
        while working:
            part = await self._order.get()
            if part is None:
                working -= 1
                continue
            # Parts after one that failed are waited for, as they are paid for, but not shown.
            while (item := await part.items.get()) is not None:
                if isinstance(item, TranscribedPart):
                    done.append(item)
                if failed is None:
                    yield item
            if failed is None and part.failure is not None:
                failed = part
        if failed is None:
            return
        error, piece = cast("Exception", failed.failure), failed.piece
        # Where nothing is to be kept, the call has failed like any other.
        if not done or not isinstance(error, ZaiError):
            raise error
        name, start = one_line(self._recording.name), piece.start if piece else done[-1].end
        end = piece.end if piece else self._recording.seconds or start
        raise TranscriptionIncompleteError(
            f"{name} was not transcribed from {start:.1f} to {end:.1f} s: {error.message}",
            start=start,
            end=end,
            finished=done,
            partial=joined(done),
            kind=error.kind,
            retryable=error.retryable,
            retry_at=error.retry_at,
            retry_after=error.retry_after,
        ) from error


async def transcribe(
    recording: Recording,
    call: Callable[[FileInput, int], Awaitable[Transcription]],
    finished: Sequence[TranscribedPart],
    on_part: OnPart | None,
) -> Transcription:
    """Transcribe a recording of any length by one call for each part."""

    async def hear(piece: Piece, emit: _Emit) -> Transcription:
        del emit  # a call says everything at once
        return await call((recording.part_name(piece), piece.wave), piece.number)

    parts: list[TranscribedPart] = []
    async with PartsInOrder(recording, hear, finished) as items:
        async for part in items:
            if isinstance(part, TranscribedPart):
                parts.append(part)
                if on_part is not None:
                    told = on_part(part, recording.seconds)
                    if inspect.isawaitable(told):
                        await told
    return joined(parts)


class LongTranscriptionStream:
    """A long recording as it is written down: iterate for the events of all parts, in order.

    Enter it as a context; nothing is read or sent before. Parts are transcribed at the same time,
    and what has to wait for an earlier part is kept. Each part ends with an event of its own.

    Raises:
        TranscriptionIncompleteError: A part failed; all before it has been handed out.
        InvalidFileError: It is no recording, or none that can be read on this machine.
        ZaiError: As for every stream, if no part was transcribed.
    """

    __reduce__ = never_copied

    def __init__(
        self,
        recording: Recording,
        begin: Callable[[FileInput, int], TranscriptionStream],
        finished: Sequence[TranscribedPart],
    ) -> None:
        self.parts: list[TranscribedPart] = []
        """The parts that have been handed out whole."""
        self._recording = recording
        self._begin = begin
        self._parts = PartsInOrder(recording, self._hear, finished)
        self._items: AsyncIterator[_Item] | None = None
        self._ended = False
        # One for all who read, so that a read that is cancelled ends the stream for none of them.
        self._events = SteadyIterator(self._read())

    @property
    def seconds(self) -> float | None:
        """How long the recording plays, known with the first event; None where it does not tell."""
        return self._recording.seconds

    @property
    def text(self) -> AsyncIterator[str]:
        """The text, piece by piece."""
        return TextIterator(lambda: None, self._events.__anext__, attrgetter("delta"))

    async def transcription(self) -> Transcription:
        """Read what is left and return the whole transcription.

        Raises:
            StreamConsumedError: The stream has failed, or was closed, before its end.
        """
        async for _ in self._events:
            pass
        if not self._ended:
            raise StreamConsumedError("the stream ended before its end was read")
        return joined(self.parts)

    async def __aenter__(self) -> Self:
        if self._items is not None:
            raise StreamConsumedError("the stream has been entered before")
        self._items = await self._parts.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._events.aclose()
        await self._parts.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[TranscriptionEvent]:
        return self._events

    async def _hear(self, piece: Piece, emit: _Emit) -> Transcription:
        file = (self._recording.part_name(piece), piece.wave)
        async with self._begin(file, piece.number) as stream:
            async for event in stream:
                emit(event)
            return stream.snapshot

    async def _read(self) -> AsyncGenerator[TranscriptionEvent, None]:
        if self._items is None:
            raise StreamConsumedError("the stream is read inside of 'async with'")
        said, begins = "", True
        async for item in self._items:
            if isinstance(item, TranscribedPart):
                self.parts.append(item)
                begins = True
                continue
            event = item
            if begins and item.delta:
                event = replace(item, delta=separator(said, item.delta) + item.delta)
                begins = False
            said = event.delta or said
            yield event
        self._ended = True
