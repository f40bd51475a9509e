"""What was asked and answered, in the form that OpenTelemetry's conventions have for it.

Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zai_async.models import ChatCompletion
from zai_async.models.encoding import to_plain

__all__ = ["input_messages", "output_messages", "to_json"]


def to_json(value: object) -> str:
    """Return a value as the JSON text that an attribute holds."""
    return msgspec.json.encode(to_plain(value)).decode()


def input_messages(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a call, or its prompt as one; none where it has neither."""
    messages = content.get("messages", content.get("prompt"))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return [_message(to_plain(each)) for each in messages or ()]


def output_messages(answer: object) -> list[dict[str, Any]]:
    """Return the messages of an answer, none where it is of another kind."""
    if not isinstance(answer, ChatCompletion):
        return []
    return [
        {**_message(to_plain(choice.message)), "finish_reason": choice.finish_reason or ""}
        for choice in answer.choices
    ]


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message.get("role", "user"), message.get("content")
    parts: list[dict[str, Any]] = []
    if message.get("reasoning_content"):
        parts.append({"type": "reasoning", "content": message["reasoning_content"]})
    if role == "tool":
        answered = {"id": message.get("tool_call_id"), "response": content}
        parts.append({"type": "tool_call_response", **answered})
    elif isinstance(content, str):
        parts.append({"type": "text", "content": content})
    else:
        several: Sequence[Mapping[str, Any]] = content or ()
        for part in several:
            # Parts of other types are the caller's own, and are told as they are.
            text = part.get("type") == "text"
            parts.append({"type": "text", "content": part["text"]} if text else dict(part))
    for call in message.get("tool_calls") or ():
        asked = {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
        parts.append({"type": "tool_call", "id": call.get("id"), **asked})
    return {"role": role, "parts": parts}
