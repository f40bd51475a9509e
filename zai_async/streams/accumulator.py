"""Adding up the pieces of a chat answer."""

from typing import Final

import msgspec

from zai_async.models import (
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    ChunkToolCall,
    ContentFilter,
    Delta,
    FunctionCall,
    Message,
    SearchResult,
    ToolCall,
    Usage,
)
from zai_async.models.chat import Audio, text_of
from zai_async.models.options import outcome_of

__all__ = ["PROPER_ENDS", "Blocks", "ChatAccumulator", "PartialToolCall"]

PROPER_ENDS = frozenset({"completed", "tool_calls", "other"})
"""How an answer ends that has said all it wanted to: a call without arguments needs none."""
_BLOCK: Final = 32


class Blocks(list[str]):
    """Pieces of a text, joined a block at a time: each for itself takes 60 bytes more."""

    _blocks = 0

    def pack(self) -> None:
        """Join what has come since the last block, if that is another one."""
        if len(self) - self._blocks >= _BLOCK:
            self[self._blocks :] = ["".join(self[self._blocks :])]
            self._blocks += 1


class PartialToolCall:
    """A tool call of which fragments have arrived."""

    __slots__ = ("id", "index", "name", "pieces", "type")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.type = "function"
        self.pieces = Blocks()

    def add(self, fragment: ChunkToolCall) -> str:
        """Add a fragment and return its piece of the arguments.

        The first non-empty id and name stay: later fragments repeat, blank or change them.
        """
        function = fragment.function
        self.id = self.id or fragment.id or ""
        self.type = fragment.type or self.type
        if function is None:
            return ""
        self.name = self.name or function.name or ""
        piece = function.arguments or ""
        self.pieces.append(piece)
        self.pieces.pack()
        return piece

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        return "".join(self.pieces)

    def is_whole(self) -> bool:
        """Tell whether the arguments are one JSON object, which nothing could make longer."""
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return False

    def call(self) -> ToolCall:
        """Return the call as a struct."""
        function = FunctionCall(name=self.name, arguments=self.arguments)
        return ToolCall(index=self.index, id=self.id, type=self.type, function=function)


