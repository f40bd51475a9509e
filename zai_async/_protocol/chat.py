"""The decoder of chat streams, whose gateway may begin an answer anew without saying so."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from operator import length_hint
from typing import Any, Final, Literal

import msgspec

from zai_async._outcomes import ensure_proper_end, judge
from zai_async._protocol.accumulator import ChatAccumulator
from zai_async._protocol.context import DecoderContext
from zai_async._protocol.decoder import Decoder, EventDecoder
from zai_async._protocol.events import Reset
from zai_async._protocol.salvage import can_belong, is_prose, salvage
from zai_async._protocol.sse import in_order
from zai_async._protocol.state import DecoderState
from zai_async.errors import StreamRestartedError, ToolCallIncompleteError, ZaiError
from zai_async.models import ChatCompletion, ChatCompletionChunk, ChunkChoice, Outcome, Usage
from zai_async.models.counting import MOST_AT_ONCE
from zai_async.models.extra import extra_of
from zai_async.models.tolerant import UNREADABLE, decode

__all__ = ["ChatDecoder", "Generation"]

_MOST_LOST: Final = 2**12
# How many events are added up in one go, and kept until then.
_BATCH: Final = 8
_MAY_RESET: Final = frozenset({None, "completion", "events"})
# The first chunk can be read before it is known through which view.
_MAY_TELL_EVENTS: Final = frozenset({None, "events"})
_RECEIVING: Final = DecoderState.RECEIVING
_FINISHED: Final = DecoderState.FINISHED
_json: Final = msgspec.json.Decoder(ChatCompletionChunk)


class _Form(msgspec.Struct, gc=False):
    """As what a choice came."""

    delta: dict[str, Any] | None = None
    message: dict[str, Any] | None = None


class _Forms(msgspec.Struct, gc=False):
    choices: list[_Form] = msgspec.field(default_factory=list[_Form])


_forms: Final = msgspec.json.Decoder(_Forms)


def brings_content(chunk: ChatCompletionChunk) -> bool:
    """Tell whether a chunk adds text, reasoning or a tool call to the answer."""
    deltas = [choice.delta for choice in chunk.choices or ()]
    return any(delta.content or delta.reasoning_content or delta.tool_calls for delta in deltas)


class Generation:
    """What is known about the generation that is being read, and what of it may be missing."""

    __slots__ = (
        *("begun_at", "created", "doubled", "id", "id_changes", "introduced", "lost"),
        *("recovered", "resets", "silent", "suspicion"),
    )

    def __init__(self) -> None:
        self.resets: list[Reset] = []
        """Restarts that nobody has been told of yet."""
        self.recovered = 0
        """Damaged frames that could be passed without harm."""
        self.id_changes = 0
        self.lost = b""
        """What could not be read."""
        self.silent = b""
        """Events that say nothing known."""
        self.suspicion = 0
        """How many of the next chunks may be of another generation."""
        self.doubled: int | None = None
        """How many of the next chunks stand behind a second field name; None if none does."""
        self.adopt("", 0, 0)

    def adopt(self, id: str, created: int, chunks: int) -> None:
        """Expect this id from here on, after so many chunks."""
        self.id, self.created, self.begun_at = id, created, chunks
        # The id whose chunks need no look but at their choices: one of them has told the rest.
        self.introduced: str | None = None

    def is_replaced_by(self, chunk: ChatCompletionChunk, chunks: int) -> bool:
        """Tell whether a chunk with another id, after no damage, is of another generation.

        Relays that make up an id for each chunk have none that is stable. The backend that takes
        over from another has both another id and another time of creation.
        """
        is_stable = chunks - self.begun_at > 1
        return is_stable and bool(self.created and chunk.created) and chunk.created != self.created


class ChatDecoder(Decoder[ChatCompletionChunk]):
    """Turns the body of a chat stream into chunks, and into the whole answer.

    ``feed()`` takes bytes, cut anywhere, and returns chunks; ``end_of_input()`` says how the answer
    ended, or raises what is wrong with it; ``snapshot`` is the answer so far. A whole answer in
    place of a stream is read as one chunk.

    Args:
        allow: Outcomes that are returned instead of raised, for example ``{"truncated"}``.
        on_restart: Whether a generation that the platform begins anew replaces what was read, or
            raises StreamRestartedError.
        max_event_bytes: A larger event is refused with EventTooLargeError.
        max_event_values: So is one that holds more.

    Source: https://docs.z.ai/guides/capabilities/streaming
    """

    _ends_by_reason = True

    def __init__(
        self,
        *,
        allow: Collection[str] = (),
        on_restart: Literal["raise", "reset"] = "raise",
        max_event_bytes: int = 4 * 2**20,
        max_event_values: int = MOST_AT_ONCE,
        context: DecoderContext | None = None,
    ) -> None:
        own = context or DecoderContext(
            allow=allow,
            on_restart=on_restart,
            max_event_bytes=max_event_bytes,
            max_event_values=max_event_values,
        )
        super().__init__(EventDecoder(_json), own)
        self.generation = Generation()
        self._start_over()

    def _start_over(self, id: str = "", created: int = 0) -> None:
        """Forget all that has been read of the answer."""
        self.generation.lost, self.generation.suspicion = b"", 0
        self.generation.adopt(id, created, 0)
        self._sum = ChatAccumulator()
        if self._context.view in _MAY_TELL_EVENTS:
            self._sum.updates = []
        # What was read and not added up yet: of chunks that came alone their choices, as the rest
        # of them is the same each time and takes as much memory; and chunks read in one go.
        self._alone: list[Sequence[ChunkChoice]] = []
        self._batch: list[ChatCompletionChunk] = []
        self.ready = iter(())
        if self.json.payloads:
            del self.json.payloads[:-1]  # the last one is the first of what comes instead

    @property
    def answer(self) -> ChatAccumulator:
        """What has been taken, added up."""
        self.settle()
        return self._sum

    @property
    def snapshot(self) -> ChatCompletion:
        """The answer as far as it has been read, with whole tool calls only."""
        return self.answer.completion()

    @property
    def state(self) -> DecoderState:
        """How far the answer has come."""
        state = super().state
        # What is damaged behind the finish reason makes a whole answer no less whole.
        suspect = state is _RECEIVING and self.generation.suspicion
        return DecoderState.SUSPECT if suspect else state

    @property
    def usage(self) -> Usage | None:
        """The token counts, as soon as the platform has told them."""
        return self.answer.usage

    # Every token comes by here: adding it up is put off until somebody asks for the sum.

    def receive(self, data: bytes) -> ChatCompletionChunk | None:
        """Take the bytes of one read, none at the end; return a chunk that comes alone at once."""
        # The first event, the last ones and the end of the input are rare enough for the long way.
        if self._state is not _RECEIVING or not data:
            return super().receive(data)
        payloads = self._parser.payloads(data)
        if len(payloads) != 1 or self._parser.stray:
            self.waiting += in_order(payloads, self._parser.stray, self.json.run)
            self._parser.stray.clear()
            return None
        try:
            chunk: ChatCompletionChunk = self.json.decode(payloads[0])
        except UNREADABLE:
            return self._accept(payloads[0])
        if (
            chunk.id != self.generation.introduced
            or not chunk.choices
            or chunk.usage is not None
            or chunk.web_search
            or chunk.content_filter
            or self.generation.suspicion
        ):
            return self._accept_chunk(payloads[0], chunk)
        # Kept for a moment: one loop over eight chunks costs half of eight calls.
        self._alone.append(chunk.choices)
        if len(self._alone) >= _BATCH:
            self.settle()
        return chunk

    def advance(self) -> ChatCompletionChunk | None:
        """Decode what comes next of ``waiting``, in one go if all of it is ordinary."""
        run, generation = self.waiting[0], self.generation
        # Before anything has been handed out, chunks are counted one by one.
        if not self.progress or len(run) < 2 or isinstance(run, bytes) or generation.suspicion:
            return super().advance()
        self.settle()
        batch: list[ChatCompletionChunk] = []
        with suppress(*UNREADABLE):
            batch += map(self.json.decode, run)
        self.waiting.popleft()
        known = generation.introduced
        odd = [1 for chunk in batch if chunk.id != known or not chunk.choices]
        if odd or len(batch) < len(run):
            # One by one to the end of the run, or all that is left would be decoded each time.
            self.waiting.extendleft([data] for data in reversed(run))
            return super().advance()
        self._batch, self.ready = batch, iter(batch)
        return next(self.ready)

    def settle(self) -> None:
        """Add up what has been taken: of a batch, only that counts."""
        if not (self._alone or self._batch):
            return
        batch, alone = self._batch, self._alone
        taken = len(batch) - length_hint(self.ready)
        self._batch, self._alone = batch[taken:], []
        if taken:
            self.progress += self._sum.add(batch[:taken])
        if alone:
            self.progress += self._sum.add_choices(alone)
        if self._sum.finish_reason and self._state is _RECEIVING:
            self._state = DecoderState.FINISHED

    def drop(self) -> None:
        """Forget what has been read and not been taken."""
        super().drop()
        self._batch = []

    def _accept(self, data: bytes) -> ChatCompletionChunk | None:
        chunk: ChatCompletionChunk | None = self._event(data)
        if chunk is None:
            return None
        messages: list[ChunkChoice] = []
        if b'"message"' in data:
            pairs = zip(chunk.choices, decode(_forms, data).choices, strict=True)
            messages += (choice for choice, form in pairs if form.message and form.delta is None)
        return self._accept_chunk(data, chunk, messages)

    def _accept_chunk(
        self, data: bytes, chunk: ChatCompletionChunk, messages: Sequence[ChunkChoice] = ()
    ) -> ChatCompletionChunk | None:
        """Notice another generation, note usage and the like, and raise what is an error."""
        if not chunk.choices:
            self._context.raise_fault(data)
        generation = self.generation
        says = bool(chunk.choices or chunk.web_search or chunk.content_filter)
        if generation.suspicion and says:
            self._check_after_damage(chunk)
        elif chunk.id not in {"", generation.id} and (not generation.id or brings_content(chunk)):
            # What brings no content may be a relay's own ending, and decides nothing.
            chunks, finished = self.answer.chunks, self._state is _FINISHED
            if generation.id and generation.is_replaced_by(chunk, chunks):
                if finished:  # another answer, glued to one that is whole
                    self.skipped += 1
                    return None
                self._replace(chunk)
            else:
                generation.id_changes += bool(generation.id)
                generation.adopt(chunk.id, chunk.created, chunks)
        if not (says or chunk.usage):
            self.skipped += 1
            # Odd words count only if the answer does not come to its end.
            generation.silent = (generation.silent + data + b"\n")[:_MOST_LOST]
            return None
        for choice in messages:
            self.answer.keep_new(choice)
        self._sum.keep_unknown(chunk)
        if self._batch:
            self.settle()  # the last one that tells the usage counts
        self.progress += self._sum.add_head(chunk)
        # What brings no content does not say whose answer it is.
        self._sum.head.id = generation.id or chunk.id
        generation.introduced = generation.id if chunk.choices else generation.introduced
        self._alone.append(chunk.choices)
        if len(self._alone) >= _BATCH or not self.progress:
            self.settle()
        return chunk

    # Damage.

    def _accept_damaged(self, data: bytes) -> None:
        """Go on with the whole frames inside a damaged one."""
        # The gateway cuts a frame where a backend fails, and goes on in the same line with the
        # first frame of another one: https://github.com/zai-org/GLM-5/issues/66
        frames, lost = salvage(data)
        if frames == (data,):
            # Python takes this for JSON and msgspec does not, like NaN: as good as lost.
            frames, lost = (), data
        generation = self.generation
        if lost and len(generation.lost) < _MOST_LOST:
            generation.lost = b"\n".join(filter(None, (generation.lost, lost[:_MOST_LOST])))
        if frames and data.startswith(b"data:"):
            # Some relays write the field name twice, always; else a frame was cut behind its own.
            if generation.doubled is None and self.answer.chunks:
                generation.lost = generation.lost or b"data:"
            generation.doubled = len(frames)
        generation.suspicion = max(generation.suspicion, len(frames), 1)
        if frames:
            self.waiting.extendleft(reversed(in_order([*frames], [], self.json.run)))

    def _check_after_damage(self, chunk: ChatCompletionChunk) -> None:
        """Decide what a chunk means that follows damage, or was glued to another one.

        With another id it belongs to a second generation: with nothing handed out, the first one
        can be forgotten. Otherwise what was lost is missing, unless the answer was whole already,
        or all of what was lost is certainly of another generation.
        """
        generation = self.generation
        finished = self.state is _FINISHED
        old, lost, remaining = generation.id, generation.lost, generation.suspicion - 1
        foreign = bool(old and chunk.id and chunk.id != old)
        if foreign:
            self._replace(chunk)
        # After the finish reason only usage and the end mark can have been lost.
        missing = bool(lost) and not (finished and not foreign)
        if missing and (bool(old and not foreign) or can_belong(lost, chunk.id)):
            raise self._context.malformed(lost)
        if generation.doubled is not None:
            if not generation.doubled:
                raise self._context.malformed(b"data:")
            generation.doubled -= 1
            remaining = max(remaining, 1)
        generation.lost, generation.suspicion = b"", remaining
        generation.adopt(chunk.id or generation.id, chunk.created, self.answer.chunks)
        generation.recovered += foreign or bool(lost)

    def _replace(self, chunk: ChatCompletionChunk) -> None:
        """Let another generation take the place of the one that was read."""
        generation = self.generation
        old = generation.id
        # Other views have no way to say that what was handed out counts no more.
        may_reset = self._context.on_restart == "reset" and self._context.view in _MAY_RESET
        if self.progress and not may_reset:
            text = "the platform began its answer anew after a part of it had been handed out"
            raise StreamRestartedError(text, old_id=old, new_id=chunk.id, partial=self.snapshot)
        if self.progress:
            generation.resets.append(Reset(old, chunk.id))
        self._state = DecoderState.RECEIVING
        self._start_over(chunk.id, chunk.created)

    # Ending.

    def _judge(self, *, done: bool) -> Outcome:
        answer, lost = self.answer, self.generation.lost
        if not self.progress or self._state is not _FINISHED:
            self._context.raise_told(self.generation.silent, begun=bool(self.progress))
        # Where nothing was said, a choice with another number may be the answer.
        number = 0 if self.progress else answer.take_other()
        if number:
            self._state = _FINISHED if answer.finish_reason else self._state
            self._context.ensure_shown(number)
        if self._state is not DecoderState.FINISHED:
            if not answer.chunks:
                self._context.raise_foreign(bytes(self._foreign))
            if lost and (done or is_prose(lost) or lost.startswith(b"<")):
                raise self._context.malformed(lost)
            if not done:
                raise self.truncated("the stream ended before the answer did")
        # The judge looks at whole calls only; that a call was cut is known here.
        completion, allow = self.snapshot, self._context.allow
        outcome = judge(completion)
        if outcome in {"empty", "network_error"} - {*allow}:
            # A relay may put the reason beside what was said.
            choice = completion.choices[0]
            told = [dict(extra_of(choice)), dict(extra_of(choice.message))]
            self._context.raise_fault(msgspec.json.encode(told), in_place=True)
        if outcome == "empty" and answer.tools.unfinished() and "empty" not in allow:
            raise self.truncated("the answer ended")
        return ensure_proper_end(completion, allow)

    def truncated(self, text: str) -> ZaiError:
        """Make the exception for an answer that stops before its end."""
        call = self.answer.tools.unfinished()
        if call is None:
            return super().truncated(text)
        return ToolCallIncompleteError(
            f"{text}, inside the arguments of the tool call {call.name!r}",
            name=call.name,
            call_id=call.id,
            raw=call.arguments,
        )
