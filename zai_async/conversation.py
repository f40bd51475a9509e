"""Conversations that last: a history that grows, is trimmed when it is sent, and can be stored."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy, deepcopy
from typing import Any, Final, Literal, Self, TypedDict, Unpack, cast

from zai_async.client import AsyncZai
from zai_async.errors import ConfigurationError
from zai_async.models import (
    ChatCompletion,
    ContentPartParam,
    GenerationParams,
    Message,
    MessageParam,
    Usage,
)
from zai_async.streams import ChatStream
from zai_async.streams.serialization import from_dict, to_dict
from zai_async.tools import Decision, RunOptions, RunState, ToolLike, ToolRun

__all__ = ["Conversation", "TurnParams"]

_LEFT: Final = 0.75
"""What is left of the allowance after trimming: the next turns find the same beginning cached."""
_WIDE: Final = re.compile(r"[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef]")
_MEDIA: Final = frozenset({"audio", "file", "file_url", "image_url", "input_audio", "video_url"})
_MEDIUM_TOKENS: Final = 1_000


class TurnParams(GenerationParams, RunOptions, total=False):
    """Parameters of one turn."""


class _Settings(TypedDict):
    model: str
    max_history_tokens: int | None
    tokenizer: Literal["estimate", "platform"]


class Conversation:
    """A conversation with a model.

    A turn that does not come to its end leaves the history as it was. Thinking is sent back as it
    came, and the model is told to heed it.

    Args:
        zai: The client.
        model: The model, such as ``"glm-5.3"``.
        system: The system message.
        tools: What the model may call, as for ``run_tools()``.
        max_history_tokens: The oldest turns are not sent when the history is longer; the history
            itself stays whole.
        tokenizer: How it is measured: ``"estimate"``, or ``"platform"``, which asks the tokenizer
            before each turn.
        **params: What every request is made with.

    Source: https://docs.z.ai/guides/capabilities/thinking-mode
    """

    def __init__(
        self,
        zai: AsyncZai,
        *,
        model: str,
        system: str | None = None,
        tools: Sequence[ToolLike] = (),
        max_history_tokens: int | None = None,
        tokenizer: Literal["estimate", "platform"] = "estimate",
        **params: Unpack[GenerationParams],
    ) -> None:
        if max_history_tokens is not None and max_history_tokens < 1:
            raise ConfigurationError("max_history_tokens must be None or at least 1")
        self.history: list[MessageParam] = []
        """All messages, without the system message; it may be changed between turns."""
        self.system = system
        self.tools = tools
        self.usage = Usage()
        """The tokens of all turns."""
        self.pending: RunState | None = None
        """The turn that waits for decisions, see ``resume()``."""
        self._zai = zai
        self._settings: _Settings = {
            "model": model,
            "max_history_tokens": max_history_tokens,
            "tokenizer": tokenizer,
        }
        self._params: dict[str, Any] = {
            "thinking": {"type": "enabled", "clear_thinking": False},
            **params,
        }
        self._start: tuple[int, MessageParam | None] = 0, None
        """The message with which what is sent begins, and its place."""
        self._is_busy = False

    # Turns.

    async def send(
        self, content: str | Sequence[ContentPartParam], **params: Unpack[TurnParams]
    ) -> ChatCompletion:
        """Say something, have the tools run that the answer calls, and return the last answer.

        Raises:
            ConfigurationError: Another turn is under way.
            RunLimitError: The calls of tools came to no end.
            ZaiError: As for ``create()``.
        """
        async with self.run(content, **params) as run:
            return await run.completion()

    @asynccontextmanager
    async def stream(
        self, content: str | Sequence[ContentPartParam], **params: Unpack[GenerationParams]
    ) -> AsyncGenerator[ChatStream, None]:
        """Say something and receive the answer while it is written, without tools.

        The turn becomes part of the history when the stream has been read to its end.
        """
        asked: MessageParam = {"role": "user", "content": content}
        self._begin()
        try:
            request = await self._request(asked, params)
            async with self._zai.chat.completions.stream(**request) as stream:
                yield stream
            if stream.outcome is not None:
                self._add(asked, [stream.snapshot.message], stream.snapshot.usage)
        finally:
            self._is_busy = False

    @asynccontextmanager
    async def run(
        self, content: str | Sequence[ContentPartParam], **params: Unpack[TurnParams]
    ) -> AsyncGenerator[ToolRun, None]:
        """Say something and receive the events of the answers and of the tools.

        The turn becomes part of the history when the run has been read to its end; where it waits
        for a decision, ``pending`` holds it.
        """
        asked: MessageParam = {"role": "user", "content": content}
        self._begin()
        try:
            request = await self._request(asked, params)
            run = self._zai.chat.completions.run_tools(**request, tools=self.tools)
            async with run:
                yield run
            self._finish(asked, run)
        finally:
            self._is_busy = False

    @asynccontextmanager
    async def resume(
        self, decisions: Mapping[str, Decision], **limits: Unpack[RunOptions]
    ) -> AsyncGenerator[ToolRun, None]:
        """Go on with the turn that waits, with decisions by the ids of ``pending.pending``.

        Raises:
            ConfigurationError: No turn waits, or another one is under way.
        """
        self._begin(resumes=True)
        state = cast("RunState", self.pending)
        asked: MessageParam = state.messages[-1]
        try:
            run = self._zai.chat.completions.resume_tools(
                state, tools=self.tools, decisions=decisions, **limits
            )
            async with run:
                yield run
            self._finish(asked, run)
        finally:
            self._is_busy = False

    def _begin(self, *, resumes: bool = False) -> None:
        if self._is_busy:
            raise ConfigurationError("another turn of this conversation is under way")
        if resumes and self.pending is None:
            raise ConfigurationError("no turn waits for a decision")
        if self.pending is not None and not resumes:
            raise ConfigurationError("the last turn waits for a decision: resume() it first")
        self._is_busy = True

    def _finish(self, asked: MessageParam, run: ToolRun) -> None:
        if run.outcome is not None:
            self.pending = run.pending
            if self.pending is None:
                self._add(asked, run.messages, run.usage)

    def _add(self, asked: MessageParam, messages: list[MessageParam], usage: Usage) -> None:
        self.history += [asked, *messages]
        self.usage += usage

    # What is sent.

    async def _request(self, asked: MessageParam, params: Mapping[str, Any]) -> dict[str, Any]:
        request = {**self._params, **params, "model": self._settings["model"]}
        await self._trim(asked)
        return {**request, "messages": self._sent(asked)}

    def _sent(self, asked: MessageParam) -> list[MessageParam]:
        head: list[MessageParam] = []
        if self.system is not None:
            head = [{"role": "system", "content": self.system}]
        messages = [*self.history, asked]
        return [*head, *messages[self._first(messages) :]]

    def _first(self, messages: Sequence[MessageParam]) -> int:
        """Return where what is sent begins: at 0, unless the message is there that was."""
        # The caller may have changed the history since it was trimmed.
        place, message = self._start
        return place if any(each is message for each in messages[place : place + 1]) else 0

    async def _trim(self, asked: MessageParam) -> None:
        """Leave out the oldest turns; a call and its result belong to one turn."""
        most = self._settings["max_history_tokens"]
        if most is None:
            return
        estimate = _estimate(self._sent(asked))
        size: float = estimate
        if self._settings["tokenizer"] == "platform":
            counted = await self._zai.tokenizer.count(
                model=self._settings["model"], messages=to_dict(self._sent(asked))
            )
            size = counted.total_tokens
        if size <= most:
            return
        # In the measure of the estimate, which knows the parts, too.
        surplus = estimate - _LEFT * most * estimate / size
        messages = [*self.history, asked]
        first = self._first(messages)
        for start, each in enumerate(messages):
            role = each.role if isinstance(each, Message) else each.get("role")
            if role == "user" and start > first and surplus > 0:
                surplus -= _estimate(messages[first:start])
                first, self._start = start, (start, each)

    # Copies.

    def fork(self) -> Self:
        """Return a conversation that begins with the same history and goes its own way."""
        made = copy(self)
        made.history, made.pending = [*self.history], deepcopy(self.pending)
        made._is_busy = False  # noqa: SLF001 - its own class
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the conversation as plain data, pictures as base64.

        The tools and the ``options``, which may hold header fields, are no part of it.

        Raises:
            TypeError: A message holds a file that can be read only once.
        """
        params = {name: each for name, each in self._params.items() if name != "options"}
        state: dict[str, Any] = {**self._settings, "system": self.system, "params": params}
        history = {"history": [*self.history], "first": self._first(self.history)}
        plain: dict[str, Any] = to_dict(
            {**state, **history, "usage": self.usage, "pending": self.pending}
        )
        return plain

    @classmethod
    def from_dict(
        cls, zai: AsyncZai, data: Mapping[str, Any], *, tools: Sequence[ToolLike] = ()
    ) -> Self:
        """Return the conversation that ``to_dict()`` has described."""
        fields = {name: data[name] for name in ("system", *_Settings.__annotations__)}
        made = cls(zai, **fields, tools=tools, **data["params"])
        made.history = from_dict(list(data["history"]))
        made._start = data["first"], next(iter(made.history[data["first"] :]), None)
        made.usage = Usage.from_dict(data["usage"])
        made.pending = RunState.from_dict(data["pending"]) if data["pending"] else None
        return made


def _estimate(messages: Sequence[MessageParam]) -> int:
    """Return about how many tokens messages have: four letters make one, or one wide character."""
    return sum(4 + _tokens(message) for message in messages)


def _tokens(value: object) -> int:
    if isinstance(value, str):
        wide = len(_WIDE.findall(value))
        return wide + (len(value) - wide + 3) // 4
    if isinstance(value, Message):
        called = [[call.name, call.arguments] for call in value.tool_calls]
        return _tokens([value.content, value.reasoning_content, called])
    if isinstance(value, Mapping):
        part = cast("Mapping[str, object]", value)
        if part.get("type") in _MEDIA:
            return _MEDIUM_TOKENS
        return sum(_tokens(each) for key, each in part.items() if key != "role")
    if isinstance(value, Sequence):
        return sum(_tokens(each) for each in cast("Sequence[object]", value))
    return 0
