"""A replay that several processes share, in Redis 5 or newer, or in Valkey.

The process that writes an answer keeps it in its memory as well, and writes down what Redis has
lost or missed as soon as it is back. A lease tells the others that this process is alive: an
answer whose lease has run out is ended by whoever reads it.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, cast

import anyio
import msgspec

from zai_async.errors import ConfigurationError, ConnectionLostError, ZaiError
from zai_async.web.following import encoder_named
from zai_async.web.replay import KeptAnswer, MemoryAnswer, MemoryReplay, ReplayGap, ReplayHead
from zai_async.web.writing import split_events

__all__ = ["RedisReplay"]

_TICK: Final = 1.0
"""Seconds between two looks: whether the answer is to be stopped, whether its writer lives."""
_LEASE: Final = 5
_LONGEST: Final = 86_400
"""Seconds after which an answer is forgotten that nobody has ended."""
_BLOCK: Final = 1_000

# An answer that is over, or is written down once more, must not touch the next one of its chat.
_TAKE_CHAT: Final = """
local current = redis.call('get', KEYS[1])
if ARGV[3] == '1' or not current or current == ARGV[1] then
    redis.call('set', KEYS[1], ARGV[1], 'ex', ARGV[2])
end
"""
_LEAVE_CHAT: Final = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('expire', KEYS[1], ARGV[2]) end
"""
# In one step, as who ends an answer for its writer may be lost as well.
_END_ONCE: Final = f"""
if redis.call('set', KEYS[2], 1, 'nx', 'ex', {_LONGEST}) then
    redis.call('xadd', KEYS[3], '*', 'events', ARGV[3], 'last', 0)
    redis.call('xadd', KEYS[3], '*', 'end', 1)
    redis.call('expire', KEYS[3], ARGV[2])
    {_LEAVE_CHAT}
end
"""


class _Keys:
    """Where everything about an answer stands."""

    def __init__(self, prefix: str, chat_id: str, answer_id: str) -> None:
        self.current = f"{prefix}:chat:{chat_id}"
        base = f"{prefix}:answer:{answer_id}"
        self.events, self.lease, self.stop = f"{base}:events", f"{base}:lease", f"{base}:stop"
        self.ended = f"{base}:ended"


