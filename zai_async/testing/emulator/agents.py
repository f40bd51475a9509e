"""Agents: translation, video templates and slides; they live under ``/api/v1``.

What an agent cannot do it answers with HTTP 200 and ``"status": "failed"``, as recorded live.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.files import FileStore
from zai_async.testing.emulator.media import Seen, film_link, paper_link, picture_link
from zai_async.testing.emulator.operation import OperationCall, Route, error, read_fields, require
from zai_async.testing.emulator.prose import tokens, topic_of
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json, is_object
from zai_async.testing.emulator.tasks import TaskHandlers

_CODES = (
    "zh-CN zh-TW wyw yue en en-GB en-US ja ko fr de es ru pt it ar hi bg cs da el et fi hu id lt lv"
    " nl no pl ro sk sl sv th tr uk vi my ms Pinyin IPA auto"
)
_LANGUAGES = frozenset(_CODES.split())


class AgentPrompt(Struct):
    """Hold one message to an agent; content may be a text, a part or a list of parts."""

    role: Literal["system", "user", "assistant"]
    content: str | dict[str, Any] | list[dict[str, Any]]

    @property
    def text(self) -> str:
        """Join the texts of the message."""
        if isinstance(self.content, str):
            return self.content
        parts = [self.content] if isinstance(self.content, dict) else self.content
        return "".join(str(part.get("text", "")) for part in parts)


class AgentInvocation(Struct):
    """Hold a request to any agent; https://docs.z.ai/api-reference/agents/agent."""

    agent_id: str
    messages: Annotated[list[AgentPrompt], Meta(min_length=1)]
    stream: bool = False
    custom_variables: dict[str, Any] | None = None
    conversation_id: str | None = None
    request_id: str | None = None

    @property
    def text(self) -> str:
        """Join the texts of all messages."""
        return "\n".join(message.text for message in self.messages)


class _ResultRequest(Struct):
    agent_id: str
    async_id: str
    custom_variables: dict[str, Any] | None = None


class _ConversationRequest(Struct):
    agent_id: Literal["slides_glm_agent"]
    conversation_id: str
    custom_variables: dict[str, Any] | None = None


class _Translation(Struct):
    source_lang: str = "auto"
    target_lang: str = "zh-CN"
    glossary: str | None = None
    strategy: Literal["general", "paraphrase", "two_step", "three_step", "reflection", "cot"] = (
        "general"
    )
    strategy_config: dict[str, Any] | None = None


class _Template(Struct):
    template: Literal["french_kiss", "bodyshake", "sexy_me"]


