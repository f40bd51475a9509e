"""The chat stream: one object, read as chunks, as text, as thinking, or as events."""

import functools
from collections.abc import AsyncIterator
from operator import attrgetter, length_hint

import msgspec

from zai_async._outcomes import ensure_proper_end, judge
from zai_async.errors import (
    StreamRestartedError,
    StreamTruncatedError,
    ToolCallIncompleteError,
    ZaiError,
)
from zai_async.models import ChatCompletion, ChatCompletionChunk, Outcome, Usage
from zai_async.models.reply import attach_call
from zai_async.streams.accumulator import ChatAccumulator
from zai_async.streams.events import ChatEvent, Narrator, Reset
from zai_async.streams.interfaces import Source
from zai_async.streams.json_stream import Events, JSONStream, Pieces, is_prose
from zai_async.streams.salvage import belongs_to, salvage

__all__ = ["ChatStream"]

_MOST_LOST = 2**16
# How many events are added up in one go, and kept until then.
_BATCH = 8
_choices = attrgetter("choices")


class ChatStream(JSONStream[ChatCompletionChunk]):
    """A chat answer as it is written.

    Iterate over the stream itself for chunks as on the wire, or over one of ``text``, ``thinking``
    and ``events``. ``completion()`` reads what is left and returns the whole answer.

    Source: https://docs.z.ai/guides/capabilities/streaming
    """

    def __init__(self, source: Source) -> None:
        self._resets: list[Reset] = []
        self._concluded = False
        self.recovered = 0
        """Damaged frames that could be passed without harm."""
        super().__init__(source)

    def _begin(self) -> None:
        super()._begin()
        self._start_over()

    def _start_over(self) -> None:
        """Forget all that has been read of the answer."""
        self._unread: list[ChatCompletionChunk] = []
        self._batch: list[ChatCompletionChunk] = []
        self._handed_out = iter(self._batch)
        self._sum = ChatAccumulator()
        self._narrator = Narrator()
        # What could not be read, and how many of the next chunks may be of another generation.
        self._lost = b""
        self._suspicion = 0

    # What a caller sees.

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer, piece by piece, without the reasoning."""
        claim = functools.partial(self._claim, "text")
        return Pieces(claim, self.__anext__, lambda chunk: chunk.text)

    @property
    def thinking(self) -> AsyncIterator[str]:
        """The reasoning, piece by piece, without the answer."""
        claim = functools.partial(self._claim, "thinking")
        return Pieces(claim, self.__anext__, lambda chunk: chunk.thinking)

    @property
    def events(self) -> AsyncIterator[ChatEvent]:
        """Everything that happens, as a closed union of structs to match on."""
        return Events(functools.partial(self._claim, "events"), self._happenings)

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer as far as it has been read, with whole tool calls only."""
        answer = self._answer.completion()
        answer.request_id = answer.request_id or self._request_id
        attach_call(answer, attempts=self.attempts, timing=self.timing, outcome=self._outcome)
        return answer

    @property
    def usage(self) -> Usage | None:
        """The token counts, as soon as the platform has told them."""
        return self._answer.usage

    async def completion(self) -> ChatCompletion:
        """Read what is left and return the whole answer."""
        await self._exhaust()
        return self.snapshot

    async def _happenings(self) -> list[ChatEvent | ZaiError]:
        """Return what the next chunk changed; at the end, what only the end makes certain."""
        try:
            chunk = await self.__anext__()
        except StopAsyncIteration:
            if self._concluded:
                raise
            self._concluded = True
            whole = self.snapshot
            return list(self._narrator.conclude(self._answer, whole, whole.outcome))
        resets, self._resets = self._resets, []
        return [*resets, *self._narrator.tell(chunk, self._answer)]

    # Reading.

    def _accept(self, data: bytes) -> ChatCompletionChunk | None:
        # Every token comes by here: adding it up is put off until somebody asks for the sum.
        try:
            chunk: ChatCompletionChunk | None = self._decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            chunk = self._read_oddity(data.strip())
        if chunk is None:
            return None
        if not chunk.choices or self._suspicion:
            return self._accept_unusual(data, chunk)
        self._unread.append(chunk)
        if len(self._unread) >= _BATCH:
            self._settle()
        return chunk

    def _next(self) -> ChatCompletionChunk | None:
        entry = self._waiting[0]
        if self._early or len(entry) == 1 or isinstance(entry, bytes):
            return super()._next()
        self._waiting.popleft()
        self._settle()
        return self._accept_run(entry)

    def _accept_run(self, run: list[bytes]) -> ChatCompletionChunk | None:
        """Decode events in one go; what is not ordinary throughout is accepted one by one."""
        batch = self._decoded(run)
        if self._suspicion or not all(map(_choices, batch)):
            batch = []
        if not batch:
            self._waiting.extendleft([data] for data in reversed(run))
        self._batch = batch
        self._pending = self._handed_out = iter(batch)
        return next(self._handed_out, None)

    def _decoded(self, run: list[bytes]) -> list[ChatCompletionChunk]:
        try:
            return list(map(self._decode, run))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []

    def _settle(self) -> None:
        # Of a batch, only what has been handed out counts.
        rest = length_hint(self._handed_out)
        known = self._batch[: len(self._batch) - rest] + self._unread
        self._batch = self._batch[-rest:] if rest else []
        self._unread = []
        self._progress += self._sum.add(known)

    @property
    def _answer(self) -> ChatAccumulator:
        """What has been read, added up."""
        if self._unread or self._batch:
            self._settle()
        return self._sum

    def _accept_unusual(
        self, data: bytes, chunk: ChatCompletionChunk
    ) -> ChatCompletionChunk | None:
        """Check what follows damage, note usage and the like, and raise what is an error."""
        if not chunk.choices:
            self._raise_fault(data)
        if self._suspicion and (chunk.choices or chunk.web_search or chunk.content_filter):
            self._check_generation(chunk)
        self._unread.append(chunk)
        if chunk.choices or chunk.usage or chunk.web_search or chunk.content_filter:
            return chunk
        self.skipped += 1
        return None

    # Damage.

    def _accept_damaged(self, data: bytes) -> None:
        """Go on with the whole frames inside a damaged one."""
        found = salvage(data, self._decode)
        # What Python takes for JSON and msgspec does not, like NaN, is as good as lost.
        frames = () if found.frames == (data,) else found.frames
        if found.lost or not frames:
            lost = data.partition(frames[0])[0] if frames else data
            self._lost = b"data:".join(filter(None, (self._lost, lost)))[:_MOST_LOST]
        self._suspicion = max(self._suspicion, len(frames), 1)
        self._insert(*frames)

    def _check_generation(self, chunk: ChatCompletionChunk) -> None:
        """Decide what a chunk means that follows damage, or was glued to another one.

        With another id, it belongs to a second generation; with nothing handed out, nothing is
        lost then. Otherwise, what was lost is missing, unless that was after the finish reason, or
        nothing tells that it was of this generation.
        """
        old, lost, remaining = self._answer.id, self._lost, self._suspicion - 1
        foreign = bool(old and chunk.id and chunk.id != old)
        if foreign and self._progress:
            self._restart(old, chunk.id)
        elif foreign:
            self._start_over()
        same = belongs_to(lost, chunk.id) if foreign or not old else True
        if lost and not self._finished() and (same or (self._progress and not foreign)):
            raise self._malformed(lost)
        self._lost, self._suspicion = b"", remaining
        self.recovered += foreign or bool(lost)

    def _restart(self, old: str, new: str) -> None:
        may_reset = self._source.options.on_restart == "reset"
        if not (may_reset and self._altitude in {"events", "completion"}):
            text = "the platform began its answer anew after a part of it had been handed out"
            raise StreamRestartedError(text, old_id=old, new_id=new, partial=self.snapshot)
        self._start_over()
        self._resets.append(Reset(old, new))

    # Ending.

    def _finished(self) -> bool:
        return self._answer.finish_reason is not None

    def _spent(self) -> Usage:
        return self._answer.usage or Usage()

    def _partial(self) -> ChatCompletion:
        return self.snapshot

    def _judge(self, *, done: bool) -> Outcome:
        if not self._finished():
            self._raise_foreign()
            if self._lost and (done or is_prose(self._lost)):
                raise self._malformed(self._lost)
            if not done:
                raise self._truncated("the stream ended before the answer did")
        answer, allow = self.snapshot, self._source.options.allow
        if judge(answer) == "empty" and self._answer.unfinished() and "empty" not in allow:
            raise self._truncated("the answer ended")
        return ensure_proper_end(answer, allow)

    def _truncated(self, text: str) -> ZaiError:
        call = self._answer.unfinished()
        if call is None:
            return StreamTruncatedError(text)
        return ToolCallIncompleteError(
            f"{text}, inside the arguments of the tool call {call.name!r}",
            name=call.name,
            call_id=call.id,
            raw=call.arguments,
        )

    def _accept_stray(self, line: bytes) -> None:
        """Read also a frame of which the gateway has cut the first letters away."""
        super()._accept_stray(line)
        if b"data:" in line or b'"choices"' in line:
            self._accept_damaged(line)

    def _raise_foreign(self) -> None:
        if not self._answer.chunks:
            super()._raise_foreign()
