"""Chat completions on the wire: what a request may hold, and an answer whole or in chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct

from zai_async.testing.emulator.catalogue import CatalogueModel, ThinkingRule, find_model
from zai_async.testing.emulator.operation import read_body
from zai_async.testing.emulator.prose import tokens
from zai_async.testing.emulator.reply import DONE, Refusal, frame
from zai_async.testing.emulator.requests import Json

_EFFORTS = frozenset({"max", "xhigh", "high", "medium", "low", "minimal", "none"})
_EFFORTS_ALWAYS = frozenset({"max", "high", "low"})
_FRAGMENTING = frozenset(
    {"glm-5.3", "glm-5.2", "glm-5.1", "glm-5", "glm-5-turbo", "glm-4.7", "glm-4.6"}
)  # the others take tool_stream and ignore it
_BLANK_ROLES = frozenset({"system", "assistant"})


class SentMessage(Struct):
    """Hold one message; content parts stay as they are."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """Join the text of the message, whatever form its content has."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class OfferedFunction(Struct):
    """Hold one function the model may call."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class WantedSearch(Struct):
    """Hold what matters of the web search tool."""

    enable: bool = False
    search_result: bool = False
    result_sequence: str = "after"


class OfferedTool(Struct):
    """Hold one tool of any type."""

    type: str
    function: OfferedFunction | None = None
    web_search: WantedSearch | None = None


class ThinkingSwitch(Struct):
    """Hold the switch for reasoning."""

    type: Literal["enabled", "disabled"] = "enabled"


class WantedFormat(Struct):
    """Hold the wish for JSON."""

    type: str


class ReceivedChat(Struct):
    """Hold what the emulator looks at; other fields are ignored, as on the platform.

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
        """Give the model, ``Refusal`` when there is none for chats."""
        return find_model(self.model, "text", "vision")

    @property
    def prompt(self) -> str:
        """Give what the user said last."""
        users = [message.text for message in self.messages if message.role == "user"]
        return users[-1] if users else ""

    @property
    def functions(self) -> list[OfferedFunction]:
        """List the functions among the tools."""
        return [tool.function for tool in self.tools or [] if tool.function is not None]

    @property
    def search(self) -> WantedSearch | None:
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


def read_chat(body: bytes) -> ReceivedChat:
    """Decode and check a request, raise ``Refusal`` with 1210 to 1214 when it is not legal."""
    request = read_body(body, ReceivedChat)
    model = request.known_model
    _check_messages(request.messages)
    _check_max_tokens(request.max_tokens, model.max_output)
    _check_thinking(request, model.thinking)
    return request


def _check_messages(messages: list[SentMessage]) -> None:
    if {message.role for message in messages} <= _BLANK_ROLES:
        raise Refusal("1214", "messages must not be empty or only from system and assistant")
    if any(message.content is None and message.role != "assistant" for message in messages):
        raise Refusal("1214", "messages: only the assistant's may lack content")


def _check_max_tokens(wanted: int | None, cap: int) -> None:
    if wanted is not None and not 1 <= wanted <= cap:
        raise Refusal("1210", f"max_tokens must be within [1,{cap}]")


def _check_thinking(request: ReceivedChat, rule: ThinkingRule) -> None:
    effort = request.reasoning_effort
    if rule == "always" and not (request.thinks and effort in _EFFORTS_ALWAYS | {None}):
        raise Refusal(
            "1210",
            f"{request.model} always thinks; set reasoning_effort to low, high or max instead",
        )
    if rule == "effort" and effort not in _EFFORTS | {None}:
        raise Refusal("1210", f"reasoning_effort is not valid: {effort}")


# An answer and its two wire forms: a completion, or chunks


