"""The operations of the API of OpenAI that the platform has, too."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias, cast

from zai_async.client import AsyncZai
from zai_async.models import CallOptions, ChatParams, Reply
from zai_async.web.openai_replies import completion_body, embeddings_body, images_body
from zai_async.web.openai_requests import chat_request, embedding_request, image_request
from zai_async.web.openai_stream import OpenAIEncoder
from zai_async.web.responses import EventResponse, RelaySettings
from zai_async.web.source import head_of

__all__ = ["OpenAICalls", "Whole"]

Whole: TypeAlias = Callable[[], Awaitable[tuple[Reply, Any]]]
"""Makes a call; returns its answer, and the body for the client."""

# An answer whose tokens all went into thinking has an end that these clients know.
_OPTIONS: Final = CallOptions(allow=("length",))


class OpenAICalls:
    """Turns the fields of a body into a call that is still to be made, or into a stream.

    Each method raises ``RefusedRequestError`` for what cannot be obeyed.
    """

    def __init__(self, zai: AsyncZai, settings: RelaySettings) -> None:
        self._zai = zai
        self._settings = settings

    def chat(self, fields: dict[str, Any]) -> Whole | EventResponse:
        """Answer ``POST /chat/completions``."""
        request = chat_request(fields)
        params = cast("ChatParams", {**request.params, "options": _OPTIONS})
        model = params["model"]
        completions = self._zai.chat.completions
        if request.stream:
            stream = completions.stream(**params)
            encoder = OpenAIEncoder(
                model, head=partial(head_of, stream), include_usage=request.include_usage
            )
            return EventResponse(stream, encoder, self._settings)

        async def whole() -> tuple[Reply, Any]:
            answer = await completions.create(**params)
            return answer, completion_body(answer, model)

        return whole

    def embeddings(self, fields: dict[str, Any]) -> Whole:
        """Answer ``POST /embeddings``."""
        params: Any = embedding_request(fields)
        in_base64 = fields.get("encoding_format") == "base64"

        async def whole() -> tuple[Reply, Any]:
            answer = await self._zai.embeddings.create(**params)
            return answer, embeddings_body(answer, params["model"], in_base64=in_base64)

        return whole

    def images(self, fields: dict[str, Any]) -> Whole:
        """Answer ``POST /images/generations``."""
        params: Any = image_request(fields)
        in_base64 = fields.get("response_format") == "b64_json"

        async def whole() -> tuple[Reply, Any]:
            answer = await self._zai.images.generate(**params)
            return answer, await images_body(answer, in_base64=in_base64)

        return whole
