"""LiteLLM: a custom provider that talks to the platform natively, for all calls over one limiter.

    litellm.custom_provider_map = [{"provider": "zai-async", "custom_handler": ZaiLLM()}]
    answer = await litellm.acompletion("zai-async/glm-5.3", messages)

Needs the extra ``litellm``. Whatever fails is raised as LiteLLM's own exceptions, with ours as the
cause.
"""

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeAlias, cast

from litellm import exceptions as theirs
from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import (  # pyright: ignore[reportMissingTypeStubs] - it is typed as it is
    Delta,
    EmbeddingResponse,
    GenericStreamingChunk,
    ImageResponse,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
)
from msgspec.structs import replace

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
from zai_async.errors import ConfigurationError, ZaiError
from zai_async.integrations.openai_keywords import call_options, chat_keywords
from zai_async.models import CallOptions
from zai_async.sync.portal import LoopThread
from zai_async.web.openai_replies import completion_body, embeddings_body, images_body, reason
from zai_async.web.openai_requests import RefusedRequestError, embedding_request, image_request

__all__ = ["ZaiLLM"]

Chunk: TypeAlias = GenericStreamingChunk | ModelResponseStream

_NAME: Final = "zai-async"
_ERRORS: Final[dict[Kind, type[Exception]]] = {
    "auth": theirs.AuthenticationError,
    "account": theirs.AuthenticationError,
    "permission": theirs.AuthenticationError,
    "billing": theirs.PaymentRequiredError,
    "request": theirs.BadRequestError,
    "config": theirs.BadRequestError,
    "not_found": theirs.NotFoundError,
    "content": theirs.ContentPolicyViolationError,
    "throttle": theirs.RateLimitError,
    "quota": theirs.RateLimitError,
    "overload": theirs.ServiceUnavailableError,
    "connection": theirs.APIConnectionError,
    "local": theirs.APIConnectionError,
    "timeout": theirs.Timeout,
}
_TOO_LONG: Final = "1261"
_USUAL_TIMEOUT: Final = 600.0
"""What LiteLLM says where nobody has said anything, or more: our clocks are no longer than that."""
_BLANK: Final[dict[str, Any]] = {
    "text": "",
    "is_finished": False,
    "finish_reason": "",
    "usage": None,
    "index": 0,
    "tool_use": None,
}


class ZaiLLM(CustomLLM):
    """The platform as a provider of LiteLLM, under any name but that of one of its own.

    Args:
        client: A client of yours, whose limits, retries and connections are shared; it is closed
            by you, and excludes other arguments.
        **settings: Arguments of ``AsyncZai`` for a client of its own.

    Raises:
        ConfigurationError: There is no key, or an argument cannot be meant.
    """

    def __init__(self, client: AsyncZai | None = None, **settings: Any) -> None:
        super().__init__()
        if client is not None and settings:
            raise ConfigurationError("client= excludes arguments that are those of the client")
        self.client = client or AsyncZai(**settings)
        self._loop = LoopThread()

    async def acompletion(
        self, model: str, messages: list[Any], *_: Any, **facts: Any
    ) -> ModelResponse:
        """Answer a chat."""
        with _translating(model):
            params = _chat(model, messages, facts)
            answer = await self.client.chat.completions.create(stream=False, **params)
            return ModelResponse(**completion_body(answer, model))

    # LiteLLM awaits nothing here: it goes over what is returned, and takes chunks of both forms.
    async def astreaming(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        self, model: str, messages: list[Any], *_: Any, **facts: Any
    ) -> AsyncIterator[Chunk]:
        """Answer a chat while it is written."""
        with _translating(model):
            params = _chat(model, messages, facts)
            async with self.client.chat.completions.stream(**params) as stream:
                # One for all chunks: LiteLLM goes on with that of the first one that has any.
                name = ""
                async for event in stream.events:
                    name = name or stream.snapshot.id
                    if (told := _told(event, name)) is not None:
                        yield told

    async def aembedding(
        self, model: str, input: list[Any], *_: Any, **facts: Any
    ) -> EmbeddingResponse:
        """Turn texts into vectors."""
        with _translating(model):
            fields, options = _call(facts)
            wanted: Any = embedding_request({"model": model, "input": input, **fields})
            answer = await self.client.embeddings.create(**wanted, options=options)
            return EmbeddingResponse(**embeddings_body(answer, model, in_base64=False))

    async def aimage_generation(
        self, model: str, prompt: str, *_: Any, **facts: Any
    ) -> ImageResponse:
        """Make an image."""
        with _translating(model):
            fields, options = _call(facts)
            wanted: Any = image_request({"model": model, "prompt": prompt, **fields})
            answer = await self.client.images.generate(**wanted, options=options)
            in_base64 = fields.get("response_format") == "b64_json"
            return ImageResponse(**await images_body(answer, in_base64=in_base64))

    def completion(self, *args: Any, **facts: Any) -> ModelResponse:
        """Answer a chat, blocking."""
        return self._loop.run(partial(self.acompletion, *args, **facts))

    def embedding(self, *args: Any, **facts: Any) -> EmbeddingResponse:
        """Turn texts into vectors, blocking."""
        return self._loop.run(partial(self.aembedding, *args, **facts))

    def image_generation(self, *args: Any, **facts: Any) -> ImageResponse:
        """Make an image, blocking."""
        return self._loop.run(partial(self.aimage_generation, *args, **facts))

    def streaming(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        self, *args: Any, **facts: Any
    ) -> Iterator[Chunk]:
        """Answer a chat while it is written, blocking."""
        chunks: Any = self.astreaming(*args, **facts)
        loop = None
        try:
            while (chunk := self._loop.run(partial(anext, chunks, None))) is not None:
                loop = self._loop.loop
                yield chunk
        finally:
            self._loop.finish(chunks.aclose, loop)

    def close(self) -> None:
        """Close the client, and end the loop in which blocking calls run."""
        self._loop.run(self.client.aclose)
        self._loop.close()


