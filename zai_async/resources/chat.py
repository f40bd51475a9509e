"""``zai.chat`` and ``zai.agents``: answers that come whole, as a stream, or from a task."""

from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from zai_async import _operations as ep
from zai_async.errors import StructuredOutputError
from zai_async.models import (
    AgentConversationParams,
    AgentParams,
    AgentReply,
    AgentResultParams,
    ChatCompletion,
    ChatParams,
    ChatResult,
    Usage,
)
from zai_async.models.tool_runs import ResumeParams, RunParams
from zai_async.resources.deferred import tool_run
from zai_async.resources.resource import Resource
from zai_async.session import SessionManager
from zai_async.streams import AgentStream, ChatStream, ParsedStream
from zai_async.structured import AnswerFormat, ParsedCompletion
from zai_async.tasks import (
    AGENTS,
    CHATS,
    ParsedResult,
    Task,
    TaskType,
    parsed_chats,
    submit,
    submit_agent,
)

if TYPE_CHECKING:
    from zai_async.tools import RunState, ToolRun

__all__ = ["Agents", "Chat", "Completions"]

T = TypeVar("T")


class Completions(Resource):
    """``zai.chat.completions``: answers of a model to a conversation."""

    @overload
    async def create(
        self, *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self, *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> ChatStream: ...
    @overload
    async def create(
        self, *, stream: bool, **params: Unpack[ChatParams]
    ) -> ChatCompletion | ChatStream: ...
    async def create(
        self, *, stream: bool = False, **params: Unpack[ChatParams]
    ) -> ChatCompletion | ChatStream:
        """Create a completion and wait for the whole answer.

        With ``stream=True`` return the open stream instead, as other SDKs do; ``stream()`` is the
        better way, because its ``async with`` closes the connection whatever happens.

        Raises:
            APIError: The platform refused or failed; see the subclasses.
            IncompleteError: The answer is cut, lost or empty; ``partial`` has what there is.
            TransportError: No answer came.

        Source: https://docs.z.ai/api-reference/llm/chat-completion
        """
        # For people who come from other SDKs; here the stream has to be closed by hand.
        if stream:
            answer = self.stream(**params)
            try:
                return await answer.open()
            except BaseException:
                await answer.aclose()  # nobody else has it
                raise
        return await self._manager.call(ep.CHAT, params)

    def stream(self, **params: Unpack[ChatParams]) -> ChatStream:
        """Create a completion and receive it while it is written.

        Nothing is sent before the stream is entered with ``async with`` or read.

        Source: https://docs.z.ai/guides/capabilities/streaming
        """
        return ChatStream(self._manager.begin(ep.CHAT_STREAM, params))

    @overload
    async def parse(
        self, kind: type[T], /, *, repairs: int = 1, **params: Unpack[ChatParams]
    ) -> ParsedCompletion[T]: ...
    @overload
    async def parse(
        self, kind: Any, /, *, repairs: int = 1, **params: Unpack[ChatParams]
    ) -> ParsedCompletion[Any]: ...
    async def parse(
        self, kind: Any, /, *, repairs: int = 1, **params: Unpack[ChatParams]
    ) -> ParsedCompletion[Any]:
        """Create a completion whose text is a value of a type, and return both.

        The type is a dataclass, ``TypedDict``, ``msgspec.Struct`` or model of pydantic, or a list,
        dict or union of such. Its schema goes into the system message. An answer that does not
        fit is shown to the model with the reason, ``repairs`` times; one that was cut by its limit
        is not.

        Raises:
            ConfigurationError: The type has no JSON Schema.
            StructuredOutputError: The answer does not fit; ``raw`` is its text.
            ZaiError: As for ``create()``.

        Source: https://docs.z.ai/guides/capabilities/struct-output
        """
        answer_format = AnswerFormat[Any](kind)
        request = answer_format.request(params)
        usage = Usage()
        repair = 0
        while True:
            answer = await self._manager.call(ep.CHAT, request)
            usage += answer.usage
            try:
                parsed = answer_format.read(answer)
            except StructuredOutputError as error:
                error.usage = usage
                if repair >= repairs or answer.outcome == "length":
                    raise
                repair += 1
                request["messages"] = [*request["messages"], *answer_format.correction(error)]
            else:
                return ParsedCompletion(
                    parsed=parsed, completion=answer, usage=usage, repairs=repair
                )

    @overload
    def parse_stream(self, kind: type[T], /, **params: Unpack[ChatParams]) -> ParsedStream[T]: ...
    @overload
    def parse_stream(self, kind: Any, /, **params: Unpack[ChatParams]) -> ParsedStream[Any]: ...
    def parse_stream(self, kind: Any, /, **params: Unpack[ChatParams]) -> ParsedStream[Any]:
        """Create a completion whose text is a value of a type, and receive it while it is written.

        As with ``parse()``, but without repairs: what has been shown cannot be taken back.

        Raises:
            ConfigurationError: The type has no JSON Schema.

        Source: https://docs.z.ai/guides/capabilities/struct-output
        """
        answer_format = AnswerFormat[Any](kind)
        return ParsedStream(self.stream(**answer_format.request(params)), answer_format)

    def run_tools(self, **params: Unpack[RunParams]) -> "ToolRun":
        """Ask the model, make the calls that it wants, and ask again until it is done.

        Nothing is sent before the run is entered with ``async with`` and read. The calls of one
        answer are made at the same time, and each gets its answer: a result, or why there is none.
        The deadline in ``options`` is that of the whole run.

        Raises:
            ConfigurationError: A function cannot be a tool, or two have the same name.

        Source: https://docs.z.ai/guides/capabilities/function-calling
        """
        return tool_run(self._manager, self.stream, params)

    def resume_tools(self, state: "RunState", **params: Unpack[ResumeParams]) -> "ToolRun":
        """Go on with a run that waits for decisions, was stopped, or has failed.

        ``state`` is what ``run.pending``, ``run.state`` or a checkpoint was. A call that has been
        finished is not made again. One that was under way when its process ended is not either:
        the model is told that nobody knows whether it had an effect. Rounds are counted from the
        beginning of the run.

        Raises:
            ConfigurationError: No call waits for one of the decisions.
        """
        return tool_run(self._manager, self.stream, params, state)

    @overload
    async def submit(
        self, *, schema: None = None, **params: Unpack[ChatParams]
    ) -> Task[ChatResult]: ...
    @overload
    async def submit(
        self, *, schema: type[T], **params: Unpack[ChatParams]
    ) -> Task[ParsedResult[T]]: ...
    @overload
    async def submit(
        self, *, schema: Any, **params: Unpack[ChatParams]
    ) -> Task[ParsedResult[Any]]: ...
    async def submit(self, *, schema: Any = None, **params: Unpack[ChatParams]) -> Task[Any]:
        """Submit a completion that is written while nobody waits.

        With a ``schema``, which is a type as for ``parse()``, the result has the value as
        ``parsed``. One that does not fit makes ``wait()`` raise a StructuredOutputError; it is
        not shown to the model, which would be another task. Documented for bigmodel.cn only.

        Raises:
            SubmitUnknownError: It is unknown whether it was accepted; it is not submitted again.
            ConfigurationError: The type has no JSON Schema.

        Source: https://docs.bigmodel.cn/api-reference
        """
        if schema is None:
            return await submit(self._manager, ep.CHAT_SUBMIT, params, CHATS)
        request = AnswerFormat[Any](schema).request(params)
        return await submit(self._manager, ep.CHAT_SUBMIT, request, parsed_chats(schema))

    @overload
    def task(self, id: str, *, schema: None = None) -> Task[ChatResult]: ...
    @overload
    def task(self, id: str, *, schema: type[T]) -> Task[ParsedResult[T]]: ...
    @overload
    def task(self, id: str, *, schema: Any) -> Task[ParsedResult[Any]]: ...
    def task(self, id: str, *, schema: Any = None) -> Task[Any]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet.

        Raises ConfigurationError if there is no JSON Schema of the type.
        """
        known: TaskType[Any] = CHATS if schema is None else parsed_chats(schema)
        return Task(known, {"id": id}, engine=self._manager)


class Chat:
    """``zai.chat``."""

    completions: Completions

    def __init__(self, manager: SessionManager) -> None:
        self.completions = Completions(manager)


class Agents(Resource):
    """``zai.agents``: translation, slides, video effects and more."""

    async def invoke(self, **params: Unpack[AgentParams]) -> AgentReply:
        """Call an agent and wait for its answer, or for the ``async_id`` of its task.

        A request that may have arrived is not sent again. A refusal is raised, although the
        platform reports it with HTTP 200.

        Source: https://docs.z.ai/api-reference/agents/agent
        """
        return await self._manager.call(ep.AGENT, params)

    def stream(self, **params: Unpack[AgentParams]) -> AgentStream:
        """Call an agent and receive its work while it goes on.

        Nothing is sent before the stream is entered with ``async with`` or read. The slides agent
        can only be streamed.

        Source: https://docs.z.ai/api-reference/agents/agent
        """
        return AgentStream(self._manager.begin(ep.AGENT_STREAM, params))

    async def submit(self, **params: Unpack[AgentParams]) -> Task[AgentReply]:
        """Submit work to an agent, such as a video; one that answers at once is done at once.

        Raises:
            SubmitUnknownError: It is unknown whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/agents/agent
        """
        return await submit_agent(self._manager, ep.AGENT_SUBMIT, params)

    def task(self, **params: Unpack[AgentResultParams]) -> Task[AgentReply]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet.

        Source: https://docs.z.ai/api-reference/agents/get-async-result
        """
        return Task(AGENTS, params, engine=self._manager)

    async def conversation(self, **params: Unpack[AgentConversationParams]) -> AgentReply:
        """Fetch the slides of a conversation with ``slides_glm_agent``.

        Source: https://docs.z.ai/api-reference/agents/agent-conversation
        """
        return await self._manager.call(ep.AGENT_CONVERSATION, params)
