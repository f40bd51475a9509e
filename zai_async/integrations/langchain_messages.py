"""Messages of LangChain as those of the platform, and the way back."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UsageMetadata,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from zai_async._protocol.events import (
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from zai_async.errors import ConfigurationError, ToolCallError
from zai_async.models import ChatCompletion, Usage
from zai_async.models.encoding import to_plain
from zai_async.streams import ChatStream

__all__ = ["StandardBlocks", "message_of", "pieces_of", "sent_messages"]

_PROVIDER: Final = "zai"
_PARTS: Final = frozenset({"file", "file_url", "image_url", "input_audio", "text", "video_url"})


def sent_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Return a conversation as it is sent.

    Raises:
        ConfigurationError: The platform has no place for something that a message holds.
    """
    return [sent(message) for message in messages]


def sent(message: BaseMessage) -> dict[str, Any]:
    """Return a message as it is sent."""
    match message:
        case HumanMessage(content=str(text)):
            return {"role": "user", "content": text}
        case HumanMessage():
            # LangChain makes standard blocks of the forms that other platforms have.
            parts = [part_of(dict(block)) for block in message.content_blocks]
            return {"role": "user", "content": parts}
        case AIMessage():
            return sent_answer(message)
        case ToolMessage():
            text = text_of(message)
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
        case SystemMessage():
            return {"role": "system", "content": text_of(message)}
        case ChatMessage():
            return {"role": message.role, "content": text_of(message)}
        case _:
            kind = type(message).__name__
            raise ConfigurationError(f"the platform has no place for a {kind}")


def sent_answer(message: AIMessage) -> dict[str, Any]:
    """Return what a model has said, as it is sent back."""
    answer: dict[str, Any] = {"role": "assistant", "content": message.text}
    # What another model has thought is none of this one's thoughts.
    if message.response_metadata.get("model_provider", _PROVIDER) == _PROVIDER:
        blocks = [block for block in message.content_blocks if block["type"] == "reasoning"]
        if thinking := "".join(block.get("reasoning", "") for block in blocks):
            answer["reasoning_content"] = thinking
    # Arguments are JSON text here, and were decoded by LangChain: non-ASCII stays as it was.
    called: list[tuple[ToolCall | InvalidToolCall, str]] = [
        (call, json.dumps(call["args"], ensure_ascii=False)) for call in message.tool_calls
    ]
    # The model wrote those as well: it has to see what their results are about.
    called += [(call, call["args"] or "") for call in message.invalid_tool_calls]
    if called:
        answer["tool_calls"] = [
            {
                "id": call["id"] or "",
                "type": "function",
                "function": {"name": call["name"] or "", "arguments": arguments},
            }
            for call, arguments in called
        ]
    return answer


def text_of(message: BaseMessage) -> str:
    """Return the text of a message that can be nothing else.

    Raises:
        ConfigurationError: It holds something else.
    """
    for block in message.content_blocks:
        if block["type"] != "text":
            kind = block["type"]
            raise ConfigurationError(
                f"a {message.type} message holds text only, not {kind!r}",
                hint="The platform takes files and pictures from the user.",
            )
    return message.text


