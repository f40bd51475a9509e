"""The chat stream: one object, read as chunks, as text, as thinking, or as events."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Self

import msgspec

from zai_async._wire import error_in_body, find_fault, not_the_api, to_error
from zai_async.errors import (
    StreamMalformedError,
    StreamRestartedError,
    StreamTruncatedError,
    ToolCallIncompleteError,
    ZaiError,
)
from zai_async.models import ChatCompletion, ChatCompletionChunk, Outcome
from zai_async.models import Usage as TokenUsage
from zai_async.models.reply import attach_call
from zai_async.models.tolerant import decode
from zai_async.streams.accumulator import ChatAccumulator
from zai_async.streams.event_stream import EventStream
from zai_async.streams.events import ChatEvent, Reset
from zai_async.streams.narrator import Narrator
from zai_async.streams.outcomes import ensure_proper_end
from zai_async.streams.salvage import END_MARK, salvage
from zai_async.streams.source import Source

__all__ = ["ChatStream"]

_EXCERPT = 200


class ChatStream(EventStream[ChatCompletionChunk]):
    """A chat answer as it is written.

    Iterate over the stream itself for chunks as on the wire, or over one of ``text``, ``thinking``
    and ``events``. ``completion()`` reads what is left and returns the whole answer.

    Source: https://docs.z.ai/guides/capabilities/streaming
    """

    def __init__(self, source: Source) -> None:
        self._decode = source.endpoint.decoder.decode
        self._resets: deque[Reset] = deque()
        self.recovered = 0
        """Damaged frames that could be passed without harm."""
        self.skipped = 0
        """Events without any content for the caller."""
        super().__init__(source)

    def _begin(self) -> None:
        super()._begin()
        self._answer = ChatAccumulator()
        self._damaged: bytes | None = None

    # What a caller sees.

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer, piece by piece, without the reasoning."""
        return _Pieces(self, "text", lambda chunk: chunk.text)

    @property
    def thinking(self) -> AsyncIterator[str]:
        """The reasoning, piece by piece, without the answer."""
        return _Pieces(self, "thinking", lambda chunk: chunk.thinking)

    @property
    def events(self) -> AsyncIterator[ChatEvent]:
        """Everything that happens, as a closed union of structs to match on."""
        return _Events(self)

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer as far as it has been read, with whole tool calls only."""
        answer = self._answer.completion()
        answer.request_id = answer.request_id or self._request_id
        attach_call(answer, attempts=self.attempts, outcome=self._outcome)
        return answer

    @property
    def usage(self) -> TokenUsage | None:
        """The token counts, as soon as the platform has told them."""
        return self._answer.usage

    async def completion(self) -> ChatCompletion:
        """Read what is left and return the whole answer."""
        if self._altitude is None:
            self._claim("completion")
        try:
            while True:
                await self.__anext__()
        except StopAsyncIteration:
            return self.snapshot

    # Reading.

    def _accept(self, data: bytes) -> ChatCompletionChunk | None:
        try:
            chunk: ChatCompletionChunk | None = self._decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            chunk = self._decode_oddity(data.strip())
        if chunk is None:
            return None
        if not chunk.choices:
            return self._accept_without_choices(data, chunk)
        if self._damaged is not None:
            self._pass_damage(chunk)
        if self._answer.add(chunk):
            self._progress += 1
        return chunk

    def _decode_oddity(self, data: bytes) -> ChatCompletionChunk | None:
        """Read what is not an ordinary chunk: the end mark, odd types, damaged frames."""
        if data.startswith(END_MARK):
            self._finish(done=True)
        elif data in {b"", b"null"}:
            self.skipped += 1
        else:
            return self._decode_leniently(data)
        return None

    def _decode_leniently(self, data: bytes) -> ChatCompletionChunk | None:
        try:
            return decode(self._source.endpoint.decoder, data)
        except msgspec.ValidationError:
            raise self._malformed(data) from None
        except msgspec.DecodeError:
            self._salvage(data)
            return None

    def _accept_without_choices(
        self, data: bytes, chunk: ChatCompletionChunk
    ) -> ChatCompletionChunk | None:
        """Take note of usage and the like, and raise what is an error."""
        self._raise_fault(data)
        self._answer.add(chunk)
        if chunk.usage or chunk.web_search or chunk.content_filter:
            return chunk
        self.skipped += 1
        return None

    def _raise_fault(self, data: bytes) -> None:
        try:
            fault = find_fault(msgspec.json.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if fault is not None:
            raise to_error(
                fault,
                status=200,
                headers=self._headers,
                now=self._source.settings.clock.wall(),
                body=data.decode("utf-8", "replace"),
                secrets=self._source.secrets,
            )

    # Damage.

    def _salvage(self, data: bytes) -> None:
        """Go on with the whole frames inside a damaged one."""
        found = salvage(data, self._decode)
        if found.lost and not self._finished():
            self._damaged = data
        if found.frames != (data,):
            self._insert(*found.frames)

    def _pass_damage(self, chunk: ChatCompletionChunk) -> None:
        """Decide what the first good chunk after a damaged frame means.

        With nothing handed out, nothing is lost. With another id, it is the beginning of a second
        generation. Otherwise a piece of this generation is missing.
        """
        old, damaged, self._damaged = self._answer.id, self._damaged, None
        if not self._progress:
            self._answer = ChatAccumulator()
        elif chunk.id and chunk.id != old:
            self._restart(old, chunk.id)
        else:
            raise self._malformed(damaged or b"")
        self.recovered += 1

    def _restart(self, old: str, new: str) -> None:
        may_reset = self._source.options.on_restart == "reset"
        if not (may_reset and self._altitude in {"events", "completion"}):
            text = "the platform began its answer anew after a part of it had been handed out"
            raise StreamRestartedError(text, old_id=old, new_id=new, partial=self.snapshot)
        self._answer = ChatAccumulator()
        self._resets.append(Reset(old, new))

    def _malformed(self, data: bytes) -> StreamMalformedError:
        excerpt = data[:_EXCERPT].decode("utf-8", "replace")
        return StreamMalformedError("a frame of the stream cannot be read", body=excerpt)

    # Ending.

    def _finished(self) -> bool:
        return self._answer.finish_reason is not None

    def _partial(self) -> ChatCompletion:
        return self.snapshot

    def _judge(self, *, done: bool) -> Outcome:
        if not self._finished():
            self._raise_foreign()
            if done and self._damaged is not None:
                raise self._malformed(self._damaged)
            if not done:
                raise self._truncated("the stream ended before the answer did")
        return ensure_proper_end(self.snapshot, self._source.options.allow)

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

    def _raise_foreign(self) -> None:
        """Raise what stands in the last reads although it is no event: a bare JSON line, a page."""
        text = b"".join(self._last)
        for line in text.splitlines():
            if line.startswith(b"{"):
                self._raise_fault(line)
        start = text.lstrip()[:1]
        if start in {b"<", b"{", b"["} and not self._answer.chunks:
            raise self._foreign(text)

    def _foreign(self, text: bytes) -> ZaiError:
        headers, now = self._headers, self._source.settings.clock.wall()
        secrets = self._source.secrets
        error = error_in_body(text, status=200, headers=headers, now=now, secrets=secrets)
        shown = text[:8000].decode("utf-8", "replace")
        return error or not_the_api(shown, status=200, headers=headers)


class _Pieces:
    """One kind of text of a stream."""

    def __init__(
        self, stream: ChatStream, altitude: str, piece: Callable[[ChatCompletionChunk], str]
    ) -> None:
        self._stream = stream
        self._altitude = altitude
        self._piece = piece

    def __aiter__(self) -> Self:
        self._stream._claim(self._altitude)  # noqa: SLF001 - a part of the stream
        return self

    async def __anext__(self) -> str:
        while True:
            text = self._piece(await self._stream.__anext__())
            if text:
                return text


class _Events:
    """All events of a stream."""

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream
        self._narrator = Narrator()
        self._waiting: deque[ChatEvent | ZaiError] = deque()
        self._over = False

    def __aiter__(self) -> Self:
        self._stream._claim("events")  # noqa: SLF001 - a part of the stream
        return self

    async def __anext__(self) -> ChatEvent:
        while not self._waiting:
            if self._over:
                raise StopAsyncIteration
            await self._listen()
        event = self._waiting.popleft()
        if isinstance(event, ZaiError):
            raise event
        return event

    async def _listen(self) -> None:
        stream = self._stream
        try:
            chunk = await stream.__anext__()
        except StopAsyncIteration:
            self._over = True
            whole = stream.snapshot
            self._waiting.extend(self._narrator.conclude(stream._answer, whole, whole.outcome))  # noqa: SLF001
            return
        if stream._resets:  # noqa: SLF001 - a part of the stream
            self._waiting.append(stream._resets.popleft())  # noqa: SLF001
            self._narrator = Narrator()
        self._waiting.extend(self._narrator.tell(chunk, stream._answer))  # noqa: SLF001
