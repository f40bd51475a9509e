"""Answers of a model and their wire forms: a completion, or chunks, with quirks on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict, get_args

from zai_async.testing.emulator.prose import token_count, tokens
from zai_async.testing.emulator.reply import DONE, frame
from zai_async.testing.emulator.requests import Json

Quirk = Literal[
    "reasoning",
    "reasoning_details",
    "unknown_fields",
    "message_for_delta",
    "one_index",
    "descending_indices",
    "repeated_ids",
    "arguments_first",
    "split_names",
    "mcp_type",
    "id_changes",
]
"""Ways in which gateways and other servers of the same API deviate; see ``ChatHandlers.reply``."""

QUIRKS: frozenset[Quirk] = frozenset(get_args(Quirk))


class ScriptedCall(TypedDict):
    """A tool call to answer with; arguments that are not a string are sent as their JSON text."""

    name: str
    arguments: NotRequired[str | Mapping[str, Any]]
    id: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What the model says.

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
    quirks: frozenset[Quirk] = frozenset()

    @property
    def reason(self) -> str:
        """The finish reason, derived from the content unless scripted."""
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
    """What surrounds an answer: identity, and the request's own wishes."""

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
    message: Json = {"content": answer.text, "role": "assistant"}
    # An empty string is something else than no field: switched off, the field is missing.
    if answer.thinking is not None:
        message |= reasoning(answer, answer.thinking)
    if answer.tool_calls:
        message["tool_calls"] = tool_calls(answer, envelope)
    body: Json = {
        "choices": [{"finish_reason": answer.reason, "index": 0, "message": message}],
        "created": envelope.created,
        "id": envelope.id,
        "model": envelope.model,
        "object": "chat.completion",
        "request_id": envelope.request_id,
        **ending(answer, envelope),
    }
    if "unknown_fields" in answer.quirks:
        message |= _UNKNOWN
        body |= _UNKNOWN
    return body


def reasoning(answer: ModelAnswer, text: str) -> Json:
    """Return the fields that carry reasoning: the platform's one, or those of other servers."""
    # vLLM and OpenRouter name it `reasoning`; OpenRouter adds a list with signatures.
    if "reasoning_details" in answer.quirks:
        detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
        return {"reasoning": text, "reasoning_details": [detail]}
    return {"reasoning" if "reasoning" in answer.quirks else "reasoning_content": text}


_UNKNOWN: Json = {"x_new": {"of": "tomorrow", "list": [1, None]}}
"""A field that no version of the API describes yet."""


