"""The decoder of agents at work: translations as they are written, slides as they are made."""

from collections.abc import Iterable
from typing import Final

import msgspec

from zai_async._protocol.accumulator import final_reason
from zai_async._protocol.context import DecoderContext
from zai_async._protocol.decoder import Decoder, EventDecoder
from zai_async._protocol.state import DecoderState
from zai_async._protocol.text import ChunkedText
from zai_async.models import (
    AgentChoice,
    AgentChunk,
    AgentMessage,
    AgentReply,
    Outcome,
    Usage,
)
from zai_async.models.options import outcome_of
from zai_async.models.tasks import state_of

__all__ = ["AgentDecoder", "SlidePage"]

_EXCERPT: Final = 1000
_json: Final = msgspec.json.Decoder(AgentChunk)


class SlidePage(msgspec.Struct, frozen=True):
    """One slide as far as it has been made."""

    position: int
    """The number of the slide."""
    html: str
    title: str = ""


class AgentDecoder(Decoder[AgentChunk]):
    """Turns the body of an agent's stream into events, slides, and the whole answer.

    Source: https://docs.z.ai/api-reference/agents/agent
    """

    def __init__(self, *, context: DecoderContext | None = None) -> None:
        super().__init__(EventDecoder(_json), context or DecoderContext())
        self.first: AgentChunk | None = None
        """The first event, which says who speaks."""
        self._said: list[tuple[str, ChunkedText]] = []
        self._pages: dict[int, SlidePage] = {}
        self._last = AgentChoice(), AgentReply()

    @property
    def pages(self) -> list[SlidePage]:
        """The slides so far, in their order."""
        return [self._pages[position] for position in sorted(self._pages)]

    @property
    def usage(self) -> Usage | None:
        """The token counts, as soon as the platform has told them."""
        return self._last[1].usage

    @property
    def snapshot(self) -> AgentReply:
        """The answer as far as it has been read, one message for each phase."""
        first = self.first or AgentChunk()
        choice, reply = self._last
        messages = [
            AgentMessage(role="assistant", phase=phase, content="".join(pieces))
            for phase, pieces in self._said
        ]
        return AgentReply(
            id=first.id,
            agent_id=first.agent_id,
            conversation_id=first.conversation_id,
            status=reply.status,
            request_id=first.request_id,
            choices=[AgentChoice(finish_reason=choice.finish_reason, messages=messages)],
            usage=reply.usage,
        )

    def _accept(self, data: bytes) -> AgentChunk | None:
        chunk: AgentChunk | None = self._event(data)
        if chunk is None:
            return None
        if not chunk.choices or chunk.error:
            self._note_silent(data)
        if chunk.choices is None and not (chunk.status or chunk.usage or chunk.id):
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
            return None
        self.first = self.first or chunk
        last, reply = self._last
        reply.usage = chunk.usage or reply.usage
        reply.status = chunk.status or reply.status
        for choice in chunk.choices or ():
            last.finish_reason = final_reason(last.finish_reason, choice.finish_reason)
        if last.finish_reason or state_of(reply.status) == "failed":
            self._state = DecoderState.FINISHED
        self._add(chunk.messages)
        if not self.progress:
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
        return chunk

    def _add(self, messages: Iterable[AgentMessage]) -> None:
        """Add what an event says and does."""
        for message in messages:
            if message.text:
                self.progress += 1
                # A message for each phase: thinking, tools and answers follow one another.
                if not self._said or self._said[-1][0] != message.phase:
                    self._said.append((message.phase, ChunkedText()))
                pieces = self._said[-1][1]
                pieces.append(message.text)
                pieces.pack()
            for tool in (part.object for part in message.parts if part.object is not None):
                self.progress += 1
                # A tool writes slides piece by piece, makes them anew, or takes them away.
                for position in tool.position:
                    before = self._pages.pop(position, SlidePage(position, ""))
                    if not tool.tool_name.startswith("remove"):
                        html, title = before.html + tool.output, tool.title or before.title
                        self._pages[position] = SlidePage(position, html, title)

    def _judge(self, *, done: bool) -> Outcome:
        if self.first is None:
            self._context.raise_foreign(bytes(self._foreign))
        choice, reply = self._last
        if not (done or self._state is DecoderState.FINISHED):
            raise self.truncated("the stream ended before the agent did")
        # The status of an agent says more than its finish reason, which may be "stop" all the same.
        outcome: Outcome = "empty"
        if state_of(reply.status) == "failed":
            outcome = "network_error"
        elif self.progress:
            outcome = outcome_of(choice.finish_reason) if choice.finish_reason else "completed"
        return self._context.ensure_success(outcome, self._foreign)
