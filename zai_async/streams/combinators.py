"""What any of our streams can be put into: fewer pieces, or several readers.

All of them pull: a reader that is slow holds its source back, and nothing is read that nobody
wants. A read that is cancelled loses nothing, as that of a stream.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar, cast

from zai_async._protocol.events import TextDelta, ThinkingDelta, ToolCallDelta
from zai_async._threads import require_asyncio

__all__ = [
    "CANCELLED",
    "BroadcastReader",
    "CoalescedIterator",
    "SteadyIterator",
    "broadcast",
    "close",
    "coalesce",
    "is_ending",
    "steady",
]

T = TypeVar("T")


class SteadyIterator(Generic[T]):
    """Any iterator, so that a read that is cancelled does not end it, as it would a generator.

    It is read in one task, from its first item to its end: what a generator has entered, such as a
    task group, it can leave only there.
    """

    cancel_safe = True

    def __init__(self, source: AsyncIterable[T]) -> None:
        self._source = aiter(source)
        self._read: asyncio.Future[T] | None = None
        self._reads: asyncio.Queue[asyncio.Future[T]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        read = self._read
        if read is None:
            read = self._read = require_asyncio().create_future()
            self._reads.put_nowait(read)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(_obey(self._reads, self._source))
        # Who gives up waiting, as at a timeout, must not cancel the read under way, which would end
        # the source.
        await asyncio.wait({read})
        self._read = None
        return read.result()

    async def aclose(self) -> None:
        """Give up the read under way and close the source."""
        read, self._read = self._read, None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if read is not None:
            read.cancel()  # of a task that had not begun
        await close(self._source)

    def __del__(self) -> None:
        # Forgotten without having been closed: the task would wait for ever.
        if self._task is not None:
            # In whichever thread that is; a loop that is closed has ended it.
            with suppress(RuntimeError):
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)


async def _obey(reads: "asyncio.Queue[asyncio.Future[T]]", source: AsyncIterator[T]) -> None:
    """Make one read after the other, for as long as the source has something."""
    try:
        while True:
            read = await reads.get()
            try:
                read.set_result(await anext(source))
            except Exception as error:  # noqa: BLE001 - raised where the item is awaited
                return read.set_exception(error)
            except BaseException:
                read.cancel()
                raise
    except asyncio.CancelledError:
        # Here and not in the task of who closes it: a generator leaves its scopes on its way out.
        await close(source)
        if is_ending():
            raise
        (await reads.get()).set_exception(RuntimeError(CANCELLED))


CANCELLED = "a source was cancelled, as by a scope of its own that it holds across a yield"


def is_ending() -> bool:
    """Tell whether this task is to end; a scope that a source has left takes its wish back."""
    return cast("asyncio.Task[None]", asyncio.current_task()).cancelling() > 0


def steady(source: AsyncIterable[T]) -> AsyncIterator[T]:
    """Return an iterator of which a read can be cancelled without losing anything."""
    items = aiter(source)
    return items if getattr(items, "cancel_safe", False) else SteadyIterator(items)


async def close(source: object) -> None:
    """Close what can be closed."""
    aclose = getattr(source, "aclose", None)
    if aclose is not None:
        await aclose()


# Coalescing.


class CoalescedIterator(Generic[T]):
    """Pieces of text, of which those that come close to each other are joined."""

    cancel_safe = True

    def __init__(self, source: AsyncIterable[T], max_delay: float, max_chars: int) -> None:
        self._source = source
        self._items = steady(source)
        self._max_delay = max_delay
        self._max_chars = max_chars
        self._last = float("-inf")
        self._pieces: list[T] = []
        # What stands behind the pieces: an item of another kind, or the end.
        self._next: T | None = None
        self._end: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        loop = asyncio.get_running_loop()
        if not self._pieces:
            if self._next is None:
                if self._end is not None:
                    raise self._end
                self._next = await anext(self._items)
            item, self._next = self._next, None
            due = self._last + self._max_delay
            # A source that is slow enough passes as it is, and costs neither timer nor wait.
            if _channel(item) is None or loop.time() >= due:
                self._last = loop.time()
                return item
            self._pieces.append(item)
        timer = asyncio.timeout_at(self._last + self._max_delay)
        try:
            async with timer:
                await self._collect()
        except TimeoutError as error:
            if not timer.expired():
                self._end = error
        except Exception as error:  # noqa: BLE001 - raised after the pieces
            self._end = error
        self._last = loop.time()
        pieces, self._pieces = self._pieces, []
        return _joined(pieces)

    async def _collect(self) -> None:
        """Read until something else comes, or the pieces are long enough."""
        channel = _channel(self._pieces[0])
        size = sum(len(_text_of(piece)) for piece in self._pieces)
        while size < self._max_chars:
            item = await anext(self._items)
            if _channel(item) != channel:
                self._next = item
                return
            self._pieces.append(item)
            size += len(_text_of(item))

    async def aclose(self) -> None:
        """Close the source."""
        await close(self._items)


def coalesce(
    source: AsyncIterable[T], max_delay: float = 0.025, max_chars: int = 512
) -> CoalescedIterator[T]:
    """Join pieces of text that come faster than somebody can look at them.

    The first piece passes at once. What follows within ``max_delay`` seconds is joined, up to about
    ``max_chars`` characters; whatever is not text, and the end, is never held back and never passes
    a text. Takes ``stream.text``, ``stream.thinking`` or ``stream.events``; other items pass as
    they are.
    """
    return CoalescedIterator(source, max_delay, max_chars)


def _channel(item: object) -> object:
    """Return what an item can be joined with; None for what stands alone."""
    if isinstance(item, ToolCallDelta):
        return item.index
    return type(item) if isinstance(item, str | TextDelta | ThinkingDelta) else None


def _text_of(item: Any) -> str:
    return item if isinstance(item, str) else item.text


def _joined(pieces: list[T]) -> T:
    first: Any = pieces[0]
    if len(pieces) == 1:
        return pieces[0]
    text: Any = "".join(map(_text_of, pieces))
    if isinstance(first, str):
        return cast("T", text)
    if isinstance(first, ToolCallDelta):
        return cast("T", ToolCallDelta(first.index, text))
    return cast("T", type(first)(text))


# Broadcasting.


class _Broadcast(Generic[T]):
    """What the readers of one source share: the items that some have read and others have not."""

    def __init__(self, source: AsyncIterable[T], max_ahead: int) -> None:
        self.source = source
        self.items = steady(source)
        self.max_ahead = max_ahead
        self.readers: weakref.WeakSet[BroadcastReader[T]] = weakref.WeakSet()
        self.buffer: deque[T] = deque()
        self.start = 0
        """The place of the first item of the buffer."""
        self.end: BaseException | None = None
        self.lock = asyncio.Lock()
        self.has_room = asyncio.Event()

    async def pull(self, place: int) -> None:
        """Read the item at a place, once for all readers, as soon as the slowest one is near."""
        async with self.lock:
            while place >= self.start + len(self.buffer) and self.end is None:
                if len(self.buffer) >= self.max_ahead:
                    self.has_room.clear()
                    await self.has_room.wait()
                    continue
                try:
                    self.buffer.append(await anext(self.items))
                except Exception as error:  # noqa: BLE001 - raised by each reader
                    self.end = error

    def trim(self) -> None:
        """Forget what all readers have read."""
        slowest = min((reader.place for reader in self.readers), default=self.start)
        while self.start < slowest:
            self.buffer.popleft()
            self.start += 1
        self.has_room.set()


class BroadcastReader(Generic[T]):
    """One of several readers of a source; closing it, or forgetting it, lets the others go on."""

    cancel_safe = True

    def __init__(self, shared: _Broadcast[T]) -> None:
        self._shared = shared
        self.place = 0
        self._closed = False
        shared.readers.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        shared = self._shared
        if self._closed:
            raise StopAsyncIteration
        if self.place >= shared.start + len(shared.buffer):
            await shared.pull(self.place)
        if self.place >= shared.start + len(shared.buffer) and shared.end is not None:
            raise shared.end
        item = shared.buffer[self.place - shared.start]
        self.place += 1
        shared.trim()
        return item

    async def aclose(self) -> None:
        """Stop reading; the last reader that stops closes the source."""
        self._closed = True
        shared = self._shared
        shared.readers.discard(self)
        shared.trim()
        if not shared.readers:
            await close(shared.items)
            await close(shared.source)

    def __del__(self) -> None:
        self._shared.readers.discard(self)
        self._shared.trim()


def broadcast(
    source: AsyncIterable[T], readers: int = 2, *, max_ahead: int = 64
) -> tuple[BroadcastReader[T], ...]:
    """Let several readers read one source, each of them all of it.

    The source is read once, at the pace of the fastest reader, which waits for the slowest one when
    it is ``max_ahead`` items ahead. An error reaches every reader, after all that came before it.
    """
    if readers < 1 or max_ahead < 1:
        raise ValueError("readers and max_ahead must be at least 1")
    shared = _Broadcast(source, max_ahead)
    return tuple(BroadcastReader(shared) for _ in range(readers))
