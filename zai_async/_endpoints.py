"""Every operation of the platform, a line each."""

from typing import Any

from zai_async._wire import Endpoint
from zai_async.errors import ConfigurationError
from zai_async.models import ChatCompletion, ChatCompletionChunk, ChatParams

__all__ = ["CHAT", "CHAT_STREAM"]


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    """Turn a plain prompt into a conversation, and a lone stop word into a list."""
    body = {**body}
    if not body["messages"]:
        raise ConfigurationError("chat.completions.create(): messages must not be empty")
    if isinstance(body["messages"], str):
        body["messages"] = [{"role": "user", "content": body["messages"]}]
    if not isinstance(body["model"], str) or not body["model"]:
        raise ConfigurationError("chat.completions.create(): model must be a non-empty string")
    if isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    return body


def _chat_stream(body: dict[str, Any]) -> dict[str, Any]:
    return {**_chat(body), "stream": True}


_CHAT = "chat.completions.create"

CHAT = Endpoint(_CHAT, "paas/v4/chat/completions", ChatCompletion, ChatParams, prepare=_chat)
CHAT_STREAM = Endpoint(
    _CHAT,
    "paas/v4/chat/completions",
    ChatCompletionChunk,
    ChatParams,
    stream=True,
    prepare=_chat_stream,
)
