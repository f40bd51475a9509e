"""Adding up the chunks of a chat answer."""

from collections.abc import Sequence
from typing import Final

from zai_async._protocol.text import ChunkedText, beyond
from zai_async._protocol.tool_calls import ToolCallAssembler, ToolCallUpdate
from zai_async.errors import StreamMalformedError
from zai_async.models import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    ContentFilter,
    Message,
    SearchResult,
    Usage,
)
from zai_async.models.chat import Audio, text_of
from zai_async.models.extra import ExtraAccumulator, extra_of, with_extra
from zai_async.models.options import outcome_of

__all__ = ["PROPER_ENDS", "ChatAccumulator", "final_reason"]

PROPER_ENDS: Final = frozenset({"completed", "tool_calls", "other"})
"""How an answer ends that has said all it wanted to: a call without arguments needs none."""
_PACK_EVERY: Final = 32
# What says nothing against an answer, from the least to what most has to be heeded.
_HARMLESS: Final = ("completed", "other", "tool_calls")


def final_reason(before: str | None, reason: str | None) -> str | None:
    """Return which of two finish reasons counts, of which the second one came later.

    Relays end what they pass on with a ``stop`` of their own, which takes back nothing.
    """
    if not (before and reason):
        return before or reason
    known, new = outcome_of(before), outcome_of(reason)
    if known not in _HARMLESS:
        return before
    graver = new not in _HARMLESS or _HARMLESS.index(new) > _HARMLESS.index(known)
    return reason if graver else before


# Nothing is thrown away that a platform may want to see again: signatures of reasoning and the
# like belong to a message, and a conversation without them is refused by the servers that sign.
class _UnknownFields:
    """The unknown fields of the chunks of an answer, each kind at its place in the whole answer."""

    def __init__(self) -> None:
        self.answer = ExtraAccumulator()
        self.choice = ExtraAccumulator()
        self.message = ExtraAccumulator()


