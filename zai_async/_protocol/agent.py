"""The decoder of agents at work: translations as they are written, slides as they are made."""

from typing import Final

import msgspec

from zai_async._protocol.accumulator import final_reason
from zai_async._protocol.context import DecoderContext
from zai_async._protocol.decoder import Decoder, EventDecoder
from zai_async._protocol.state import DecoderState
from zai_async._protocol.text import ChunkedText, beyond
from zai_async.errors import StreamMalformedError
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
        self._names: dict[str, str] = {}
        """By which of its names a message came that said the first thing of a phase."""

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
            self._context.raise_failure(data, whole=self._state is DecoderState.FINISHED)
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
        for choice in chunk.choices or ():
            self._add(choice)
        if not self.progress:
            self._foreign = self._foreign or bytearray(data[:_EXCERPT])
        return chunk

    def _add(self, choice: AgentChoice) -> None:
        """Add what a choice says and does."""
        names = [name for name in ("message", "delta") if getattr(choice, name) is not None]
        name = names[0] if names else "messages"
        for message in choice.messages:
            phase = message.phase or (self._said[-1][0] if self._said else "")
            # Another name than that of the pieces is that of the whole, which repeats them.
            is_whole = bool(message.content) and name != self._names.setdefault(phase, name)
            if is_whole and message.text:
                self._keep_new(message, phase)
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
                        html = tool.output if is_whole else before.html + tool.output
                        self._pages[position] = SlidePage(
                            position, html, tool.title or before.title
                        )

    def _keep_new(self, message: AgentMessage, phase: str) -> None:
        """Leave of the text of a whole message what goes beyond the pieces before it."""
        known = "".join("".join(pieces) for said, pieces in self._said if said == phase)
        more = beyond(known, message.text)
        if more is None:
            raise StreamMalformedError("the whole message says something else than its pieces")
        if isinstance(message.content, str):
            message.content = more
        for part in message.parts:
            part.text, more = more if part.text else "", "" if part.text else more

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
