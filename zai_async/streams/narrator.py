"""Telling what a chunk changed, as events."""

from collections.abc import Iterator

from zai_async.errors import ToolCallIncompleteError, ToolCallMalformedError, ZaiError
from zai_async.models import ChatCompletion, ChatCompletionChunk, Outcome, Usage
from zai_async.streams.accumulator import PROPER_ENDS, ChatAccumulator, PartialToolCall
from zai_async.streams.events import (
    ChatEvent,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    WebSearch,
)

__all__ = ["Narrator"]


class Narrator:
    """Compares the answer with what has been told of it."""

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