class ChatAccumulator:
    """The answer so far, in pieces that are joined only when somebody asks."""

    def __init__(self) -> None:
        self.head = ChatCompletionChunk()
        """Who speaks: the latest id, and the first of everything else."""
        # Pieces, as adding strings to each other would copy the whole answer for each token.
        self.text = ChunkedText()
        self.thinking = ChunkedText()
        self.tools = ToolCallAssembler()
        self.updates: list[ToolCallUpdate] | None = None
        """What fragments have changed, where somebody may read it after each chunk."""
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.web_search: list[SearchResult] = []
        self.content_filter: list[ContentFilter] = []
        self.audio: Audio | None = None
        self.unknown: _UnknownFields | None = None
        self.other: tuple[int, ChatAccumulator] | None = None
        """Number and answer of another choice, as long as the first one has said nothing."""
        self.chunks = 0
        self.in_messages = False
        """Whether the pieces came as messages, as which others write the whole."""
        self._pack_at = _PACK_EVERY

    def add(self, chunks: Sequence[ChatCompletionChunk]) -> int:
        """Add chunks; return how many pieces brought the answer forward."""
        progress = 0
        # Those without an id introduce themselves each time.
        known = self.head.id or None
        for chunk in chunks:
            if (
                chunk.id != known
                or chunk.usage is not None
                or chunk.web_search
                or chunk.content_filter
            ):
                progress += self.add_head(chunk)
                known = self.head.id or None
        return progress + self.add_choices([chunk.choices for chunk in chunks])

    def add_choices(self, chunks: Sequence[Sequence[ChunkChoice]]) -> int:
        """Add the choices of chunks that have nothing else to tell, and return the same.

        One loop over many chunks, and no call for the usual ones: this runs for every token.
        """
        progress = 0
        add_text, add_thinking = self.text.append, self.thinking.append
        for choices in chunks:
            for choice in choices:
                delta = choice.delta
                if (
                    delta.tool_calls
                    or delta.audio is not None
                    or choice.finish_reason
                    or choice.index
                    or choice.usage is not None
                ):
                    progress += self._add_choice(choice)
                    continue
                text, thought = delta.content, delta.reasoning_content
                # An empty text is a sign that there is an answer, and None is none: the difference
                # is kept, as a message goes back as it came.
                if thought:
                    add_thinking(thought)
                    progress += 1
                if text:
                    add_text(text if isinstance(text, str) else text_of(text))
                    progress += 1
                elif text is not None:
                    add_text("")
        self.chunks += len(chunks)
        if self.chunks >= self._pack_at:
            self._pack_at = self.chunks + _PACK_EVERY
            self.text.pack()
            self.thinking.pack()
        return progress

    def add_head(self, chunk: ChatCompletionChunk) -> int:
        """Take over who speaks, and what belongs to the answer as a whole; return what is new."""
        head = self.head
        # Relays may give each chunk its own id, and the last one none.
        head.id = chunk.id or head.id
        head.created = head.created or chunk.created
        head.model = head.model or chunk.model
        head.request_id = head.request_id or chunk.request_id
        # A relay may tell no counts behind those of the platform.
        if chunk.usage is not None and (chunk.usage.total_tokens or self.usage is None):
            self.usage = chunk.usage
        self.web_search += chunk.web_search or ()
        self.content_filter += chunk.content_filter or ()
        return bool(chunk.web_search or chunk.content_filter)

    def _add_choice(self, choice: ChunkChoice) -> int:
        """Add a choice that has more than text: the slow half of the loop above."""
        if choice.index:
            self._set_aside(choice)
            return 0  # only the first of several answers is read
        progress = 0
        delta = choice.delta
        if delta.content is not None:
            self.text.append(text_of(delta.content))
            progress += bool(delta.content)
        if delta.reasoning_content:
            self.thinking.append(delta.reasoning_content)
            progress += 1
        if delta.audio is not None:
            self.audio = delta.audio
            progress += 1
        if delta.tool_calls:
            updates = self.tools.add(delta.tool_calls)
            if self.updates is not None:
                self.updates += updates
            progress += any(update.piece or update.begins for update in updates)
        # An empty reason is what some servers send with every chunk: it ends nothing.
        if choice.finish_reason:
            self.finish_reason = final_reason(self.finish_reason, choice.finish_reason)
        if choice.usage is not None:
            self.usage = choice.usage
        return progress

    def keep_new(self, choice: ChunkChoice) -> None:
        """Leave of a choice that came as a message what goes beyond the deltas before it.

        Raises:
            StreamMalformedError: It says something else than those.
        """
        delta = choice.delta
        text, thought = text_of(delta.content), delta.reasoning_content or ""
        if choice.index or not (text or thought or delta.tool_calls):
            return
        known, thinking = self.text.whole(), self.thinking.whole()
        again = bool(self.finish_reason) and (text, thought) == (known, thinking)
        if (self.in_messages and not again) or not (known or thinking or self.tools.calls):
            self.in_messages = True
            return
        more = beyond(known, text) if text else ""
        more_thought = beyond(thinking, thought) if thought else ""
        calls = self.tools.unsaid(delta.tool_calls or ())
        if more is None or more_thought is None or calls is None:
            raise StreamMalformedError("the whole message says something else than its pieces")
        # None is not the same as empty, and stays.
        delta.content = more if text else delta.content
        delta.reasoning_content = more_thought if thought else delta.reasoning_content
        delta.tool_calls = calls if delta.tool_calls else delta.tool_calls

    def _set_aside(self, choice: ChunkChoice) -> None:
        """Add a choice that is not the first one, which counts if there is no first one."""
        if self.text or self.thinking or self.tools.calls:
            self.other = None
            return
        number, other = self.other = self.other or (choice.index, ChatAccumulator())
        if choice.index == number:
            alone = ChunkChoice(
                delta=choice.delta, finish_reason=choice.finish_reason, usage=choice.usage
            )
            other.add_choices([[alone]])

    def take_other(self) -> int:
        """Read the choice that was set aside in place of the first; return its number, or 0."""
        if self.other is None:
            return 0
        number, other = self.other
        self.text, self.thinking, self.tools = other.text, other.thinking, other.tools
        self.audio, self.finish_reason = other.audio, other.finish_reason
        self.usage = self.usage or other.usage
        return number

    def keep_unknown(self, chunk: ChatCompletionChunk) -> None:
        """Keep the unknown fields of a chunk, if it has any: few have, and all of them are odd."""
        if extra := extra_of(chunk):
            self._unknown_fields.answer.add(extra)
        for choice in chunk.choices:
            if choice.index:
                continue
            if extra := extra_of(choice):
                self._unknown_fields.choice.add(extra)
            if extra := extra_of(choice.delta):
                self._unknown_fields.message.add(extra)

    @property
    def _unknown_fields(self) -> _UnknownFields:
        self.unknown = self.unknown or _UnknownFields()
        return self.unknown

    def completion(self) -> ChatCompletion:
        """Return the answer so far, in the form of an answer that was not streamed.

        Unless it has come to a proper end it holds only those tool calls whose arguments are whole.
        """
        # Half a call is worse than none: an agent would run it with what is left of its arguments.
        proper = bool(self.finish_reason) and outcome_of(self.finish_reason) in PROPER_ENDS
        calls = [call.call() for call in self.tools.calls if proper or call.is_whole()]
        message = Message(
            role="assistant",
            content=self.text.whole() if self.text else None,
            reasoning_content=self.thinking.whole() if self.thinking else None,
            tool_calls=calls,
            audio=self.audio,
        )
        choice = Choice(index=0, finish_reason=self.finish_reason, message=message)
        answer = ChatCompletion(
            id=self.head.id,
            request_id=self.head.request_id,
            created=self.head.created,
            object="chat.completion",
            model=self.head.model or "",
            choices=[choice],
            usage=self.usage or Usage(),
            web_search=list(self.web_search),
            content_filter=list(self.content_filter),
        )
        if self.unknown is None:
            return answer
        choice.message = with_extra(message, self.unknown.message.joined())
        answer.choices = [with_extra(choice, self.unknown.choice.joined())]
        return with_extra(answer, self.unknown.answer.joined())
