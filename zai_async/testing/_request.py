"""Chat requests: their shape, and what the platform refuses with which code."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from zai_async.testing._catalogue import Model, Thinking
from zai_async.testing._reading import find_model, read_body
from zai_async.testing._refusal import Refusal

_EFFORTS = frozenset({"max", "xhigh", "high", "medium", "low", "minimal", "none"})
_EFFORTS_ALWAYS = frozenset({"max", "high", "low"})
_FRAGMENTING = frozenset(
    {"glm-5.3", "glm-5.2", "glm-5.1", "glm-5", "glm-5-turbo", "glm-4.7", "glm-4.6"}
)  # the others take tool_stream and ignore it
_BLANK_ROLES = frozenset({"system", "assistant"})


class Message(Struct):
    """Hold one message; content parts stay as they are."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """Join the text of the message, whatever form its content has."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class Function(Struct):
    """Hold one function the model may call."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class SearchOptions(Struct):
    """Hold what matters of the web search tool."""

    enable: bool = False
    search_result: bool = False
    result_sequence: str = "after"


class Tool(Struct):
    """Hold one tool of any type."""

    type: str
    function: Function | None = None
    web_search: SearchOptions | None = None


class ThinkingOptions(Struct):
    """Hold the switch for reasoning."""

    type: Literal["enabled", "disabled"] = "enabled"


class ResponseFormat(Struct):
    """Hold the wish for JSON."""

    type: str


class ChatRequest(Struct):
    """Hold what the emulator looks at; other fields are ignored, as on the platform.

    Ranges: https://docs.z.ai/api-reference/llm/chat-completion.
    """

    model: str
    messages: list[Message]
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0.01, le=1)] | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    thinking: ThinkingOptions | None = None
    reasoning_effort: str | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Any = None
    tool_stream: bool | None = None
    response_format: ResponseFormat | None = None
    request_id: str | None = None

    @property
    def known_model(self) -> Model:
        """Give the model, ``Refusal`` when there is none for chats."""
        return find_model(self.model, "text", "vision")

    @property
    def prompt(self) -> str:
        """Give what the user said last."""
        users = [message.text for message in self.messages if message.role == "user"]
        return users[-1] if users else ""

    @property
    def functions(self) -> list[Function]:
        """List the functions among the tools."""
        return [tool.function for tool in self.tools or [] if tool.function is not None]

    @property
    def search(self) -> SearchOptions | None:
        """Give the web search that is on and shows its sources."""
        wishes = [tool.web_search for tool in self.tools or [] if tool.web_search is not None]
        return next((wish for wish in wishes if wish.enable and wish.search_result), None)

    @property
    def fragments(self) -> bool:
        """Say whether tool calls are streamed piece by piece."""
        return self.tool_stream is True and self.known_model.id in _FRAGMENTING

    @property
    def thinks(self) -> bool:
        """Say whether reasoning comes before the answer."""
        rule = self.known_model.thinking
        if rule == "none" or (rule == "effort" and self.reasoning_effort in {"none", "minimal"}):
            return False
        return self.thinking is None or self.thinking.type == "enabled"


def read_chat(body: bytes) -> ChatRequest:
    """Decode and check a request, raise ``Refusal`` with 1210 to 1214 when it is not legal."""
    request = read_body(body, ChatRequest)
    model = request.known_model
    _check_messages(request.messages)
    _check_max_tokens(request.max_tokens, model.max_output)
    _check_thinking(request, model.thinking)
    return request


def _check_messages(messages: list[Message]) -> None:
    if {message.role for message in messages} <= _BLANK_ROLES:
        raise Refusal("1214", "messages must not be empty or only from system and assistant")
    if any(message.content is None and message.role != "assistant" for message in messages):
        raise Refusal("1214", "messages: only the assistant's may lack content")


def _check_max_tokens(wanted: int | None, cap: int) -> None:
    if wanted is not None and not 1 <= wanted <= cap:
        raise Refusal("1210", f"max_tokens must be within [1,{cap}]")


def _check_thinking(request: ChatRequest, rule: Thinking) -> None:
    effort = request.reasoning_effort
    if rule == "always" and not (request.thinks and effort in _EFFORTS_ALWAYS | {None}):
        raise Refusal(
            "1210",
            f"{request.model} always thinks; set reasoning_effort to low, high or max instead",
        )
    if rule == "effort" and effort not in _EFFORTS | {None}:
        raise Refusal("1210", f"reasoning_effort is not valid: {effort}")
