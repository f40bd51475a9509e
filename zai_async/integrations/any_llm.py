"""any-llm: a provider that talks to the platform natively, for all calls over one limiter.

    async with AsyncZai() as zai:
        provider = ZaiAsyncProvider(client=zai)
        answer = await provider.acompletion("glm-5.3", [{"role": "user", "content": "Hi"}])

Needs the extra ``any-llm``. Whatever fails is raised as any-llm's own exceptions, with ours as the
cause.
"""

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from any_llm import AnyLLM
from any_llm.exceptions import (
    AnyLLMError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthExceededError,
    GatewayTimeoutError,
    InsufficientFundsError,
    InvalidRequestError,
    MissingApiKeyError,
    ModelNotFoundError,
    ProviderError,
    RateLimitError,
    UnsupportedParameterError,
    UpstreamProviderError,
)
from any_llm.types.completion import (
    ChatCompletion,
    ChatCompletionChunk,
    CompletionParams,
    CreateEmbeddingResponse,
)
from any_llm.types.image import ImageGenerationParams, ImagesResponse
from any_llm.types.model import Model
from any_llm.utils.structured_output import get_json_schema, is_structured_output_type

from zai_async._codes import Kind
from zai_async._protocol.events import (
    ChatEvent,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from zai_async.client import AsyncZai
from zai_async.errors import MissingKeyError, ZaiError
from zai_async.integrations.openai_keywords import call_options, chat_keywords
from zai_async.models import CallOptions
from zai_async.streams import ChatStream
from zai_async.web.openai_replies import (
    completion_body,
    embeddings_body,
    head,
    images_body,
    reason,
)
from zai_async.web.openai_requests import RefusedRequestError, embedding_request, image_request

__all__ = ["ZaiAsyncProvider"]

_ERRORS: Final[dict[Kind, type[AnyLLMError]]] = {
    "auth": AuthenticationError,
    "account": AuthenticationError,
    "permission": AuthenticationError,
    "billing": InsufficientFundsError,
    "request": InvalidRequestError,
    "config": InvalidRequestError,
    "not_found": ModelNotFoundError,
    "content": ContentFilterError,
    "throttle": RateLimitError,
    "overload": RateLimitError,
    "quota": RateLimitError,
    "connection": UpstreamProviderError,
    "timeout": GatewayTimeoutError,
}
_TOO_LONG: Final = "1261"
_TOLD: Final = (TextDelta, ThinkingDelta, ToolCallStarted, ToolCallDelta, Finished)


class ZaiAsyncProvider(AnyLLM):
    """The platform as a provider of any-llm.

    Args:
        api_key: The key; without it the environment counts, as for ``AsyncZai``.
        api_base: Another address.
        client: A client of yours, whose limits, retries and connections are shared; it is closed
            by you, and excludes all other arguments.
        max_retries: Retries of a refused request; left out, it is the client's policy that decides.
        **settings: Further arguments of ``AsyncZai``.
    """

    PROVIDER_NAME = "zai"
    PROVIDER_DOCUMENTATION_URL = "https://docs.z.ai"
    ENV_API_KEY_NAME = "ZAI_API_KEY"
    ENV_API_BASE_NAME = "ZAI_BASE_URL"

    SUPPORTS_COMPLETION = True
    SUPPORTS_COMPLETION_STREAMING = True
    SUPPORTS_COMPLETION_REASONING = True
    SUPPORTS_COMPLETION_IMAGE = True
    SUPPORTS_COMPLETION_PDF = False
    SUPPORTS_RESPONSES = False
    SUPPORTS_EMBEDDING = True
    SUPPORTS_IMAGE_GENERATION = True
    SUPPORTS_LIST_MODELS = True
    SUPPORTS_BATCH = False
    TIMEOUT_SUPPORT = "mapped"
    MAX_RETRIES_SUPPORT = "mapped"

    client: AsyncZai

    def _verify_and_set_api_key(self, api_key: str | None = None) -> str | None:
        return api_key or None  # AsyncZai knows where else to look, and who needs none

    def _resolve_api_base(self, api_base: str | None = None) -> str | None:
        return api_base or None

    def _apply_max_retries(self, max_retries: int, client_kwargs: dict[str, Any]) -> None:
        client_kwargs["max_retries"] = max_retries

    def _init_client(
        self, api_key: str | None = None, api_base: str | None = None, **kwargs: Any
    ) -> None:
        client: AsyncZai | None = kwargs.pop("client", None)
        self._retries: int | None = kwargs.pop("max_retries", None)
        if client is None:
            with _translating():
                client = AsyncZai(api_key=api_key, base_url=api_base, **kwargs)
        elif api_key or api_base or kwargs:
            raise InvalidRequestError("client= excludes arguments that are those of the client")
        self.client = client

    @staticmethod
    def _convert_completion_params(params: CompletionParams, **kwargs: Any) -> dict[str, Any]:
        fields = params.model_dump(exclude={"model_id", "messages", "response_format"})
        fields["response_format"] = wanted = params.response_format
        if is_structured_output_type(wanted):
            schema = {"name": wanted.__name__, "schema": get_json_schema(wanted)}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        if params.reasoning_effort == "auto":
            del fields["reasoning_effort"]
        messages = [_with_reasoning(message) for message in params.messages]
        return chat_keywords({**fields, **kwargs, "model": params.model_id, "messages": messages})

    @staticmethod
    def _convert_completion_response(response: Any) -> ChatCompletion:
        body = completion_body(response, "")
        message = body["choices"][0]["message"]
        if reasoning := message.pop("reasoning_content", None):
            message |= _reasoning(reasoning)
            # any-llm sends no reasoning back, and the platform wants it: this part it does.
            message["extra_content"] = {"zai": {"reasoning_content": reasoning}}
        return ChatCompletion.model_validate(body)

    @staticmethod
    def _convert_completion_chunk_response(response: Any, **kwargs: Any) -> ChatCompletionChunk:
        event: ChatEvent = response
        choice: dict[str, Any] = {"index": 0, "delta": _delta(event), "finish_reason": None}
        chunk = {**kwargs, "choices": [choice]}
        if isinstance(event, Finished):
            choice["finish_reason"] = reason(event.outcome, event.finish_reason)
            chunk["usage"] = event.completion.usage.to_dict()
        return ChatCompletionChunk.model_validate(chunk)

    @staticmethod
    def _convert_embedding_params(params: Any, **kwargs: Any) -> dict[str, Any]:
        return embedding_request({"input": params, **kwargs})

    @staticmethod
    def _convert_embedding_response(response: Any) -> CreateEmbeddingResponse:
        return CreateEmbeddingResponse.model_validate(
            embeddings_body(response, response.model, in_base64=False)
        )

    @staticmethod
    def _convert_list_models_response(response: Any) -> Sequence[Model]:
        return [
            Model(
                id=model.id,
                object="model",
                created=model.created,
                owned_by=model.owned_by or "z-ai",
            )
            for model in response.data
        ]

    async def _acompletion(
        self, params: CompletionParams, **kwargs: Any
    ) -> ChatCompletion | AsyncIterator[ChatCompletionChunk]:
        with _translating():
            options = self._options(kwargs)
            wanted: Any = self._convert_completion_params(params, **kwargs)
            answer = await self.client.chat.completions.create(
                stream=bool(params.stream), **wanted, options=options
            )
            if isinstance(answer, ChatStream):
                return _Chunks(answer, params.model_id, self._convert_completion_chunk_response)
            return self._convert_completion_response(answer)

    async def _aembedding(
        self, model: str, inputs: str | list[str], **kwargs: Any
    ) -> CreateEmbeddingResponse:
        with _translating():
            options = self._options(kwargs)
            wanted: Any = self._convert_embedding_params(inputs, model=model, **kwargs)
            answer = await self.client.embeddings.create(**wanted, options=options)
            return self._convert_embedding_response(answer)

    async def _aimage_generation(
        self, params: ImageGenerationParams, **kwargs: Any
    ) -> ImagesResponse:
        with _translating():
            options = self._options(kwargs)
            fields = {"model": params.model_id, **params.to_api_kwargs(), **kwargs}
            wanted: Any = image_request(fields)
            answer = await self.client.images.generate(**wanted, options=options)
            in_base64 = params.response_format == "b64_json"
            return ImagesResponse.model_validate(await images_body(answer, in_base64=in_base64))

    async def _alist_models(self, **kwargs: Any) -> Sequence[Model]:
        with _translating():
            return self._convert_list_models_response(await self.client.models.list(**kwargs))

    def _options(self, kwargs: dict[str, Any]) -> CallOptions:
        """Take what is about the call, and not about the request, out of the keywords."""
        return call_options(
            kwargs.pop("options", None), timeout=kwargs.pop("timeout", None), retries=self._retries
        )


class _Chunks(AsyncIterator[ChatCompletionChunk]):
    """The chunks of an open stream, which whatever happens to a read closes.

    No generator: one that is closed before its first read has closed nothing.
    """

    def __init__(
        self, stream: ChatStream, model: str, convert: Callable[..., ChatCompletionChunk]
    ) -> None:
        self._stream = stream
        self._events = stream.events
        self._model = model
        self._convert = convert
        self._head: dict[str, Any] = {}

    async def __anext__(self) -> ChatCompletionChunk:
        try:
            with _translating():
                event = await anext(self._events)
                while not isinstance(event, _TOLD):
                    event = await anext(self._events)
                # Known with the first event only, and the same in every chunk.
                self._head = self._head or head(
                    self._stream.snapshot, "chat.completion.chunk", self._model
                )
                return self._convert(event, **self._head)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connection, which gives its permit back."""
        await self._stream.aclose()


def _delta(event: ChatEvent) -> dict[str, Any]:
    """Return what an event adds to the message."""
    match event:
        case TextDelta(text):
            return {"role": "assistant", "content": text}
        case ThinkingDelta(text):
            return {"role": "assistant", **_reasoning(text)}
        case ToolCallStarted(index, id, name):
            function = {"name": name, "arguments": ""}
            call = {"index": index, "id": id or f"call_{index}", "type": "function"}
            return {"role": "assistant", "tool_calls": [{**call, "function": function}]}
        case ToolCallDelta(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
        case _:
            return {}


def _reasoning(text: str) -> dict[str, Any]:
    return {"reasoning": {"content": text}}


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with the reasoning that an answer of ours was given for the way back."""
    extra: dict[str, Any] = message.get("extra_content") or {}
    return {**message, **extra.get("zai", {})} if message.get("role") == "assistant" else message


@contextmanager
def _translating() -> Generator[None]:
    """Raise what fails inside as any-llm's exceptions, with ours as the cause."""
    try:
        yield
    except (ZaiError, RefusedRequestError, TypeError, ValueError) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> AnyLLMError:
    name = ZaiAsyncProvider.PROVIDER_NAME
    if isinstance(error, MissingKeyError):
        return MissingApiKeyError(name, ZaiAsyncProvider.ENV_API_KEY_NAME)
    if isinstance(error, RefusedRequestError) and error.code == "unsupported_value":
        return UnsupportedParameterError(error.param or "", name)
    if not isinstance(error, ZaiError):
        return InvalidRequestError(str(error), error, name, param=getattr(error, "param", None))
    kind = _ERRORS.get(error.kind, ProviderError)
    if error.code == _TOO_LONG:
        kind = ContextLengthExceededError
    facts: dict[str, Any] = {
        "status_code": error.status_code,
        "code": error.code,
        "error_type": error.kind,
    }
    if kind is RateLimitError:
        facts["retry_after"] = error.to_http().headers.get("Retry-After")
    return kind(str(error), error, name, **facts)