def ending(answer: ModelAnswer, envelope: AnswerEnvelope) -> Json:
    """Return what comes with the end of an answer: usage, sources, the content filter."""
    fields: Json = {}
    # `total_tokens` is the sum; reasoning is part of the completion, cached tokens part of the
    # prompt.
    if answer.usage == "counted":
        called = (call["name"] + arguments_text(call) for call in answer.tool_calls)
        thought = token_count(answer.thinking or "")
        written = thought + token_count(answer.text) + sum(map(token_count, called))
        fields["usage"] = {
            "prompt_tokens": envelope.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": envelope.prompt_tokens + written,
            "prompt_tokens_details": {"cached_tokens": envelope.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
    elif answer.usage is not None:
        fields["usage"] = answer.usage
    # Sources sit beside the choices, not inside: https://docs.z.ai/guides/tools/web-search
    if answer.web_search:
        fields["web_search"] = list(answer.web_search)
    # Levels go from 0 to 3; https://docs.z.ai/api-reference/llm/chat-completion
    if answer.reason == "sensitive":
        fields["content_filter"] = [{"role": "assistant", "level": 1}]
    return fields


def arguments_text(call: ScriptedCall) -> str:
    """Return the arguments of a call as they travel: as JSON text."""
    arguments = call.get("arguments", "{}")
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def tool_calls(answer: ModelAnswer, envelope: AnswerEnvelope) -> list[Json]:
    """Return the calls of an answer, whole."""
    calls: list[Json] = []
    for index, call in enumerate(answer.tool_calls):
        function = {"name": call["name"], "arguments": arguments_text(call)}
        # One shape for both forms: clients of streams cannot do without `index`.
        document: Json = {
            "id": call.get("id") or f"call_{envelope.id[-16:]}{index:08x}",
            "index": index,
            "type": "mcp" if "mcp_type" in answer.quirks else "function",
            "function": function,
        }
        if "unknown_fields" in answer.quirks:
            document |= _UNKNOWN
        calls.append(document)
    return calls


def chunks(answer: ModelAnswer, envelope: AnswerEnvelope) -> tuple[bytes, ...]:
    """Build the frames of the stream, ``[DONE]`` included.

    Reasoning comes first, then text, then tool calls; usage sits on the chunk that carries
    ``finish_reason``, and no other chunk has that key.
    """
    quirks = answer.quirks
    deltas = list(deltas_of(answer, envelope))
    # The platform closes with an empty delta of its own, as recorded live.
    deltas.append({"role": "assistant", "content": ""})
    documents: list[Json] = []
    for delta in deltas:
        shown = delta | _UNKNOWN if "unknown_fields" in quirks else delta
        key = "message" if "message_for_delta" in quirks else "delta"
        document: Json = {
            "id": envelope.id,
            "created": envelope.created,
            "object": "chat.completion.chunk",
            "model": envelope.model,
            "choices": [{"index": 0, key: shown}],
        }
        documents.append(document | _UNKNOWN if "unknown_fields" in quirks else document)
    # Only the last chunk has this key at all; OpenAI's other chunks have a null.
    documents[-1]["choices"][0]["finish_reason"] = answer.reason

    fields = ending(answer, envelope)
    sources = fields.pop("web_search", None)
    documents[-1].update(fields)
    # `result_sequence` moves the sources to the first chunk, before any text.
    if sources is not None:
        documents[0 if envelope.sources_first else -1]["web_search"] = sources
    if "id_changes" in quirks:
        # A proxy that fell back to another upstream in the middle: same text, other generation.
        for document in documents[len(documents) // 2 :]:
            document |= {"id": envelope.id[::-1], "created": envelope.created + 60}
    return (*map(frame, documents), DONE)


def deltas_of(answer: ModelAnswer, envelope: AnswerEnvelope) -> Iterator[Json]:
    """Yield the deltas of a stream, all but the empty one at its end."""
    # `role` comes with every delta, not with the first one alone.
    for piece in answer.pieces(answer.thinking):
        yield {"role": "assistant", **reasoning(answer, piece)}
    for piece in answer.pieces(answer.text):
        yield {"role": "assistant", "content": piece}
    calls = tool_calls(answer, envelope)
    if "descending_indices" in answer.quirks:
        calls.reverse()
    # Deltas of tool calls carry neither role nor content.
    for call in calls:
        if "one_index" in answer.quirks:
            call["index"] = 0  # several models of one server count no further than this
        for part in fragments_of(answer, call, whole=not envelope.tool_stream):
            yield {"tool_calls": [part]}


def fragments_of(answer: ModelAnswer, call: Json, *, whole: bool) -> Iterator[Json]:
    """Cut one call into the parts in which it is streamed."""
    # https://docs.z.ai/guides/tools/stream-tool: name and id come first, then the arguments in
    # pieces.
    quirks = answer.quirks
    index, name = call["index"], call["function"]["name"]
    arguments: list[Json] = [
        {"index": index, "function": {"arguments": piece}}
        for piece in answer.pieces(call["function"]["arguments"])
    ]
    if "repeated_ids" in quirks:
        arguments = [{"id": call["id"], **part} for part in arguments]
    if "arguments_first" in quirks:
        yield from arguments
        yield call | {"function": {"name": name}}
    elif "split_names" in quirks:
        half = len(name) // 2
        yield call | {"function": {"name": name[:half], "arguments": ""}}
        yield {"index": index, "function": {"name": name[half:]}}
        yield from arguments
    elif whole and "repeated_ids" not in quirks:
        # Without `tool_stream` the platform sends each call in one piece.
        yield call
    else:
        yield call | {"function": {"name": name, "arguments": ""}}
        yield from arguments
