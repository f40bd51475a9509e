"""Chat answers in pieces: https://docs.z.ai/api-reference/llm/chat-completion."""

from typing import Any, ClassVar

from msgspec import field

from zai_async.models.chat import Audio, Content, ContentFilter, SearchResult, Usage, text_of
from zai_async.models.json_object import JSONObject
from zai_async.models.tolerant import Count

__all__ = [
    "ChatCompletionChunk",
    "ChunkChoice",
    "ChunkFunction",
    "ChunkToolCall",
    "Delta",
]


class ChunkFunction(JSONObject, kw_only=True, gc=False):
    """A fragment of a function call."""

    name: str | None = None
    arguments: str | None = None
    """The next piece of the JSON text, or all of it when ``tool_stream`` is off."""


class ChunkToolCall(JSONObject, kw_only=True, gc=False):
    """A fragment of a tool call; fragments of one call share ``index``."""

    index: Count | None = None
    id: str | None = None
    """Set on the first fragment; later ones may repeat, blank or drop it."""
    type: str | None = None
    function: ChunkFunction | None = None


# Hot: one of each is made for every token, so these four are outside of the garbage collector.
# That is safe because JSON has no cycles.
class Delta(JSONObject, kw_only=True, gc=False):
    """What one chunk adds to the message."""

    _aliases: ClassVar = {"reasoning": ("reasoning_content", str)}

    role: str | None = None
    content: Content = None
    reasoning_content: str | None = None
    tool_calls: list[ChunkToolCall] | None = None
    audio: Audio | None = None


class ChunkChoice(JSONObject, kw_only=True, gc=False):
    """What one chunk adds to one choice."""

    # Servers that were written for whole answers stream them in this form.
    _aliases: ClassVar = {"message": ("delta", dict)}

    index: Count = 0
    delta: Delta = field(default_factory=Delta)
    finish_reason: str | None = None
    """Only on the last chunk of the choice; ``""`` means the same as absent."""
    usage: Usage | None = None
    """Only some gateways put it here."""


class ChatCompletionChunk(JSONObject, kw_only=True, gc=False):
    """One event of a streamed chat answer, as on the wire."""

    # In the order of the wire: msgspec looks for the next key at the next field first.
    id: str = ""
    created: Count = 0
    """Unix seconds."""
    object: str | None = None
    model: str | None = None
    choices: list[ChunkChoice] = field(default_factory=list[ChunkChoice])
    usage: Usage | None = None
    """On the last chunk, next to ``finish_reason``."""
    request_id: str | None = None
    web_search: list[SearchResult] | None = None
    content_filter: list[ContentFilter] | None = None
    # Relays report a failure in the place of a chunk, with status 200 and in any shape.
    error: Any = None
    """An error object in place of a chunk; undecoded shapes included, hence any JSON value."""

    @property
    def text(self) -> str:
        """The answer text that this chunk adds to the first choice."""
        for choice in self.choices:  # a generator would take twice the time, at each token
            if choice.index == 0:
                return text_of(choice.delta.content)
        return ""

    @property
    def thinking(self) -> str:
        """The reasoning text that this chunk adds to the first choice."""
        for choice in self.choices:
            if choice.index == 0:
                return choice.delta.reasoning_content or ""
        return ""
