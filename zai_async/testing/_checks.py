"""Counting tokens and judging content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._prose import tokens
from zai_async.testing._reading import UserId, find_model, require
from zai_async.testing._reply import Reply
from zai_async.testing._request import Message, Tool

_IMAGE_TOKENS, _VIDEO_TOKENS = 1_000, 10_000


class _Tokenizer(Struct):
    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    request_id: str | None = None
    user_id: UserId | None = None


class _Moderation(Struct):
    model: str
    input: str | dict[str, Any] | list[dict[str, Any]]
    request_id: str | None = None
    user_id: UserId | None = None


class Checks:
    """Count about a token per word; find harm only where a text names it."""

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [
            Operation("tokenizer", "POST", "paas/v4/tokenizer", self.count),
            Operation("moderations", "POST", "paas/v4/moderations", self.judge),
        ]

    def count(self, call: Call) -> Reply:
        """Count the tokens of a conversation; an image has 1000, a video 10 000."""
        request = call.read(_Tokenizer)
        find_model(request.model, "text", "vision")
        text = sum(len(tokens(message.text)) for message in request.messages)
        image = _parts(request.messages, "image_url") * _IMAGE_TOKENS
        video = _parts(request.messages, "video_url") * _VIDEO_TOKENS
        usage = {
            "prompt_tokens": text,
            "image_tokens": image,
            "video_tokens": video,
            "total_tokens": text + image + video,
        }
        return call.reply(call.stamp(request.request_id) | {"usage": usage})

    def judge(self, call: Call) -> Reply:
        """Reject what holds the word "unsafe", doubt what holds "doubtful", pass the rest."""
        request = call.read(_Moderation)
        find_model(request.model, "moderation")
        results = [_judgement(part) for part in _contents(request.input)]
        usage = {"moderation_text": {"call_count": len(results)}}
        document = call.stamp(request.request_id)
        return call.reply(document | {"result_list": results, "usage": usage})


def _parts(messages: list[Message], kind: str) -> int:
    contents = [message.content for message in messages if isinstance(message.content, list)]
    return sum(part.get("type") == kind for content in contents for part in content)


def _contents(given: str | Json | list[Json]) -> list[Json]:
    if isinstance(given, str):
        require(len(given) <= 2000, "input: more than 2000 characters")
        return [{"type": "text", "text": given}]
    return [given] if isinstance(given, dict) else given


def _judgement(part: Mapping[str, Any]) -> Json:
    said = str(part).lower()
    if "unsafe" in said:
        level, kinds = "REJECT", ["unsafe"]
    elif "doubtful" in said:
        level, kinds = "REVIEW", ["doubtful"]
    else:
        level, kinds = "PASS", []
    kind = str(part.get("type", "text")).removesuffix("_url")
    return {"content_type": kind, "risk_level": level, "risk_type": kinds}
