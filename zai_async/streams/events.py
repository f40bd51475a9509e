"""What happens in a chat stream, as a closed union of structs to match on."""

import msgspec

from zai_async.models import ChatCompletion, Outcome, SearchResult, ToolCall, Usage

__all__ = [
    "ChatEvent",
    "Finished",
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
