"""What happens in a chat stream, told as a closed union of structs to match on."""

from collections.abc import Iterator

import msgspec

from zai_async.errors import ToolCallIncompleteError, ToolCallMalformedError, ZaiError
from zai_async.models import (
    ChatCompletion,
    ChatCompletionChunk,
    Outcome,
    SearchResult,
    ToolCall,
    Usage,
)
from zai_async.streams.accumulator import PROPER_ENDS, ChatAccumulator, PartialToolCall

__all__ = [
    "ChatEvent",
    "Finished",
    "Narrator",
    "Reset",
    "TextDelta",
    "ThinkingDelta",
    "ToolCallDelta",
    "ToolCallStarted",
    "WebSearch",
]


class ThinkingDelta(msgspec.Struct, frozen=True):
    """A piece of the reasoning."""

    text: str


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer."""

    text: str


class ToolCallStarted(msgspec.Struct, frozen=True):
    """The model begins a tool call; its arguments follow."""

    index: int
    id: str
    name: str


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of the arguments of a tool call, as JSON text."""

    index: int
    text: str


class WebSearch(msgspec.Struct, frozen=True):
    """The pages that a web search found."""

    results: list[SearchResult]


class Reset(msgspec.Struct, frozen=True):
    """The platform began its answer anew: forget all deltas so far (``on_restart="reset"``)."""

    old_id: str
    new_id: str


class Finished(msgspec.Struct, frozen=True):
    """The stream has reached its end; the last event."""

    outcome: Outcome
    finish_reason: str | None
    completion: ChatCompletion


# A whole tool call and the token counts come as the structs that an answer holds them in; a tool
# call comes only after the stream has reached its proper end.
ChatEvent = (
    ThinkingDelta
    | TextDelta
    | ToolCallStarted
    | ToolCallDelta
    | ToolCall
    | WebSearch
    | Usage
    | Reset
    | Finished
)


class Narrator:
    """Tells what a chunk changed: compares the answer with what has been told of it."""

    def __init__(self) -> None:
        self._told: dict[int, int] = {}

    def tell(self, chunk: ChatCompletionChunk, answer: ChatAccumulator) -> Iterator[ChatEvent]:
        """Yield the events of a chunk that has just been added to the answer."""
        if thinking := chunk.thinking:
            yield ThinkingDelta(thinking)
        if text := chunk.text:
            yield TextDelta(text)
        for call in answer.calls.values():
            yield from self._progress(call)
        if chunk.web_search:
            yield WebSearch(chunk.web_search)
        if usage := _usage(chunk):
            yield usage

    def _progress(self, call: PartialToolCall) -> Iterator[ChatEvent]:
        if call.index not in self._told:
            self._told[call.index] = 0
            yield ToolCallStarted(call.index, call.id, call.name)
        told, self._told[call.index] = self._told[call.index], len(call.pieces)
        for piece in call.pieces[told:]:
            if piece:
                yield ToolCallDelta(call.index, piece)

    def conclude(
        self, answer: ChatAccumulator, completion: ChatCompletion, outcome: Outcome
    ) -> Iterator[ChatEvent | ZaiError]:
        """Yield what only the proper end of the stream makes certain."""
        proper = outcome in PROPER_ENDS
        for call in answer.calls.values():
            if call.is_whole() or (proper and not call.arguments.strip()):
                yield call.call()
            else:
                yield _unusable(call, completion)
        yield Finished(outcome, completion.finish_reason, completion)


def _usage(chunk: ChatCompletionChunk) -> Usage | None:
    return chunk.usage or next((c.usage for c in chunk.choices or () if c.usage), None)


def _unusable(call: PartialToolCall, completion: ChatCompletion) -> ZaiError:
    cut = completion.finish_reason != "tool_calls"
    kind = ToolCallIncompleteError if cut else ToolCallMalformedError
    what = "break off" if cut else "are not one JSON object"
    return kind(
        f"the arguments of the tool call {call.name!r} {what}",
        name=call.name,
        call_id=call.id,
        raw=call.arguments,
        partial=completion,
    )
