"""Chat answers, and how they end: https://docs.z.ai/api-reference/llm/chat-completion."""

import builtins
from collections.abc import Collection
from typing import Any, ClassVar, TypeVar, overload

import msgspec
from msgspec import field

from zai_async._codes import Outcome
from zai_async.errors import (
    EmptyAnswerError,
    GenerationFailedError,
    IncompleteError,
    StreamTruncatedError,
    ToolCallMalformedError,
)
from zai_async.models.counting import require_decodable
from zai_async.models.json_object import JSONObject
from zai_async.models.options import BY_FINISH_REASON
from zai_async.models.reply import Reply
from zai_async.models.tolerant import Count

__all__ = [
    "Audio",
    "ChatCompletion",
    "Choice",
    "CompletionTokensDetails",
    "ContentFilter",
    "FunctionCall",
    "Message",
    "PromptTokensDetails",
    "SearchResult",
    "ToolCall",
    "Usage",
]


class PromptTokensDetails(JSONObject, kw_only=True, gc=False):
    """Split the prompt tokens."""

    cached_tokens: Count = 0
    """Tokens read from the context cache; part of ``prompt_tokens``."""


class CompletionTokensDetails(JSONObject, kw_only=True, gc=False):
    """Split the completion tokens."""

    reasoning_tokens: Count = 0
    """Tokens spent on thinking; part of ``completion_tokens``."""


class Usage(JSONObject, kw_only=True, gc=False):
    """Count the tokens of one call, as billed; all zero when the service did not say."""

    prompt_tokens: Count = 0
    """Tokens of the request, cached ones included."""
    completion_tokens: Count = 0
    """Tokens of the answer, thinking included."""
    total_tokens: Count = 0
    """Both together, if not more; for some agents all that is told."""
    prompt_tokens_details: PromptTokensDetails | None = None
    """Absent for some models."""
    completion_tokens_details: CompletionTokensDetails | None = None
    """Absent for some models."""

    def __post_init__(self) -> None:
        # Some gateways tell the parts only.
        self.total_tokens = max(self.total_tokens, self.prompt_tokens + self.completion_tokens)

    @property
    def undivided_tokens(self) -> int:
        """Tokens of the total that are told as neither those of the prompt nor of the answer."""
        return self.total_tokens - self.prompt_tokens - self.completion_tokens

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens read from the context cache, 0 when not reported."""
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0

    @property
    def reasoning_tokens(self) -> int:
        """Completion tokens spent on thinking, 0 when not reported."""
        return (
            self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else 0
        )

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            prompt_tokens_details=PromptTokensDetails(
                cached_tokens=self.cached_tokens + other.cached_tokens
            ),
            completion_tokens_details=CompletionTokensDetails(
                reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens
            ),
        )


T = TypeVar("T")
Content = str | list[dict[str, Any]] | None


class FunctionCall(JSONObject, kw_only=True):
    """Name the function that the model wants called."""

    name: str = ""
    arguments: str = ""
    """The arguments as JSON text, exactly as the model wrote it; it may be invalid."""

    @overload
    def parse(self) -> dict[str, Any]: ...
    @overload
    def parse(self, into: builtins.type[T]) -> T: ...
    def parse(self, into: Any = dict[str, Any]) -> Any:
        """Decode the arguments into a type: a dict, Struct, dataclass or TypedDict.

        No text at all is what some models write for no arguments, and reads as ``{}``.

        Raises:
            ToolCallMalformedError: The arguments are not JSON, or do not fit the type.
        """
        try:
            # Models write what looks like JSON: half of it, NaN, or a text around it. The text
            # itself is kept
            # for whoever wants to repair it.
            require_decodable(self.arguments)
            return msgspec.json.decode(self.arguments or "{}", type=into)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            text = f"the arguments of the tool call {self.name!r} cannot be read: {error}"
            raise ToolCallMalformedError(text, name=self.name, raw=self.arguments) from None


class ToolCall(JSONObject, kw_only=True, omit_defaults=True):
    """Ask for one tool to be run; its result goes back in a ``tool`` message with this ``id``."""

    # msgspec omits equal defaults, but never the product of a factory: these three are always sent.
    id: str = field(default_factory=str)
    type: str = field(default_factory=lambda: "function")
    """``"function"``, ``"web_search"`` or ``"retrieval"``; other values may be added."""
    function: FunctionCall = field(default_factory=FunctionCall)
    index: Count | None = None
    """Position among the calls of the message."""

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.name

    @property
    def arguments(self) -> str:
        """The arguments of the function as JSON text."""
        return self.function.arguments

    @overload
    def parse(self) -> dict[str, Any]: ...
    @overload
    def parse(self, into: builtins.type[T]) -> T: ...
    def parse(self, into: Any = dict[str, Any]) -> Any:
        """Decode the arguments into a type: a dict, Struct, dataclass or TypedDict.

        Raises:
            ToolCallMalformedError: The arguments are not JSON, or do not fit the type.
        """
        return self.function.parse(into)


class Audio(JSONObject, kw_only=True, omit_defaults=True):
    """Spoken output of the audio models of bigmodel.cn."""

    id: str | None = None
    data: str | None = None
    """Base64 of the sound."""
    expires_at: Count | None = None
    """Unix seconds until which the service remembers ``id``."""


class Message(JSONObject, kw_only=True, omit_defaults=True):
    """The answer of the model; encoded, it is the request message that continues the chat.

    Content, reasoning, arguments and unknown fields go back character by character as they came,
    which preserved thinking depends on:
    https://docs.z.ai/guides/capabilities/thinking-mode
    """

    _aliases: ClassVar = {"reasoning": ("reasoning_content", str)}

    # From a factory, because a default would be omitted and a message needs its role.
    role: str = field(default_factory=lambda: "assistant")
    content: Content = None
    """Text, or from some vision models a list of ``{"type": "text", "text": ...}``."""
    reasoning_content: str | None = None
    """What the model thought before it answered."""
    tool_calls: list[ToolCall] = field(default_factory=list)
    audio: Audio | None = None

    @property
    def text(self) -> str:
        """The answer as one string, the text parts joined; empty when there is none."""
        return text_of(self.content)


class Choice(JSONObject, kw_only=True):
    """An answer, and the reason why it ended."""

    # And the other way round.
    _aliases: ClassVar = {"delta": ("message", dict)}

    index: Count = 0
    # Open: servers add reasons, and an enum would lose the answers that end with a new one.
    finish_reason: str | None = None
    """``stop``, ``tool_calls``, ``length``, ``sensitive``, ``network_error``,
    ``model_context_window_exceeded``; other values may be added."""
    message: Message = field(default_factory=Message)
    usage: Usage | None = None
    """Only some gateways put it here."""


class SearchResult(JSONObject, kw_only=True):
    """Cite one page that a web search found."""

    title: str = ""
    content: str = ""
    """A summary of the page."""
    link: str = ""
    media: str = ""
    """The name of the site."""
    icon: str = ""
    """The address of the site's icon."""
    refer: str = ""
    """The mark used in the answer, such as ``ref_1``."""
    publish_date: str = ""


