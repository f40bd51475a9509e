"""Chat requests: what they may hold, and which of them the platform refuses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.catalogue import CatalogueModel, find_model
from zai_async.testing.emulator.operation import OperationCall, require
from zai_async.testing.emulator.reply import Refusal

_MAX_TEXT = 4 * 2**20  # characters: about the million tokens of the largest context window
_EFFORTS = frozenset({"max", "xhigh", "high", "medium", "low", "minimal", "none"})
_EFFORTS_ALWAYS = frozenset({"max", "high", "low"})
_FRAGMENTING = frozenset(
    {"glm-5.3", "glm-5.2", "glm-5.1", "glm-5", "glm-5-turbo", "glm-4.7", "glm-4.6"}
)  # the others take tool_stream and ignore it
_BLANK_ROLES = frozenset({"system", "assistant"})


class SentMessage(Struct):
    """One message; content parts stay as they are."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: Any = None

    @property
    def text(self) -> str:
        """The text of the message, whatever form its content has."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


# The pattern of names is documented; frameworks send dots and spaces all the same.
class OfferedFunction(Struct):
    """One function the model may call."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


# Defaults as documented: without `search_result` sources are used but not shown.
class WantedSearch(Struct):
    """What matters of the web search tool."""

    enable: bool = False
    search_result: bool = False
    result_sequence: str = "after"


class OfferedTool(Struct):
    """One tool of any type."""

    type: str
    function: OfferedFunction | None = None
    web_search: WantedSearch | None = None


class ThinkingSwitch(Struct):
    """The switch for reasoning."""

    type: Literal["enabled", "disabled"] = "enabled"


class WantedFormat(Struct):
    """The wish for JSON."""

    type: str


class ReceivedChat(Struct):
    """What the emulator looks at; other fields are ignored, as on the platform.

    Ranges: https://docs.z.ai/api-reference/llm/chat-completion.
    """

    model: str
    messages: list[SentMessage]
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0.01, le=1)] | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    thinking: ThinkingSwitch | None = None
    reasoning_effort: str | None = None
    tools: Annotated[list[OfferedTool], Meta(max_length=128)] | None = None
    tool_choice: Any = None
    tool_stream: bool | None = None
    response_format: WantedFormat | None = None
    request_id: str | None = None

    @property
    def known_model(self) -> CatalogueModel:
        """The model, ``Refusal`` when there is none for chats."""
        return find_model(self.model, "text", "vision")

    @property
    def prompt(self) -> str:
        """What the user said last."""
        users = [message.text for message in self.messages if message.role == "user"]
        return users[-1] if users else ""

    @property
    def functions(self) -> list[OfferedFunction]:
        """The functions among the tools."""
        return [tool.function for tool in self.tools or [] if tool.function is not None]

    @property
    def search(self) -> WantedSearch | None:
        """The web search that is on and shows its sources."""
        wishes = [tool.web_search for tool in self.tools or [] if tool.web_search is not None]
        return next((wish for wish in wishes if wish.enable and wish.search_result), None)

    @property
    def fragments(self) -> bool:
        """Whether tool calls are streamed piece by piece."""
        return self.tool_stream is True and self.known_model.id in _FRAGMENTING

    @property
    def thinks(self) -> bool:
        """Whether reasoning comes before the answer."""
        rule = self.known_model.thinking
        if rule == "none" or (rule == "effort" and self.reasoning_effort in {"none", "minimal"}):
            return False
        return self.thinking is None or self.thinking.type == "enabled"


def read_chat(call: OperationCall) -> ReceivedChat:
    """Decode and check a request, raise ``Refusal`` with 1210 to 1261 when it is not legal."""
    request = call.read(ReceivedChat)
    model, effort = request.known_model, request.reasoning_effort

    # A conversation without a user's word is refused as if it were empty.
    if {message.role for message in request.messages} <= _BLANK_ROLES:
        raise Refusal("1214", "messages must not be empty or only from system and assistant")
    lacking = {message.role for message in request.messages if message.content is None}
    require(lacking <= {"assistant"}, "messages: only the assistant's may lack content", "1214")
    if sum(len(message.text) for message in request.messages) > _MAX_TEXT:
        raise Refusal("1261")

    # Not part of the schema, for each model has a cap of its own.
    cap = model.max_output
    legal = request.max_tokens is None or 1 <= request.max_tokens <= cap
    require(legal, f"max_tokens must be within [1,{cap}]")

    # glm-5.3 refuses to stop thinking; with glm-5.2 `reasoning_effort` decides.
    if model.thinking == "always" and not (request.thinks and effort in _EFFORTS_ALWAYS | {None}):
        wanted = "always thinks; set reasoning_effort to low, high or max instead"
        raise Refusal("1210", f"{request.model} {wanted}")
    if model.thinking == "effort" and effort not in _EFFORTS | {None}:
        raise Refusal("1210", f"reasoning_effort is not valid: {effort}")
    return request
