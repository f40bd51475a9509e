"""One chat answer and its two wire forms: a completion, or chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from zai_async.testing._json import Json
from zai_async.testing._prose import tokens
from zai_async.testing._reply import DONE, frame


class ScriptedCall(TypedDict):
    """A tool call to answer with; arguments that are not a string are sent as their JSON text."""

    name: str
    arguments: NotRequired[str | Mapping[str, Any]]
    id: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
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
class Envelope:
    """Hold what surrounds an answer: identity, and the request's own wishes."""

    id: str
    request_id: str
    created: int
    model: str
    prompt_tokens: int
    cached_tokens: int = 0
    tool_stream: bool = False
    sources_first: bool = False


def completion(answer: Answer, envelope: Envelope) -> Json:
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


def _message(answer: Answer, envelope: Envelope) -> Json:
    message: Json = {"content": answer.text, "role": "assistant"}
    if answer.thinking is not None:
        message["reasoning_content"] = answer.thinking
    if answer.tool_calls:
        message["tool_calls"] = _calls(answer, envelope)
    return message


def _tail(answer: Answer, envelope: Envelope) -> Json:
    tail: Json = {}
    usage = _usage(answer, envelope)
    if usage is not None:
        tail["usage"] = usage
    if answer.web_search:
        tail["web_search"] = list(answer.web_search)
    if answer.reason == "sensitive":
        tail["content_filter"] = [{"role": "assistant", "level": 1}]
    return tail


def _usage(answer: Answer, envelope: Envelope) -> Mapping[str, Any] | None:
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


def _call_tokens(answer: Answer) -> int:
    return sum(len(tokens(call["name"] + _arguments(call))) for call in answer.tool_calls)


def _arguments(call: ScriptedCall) -> str:
    arguments = call.get("arguments", "{}")
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _calls(answer: Answer, envelope: Envelope) -> list[Json]:
    return [
        {
            "id": call.get("id") or f"call_{envelope.id[-16:]}{index:08x}",
            "index": index,
            "type": "function",
            "function": {"name": call["name"], "arguments": _arguments(call)},
        }
        for index, call in enumerate(answer.tool_calls)
    ]


def chunks(answer: Answer, envelope: Envelope) -> tuple[bytes, ...]:
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


def _close(documents: list[Json], tail: Json, envelope: Envelope) -> None:
    sources = tail.pop("web_search", None)
    documents[-1].update(tail)
    if sources is not None:
        documents[0 if envelope.sources_first else -1]["web_search"] = sources


def _chunk(choice: Json, envelope: Envelope) -> Json:
    return {
        "id": envelope.id,
        "created": envelope.created,
        "object": "chat.completion.chunk",
        "model": envelope.model,
        "choices": [choice],
    }


def _deltas(answer: Answer, envelope: Envelope) -> Iterator[Json]:
    for piece in answer.pieces(answer.thinking):
        yield {"role": "assistant", "reasoning_content": piece}
    for piece in answer.pieces(answer.text):
        yield {"role": "assistant", "content": piece}
    for call in _calls(answer, envelope):
        for part in _fragments(answer, call) if envelope.tool_stream else [call]:
            yield {"tool_calls": [part]}


def _fragments(answer: Answer, call: Json) -> Iterator[Json]:
    arguments = call["function"]["arguments"]
    yield call | {"function": {"name": call["function"]["name"], "arguments": ""}}
    for piece in answer.pieces(arguments):
        yield {"index": call["index"], "function": {"arguments": piece}}
