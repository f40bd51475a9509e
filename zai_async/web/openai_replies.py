"""Answers of the platform as the API of OpenAI gives them.

https://platform.openai.com/docs/api-reference

Its clients read the fields that they know by name, and fail where one is missing.
"""

import base64
import struct
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from zai_async._threads import to_the_end
from zai_async.errors import ResponseError
from zai_async.errors.http import HTTPAnswer
from zai_async.models import (
    ChatCompletion,
    EmbeddingResponse,
    Image,
    ImagesResponse,
    Outcome,
)
from zai_async.models.options import outcome_of

__all__ = [
    "OPENAI_REASONS",
    "completion_body",
    "content_of",
    "embeddings_body",
    "head",
    "images_body",
    "reason",
    "refusal_headers",
]

OPENAI_REASONS: Final[dict[Outcome, str]] = {
    "completed": "stop",
    "length": "length",
    "context_exceeded": "length",
    "tool_calls": "tool_calls",
    "sensitive": "content_filter",
}
_MOST_OF_AN_IMAGE: Final = 32 * 2**20


def reason(outcome: Outcome, finish_reason: str | None) -> str:
    """Return the finish reason; an answer that has only thought ends as the platform says."""
    return OPENAI_REASONS.get(outcome) or OPENAI_REASONS.get(outcome_of(finish_reason), "stop")


def head(answer: ChatCompletion, kind: str, model: str) -> dict[str, Any]:
    """Return what stands at the beginning of an answer and of every chunk."""
    return {
        "id": answer.id or f"chatcmpl-{uuid4().hex}",
        "object": kind,
        "created": answer.created or int(time.time()),
        "model": answer.model or model,
    }


def refusal_headers(answer: HTTPAnswer) -> dict[str, str]:
    """Return the headers of an error.

    Clients of OpenAI repeat every 429 and 5xx unless they are told not to: what would fail again,
    or was paid for, is not worth two requests more.
    """
    if answer.body["error"]["retryable"]:
        return answer.headers
    return {**answer.headers, "X-Should-Retry": "false"}


def completion_body(answer: ChatCompletion, model: str) -> dict[str, Any]:
    """Return a whole answer of a chat."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text if answer.text or not answer.tool_calls else None,
        "refusal": None,
    }
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.tool_calls:
        message["tool_calls"] = [
            call.to_dict() | {"id": call.id or f"call_{index}"}
            for index, call in enumerate(answer.tool_calls)
        ]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": reason(answer.outcome, answer.finish_reason),
    }
    body = {**head(answer, "chat.completion", model), "choices": [choice]}
    if answer.web_search:
        body["web_search"] = [result.to_dict() for result in answer.web_search]
    return {**body, "usage": answer.usage.to_dict()}


def embeddings_body(answer: EmbeddingResponse, model: str, *, in_base64: bool) -> dict[str, Any]:
    """Return vectors as lists of numbers, or as base64 of 32-bit floats, little-endian.

    Raises:
        ResponseError: A number is too large for that.
    """
    vectors: list[Any] = list(answer.vectors)
    if in_base64:
        try:
            packed = [struct.pack(f"<{len(vector)}f", *vector) for vector in vectors]
        except OverflowError:
            raise ResponseError("a number of a vector needs more than 32 bits") from None
        vectors = [base64.b64encode(each).decode() for each in packed]
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {
        "prompt_tokens": answer.usage.prompt_tokens,
        "total_tokens": answer.usage.total_tokens,
    }
    return {"object": "list", "data": data, "model": answer.model or model, "usage": usage}


async def images_body(answer: ImagesResponse, *, in_base64: bool) -> dict[str, Any]:
    """Return images by their addresses, or in base64, for which they are fetched.

    Raises:
        ZaiError: An image cannot be fetched.
    """
    data = [
        {"b64_json": await content_of(image)} if in_base64 else image.to_dict()
        for image in answer.data
    ]
    return {"created": answer.created or int(time.time()), "data": data}


async def content_of(image: Image) -> str:
    """Return an image in base64.

    Raises:
        ZaiError: It cannot be fetched.
    """
    if image.b64_json:
        return image.b64_json
    folder = await to_the_end(tempfile.TemporaryDirectory)
    try:
        path = await image.download(Path(folder.name) / "image", max_bytes=_MOST_OF_AN_IMAGE)
        return base64.b64encode(await to_the_end(path.read_bytes)).decode()
    finally:
        await to_the_end(folder.cleanup)