class ChatAccumulator:
    """The answer so far, in pieces that are joined only when somebody asks."""

    def __init__(self) -> None:
        self.id = ""
        self.id_changes = 0
        self.created = 0
        self.model = ""
        self.request_id: str | None = None
        self.role = "assistant"
        self.text = Blocks()
        self.thinking = Blocks()
        self.calls: dict[int, PartialToolCall] = {}
        self._forks: dict[int, int] = {}
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.web_search: list[SearchResult] = []
        self.content_filter: list[ContentFilter] = []
        self.audio: Audio | None = None
        self.chunks = 0
        self._packed_at = _BLOCK

    def add(self, chunks: list[ChatCompletionChunk]) -> int:
        """Add chunks; return how many pieces brought the answer forward.

        One loop over many chunks, and no call for the usual ones: this runs for every token.
        """
        progress = 0
        known = self.id
        add_text, add_thinking = self.text.append, self.thinking.append
        for chunk in chunks:
            if chunk.id != known or not known:
                self._introduce(chunk)
                known = self.id
            if chunk.usage is not None or chunk.web_search or chunk.content_filter:
                progress += self._add_findings(chunk)
            for choice in chunk.choices or ():
                delta = choice.delta
                if (
                    delta is None
                    or delta.tool_calls
                    or delta.audio is not None
                    or choice.finish_reason
                    or choice.index
                    or choice.usage is not None
                ):
                    progress += self._add_choice(choice)
                    continue
                text, thought = delta.content, delta.reasoning_content
                if thought:
                    add_thinking(thought)
                    progress += 1
                if text is not None:
                    add_text(text if isinstance(text, str) else text_of(text))
                    progress += bool(text)
        self.chunks += len(chunks)
        if self.chunks >= self._packed_at:
            self._pack()
        return progress

    def _pack(self) -> None:
        self._packed_at = self.chunks + _BLOCK
        self.text.pack()
        self.thinking.pack()

    def _introduce(self, chunk: ChatCompletionChunk) -> None:
        """Take over who speaks; some relays give each chunk an id of its own, and the last none."""
        self.id_changes += bool(self.id and chunk.id)
        self.id = chunk.id or self.id
        self.created = self.created or chunk.created
        self.model = self.model or chunk.model or ""
        self.request_id = self.request_id or chunk.request_id

    def _add_findings(self, chunk: ChatCompletionChunk) -> bool:
        self.usage = chunk.usage or self.usage
        self.web_search += chunk.web_search or ()
        self.content_filter += chunk.content_filter or ()
        return bool(chunk.web_search or chunk.content_filter)

    def _add_choice(self, choice: ChunkChoice) -> int:
        if choice.index:
            return 0
        delta = choice.delta
        progress = 0
        if delta is not None:
            if delta.content is not None:
                self.text.append(text_of(delta.content))
                progress += bool(delta.content)
            if delta.reasoning_content:
                self.thinking.append(delta.reasoning_content)
                progress += 1
            if delta.tool_calls or delta.audio is not None:
                progress += self._add_rarities(delta)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
        if choice.usage is not None:
            self.usage = choice.usage
        return progress

    def _add_rarities(self, delta: Delta) -> int:
        self.audio = delta.audio or self.audio
        return self._add_fragments(delta.tool_calls or []) + (delta.audio is not None)

    def _add_fragments(self, fragments: list[ChunkToolCall]) -> int:
        progress = 0
        for position, fragment in enumerate(fragments):
            index = self._index(position, fragment)
            begins = index not in self.calls
            call = self.calls.setdefault(index, PartialToolCall(index))
            progress = bool(call.add(fragment)) or begins or progress
        return progress

    def _index(self, position: int, fragment: ChunkToolCall) -> int:
        """Return the index of a fragment; one without it belongs to its id, else to the last."""
        if fragment.index is not None:
            return self._fork(fragment.index, fragment)
        for index, call in self.calls.items():
            if fragment.id and call.id == fragment.id:
                return index
        starts = bool(fragment.id and fragment.function and fragment.function.name)
        return len(self.calls) if starts else max(position, *self.calls, 0)

    def _fork(self, index: int, fragment: ChunkToolCall) -> int:
        """Return the call that an index stands for; some relays give two calls the same one."""
        own = self._forks.get(index, index)
        name = fragment.function.name if fragment.function else None
        if name and own in self.calls and self.calls[own].name not in {"", name}:
            own = self._forks[index] = max(self.calls) + 1
        return own

    def unfinished(self) -> PartialToolCall | None:
        """Return a tool call whose arguments are not whole, if there is one."""
        return next((call for call in self.calls.values() if not call.is_whole()), None)

    def completion(self) -> ChatCompletion:
        """Return the answer so far, in the form of an answer that was not streamed.

        Unless it has come to a proper end it holds only those tool calls whose arguments are whole.
        """
        proper = bool(self.finish_reason) and outcome_of(self.finish_reason) in PROPER_ENDS
        calls = [call for call in self.calls.values() if proper or call.is_whole()]
        message = Message(
            role=self.role,
            content="".join(self.text) if self.text else None,
            reasoning_content="".join(self.thinking) if self.thinking else None,
            tool_calls=[call.call() for call in calls],
            audio=self.audio,
        )
        choice = Choice(index=0, finish_reason=self.finish_reason, message=message)
        return ChatCompletion(
            id=self.id,
            request_id=self.request_id,
            created=self.created,
            object="chat.completion",
            model=self.model,
            choices=[choice],
            usage=self.usage or Usage(),
            web_search=list(self.web_search),
            content_filter=list(self.content_filter),
        )
