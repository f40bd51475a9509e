"""Agents: translation, video templates and slides; they live under ``/api/v1``.

What an agent cannot do it answers with HTTP 200 and ``"status": "failed"``, as recorded live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.files import FileStore
from zai_async.testing.emulator.media import video_link
from zai_async.testing.emulator.operation import OperationCall, Route, error, read_fields, require
from zai_async.testing.emulator.prose import tokens
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json, is_object
from zai_async.testing.emulator.slides import SlideDecks
from zai_async.testing.emulator.tasks import TaskHandlers

# https://docs.z.ai/api-reference/agents/agent lists them.
_CODES = (
    "zh-CN zh-TW wyw yue en en-GB en-US ja ko fr de es ru pt it ar hi bg cs da el et fi hu id lt lv"
    " nl no pl ro sk sl sv th tr uk vi my ms Pinyin IPA auto"
)
_MAX_TEXT = 100_000  # characters; each word becomes an event of a few hundred bytes
_LANGUAGES = frozenset(_CODES.split())


# Agents take what chats do not: a single part as an object, and image addresses as plain strings.
class AgentPrompt(Struct):
    """One message to an agent; content may be a text, a part or a list of parts."""

    role: Literal["system", "user", "assistant"]
    content: str | dict[str, Any] | list[dict[str, Any]]

    @property
    def text(self) -> str:
        """The texts of the message."""
        if isinstance(self.content, str):
            return self.content
        parts = [self.content] if isinstance(self.content, dict) else self.content
        return "".join(str(part.get("text", "")) for part in parts)


class AgentInvocation(Struct):
    """A request to any agent; https://docs.z.ai/api-reference/agents/agent."""

    agent_id: str
    messages: Annotated[list[AgentPrompt], Meta(min_length=1)]
    stream: bool = False
    custom_variables: dict[str, Any] | None = None
    conversation_id: str | None = None
    request_id: str | None = None

    @property
    def text(self) -> str:
        """The texts of all messages."""
        return "\n".join(message.text for message in self.messages)


class _ResultRequest(Struct):
    agent_id: str
    async_id: str
    custom_variables: dict[str, Any] | None = None


class _ConversationRequest(Struct):
    agent_id: Literal["slides_glm_agent"]
    conversation_id: str
    custom_variables: dict[str, Any] | None = None


# `cot` stands in the text of the page and in bigmodel's description, not in the list of values.
class _Translation(Struct):
    source_lang: str = "auto"
    target_lang: str = "zh-CN"
    glossary: str | None = None
    strategy: Literal["general", "paraphrase", "two_step", "three_step", "reflection", "cot"] = (
        "general"
    )
    strategy_config: dict[str, Any] | None = None


# https://docs.z.ai/api-reference/agents/agent lists these three.
class _Template(Struct):
    template: Literal["french_kiss", "bodyshake", "sexy_me"]


class _Page(Struct):
    position: Annotated[int, Meta(ge=1)]
    width: float | None = None
    height: float | None = None


# https://docs.z.ai/guides/agents/slide
class _Export(Struct):
    include_pdf: bool = False
    pages: list[_Page] = []


