"""Where answers are kept while they are written and a little longer, for readers who come back."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

__all__ = ["KeptAnswer", "MemoryAnswer", "MemoryReplay", "Replay", "ReplayGap", "ReplayHead"]


class ReplayHead(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known of an answer before it can be replayed."""

    answer_id: str
    """Another one for each answer of a chat."""
    protocol: str
    """The name of the encoder that wrote its events."""
    message_id: str | None = None


class ReplayGap(NamedTuple):
    """Events that are not kept any more: from the first number to the last one."""

    first: int
    last: int


class KeptAnswer(Protocol):
    """One answer in a replay: its events, numbered from 1 on."""

    head: ReplayHead

    async def append(self, events: Sequence[bytes]) -> None:
        """Add events; readers get them at once."""
        ...

    async def finish(self, *, keep: bool) -> None:
        """End the answer; without ``keep`` nobody finds it any more."""
        ...

    def read(self, after: int = 0) -> AsyncGenerator[tuple[int, list[bytes]] | ReplayGap, None]:
        """Yield the events behind a number as they come, each batch with its last number."""
        ...

    async def stop_wanted(self) -> None:
        """Return when another process wants the answer to be stopped."""
        ...


class Replay(Protocol):
    """A store of answers, by the id of their chat."""

    async def begin(self, chat_id: str, head: ReplayHead) -> KeptAnswer:
        """Keep a new answer, which takes the place of the last one of this chat."""
        ...

    async def find(self, chat_id: str) -> KeptAnswer | None:
        """Return the answer of a chat that is written, or has ended a moment ago."""
        ...

    async def request_stop(self, chat_id: str) -> bool:
        """Ask the process that writes the answer of a chat to stop; tell whether there is one."""
        ...

    async def aclose(self) -> None:
        """Forget everything that this process holds."""
        ...


class MemoryAnswer:
    """An answer in the memory of this process."""

    def __init__(self, head: ReplayHead, store: "MemoryReplay", chat_id: str) -> None:
        self.head = head
        self.events: deque[bytes] = deque()
        self.last = 0
        """The number of the last event."""
        self.is_finished = False
        self._store = store
        self._chat_id = chat_id
        self._size = 0
        self._news = asyncio.Event()

    async def append(self, events: Sequence[bytes]) -> None:
        """Add events; what is too much for the memory goes from the beginning."""
        self.events.extend(events)
        self.last += len(events)
        self._size += sum(map(len, events))
        while self._size > self._store.max_bytes:
            self._size -= len(self.events.popleft())
        self._tell()

    async def finish(self, *, keep: bool) -> None:
        """End the answer."""
        self.is_finished = True
        self._tell()
        self._store.release(self._chat_id, self, keep=keep)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def read(
        self, after: int = 0
    ) -> AsyncGenerator[tuple[int, list[bytes]] | ReplayGap, None]:
        """Yield what is behind a number; a reader is a number, so any number of them is cheap."""
        while True:
            first = self.last - len(self.events) + 1
            if after + 1 < first:
                yield ReplayGap(after + 1, first - 1)
                after = first - 1
            elif after < self.last:
                batch = self.behind(after)
                after = self.last
                yield after, batch
            elif self.is_finished:
                return
            else:
                await self._news.wait()

    def behind(self, number: int) -> list[bytes]:
        """Return what is kept of the events behind a number, without a look at those before it."""
        events = list(islice(reversed(self.events), self.last - number))
        events.reverse()
        return events

    async def stop_wanted(self) -> None:
        """Wait for ever: who stops it is in this process."""
        await asyncio.Event().wait()


class MemoryReplay:
    """Keeps answers in the memory of this process.

    Args:
        max_bytes: The most that is kept of one answer; its beginning goes first.
        keep: Seconds for which an answer is kept after its end, for who reloads just then.
    """

    def __init__(self, *, max_bytes: int = 8 * 2**20, keep: float = 60.0) -> None:
        if max_bytes < 1 or not keep >= 0:
            raise ValueError("max_bytes must be positive and keep must not be negative")
        self.max_bytes = max_bytes
        self.keep = keep
        self._answers: dict[str, MemoryAnswer] = {}

    async def begin(self, chat_id: str, head: ReplayHead) -> MemoryAnswer:
        """Keep a new answer."""
        answer = self._answers[chat_id] = MemoryAnswer(head, self, chat_id)
        return answer

    async def find(self, chat_id: str) -> MemoryAnswer | None:
        """Return the answer of a chat."""
        return self._answers.get(chat_id)

    def release(self, chat_id: str, answer: MemoryAnswer, *, keep: bool) -> None:
        """Forget an answer that has ended, after a while."""

        def drop() -> None:
            # The chat may have gone on meanwhile: the next answer is another one.
            if self._answers.get(chat_id) is answer:
                del self._answers[chat_id]

        asyncio.get_running_loop().call_later(self.keep if keep else 0, drop)

    async def request_stop(self, chat_id: str) -> bool:  # noqa: ARG002 - as every replay
        """Return False: what runs, runs in this process."""
        return False

    async def aclose(self) -> None:
        """Forget everything."""
        self._answers.clear()
