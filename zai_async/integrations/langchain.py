"""Models of the platform for LangChain.

    model = ChatZai(model="glm-5.3")
    answer = await model.ainvoke("Hi")

Needs the extra ``langchain``.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from operator import itemgetter
from typing import Any, Final, Literal, TypeGuard, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.base import OutputParserLike
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ConfigDict, Field

from zai_async.errors import ConfigurationError
from zai_async.integrations.langchain_client import ZaiSettings, blocking, run_blocking
from zai_async.integrations.langchain_errors import model_errors
from zai_async.integrations.langchain_messages import (
    StandardBlocks,
    message_of,
    pieces_of,
    sent_messages,
)
from zai_async.structured import with_schema

__all__ = ["ChatZai", "ZaiEmbeddings"]

_PARAMETERS: Final = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "thinking",
    "reasoning_effort",
    "do_sample",
    "seed",
    "tool_stream",
    "user_id",
)
# Tools of the platform itself, which LangChain does not know.
_OWN_TOOLS: Final = frozenset({"web_search", "retrieval", "mcp"})


class ChatZai(ZaiSettings, BaseChatModel):
    """A model that talks, with tools, structured answers and pictures."""

    # Once more: that of LangChain, which ignores what it does not know, would win.
    model_config = ConfigDict(extra="forbid")

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Limit of the answer in tokens, thinking included."""
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    thinking: dict[str, Any] | None = None
    """Such as ``{"type": "disabled"}``."""
    reasoning_effort: str | None = None
    do_sample: bool | None = None
    seed: int | None = None
    tool_stream: bool | None = None
    """Stream the arguments of tool calls while they are written."""
    user_id: str | None = None
    streaming: bool = False
    """Whether answers that are asked for whole are streamed all the same, for callbacks."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Other keywords of ``chat.completions.create``."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell that LangChain may store it."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """What is not stored, and where it is looked for instead."""
        return {"api_key": "ZAI_API_KEY"}

    @property
    def _llm_type(self) -> str:
        return "zai-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # What traces and caches tell models apart by: no key, no address, nothing of the client.
        given = {name: getattr(self, name) for name in _PARAMETERS}
        return {name: value for name, value in given.items() if value is not None}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return super()._get_ls_params(stop=stop or self.stop, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - theirs
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            request = self._request(messages, stop, kwargs)
            answer = await self._zai.chat.completions.create(stream=False, **request)
        return ChatResult(generations=[ChatGeneration(message=message_of(answer))])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - theirs
        **kwargs: Any,
    ) -> ChatResult:
        return run_blocking(lambda: self._agenerate(messages, stop, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(self._chunks(messages, stop, kwargs)) as chunks:
            async for chunk in chunks:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in blocking(self._chunks(messages, stop, kwargs)):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk]:
        blocks = StandardBlocks() if self.output_version == "v1" else None
        with model_errors():
            request = self._request(messages, stop, kwargs)
            if request["options"].on_restart == "reset":
                # Whoever adds them up has no way to forget some.
                raise ConfigurationError("pieces of LangChain cannot be reset: on_restart='raise'")
            async with (
                self._zai.chat.completions.stream(**request) as stream,
                aclosing(pieces_of(stream)) as pieces,
            ):
                async for piece in pieces:
                    message = piece if blocks is None else blocks.of(piece)
                    yield ChatGenerationChunk(message=message)

    def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the keywords of a call."""
        given = {**self._identifying_params, **self.model_kwargs, **kwargs}
        # An empty list is how LangChain says that there are none, and the platform refuses one.
        given["stop"] = (given.get("stop") if stop is None else stop) or None
        params = self.call_settings({**given, "messages": sent_messages(messages)})
        wanted: dict[str, Any] = params.get("response_format", {})
        if wanted.get("type") == "json_schema":
            # The platform knows that it shall be JSON; the schema is for the model to read.
            return with_schema(params, wanted["json_schema"]["schema"])
        return params

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with tools that it may call.

        The platform leaves the choice to the model. What comes nearest is done: of ``"none"`` no
        tool is offered, of a name or a tool that one alone, and of ``"any"``, ``"required"`` or
        True all of them.

        Args:
            tools: Functions, tools, models of pydantic, or tools of the platform as they are sent.
            tool_choice: ``"auto"``, ``"none"``, ``"any"``, ``"required"``, True, or one of them.
            strict: Whether schemas forbid what they do not name, and require all of it.
            **kwargs: Other keywords of each call.

        Raises:
            ConfigurationError: ``tool_choice`` names none of the tools.
        """
        # The platform documents no other value than "auto", which it takes to be meant anyway.
        offered = [_tool(tool, strict=strict) for tool in tools]
        if isinstance(tool_choice, dict):
            tool_choice = str(tool_choice.get("function", tool_choice).get("name"))
        if tool_choice == "none":
            offered = []
        elif isinstance(tool_choice, str) and tool_choice not in {"auto", "any", "required"}:
            offered = [tool for tool in offered if tool_name(tool) == tool_choice]
            if not offered:
                raise ConfigurationError(f"tool_choice: there is no tool {tool_choice!r}")
        return self.bind(tools=offered or None, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return the model with answers that are values of a type.

        Args:
            schema: A model of pydantic, a ``TypedDict``, or a JSON Schema.
            method: ``"json_schema"`` shows the model the schema and asks for JSON,
                ``"function_calling"`` offers a tool, which it may leave alone; then there is None.
                ``"json_mode"`` asks for JSON of which your messages say more.
            include_raw: Whether there is a dict of ``raw``, ``parsed`` and ``parsing_error``.
            strict: As for ``bind_tools()``.
            **kwargs: Other keywords of each call.

        Raises:
            ConfigurationError: There is no schema, or no such method.
        """
        if schema is None and method != "json_mode":
            raise ConfigurationError(f"with_structured_output(): {method!r} needs a schema")
        told = {"kwargs": {"method": method, "strict": strict}, "schema": schema or {}}
        kwargs["ls_structured_output_format"] = told
        parser: OutputParserLike[Any]
        model_type: Any = schema if is_basemodel(schema) else None
        if method == "function_calling":
            tool = _tool(schema, strict=strict)
            name = tool_name(tool)
            model = self.bind_tools([tool], tool_choice=name, **kwargs)
            if model_type is not None:
                parser = PydanticToolsParser(tools=[model_type], first_tool_only=True)
            else:
                parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        elif method in {"json_schema", "json_mode"}:
            wanted: dict[str, Any] = {"type": "json_object"}
            if method == "json_schema":
                plain = convert_to_json_schema(cast("Any", schema), strict=strict)
                wanted = {"type": "json_schema", "json_schema": {"schema": plain}}
            model = self.bind(response_format=wanted, **kwargs)
            parser = JsonOutputParser()
            if model_type is not None:
                parser = PydanticOutputParser(pydantic_object=model_type)
        else:
            raise ConfigurationError(f"with_structured_output(): there is no method {method!r}")
        if not include_raw:
            return model | parser
        # An answer that does not fit is there to be looked at, with the reason.
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks(
            [failed], exception_key="parsing_error"
        )