class AgentHandlers:
    """Answer for ``general_translation``, ``vidu_template_agent`` and ``slides_glm_agent``."""

    def __init__(self, tasks: TaskHandlers, files: FileStore) -> None:
        self._tasks = tasks
        self._files = files
        self._agents: Mapping[str, Callable[[OperationCall, AgentInvocation], PlannedReply]] = {
            "general_translation": self.translate,
            "vidu_template_agent": self.video,
            "slides_glm_agent": self.draw,
        }
        self.reset()

    def reset(self) -> None:
        """Forget videos and slides."""
        self._videos: RecentItems[str] = RecentItems()
        self._polled: RecentItems[int] = RecentItems()
        self._slides = SlideDecks()

    def routes(self) -> list[Route]:
        """List the routes of this group."""

        def failed(call: OperationCall, refusal: Refusal) -> PlannedReply:
            # Recorded live: what an agent cannot do is HTTP 200 with the ids of the request; only
            # a wrong key is refused as everywhere else.
            if refusal.status == 401:
                return error(call, refusal)
            sent: Json = call.request.json if is_object(call.request.json) else {}
            known = {name: sent[name] for name in ("agent_id", "async_id") if name in sent}
            reason = {"code": refusal.code, "message": refusal.message}
            return call.reply({"id": call.id} | known | {"status": "failed", "error": reason})

        agents = partial(Route, refused=failed)
        result, conversation = "v1/agents/async-result", "v1/agents/conversation"
        return [
            agents("agents.invoke", "POST", "v1/agents", self.invoke),
            agents("agents.async_result", "POST", result, self.result),
            agents("agents.conversation", "POST", conversation, self.conversation),
        ]

    def invoke(self, call: OperationCall) -> PlannedReply:
        """Hand the request to its agent."""
        request = call.read(AgentInvocation)
        require(request.agent_id in self._agents, f"agent {request.agent_id} not found", "1211")
        return self._agents[request.agent_id](call, request)

    def translate(self, call: OperationCall, request: AgentInvocation) -> PlannedReply:
        """Put the target language in front of the text, at once or as a stream."""
        wishes = read_fields(request.custom_variables or {}, _Translation)
        require({wishes.source_lang, wishes.target_lang} <= _LANGUAGES, "unknown language")
        # A glossary is a file uploaded for agents; one that does not exist fails the whole
        # translation.
        if wishes.glossary is not None:
            self._files.find(wishes.glossary)
        require(len(request.text) <= _MAX_TEXT, "The text is too long", "1261")
        text = f"[{wishes.target_lang}] {request.text}"
        read, written = len(tokens(request.text)), len(tokens(text))
        usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "total_calls": 1,
        }
        head: Json = {"id": call.id, "agent_id": request.agent_id}
        if not request.stream:
            message = {"role": "assistant", "content": {"type": "text", "text": text}}
            choice = {"index": 0, "finish_reason": "stop", "messages": message}
            return call.reply(head | {"status": "success", "choices": [choice], "usage": usage})

        # In a stream `messages` is a list and `index` counts the events; whole, neither is so.
        documents: list[Json] = []
        for index, piece in enumerate(tokens(text)):
            message = {"role": "assistant", "content": {"type": "text", "text": piece}}
            documents.append(head | {"choices": [{"index": index, "messages": [message]}]})
        documents[-1]["choices"][0]["finish_reason"] = "stop"
        documents[-1]["usage"] = usage
        return call.stream(documents, 0.4, 1 / 60)

    def video(self, call: OperationCall, request: AgentInvocation) -> PlannedReply:
        """Start a video; it is asked for with ``async_id``."""
        wishes = read_fields(request.custom_variables or {}, _Template)
        # The result names the agent again, so polling needs both ids.
        self._videos[call.id] = video_link(call, f"{wishes.template}\n{request.text}", 4)
        return call.reply({"async_id": call.id, "agent_id": request.agent_id, "status": "pending"})

    def draw(self, call: OperationCall, request: AgentInvocation) -> PlannedReply:
        """Draw slides: three, as many as the text names, or one more in a conversation."""
        # The schema says that a stream is the default, its text says the opposite, and bigmodel's
        # guide says to ask for one: so it must be asked for.
        require(request.stream, "stream: slides only come as a stream")
        return call.stream(self._slides.draw(call, request.text, request.conversation_id), 0.4, 0.1)

    def result(self, call: OperationCall) -> PlannedReply:
        """Answer a poll; ``emulator.tasks.polls`` says how many it takes."""
        request = call.read(_ResultRequest)
        require(request.async_id in self._videos, "async_id not found", "400")
        seen = (self._polled.get(request.async_id) or 0) + 1
        self._polled[request.async_id] = seen
        head = {"agent_id": request.agent_id, "async_id": request.async_id}
        if seen < self._tasks.polls:
            return call.reply(head | {"status": "pending"})
        # Here the address is a string, and `message` a list: each agent has a shape of its own.
        part = {"type": "video_url", "video_url": self._videos[request.async_id]}
        message = {"role": "assistant", "content": [part]}
        choice = {"index": 0, "finish_reason": "stop", "message": [message]}
        done = {"status": "success", "choices": [choice], "usage": {"total_tokens": 100}}
        return call.reply(head | done)

    def conversation(self, call: OperationCall) -> PlannedReply:
        """List the slides of a conversation as images, and as a PDF when that is wanted.

        ``pages`` picks slides by ``position``, counted from 1.
        """
        request = call.read(_ConversationRequest)
        wishes = read_fields(request.custom_variables or {}, _Export)
        positions = [page.position for page in wishes.pages]
        return call.reply(
            self._slides.export(
                call, request.conversation_id, positions=positions, pdf=wishes.include_pdf
            )
        )