class ScriptedCall(TypedDict):
    """A tool call to answer with; arguments that are not a string are sent as their JSON text."""

    name: str
    arguments: NotRequired[str | Mapping[str, Any]]
    id: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """Hold what the model says.

    ``usage`` is ``"counted"``, a mapping to send as it is, or ``None`` for no usage at all.
    ``chunk_size`` is characters per delta; ``None`` sends about a word at a time.
    """

    text: str = ""
    thinking: str | None = None
    tool_calls: Sequence[ScriptedCall] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | Literal["counted"] | None = "counted"
    web_search: Sequence[Mapping[str, Any]] = ()
    model: str | None = None
    chunk_size: int | None = None

    @property
    def reason(self) -> str:
        """Give the finish reason, derived from the content unless scripted."""
        if self.finish_reason is not None:
            return self.finish_reason
        return "tool_calls" if self.tool_calls else "stop"

    def pieces(self, text: str | None) -> list[str]:
        """Cut a text into deltas."""
        if not text:
            return []
        if self.chunk_size is None:
            return tokens(text)
        size = self.chunk_size
        return [text[start : start + size] for start in range(0, len(text), size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerEnvelope:
    """Hold what surrounds an answer: identity, and the request's own wishes."""

    id: str
    request_id: str
    created: int
    model: str
    prompt_tokens: int
    cached_tokens: int = 0
    tool_stream: bool = False
    sources_first: bool = False


def completion(answer: ModelAnswer, envelope: AnswerEnvelope) -> Json:
    """Build the whole-answer body (https://docs.z.ai/api-reference/llm/chat-completion)."""
    choice = {"finish_reason": answer.reason, "index": 0, "message": _message(answer, envelope)}
    body: Json = {
        "choices": [choice],
        "created": envelope.created,
        "id": envelope.id,
        "model": envelope.model,
        "object": "chat.completion",
        "request_id": envelope.request_id,
    }
    return body | _tail(answer, envelope)


def _message(answer: ModelAnswer, envelope: AnswerEnvelope) -> Json:
    message: Json = {"content": answer.text, "role": "assistant"}
    if answer.thinking is not None:
        message["reasoning_content"] = answer.thinking
    if answer.tool_calls:
        message["tool_calls"] = _calls(answer, envelope)
    return message


def _tail(answer: ModelAnswer, envelope: AnswerEnvelope) -> Json:
    tail: Json = {}
    usage = _usage(answer, envelope)
    if usage is not None:
        tail["usage"] = usage
    if answer.web_search:
        tail["web_search"] = list(answer.web_search)
    if answer.reason == "sensitive":
        tail["content_filter"] = [{"role": "assistant", "level": 1}]
    return tail


def _usage(answer: ModelAnswer, envelope: AnswerEnvelope) -> Mapping[str, Any] | None:
    if answer.usage != "counted":
        return answer.usage
    reasoning = len(tokens(answer.thinking or ""))
    written = reasoning + len(tokens(answer.text)) + _call_tokens(answer)
    return {
        "prompt_tokens": envelope.prompt_tokens,
        "completion_tokens": written,
        "total_tokens": envelope.prompt_tokens + written,
        "prompt_tokens_details": {"cached_tokens": envelope.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _call_tokens(answer: ModelAnswer) -> int:
    return sum(len(tokens(call["name"] + _arguments(call))) for call in answer.tool_calls)


def _arguments(call: ScriptedCall) -> str:
    arguments = call.get("arguments", "{}")
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _calls(answer: ModelAnswer, envelope: AnswerEnvelope) -> list[Json]:
    return [
        {
            "id": call.get("id") or f"call_{envelope.id[-16:]}{index:08x}",
            "index": index,
            "type": "function",
            "function": {"name": call["name"], "arguments": _arguments(call)},
        }
        for index, call in enumerate(answer.tool_calls)
    ]


def chunks(answer: ModelAnswer, envelope: AnswerEnvelope) -> tuple[bytes, ...]:
    """Build the frames of the stream, ``[DONE]`` included.

    Reasoning comes first, then text, then tool calls; usage sits on the chunk that carries
    ``finish_reason``, and no other chunk has that key.
    """
    choices: list[Json] = [{"index": 0, "delta": delta} for delta in _deltas(answer, envelope)]
    last = {"role": "assistant", "content": ""}
    choices.append({"index": 0, "finish_reason": answer.reason, "delta": last})
    documents = [_chunk(choice, envelope) for choice in choices]
    _close(documents, _tail(answer, envelope), envelope)
    return (*map(frame, documents), DONE)


def _close(documents: list[Json], tail: Json, envelope: AnswerEnvelope) -> None:
    sources = tail.pop("web_search", None)
    documents[-1].update(tail)
    if sources is not None:
        documents[0 if envelope.sources_first else -1]["web_search"] = sources


def _chunk(choice: Json, envelope: AnswerEnvelope) -> Json:
    return {
        "id": envelope.id,
        "created": envelope.created,
        "object": "chat.completion.chunk",
        "model": envelope.model,
        "choices": [choice],
    }


def _deltas(answer: ModelAnswer, envelope: AnswerEnvelope) -> Iterator[Json]:
    for piece in answer.pieces(answer.thinking):
        yield {"role": "assistant", "reasoning_content": piece}
    for piece in answer.pieces(answer.text):
        yield {"role": "assistant", "content": piece}
    for call in _calls(answer, envelope):
        for part in _fragments(answer, call) if envelope.tool_stream else [call]:
            yield {"tool_calls": [part]}


def _fragments(answer: ModelAnswer, call: Json) -> Iterator[Json]:
    arguments = call["function"]["arguments"]
    yield call | {"function": {"name": call["function"]["name"], "arguments": ""}}
    for piece in answer.pieces(arguments):
        yield {"index": call["index"], "function": {"arguments": piece}}