def _tool(tool: Any, *, strict: bool | None) -> dict[str, Any]:
    """Return a tool as it is sent."""
    given: dict[str, Any] = tool if is_dict(tool) else {}
    if given.get("type") in _OWN_TOOLS:
        return given
    offered = convert_to_openai_tool(tool, strict=strict)
    # The schema says it all; the platform has no such field. What was given may be this very dict.
    function = {name: value for name, value in offered["function"].items() if name != "strict"}
    return {**offered, "function": function}


def is_dict(tool: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a tool is described as it is sent."""
    return isinstance(tool, dict)


def is_basemodel(schema: object) -> bool:
    """Tell whether answers become objects of a class of pydantic."""
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def tool_name(tool: dict[str, Any]) -> str:
    """Return what a tool is called."""
    return str(tool.get("function", {}).get("name", tool["type"]))


class ZaiEmbeddings(ZaiSettings, Embeddings):
    """Texts as vectors; documented for ``provider="bigmodel"`` only.

    Any number of texts is taken: the platform is sent 64 at a time, several times at once.
    """

    model: str = "embedding-3"
    dimensions: int | None = None

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts, in their order."""
        # The platform refuses a request without a text, and stores of vectors send some.
        if not texts:
            return []
        fields = {"model": self.model, "dimensions": self.dimensions, "input": texts}
        with model_errors():
            answer = await self._zai.embeddings.create(**self.call_settings(fields))
        return answer.vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return (await self.aembed_documents([text]))[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts, in their order."""
        return run_blocking(lambda: self.aembed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return run_blocking(lambda: self.aembed_query(text))
