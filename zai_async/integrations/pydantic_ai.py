"""A model for agents of pydantic-ai.

    async with AsyncZai() as zai:
        agent = Agent(ZaiAsyncModel("glm-5.3", client=zai))
        result = await agent.run("Hi")

Needs the extra ``pydantic-ai``. All agents of a client share its connections, limits and retries.

Source: https://ai.pydantic.dev/models/overview/#custom-models
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import (
    Model,
    ModelRequestParameters,
    StreamedResponse,
    check_allow_model_requests,
)
from pydantic_ai.profiles import ModelProfile, ModelProfileSpec
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RequestUsage

from zai_async._protocol.events import (
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from zai_async.client import AsyncZai
from zai_async.errors import StreamConsumedError, ToolCallError, TransportError
from zai_async.integrations.pydantic_ai_answers import (
    FINISH_REASONS,
    parts_of,
    translated_errors,
    usage_of,
)
from zai_async.integrations.pydantic_ai_requests import (
    PROVIDER,
    ZaiAsyncModelSettings,
    call_options,
    chat_messages,
    generation,
    offered_tools,
    profile_of,
)
from zai_async.models import CallOptions, ChatCompletion, ChatModel, ChatParams
from zai_async.streams import ChatStream

__all__ = ["ZaiAsyncModel", "ZaiAsyncModelSettings"]

# An agent asks the model again for what is empty or unreadable, and needs to see it for that.
_ALLOWED = frozenset({"empty"})


class AgentProvider(Provider[AsyncZai]):
    """Hands an open client to models; whoever opened the client closes it."""

    def __init__(self, client: AsyncZai) -> None:
        self._client = client

    @property
    def name(self) -> str:
        """The name that histories and prices know the platform by."""
        return PROVIDER

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self._client.provider.base_url

    @property
    def client(self) -> AsyncZai:
        """The client."""
        return self._client

    @staticmethod
    def model_profile(model_name: str) -> ModelProfile:
        """Return what a model can do."""
        return profile_of(model_name)


class ZaiAsyncModel(Model[AsyncZai]):
    """A model of the platform, asked through a client of yours.

    Args:
        model: Its name, such as ``"glm-5.3"``.
        client: Makes the requests, and is not closed.
        settings: Defaults for every request; those of an agent and of a run win over them.
        profile: What the model can do, where that is not known here.
        options: Deadline, tag, budget and so on of every request.
    """

    # The platform has no such fields; agents are warned where that breaks a promise.
    unsupported_settings: ClassVar = frozenset(
        {
            "citations",
            "frequency_penalty",
            "logit_bias",
            "parallel_tool_calls",
            "presence_penalty",
            "service_tier",
            "top_k",
        }
    )
    # A tool message holds text, so that files of tools go into a user message behind it.
    _relocates_tool_files: ClassVar = True

    def __init__(
        self,
        model: ChatModel | str,
        *,
        client: AsyncZai,
        settings: ModelSettings | None = None,
        profile: ModelProfileSpec | None = None,
        options: CallOptions | None = None,
    ) -> None:
        self._name = model
        # Where the base class looks for the profile, and for what a history calls the platform.
        self._provider = AgentProvider(client)
        self._options = options or CallOptions()
        super().__init__(settings=settings, profile=profile)

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self._name

    @property
    def system(self) -> str:
        """The name of the platform."""
        return PROVIDER

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self._provider.base_url

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, and wait for the whole answer."""
        check_allow_model_requests()
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        with translated_errors(self._name):
            params = await self._params(messages, settings, parameters)
            answer = await self._provider.client.chat.completions.create(**params)
        return ModelResponse(
            parts=parts_of(answer, self.profile),
            usage=usage_of(answer.usage),
            model_name=answer.model or self._name,
            provider_name=PROVIDER,
            provider_url=self.base_url,
            provider_response_id=answer.id or None,
            provider_details=details_of(answer.request_id, answer.finish_reason),
            finish_reason=FINISH_REASONS.get((answer.finish_reason or "").lower()),
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,  # noqa: ARG002 - part of the interface
    ) -> AsyncGenerator[StreamedResponse]:
        """Ask, and receive the answer while it is written; leaving closes the connection."""
        check_allow_model_requests()
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        with translated_errors(self._name):
            params = await self._params(messages, settings, parameters)
            stream = self._provider.client.chat.completions.stream(**params)
            # What fails before the first content fails here; a wait that is cancelled closes it.
            await stream.prime()
        # Not entered: one that has nothing to say may have ended by now, and cannot be opened.
        async with aclosing(stream):
            yield ZaiAsyncStreamedResponse(parameters, stream, self)

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        """Count the tokens of a request; the platform does so for some models only."""
        check_allow_model_requests()
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        with translated_errors(self._name):
            params = await self._params(messages, settings, parameters)
            # How the answer is written has nothing to do with how long the prompt is.
            counted = ("model", "messages", "tools", "options")
            wanted: Any = {name: value for name, value in params.items() if name in counted}
            count = await self._provider.client.tokenizer.count(**wanted)
        return RequestUsage(input_tokens=count.total_tokens)

    async def _params(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ChatParams:
        """Return the keywords of a chat request."""
        settings = cast("ZaiAsyncModelSettings", model_settings or {})
        instructions = self._get_instruction_parts(messages, parameters) or []
        params: Any = {
            "model": self._name,
            "messages": await chat_messages(messages, [each.content for each in instructions]),
            **generation(settings, parameters, self.profile),
            **offered_tools(settings, parameters, self.profile),
            "options": call_options(self._options, settings, _ALLOWED),
        }
        return cast("ChatParams", params)


@dataclass
class ZaiAsyncStreamedResponse(StreamedResponse):
    """An answer that is being written."""

    _stream: ChatStream
    _model: ZaiAsyncModel
    _timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    # Declared as in the base class: an answer that ends without usage is counted as unmeasured.
    _usage_received: bool | None = field(default=False, init=False)

    def __post_init__(self) -> None:
        # Known from the headers on, so that a stream that breaks off has it, too.
        self.provider_details = details_of(self._stream.request_id, None)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        events = aiter(self._stream.events)
        with translated_errors(self.model_name):
            while True:
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                except ToolCallError as error:
                    whole = error.partial
                    if not isinstance(whole, ChatCompletion) or not whole.finish_reason:
                        raise
                    # The agent reads arguments itself, and tells the model what is wrong with them.
                    self._end(whole)
                    return
                for told in self._told(event):
                    yield told

    def _told(self, event: object) -> Iterator[ModelResponseStreamEvent]:
        """Yield what an event of ours is to an agent."""
        parts = self._parts_manager
        match event:
            case ThinkingDelta(text=text):
                yield from parts.handle_thinking_delta(
                    vendor_part_id="thinking", content=text, provider_name=PROVIDER
                )
            case TextDelta(text=text):
                yield from parts.handle_text_delta(
                    vendor_part_id="text",
                    content=text,
                    ignore_leading_whitespace=self._model.profile.get(
                        "ignore_streamed_leading_whitespace", False
                    ),
                )
            case ToolCallStarted(index=index, id=name_of_call, name=name):
                yield from parts.handle_tool_call_delta_events(
                    vendor_part_id=index,
                    tool_name=name,
                    args="",  # a call may have none, and is one from its name on
                    tool_call_id=name_of_call or None,
                )
            case ToolCallDelta(index=index, text=text):
                yield from parts.handle_tool_call_delta_events(vendor_part_id=index, args=text)
            case Finished(completion=whole):
                self._end(whole)
            case _:
                pass  # whole calls and usage, which are told in pieces and at the end; web pages

    def _end(self, whole: ChatCompletion) -> None:
        """Note how the answer ended."""
        self.provider_response_id = whole.id or None
        self.provider_details = details_of(self._stream.request_id, whole.finish_reason)
        self.finish_reason = FINISH_REASONS.get((whole.finish_reason or "").lower())
        usage = usage_of(whole.usage)
        self._add_usage(usage, reported=not usage.unmeasured_requests)

    async def close_stream(self) -> None:
        """Close the connection, which ends the generation and gives its permit back."""
        await self._stream.aclose()

    def get_stream_cancel_errors(self) -> tuple[type[BaseException], ...]:
        """Return what reading raises because somebody has closed the stream."""
        return (StreamConsumedError, TransportError)

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self._stream.snapshot.model or self._model.model_name

    @property
    def provider_name(self) -> str:
        """The name of the platform."""
        return PROVIDER

    @property
    def provider_url(self) -> str:
        """Where the request went."""
        return self._model.base_url

    @property
    def timestamp(self) -> datetime:
        """When the answer began."""
        return self._timestamp


def details_of(request_id: str | None, finish_reason: str | None) -> dict[str, Any]:
    """Return what support asks for, and how the platform says that an answer ended."""
    found = {"request_id": request_id, "finish_reason": finish_reason}
    return {name: value for name, value in found.items() if value}