def part_of(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a standard block of content as a part of what a user says.

    Raises:
        ConfigurationError: The platform takes no such thing.
    """
    kind: str | None
    part: Any
    match block:
        case {"type": "text" | "text-plain", "text": str(text)}:
            kind, part = "text", text
        case {"type": "image" | "video" as what, "url": url}:
            kind, part = f"{what}_url", {"url": url}
        case {"type": "image" | "video" as what, "base64": _}:
            kind, part = f"{what}_url", {"url": data_url(block)}
        case {"type": "audio", "base64": data}:
            sound = "wav" if "wav" in block.get("mime_type", "wav") else "mp3"
            kind, part = "input_audio", {"data": data, "format": sound}
        case {"type": "file" | "text-plain", "url": url}:
            kind, part = "file_url", {"url": url}
        case {"type": "file", "base64": _}:
            name = block.get("filename") or block.get("extras", {}).get("filename")
            kind, part = (
                "file",
                {"file_data": data_url(block), **({"filename": name} if name else {})},
            )
        case {"type": "file", "file_id": known}:
            kind, part = "file", {"file_id": known}
        case {"type": "non_standard", "value": {"type": str(what), **fields}}:
            kind, part = what, fields.get(what)
        case _:
            kind, part = None, None
    if kind not in _PARTS or part is None:
        raise ConfigurationError(
            f"the platform takes no {kind or block.get('type')!r} of this form",
            hint="Pictures, videos, files by url or base64, files by file_id, sounds by base64.",
        )
    return {"type": kind, kind: part}


def data_url(block: Mapping[str, Any]) -> str:
    """Return content in base64 as an address."""
    usual = {"image": "image/png", "video": "video/mp4"}.get(block["type"], "application/pdf")
    return f"data:{block.get('mime_type', usual)};base64,{block['base64']}"


def message_of(answer: ChatCompletion) -> AIMessage:
    """Return a whole answer as a message."""
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for index, call in enumerate(answer.tool_calls):
        # The result of a call names it by its id, which some servers leave out.
        own = call.id or f"call_{index}"
        try:
            calls.append(tool_call(name=call.name, args=call.parse(), id=own))
        except ToolCallError as error:
            text = str(error)
            wrong = invalid_tool_call(name=call.name, args=call.arguments, id=own, error=text)
            broken.append(wrong)
    content: str | list[str | dict[str, Any]] = answer.text
    audio = answer.message.audio
    if audio is not None and audio.data:
        spoken = {"type": "audio", "base64": audio.data, "mime_type": "audio/wav"}
        content = [{"type": "text", "text": answer.text}, spoken]
    thought = {"reasoning_content": answer.thinking} if answer.thinking else {}
    return AIMessage(
        content=content,
        additional_kwargs=thought,
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=usage_of(answer.usage),
        response_metadata=facts_of(answer),
    )


async def pieces_of(stream: ChatStream) -> AsyncGenerator[AIMessageChunk]:
    """Yield an answer in pieces that add up to the same message, while it is written."""
    events = stream.events
    while True:
        try:
            event = await anext(events)
        except StopAsyncIteration:
            return
        except ToolCallError:
            continue  # its pieces have been told, of which LangChain makes an invalid call
        match event:
            case TextDelta(text):
                yield AIMessageChunk(content=text)
            case ThinkingDelta(text):
                yield AIMessageChunk(content="", additional_kwargs={"reasoning_content": text})
            case ToolCallStarted(index, id, name):
                own = id or f"call_{index}"
                piece = tool_call_chunk(name=name, args="", id=own, index=index)
                yield AIMessageChunk(content="", tool_call_chunks=[piece])
            case ToolCallDelta(index, text):
                piece = tool_call_chunk(name=None, args=text, id=None, index=index)
                yield AIMessageChunk(content="", tool_call_chunks=[piece])
            case Finished(completion=whole):
                # Counted once: what several pieces say would be added up.
                yield AIMessageChunk(
                    content="",
                    usage_metadata=usage_of(whole.usage),
                    response_metadata=facts_of(whole),
                    chunk_position="last",
                )
            case _:
                pass


class StandardBlocks:
    """Pieces whose content is standard blocks, each with the place that it has in the whole."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, object], int] = {}

    def of(self, piece: AIMessageChunk) -> AIMessageChunk:
        """Return a piece with its blocks as content.

        LangChain counts them as well, but would add a tool call to the block of the same number.
        """
        blocks = [dict[str, Any](block) for block in piece.content_blocks]
        for block in blocks:
            own = block["type"], block.get("index")
            block["index"] = self._places.setdefault(own, len(self._places))
        facts = {**piece.response_metadata, "output_version": "v1"}
        return piece.model_copy(update={"content": blocks, "response_metadata": facts})


def usage_of(usage: Usage) -> UsageMetadata | None:
    """Return the counts of an answer, if the service has told them."""
    # Nothing is not the same as none: LangChain adds counts up.
    if not usage.total_tokens:
        return None
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        input_token_details={"cache_read": usage.cached_tokens},
        output_token_details={"reasoning": usage.reasoning_tokens},
    )


def facts_of(answer: ChatCompletion) -> dict[str, Any]:
    """Return what else is known of an answer."""
    facts: dict[str, Any] = {
        "model_name": answer.model,
        "model_provider": _PROVIDER,
        "finish_reason": answer.finish_reason,
        "id": answer.id,
        "request_id": answer.request_id,
    }
    if answer.web_search:
        facts["web_search"] = to_plain(answer.web_search)
    return facts
