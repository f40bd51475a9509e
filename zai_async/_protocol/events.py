"""What happens in a chat stream, as a closed union of structs to match on."""

from collections.abc import Iterator

import msgspec

from zai_async._protocol.accumulator import PROPER_ENDS, ChatAccumulator
from zai_async._protocol.tool_calls import PartialToolCall
from zai_async.errors import ToolCallIncompleteError, ToolCallMalformedError, ZaiError
from zai_async.models import (
    ChatCompletion,
    ChatCompletionChunk,
    Outcome,
    SearchResult,
    ToolCall,
    Usage,
)
from zai_async.models.json_object import PlainForm

__all__ = [
    "ChatEvent",
    "EventBuilder",
    "Finished",
    "Reset",
    "TextDelta",
    "ThinkingDelta",
    "ToolCallDelta",
    "ToolCallStarted",
    "WebSearch",
]


class ThinkingDelta(PlainForm, msgspec.Struct, frozen=True, tag="thinking_delta"):
    """A piece of the reasoning."""

    text: str


class TextDelta(PlainForm, msgspec.Struct, frozen=True, tag="text_delta"):
    """A piece of the answer."""

    text: str


class ToolCallStarted(PlainForm, msgspec.Struct, frozen=True, tag="tool_call_started"):
    """The model begins a tool call; its arguments follow."""

    index: int
    id: str
    name: str


class ToolCallDelta(PlainForm, msgspec.Struct, frozen=True, tag="tool_call_delta"):
    """A piece of the arguments of a tool call, as JSON text."""

    index: int
    text: str


class WebSearch(PlainForm, msgspec.Struct, frozen=True, tag="web_search"):
    """The pages that a web search found."""

    results: list[SearchResult]


class Reset(PlainForm, msgspec.Struct, frozen=True, tag="reset"):
    """The platform began its answer anew: forget all deltas so far (``on_restart="reset"``)."""

    old_id: str
    new_id: str


class Finished(PlainForm, msgspec.Struct, frozen=True, tag="finished"):
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


class EventBuilder:
    """Makes events of chunks, in the order in which they are added to an answer."""

    def __init__(self, answer: ChatAccumulator) -> None:
        self.answer = answer
        # What a first chunk has changed is there already.
        if answer.updates is None:
            answer.updates = []
        self._started: set[int] = set()
        # What a call has said before its name was certain and its id known.
        self._early: dict[int, tuple[PartialToolCall, list[str]]] = {}

    def push(self, chunk: ChatCompletionChunk) -> Iterator[ChatEvent]:
        """Yield the events of a chunk that has just been added to the answer."""
        # In the order in which a model works: it thinks, then it speaks, then it calls.
        if thinking := chunk.thinking:
            yield ThinkingDelta(thinking)
        if text := chunk.text:
            yield TextDelta(text)
        if self.answer.updates:
            yield from self._tool_calls()
        if chunk.web_search:
            yield WebSearch(chunk.web_search)
        # Only some gateways count inside of a choice.
        inner = (choice.usage for choice in chunk.choices if choice.usage)
        usage = chunk.usage or next(inner, None)
        if usage is not None:
            yield usage

    def finish(
        self, completion: ChatCompletion, outcome: Outcome
    ) -> Iterator[ChatEvent | ZaiError]:
        """Yield what only the proper end of the stream makes certain."""
        # Calls without arguments, whose name nothing has made certain before, or without an id.
        for call, _ in tuple(self._early.values()):
            if not call.is_blank:
                yield from self._start(call)
        for call in self.answer.tools.calls:
            if call.is_whole() or (outcome in PROPER_ENDS and not call.arguments.strip()):
                yield call.call()
                continue
            # An end that asks for the calls leaves no doubt that the model wrote them like this.
            cut = completion.finish_reason != "tool_calls"
            what = "break off" if cut else "are not one JSON object"
            kind = ToolCallIncompleteError if cut else ToolCallMalformedError
            yield kind(
                f"the arguments of the tool call {call.name!r} {what}",
                name=call.name,
                call_id=call.id,
                raw=call.arguments,
                partial=completion,
            )
        yield Finished(outcome, completion.finish_reason, completion)

    def _tool_calls(self) -> Iterator[ChatEvent]:
        """Yield what the fragments of a chunk have changed.

        A name is certain when arguments follow it, or at the end: it may come in pieces, between
        those of other calls, and after the first arguments. So may an id, without which nobody
        could answer the call: some servers give one at the end, or none.
        """
        updates, self.answer.updates = self.answer.updates or (), []
        for call, piece, _ in updates:
            if call.index in self._started:
                if piece:
                    yield ToolCallDelta(call.index, piece)
                continue
            self._early.setdefault(call.index, (call, []))[1].append(piece)
            if call.is_named and call.id:
                yield from self._start(call)

    def _start(self, call: PartialToolCall) -> Iterator[ChatEvent]:
        self._started.add(call.index)
        yield ToolCallStarted(call.index, call.id, call.name)
        for piece in filter(None, self._early.pop(call.index)[1]):
            yield ToolCallDelta(call.index, piece)