class _WrittenAnswer:
    """An answer that this process writes."""

    def __init__(
        self, replay: "RedisReplay", chat_id: str, keys: _Keys, kept: MemoryAnswer
    ) -> None:
        self.head = kept.head
        self._replay = replay
        self._redis = replay.redis
        self._chat_id = chat_id
        self._keys = keys
        self._kept = kept
        self._is_new = True
        """Whether Redis has not been told yet that this is the answer of its chat."""
        self._written = 0
        """How many of the events Redis is known to have."""
        self._news = asyncio.Event()

    def read(self, after: int = 0) -> AsyncGenerator[tuple[int, list[bytes]] | ReplayGap, None]:
        """Yield events from the memory of this process."""
        return self._kept.read(after)

    async def append(self, events: Sequence[bytes]) -> None:
        """Add events; whoever waits for a stop writes them down, so that no answer waits for it."""
        await self._kept.append(events)
        self._news.set()

    async def _write(self) -> None:
        """Write down what Redis has not got, all of it where it has lost its memory."""
        while self._written < self._kept.last:
            await self._write_rest(self._kept.last)

    async def _write_rest(self, count: int) -> None:
        fields = {"events": b"".join(self._kept.behind(self._written)), "last": count}
        async with self._redis.pipeline(transaction=True) as pipe:
            # With the first events and in one step: who finds the head finds what it is about.
            if not self._written:
                self._introduce(pipe)
            pipe.xadd(
                self._keys.events,
                fields,
                maxlen=self._replay.max_entries,
                # What Redis has lost must not begin in the middle: then all is written once more.
                nomkstream=bool(self._written),
            )
            pipe.expire(self._keys.events, _LONGEST)
            *_, name, _ = await pipe.execute()
        self._is_new = False
        self._written = 0 if name is None else count

    def _introduce(self, pipe: Any) -> None:
        told = (msgspec.json.encode(self.head), _LONGEST, int(self._is_new))
        pipe.eval(_TAKE_CHAT, 1, self._keys.current, *told)
        pipe.set(self._keys.lease, 1, ex=_LEASE)

    async def begin(self) -> None:
        """Make this answer the one of its chat, at once if Redis is there."""
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                self._introduce(pipe)
                await pipe.execute()
            self._is_new = False
        except self._replay.errors:
            return  # it is written down when Redis is back

    async def finish(self, *, keep: bool) -> None:
        """End the answer."""
        # The readers of this process first: they need no Redis, and may have none.
        await self._kept.finish(keep=keep)
        if self._replay.written.get(self._chat_id) is self:
            del self._replay.written[self._chat_id]
        seconds = max(int(self._replay.keep), 1) if keep else 1
        try:
            await self._write()
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xadd(self._keys.events, {"end": 1})
                pipe.expire(self._keys.events, seconds)
                head = msgspec.json.encode(self.head)
                pipe.eval(_LEAVE_CHAT, 1, self._keys.current, head, seconds)
                pipe.delete(self._keys.lease)
                await pipe.execute()
        except self._replay.errors:
            return

    async def stop_wanted(self) -> None:
        """Write down what is new, and renew the lease, until somebody asks for a stop."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            # Before the write, so that what comes in the meantime is written in the next round.
            self._news.clear()
            try:
                await self._write()
                if loop.time() >= due:
                    due = loop.time() + _TICK
                    if await self._is_stopped():
                        return
            except self._replay.errors:
                await anyio.sleep(_TICK)
            with anyio.move_on_after(_TICK):
                await self._news.wait()

    async def _is_stopped(self) -> bool:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(self._keys.lease, 1, ex=_LEASE)
            pipe.exists(self._keys.events)
            pipe.exists(self._keys.stop)
            _, is_known, is_stopped = await pipe.execute()
        if not is_known:
            self._written = 0
        return bool(is_stopped)


class _FoundAnswer:
    """An answer that another process writes, or has written."""

    def __init__(self, replay: "RedisReplay", keys: _Keys, head: ReplayHead) -> None:
        self.head = head
        self._replay = replay
        self._redis = replay.redis
        self._keys = keys
        self._last_events: list[bytes] = []

    async def append(self, events: Sequence[bytes]) -> None:
        """Add events, in place of a writer that is no more; they are written with the end."""
        self._last_events += events

    async def finish(self, *, keep: bool) -> None:
        """End the answer, in place of a writer that is no more, if nobody has done it."""
        events, self._last_events = b"".join(self._last_events), []
        seconds = max(int(self._replay.keep), 1) if keep else 1
        keys = (self._keys.current, self._keys.ended, self._keys.events)
        told = (msgspec.json.encode(self.head), seconds, events)
        await self._redis.eval(_END_ONCE, len(keys), *keys, *told)

    async def stop_wanted(self) -> None:
        """Wait for ever: it is not written here."""
        await asyncio.Event().wait()

    async def read(
        self, after: int = 0
    ) -> AsyncGenerator[tuple[int, list[bytes]] | ReplayGap, None]:
        """Yield events as they are written elsewhere."""
        place, last, seen = "0-0", 0, list[bytes]()
        loop = asyncio.get_running_loop()
        # A Redis that was away may have lost the lease of a writer that lives and renews it.
        alive_at = loop.time()
        while True:
            try:
                entries = await self._entries(place)
                if entries or await self._redis.exists(self._keys.lease):
                    alive_at = loop.time()
                elif loop.time() >= alive_at + _LEASE:
                    await self._close(seen)
            except self._replay.errors:
                await anyio.sleep(_TICK)  # it comes back, and its writer with what it has lost
                place = "0-0"
                alive_at = loop.time()
                continue
            for name, fields in entries:
                place = name
                if b"end" in fields:
                    return
                events = split_events(fields[b"events"])
                until = int(fields[b"last"]) or last + len(events)
                first = until - len(events) + 1
                seen += events[max(last + 1 - first, 0) :]
                if first > max(last, after) + 1:
                    yield ReplayGap(max(last, after) + 1, first - 1)
                fresh = events[max(max(last, after) + 1 - first, 0) :]
                last = max(last, until)
                if fresh:
                    yield last, fresh

    async def _entries(self, place: str) -> list[tuple[str, dict[bytes, bytes]]]:
        found: Any = await self._redis.xread({self._keys.events: place}, block=_BLOCK)
        # The two versions of the protocol of Redis have two forms of this.
        groups: list[Any] = []
        if isinstance(found, dict):
            for lists in cast("dict[Any, list[Any]]", found).values():
                groups += lists
        else:
            groups = [each[1] for each in found or ()]
        return [(name.decode(), fields) for group in groups for name, fields in group]

    async def _close(self, seen: list[bytes]) -> None:
        """End the answer of a process that has gone, once, for all readers."""
        encoder = encoder_named(self.head.protocol).restored(b"".join(seen))
        lost = ConnectionLostError("the process that wrote this answer has gone", kind="stream")
        await self.append(split_events(encoder.fail(lost)))
        await self.finish(keep=True)


class RedisReplay:
    """Keeps answers in Redis, so that any process can replay and stop them.

    Needs the extra ``redis``. While Redis is away answers go on; readers of other processes wait.

    Args:
        url: Such as ``redis://localhost:6379/0``.
        keep: Seconds for which an answer is kept after its end.
        max_bytes: The most that the process that writes an answer keeps of it.
        max_entries: The most writes that Redis keeps of one answer, of some 25 ms each.
        prefix: What the names of all keys begin with.
        client: A client of ``redis.asyncio`` in place of the address; one that returns bytes.

    Raises:
        ConfigurationError: The client returns text.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        keep: float = 60.0,
        max_bytes: int = 8 * 2**20,
        max_entries: int = 50_000,
        prefix: str = "zai",
        client: Any = None,
    ) -> None:
        try:
            # Looked up by name: type checkers need not have the extra.
            library: Any = import_module("redis.asyncio")
        except ImportError:
            raise ImportError("RedisReplay needs redis: pip install 'zai-async[redis]'") from None
        # Tried once more at once, for connections that have become stale; longer waits are ours.
        backoff: Any = import_module("redis.backoff")
        retry: Any = library.retry.Retry(backoff.NoBackoff(), 1)
        self.redis: Any = client or library.Redis.from_url(url, retry=retry)
        if self.redis.get_encoder().decode_responses:
            raise ConfigurationError("client must return bytes, without decode_responses")
        self.errors: tuple[type[Exception], ...] = (library.RedisError, OSError)
        self.keep = keep
        self.max_entries = max_entries
        self._prefix = prefix
        self._memory = MemoryReplay(max_bytes=max_bytes, keep=0)
        self.written: dict[str, _WrittenAnswer] = {}
        """The answers that this process writes, by their chat."""

    async def begin(self, chat_id: str, head: ReplayHead) -> KeptAnswer:
        """Keep a new answer."""
        keys = _Keys(self._prefix, chat_id, head.answer_id)
        kept = await self._memory.begin(chat_id, head)
        written = self.written[chat_id] = _WrittenAnswer(self, chat_id, keys, kept)
        await written.begin()
        return written

    async def find(self, chat_id: str) -> KeptAnswer | None:
        """Return the answer of a chat, from this process where it is written here."""
        written = self.written.get(chat_id)
        if written is not None:
            return written
        with self._reaching():
            head = await self._head(chat_id)
        if head is None:
            return None
        return _FoundAnswer(self, _Keys(self._prefix, chat_id, head.answer_id), head)

    async def _head(self, chat_id: str) -> ReplayHead | None:
        known = await self.redis.get(_Keys(self._prefix, chat_id, "").current)
        return msgspec.json.decode(known, type=ReplayHead) if known else None

    async def request_stop(self, chat_id: str) -> bool:
        """Ask the process that writes the answer to stop."""
        with self._reaching():
            head = await self._head(chat_id)
            if head is None:
                return False
            keys = _Keys(self._prefix, chat_id, head.answer_id)
            await self.redis.set(keys.stop, 1, ex=_LONGEST)
            return bool(await self.redis.exists(keys.lease))

    @contextmanager
    def _reaching(self) -> Generator[None, None, None]:
        try:
            yield
        except self.errors as error:
            raise ZaiError("the replay cannot be reached", kind="local") from error

    async def aclose(self) -> None:
        """Close the connections; what Redis keeps stays there."""
        await self._memory.aclose()
        await self.redis.aclose()
