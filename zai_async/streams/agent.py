"""Agents at work: translations as they are written, slides as they are made."""

import functools
from collections.abc import AsyncIterator

import msgspec

from zai_async._outcomes import ensure_success
from zai_async.models import (
    AgentChoice,
    AgentChunk,
    AgentMessage,
    AgentReply,
    AgentToolUse,
    AgentUsage,
    Outcome,
    Usage,
)
from zai_async.models.options import outcome_of
from zai_async.models.reply import attach_call
from zai_async.models.tasks import state_of
from zai_async.streams.accumulator import Blocks
from zai_async.streams.json_stream import JSONStream, Pieces

__all__ = ["AgentStream", "SlidePage"]


class SlidePage(msgspec.Struct, frozen=True):
    """One slide as far as it has been made."""

    position: int
    """The number of the slide."""
    html: str
    title: str = ""


class AgentStream(JSONStream[AgentChunk]):
    """The work of an agent as it goes on.

    Iterate over the stream for the events on the wire, or over ``text`` or ``thinking``. ``pages``
    holds the slides so far; ``reply()`` reads what is left and returns the whole answer.

    Source: https://docs.z.ai/api-reference/agents/agent
    """

    def _begin(self) -> None:
        super()._begin()
        self._first: AgentChunk | None = None
        self._said: list[tuple[str, Blocks]] = []
        self._pages: dict[int, SlidePage] = {}
        self._finish_reason: str | None = None
        self._status = ""
        self._usage: AgentUsage | None = None

    # What a caller sees.

    @property
    def text(self) -> AsyncIterator[str]:
        """What the agent answers, piece by piece."""
        return Pieces(functools.partial(self._claim, "text"), self.__anext__, _answer)

    @property
    def thinking(self) -> AsyncIterator[str]:
        """What the agent thinks, piece by piece."""
        return Pieces(functools.partial(self._claim, "thinking"), self.__anext__, _thinking)

    @property
    def pages(self) -> list[SlidePage]:
        """The slides so far, in their order."""
        return [self._pages[position] for position in sorted(self._pages)]

    @property
    def conversation_id(self) -> str | None:
        """What a later call goes on with."""
        return self._first.conversation_id or None if self._first else None

    @property
    def snapshot(self) -> AgentReply:
        """The answer as far as it has been read, one message for each phase."""
        first = self._first or AgentChunk()
        messages = [
            AgentMessage(role="assistant", phase=phase, content="".join(pieces))
            for phase, pieces in self._said
        ]
        choice = AgentChoice(finish_reason=self._finish_reason, messages=messages)
        reply = AgentReply(
            id=first.id,
            agent_id=first.agent_id,
            conversation_id=first.conversation_id,
            status=self._status,
            request_id=first.request_id or self._request_id,
            choices=[choice],
            usage=self._usage or AgentUsage(),
        )
        attach_call(reply, attempts=self.attempts, timing=self.timing, outcome=self._outcome)
        return reply

    async def reply(self) -> AgentReply:
        """Read what is left and return the whole answer."""
        await self._exhaust()
        return self.snapshot

    # Reading.

    def _accept(self, data: bytes) -> AgentChunk | None:
        chunk: AgentChunk | None = self._read_event(data)
        if chunk is None:
            return None
        if not chunk.choices or chunk.error is not None:
            self._raise_fault(data)
        self._first = self._first or chunk
        self._usage = chunk.usage or self._usage
        self._status = chunk.status or self._status
        for choice in chunk.choices or ():
            self._finish_reason = choice.finish_reason or self._finish_reason
        for message in chunk.messages:
            self._add(message)
        return chunk

    def _add(self, message: AgentMessage) -> None:
        if message.text:
            self._say(message.phase, message.text)
        for part in message.parts:
            if part.object is not None:
                self._use(part.object)

    def _say(self, phase: str, text: str) -> None:
        self._progress += 1
        if not self._said or self._said[-1][0] != phase:
            self._said.append((phase, Blocks()))
        pieces = self._said[-1][1]
        pieces.append(text)
        pieces.pack()

    def _use(self, tool: AgentToolUse) -> None:
        """Keep the slides as the tools of the agent change them."""
        self._progress += 1
        for position in tool.position:
            before = self._pages.pop(position, SlidePage(position, ""))
            if not tool.tool_name.startswith("remove"):
                html, title = before.html + tool.output, tool.title or before.title
                self._pages[position] = SlidePage(position, html, title)

    # Ending.

    def _finished(self) -> bool:
        return self._finish_reason is not None or self._has_failed

    @property
    def _has_failed(self) -> bool:
        return state_of(self._status) == "failed"

    def _spent(self) -> Usage:
        return self._usage or Usage()

    def _partial(self) -> AgentReply:
        return self.snapshot

    def _judge(self, *, done: bool) -> Outcome:
        if self._first is None:
            self._raise_foreign()
        if not (done or self._finished()):
            raise self._truncated("the stream ended before the agent did")
        return ensure_success(self._end(), self._source.options.allow)

    def _end(self) -> Outcome:
        if self._first is None:
            return "empty"
        if self._has_failed:
            return "network_error"
        return outcome_of(self._finish_reason) if self._finish_reason else "completed"


def _answer(chunk: AgentChunk) -> str:
    return "".join(m.text for m in chunk.messages if m.phase not in {"thinking", "tool"})


def _thinking(chunk: AgentChunk) -> str:
    return "".join(m.text for m in chunk.messages if m.phase == "thinking")