class ContentFilter(JSONObject, kw_only=True):
    """Report what the safety audit found in one part of the conversation."""

    role: str = ""
    """``assistant``, ``user`` or ``history``."""
    level: Count | None = None
    """0 (most severe) to 3."""


class ChatCompletion(Reply, kw_only=True):
    """The finished answer to a chat request."""

    id: str = ""
    """The id of the answer; also the ``X-Log-Id`` header."""
    created: Count = 0
    """Unix seconds."""
    object: str = ""
    model: str = ""
    choices: list[Choice] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    web_search: list[SearchResult] = field(default_factory=list)
    """The sources of the answer, when the web search tool was told to return them."""
    content_filter: list[ContentFilter] = field(default_factory=list)

    @property
    def message(self) -> Message:
        """The message of the first choice, or an empty one."""
        return self.choices[0].message if self.choices else Message()

    @property
    def text(self) -> str:
        """The text of the answer, empty when there is none."""
        return self.message.text

    @property
    def thinking(self) -> str:
        """The reasoning before the answer, empty when there is none."""
        return self.message.reasoning_content or ""

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls that the model asks for."""
        return self.message.tool_calls

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, in the words of the API."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def outcome(self) -> Outcome:
        """How the call ended; ``"empty"`` when it ended well but said nothing."""
        outcome: Outcome | None = vars(self).get("outcome")
        return outcome or natural_outcome(self)


# Vision models answer in parts, of which a server may add kinds that hold no text.
def text_of(content: Content) -> str:
    """Join the text parts of a content; a plain string is returned as it is."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content or ""


_SILENT_ENDS = frozenset({"completed", "length", "tool_calls", "other"})


def natural_outcome(answer: ChatCompletion) -> Outcome:
    """Name how an answer ended that is all there is, by its own words alone."""
    if not answer.choices:
        return "empty"
    choice = answer.choices[0]
    message = choice.message
    content = message.content
    text = content if isinstance(content, str) else text_of(content)
    # A call of a function that is not named cannot be run.
    called = bool(message.tool_calls) and any(map(is_usable, message.tool_calls))
    said = bool(text.strip() or called or message.audio)
    if not choice.finish_reason:
        return "truncated" if said or message.reasoning_content else "empty"
    outcome = BY_FINISH_REASON.get(choice.finish_reason.lower(), "other")
    if not said and outcome in _SILENT_ENDS:
        return "empty"
    # An agent that waits for calls would take the text for the final answer.
    return "truncated" if outcome == "tool_calls" and not called else outcome


def ensure_proper_end(answer: ChatCompletion, allow: Collection[str] = ()) -> Outcome:
    """Return the outcome of a chat answer, or raise if it is not usable.

    Raises:
        StreamTruncatedError: The answer stops without a finish reason, or lacks its tool calls.
        GenerationFailedError: The platform lost the generation.
        EmptyAnswerError: The answer has no content.
    """
    # What the answer says of itself, before what the caller is content with.
    outcome = natural_outcome(answer)
    # An answer that spent all its tokens on reasoning is known by both names.
    starved = outcome == "empty" and (answer.finish_reason or "").lower() == "length"
    if outcome in allow or (starved and "length" in allow):
        return outcome
    error: IncompleteError
    if outcome == "truncated":
        ends = "stops without a finish reason"
        if answer.finish_reason:
            ends = f"ends with {answer.finish_reason!r} but has no tool call"
        error = StreamTruncatedError(f"the answer {ends}")
    elif outcome == "network_error":
        error = GenerationFailedError("the platform lost the generation half-way")
    elif outcome == "empty":
        what = "only reasoning" if answer.thinking else "nothing"
        hint = "Reasoning used up max_tokens; raise max_tokens or lower the thinking effort."
        error = EmptyAnswerError(f"the answer holds {what}", hint=hint if starved else None)
    else:
        return outcome
    error.partial = answer
    error.request_id = answer.request_id or answer.id or None
    raise error


def is_usable(call: ToolCall) -> bool:
    """Tell whether a call says what is to be called; the platform's own tools have no name."""
    return bool(call.function.name) or call.type != "function"
