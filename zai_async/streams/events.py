"""What happens in a chat stream, as a closed union of structs to match on."""

from typing import Any, TypeVar

import msgspec

from zai_async.errors import ToolCallMalformedError
from zai_async.models import ChatCompletion, Outcome, SearchResult
from zai_async.models import Usage as TokenUsage

__all__ = [
    "ChatEvent",
    "Finished",
    "Reset",
    "TextDelta",
    "ThinkingDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStarted",
    "Usage",
    "WebSearch",
]

T = TypeVar("T")


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


class ToolCall(msgspec.Struct, frozen=True):
    """A whole tool call; it comes only after the stream has reached its proper end."""

    index: int
    id: str
    name: str
    raw: str
    """The arguments as JSON text, exactly as the model wrote them."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as a dict."""
        return self.parse(dict[str, Any])

    def parse(self, type: type[T]) -> T:
        """Decode the arguments into a Struct, dataclass, TypedDict or other type.

        Raises:
            ToolCallMalformedError: The arguments do not fit the type.
        """
        try:
            return msgspec.json.decode(self.raw or "{}", type=type)
        except msgspec.DecodeError as error:
            text = f"the arguments of {self.name} do not fit: {error}"
            raise ToolCallMalformedError(
                text, name=self.name, call_id=self.id, raw=self.raw
            ) from None


class WebSearch(msgspec.Struct, frozen=True):
    """The pages that a web search found."""

    results: list[SearchResult]


class Usage(msgspec.Struct, frozen=True):
    """The token counts of the call."""

    usage: TokenUsage


class Reset(msgspec.Struct, frozen=True):
    """The platform began its answer anew: forget all deltas so far (``on_restart="reset"``)."""

    old_id: str
    new_id: str


class Finished(msgspec.Struct, frozen=True):
    """The stream has reached its end; the last event."""

    outcome: Outcome
    finish_reason: str | None
    completion: ChatCompletion


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