class _Page(Struct):
    position: Annotated[int, Meta(ge=1)]
    width: float | None = None
    height: float | None = None


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
            "vidu_template_agent": self.film,
            "slides_glm_agent": self.draw,
        }
        self.reset()

    def reset(self) -> None:
        """Forget films and slides."""
        self._films: dict[str, str] = {}
        self._seen: dict[str, int] = {}
        self._slides = SlideDecks()

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        agents = partial(Route, refused=_failed)
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
        if wishes.glossary is not None:
            self._files.find(wishes.glossary)
        text = f"[{wishes.target_lang}] {request.text}"
        used = len(tokens(request.text)), len(tokens(text))
        return (_streamed if request.stream else _whole)(call, request.agent_id, text, used)

    def film(self, call: OperationCall, request: AgentInvocation) -> PlannedReply:
        """Start a film; it is asked for with ``async_id``."""
        wishes = read_fields(request.custom_variables or {}, _Template)
        self._films[call.id] = film_link(call, f"{wishes.template}\n{request.text}", 4)
        return call.reply({"async_id": call.id, "agent_id": request.agent_id, "status": "pending"})

    def draw(self, call: OperationCall, request: AgentInvocation) -> PlannedReply:
        """Draw slides: three, as many as the text names, or one more in a conversation."""
        require(request.stream, "stream: slides only come as a stream")
        return call.stream(self._slides.draw(call, request.text, request.conversation_id), 0.4, 0.1)

    def result(self, call: OperationCall) -> PlannedReply:
        """Answer a poll; ``emulator.tasks.polls`` says how many it takes."""
        request = call.read(_ResultRequest)
        require(request.async_id in self._films, "async_id not found", "400")
        seen = self._seen[request.async_id] = self._seen.get(request.async_id, 0) + 1
        head = {"agent_id": request.agent_id, "async_id": request.async_id}
        if seen < self._tasks.polls:
            return call.reply(head | {"status": "pending"})
        part = {"type": "video_url", "video_url": self._films[request.async_id]}
        message = {"role": "assistant", "content": [part]}
        choice = {"index": 0, "finish_reason": "stop", "message": [message]}
        done = {"status": "success", "choices": [choice], "usage": {"total_tokens": 100}}
        return call.reply(head | done)

    def conversation(self, call: OperationCall) -> PlannedReply:
        """List the slides of a conversation as pictures, and as a PDF when that is wanted.

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


def _failed(call: OperationCall, refusal: Refusal) -> PlannedReply:
    """Answer with HTTP 200 and the ids of the request, if it has any; a wrong key is no failure."""
    if refusal.status == 401:
        return error(call, refusal)
    sent: Json = call.request.json if is_object(call.request.json) else {}
    known = {name: sent[name] for name in ("agent_id", "async_id") if name in sent}
    reason = {"code": refusal.code, "message": refusal.message}
    return call.reply({"id": call.id} | known | {"status": "failed", "error": reason})


def _usage(prompt: int, written: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "total_calls": 1,
    }


def _whole(call: OperationCall, agent: str, text: str, used: tuple[int, int]) -> PlannedReply:
    message = {"role": "assistant", "content": {"type": "text", "text": text}}
    choice = {"index": 0, "finish_reason": "stop", "messages": message}
    head = {"id": call.id, "agent_id": agent, "status": "success"}
    return call.reply(head | {"choices": [choice], "usage": _usage(*used)})


def _streamed(call: OperationCall, agent: str, text: str, used: tuple[int, int]) -> PlannedReply:
    head = {"id": call.id, "agent_id": agent}
    documents: list[Json] = []
    for index, piece in enumerate(tokens(text)):
        message = {"role": "assistant", "content": {"type": "text", "text": piece}}
        documents.append(head | {"choices": [{"index": index, "messages": [message]}]})
    documents[-1]["choices"][0]["finish_reason"] = "stop"
    documents[-1]["usage"] = _usage(*used)
    return call.stream(documents, 0.4, 1 / 60)


# Slides: drawn in a stream, page by page, and exported afterwards

_COUNT = re.compile(r"\b([1-9]|1\d|20)\s*(?:pages?|slides?)\b")
_SLIDES = 3
_SLIDE_SIZE: Seen = (1280, 720)
_SLIDES_AGENT = "slides_glm_agent"
_Step = tuple[str, Any]


class SlideDecks:
    """Keep the pages of each conversation."""

    def __init__(self) -> None:
        self._pages: dict[str, list[str]] = {}

    def draw(self, call: OperationCall, text: str, conversation: str | None) -> list[Json]:
        """Draw pages and tell how: thinking, then one tool call per page in two parts, an answer.

        ``index`` counts the events; the HTML of a page is split over events of one position.
        """
        conversation = conversation or call.id
        first = conversation not in self._pages
        pages = self._pages.setdefault(conversation, [])
        new = [
            f"{topic_of(text)} {len(pages) + more + 1}" for more in range(_slide_count(text, first))
        ]
        start, end = len(pages), len(pages) + len(new)
        pages.extend(new)
        steps = [*_drawing(pages, range(start, end)), ("answer", f"Done: {len(new)} page(s).")]
        head: Json = {"id": call.id, "agent_id": _SLIDES_AGENT, "conversation_id": conversation}
        events = [head | {"choices": [_choice(index, *step)]} for index, step in enumerate(steps)]
        events[-1]["choices"][0]["finish_reason"] = "stop"
        events[-1]["usage"] = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100}
        return events

    def export(
        self, call: OperationCall, conversation: str, *, positions: Sequence[int], pdf: bool
    ) -> Json:
        """Give the addresses of the pages at some positions (none: all), and of one PDF."""
        require(conversation in self._pages, "conversation_id not found", "400")
        parts = [
            {
                "type": "image_url",
                "image_url": picture_link(call, title, _SLIDE_SIZE),
                **_tag("image"),
            }
            for position, title in enumerate(self._pages[conversation], 1)
            if not positions or position in positions
        ]
        if pdf:
            link = paper_link(call, conversation)
            parts.append({"type": "file_url", "file_url": link, **_tag("pdf")})
        message = {"role": "assistant", "content": parts}
        head = {"conversation_id": conversation, "agent_id": _SLIDES_AGENT}
        return head | {"choices": [{"message": [message]}]}


def _slide_count(text: str, first: bool) -> int:
    match = _COUNT.search(text)
    if match is not None:
        return int(match[1])
    return _SLIDES if first else 1


def _drawing(pages: list[str], new: range) -> Iterator[_Step]:
    yield "thinking", "Let me plan the pages. "
    for place in new:
        html = f"<html><body><h1>{pages[place]}</h1></body></html>"
        middle = len(html) // 2
        for output in (html[:middle], html[middle:]):
            yield (
                "tool",
                {
                    "tool_name": "insert_page",
                    "input": pages[place],
                    "output": output,
                    "position": [place + 1],
                },
            )


def _choice(index: int, phase: str, content: Any) -> Json:
    if phase == "tool":
        part: Json = {"type": "object", "object": content, **_tag("page")}
    else:
        part = {"type": "text", "text": content}
    message = {"role": "assistant", "phase": phase, "content": [part]}
    return {"index": index, "messages": [message]}


def _tag(name: str) -> dict[str, str]:
    return {"tag_cn": name, "tag_en": name}