def _chat(model: str, messages: list[Any], facts: dict[str, Any]) -> Any:
    """Return the keywords of a chat for what LiteLLM says about it."""
    fields, options = _call(facts)
    wanted = chat_keywords({**fields, "model": model, "messages": messages})
    return {**wanted, "options": options}


def _call(facts: dict[str, Any]) -> tuple[dict[str, Any], CallOptions]:
    """Return the fields of a request and how its call is made, for what LiteLLM says about it.

    Raises:
        ValueError: It speaks of another key or address.
    """
    # The limiter counts the calls of one key, and another would be billed to somebody else.
    for name in ("api_key", "api_base"):
        if facts.get(name):
            raise ValueError(f"{name} is that of the client: ZaiLLM({name}=...) makes another one")
    fields: dict[str, Any] = dict(facts.get("optional_params") or {})
    # Fields that this package may not know yet go to the platform as they are.
    if body := fields.pop("extra_body", None):
        fields["extra"] = {**fields.get("extra", {}), **body}
    # Of LiteLLM's two ways to retry this is the one that leaves it to the client.
    retries = fields.pop("max_retries", None)
    timeout: Any = facts.get("timeout")
    # It may be an object of httpx with several clocks, of which this one is about the answer.
    timeout = getattr(timeout, "read", timeout)
    if timeout is not None and timeout >= _USUAL_TIMEOUT:
        timeout = None
    options = call_options(fields.pop("options", None), timeout=timeout, retries=retries)
    if headers := facts.get("headers"):
        options = replace(options, headers={**options.headers, **headers})
    return fields, options


def _told(event: ChatEvent, name: str) -> Chunk | None:
    """Return what LiteLLM is told of an event."""
    told: dict[str, Any]
    match event:
        case TextDelta(text):
            told = {"text": text}
        case ThinkingDelta(text):
            # Chunks of the plain form have no place for it.
            delta = Delta(role="assistant", content=None, reasoning_content=text)
            return ModelResponseStream(id=name, choices=[StreamingChoices(delta=delta)])
        case ToolCallStarted(index, id, name):
            told = _tool_use(index, id or f"call_{index}", name, "")
        case ToolCallDelta(index, text):
            told = _tool_use(index, None, None, text)
        case Finished():
            told = {
                "is_finished": True,
                "finish_reason": reason(event.outcome, event.finish_reason),
                "usage": event.completion.usage.to_dict(),
            }
        case _:
            return None
    return cast("GenericStreamingChunk", _BLANK | told)


def _tool_use(index: int, id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_use": {"id": id, "type": "function", "index": index, "function": function}}


@contextmanager
def _translating(model: str) -> Generator[None]:
    """Raise what fails inside as LiteLLM's exceptions, with ours as the cause."""
    try:
        yield
    except (ZaiError, RefusedRequestError, TypeError, ValueError) as error:
        raise _translated(error, model) from error


def _translated(error: Exception, model: str) -> Exception:
    facts: dict[str, Any] = {"message": str(error), "model": model, "llm_provider": _NAME}
    if isinstance(error, RefusedRequestError) and error.code == "unsupported_value":
        return theirs.UnsupportedParamsError(**facts)
    if not isinstance(error, ZaiError):
        return theirs.BadRequestError(**facts)
    if error.code == _TOO_LONG:
        return theirs.ContextWindowExceededError(**facts)
    kind = _ERRORS.get(error.kind, theirs.InternalServerError)
    if kind is theirs.RateLimitError:
        # A router waits for so long before it comes back.
        facts["headers"] = error.to_http().headers
    return kind(**facts)
