"""Agents at work: translations as they are written, slides as they are made."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from zai_async._protocol import AgentDecoder, SlidePage
from zai_async.models import AgentChunk, AgentReply
from zai_async.streams.event_stream import EventStream
from zai_async.streams.interfaces import StreamCall
from zai_async.streams.reader import StreamReader
from zai_async.streams.views import TextIterator, claim

__all__ = ["AgentStream", "SlidePage"]


class AgentStream(EventStream[AgentChunk]):
    """The work of an agent as it goes on.

    Iterate over the stream for the events on the wire, or over ``text`` or ``thinking``. ``pages``
    holds the slides so far; ``reply()`` reads what is left and returns the whole answer.

    Source: https://docs.z.ai/api-reference/agents/agent
    """

    def __init__(self, call: StreamCall) -> None:
        super().__init__(StreamReader(call, lambda context: AgentDecoder(context=context)))

    @property
    def text(self) -> AsyncIterator[str]:
        """What the agent answers, piece by piece."""
        return TextIterator(
            partial(claim, self._reader, "text"),
            self._reader.__anext__,
            lambda chunk: "".join(
                m.text for m in chunk.messages if m.phase not in {"thinking", "tool"}
            ),
        )

    @property
    def thinking(self) -> AsyncIterator[str]:
        """What the agent thinks, piece by piece."""
        return TextIterator(
            partial(claim, self._reader, "thinking"),
            self._reader.__anext__,
            lambda chunk: "".join(m.text for m in chunk.messages if m.phase == "thinking"),
        )

    @property
    def pages(self) -> list[SlidePage]:
        """The slides so far, in their order."""
        decoder: Any = self._reader.decoder
        pages: list[SlidePage] = decoder.pages
        return pages

    @property
    def conversation_id(self) -> str | None:
        """What a later call goes on with."""
        return self.snapshot.conversation_id or None

    @property
    def snapshot(self) -> AgentReply:
        """The answer as far as it has been read, one message for each phase."""
        reply: AgentReply = self._reader.snapshot
        return reply

    async def reply(self) -> AgentReply:
        """Read what is left and return the whole answer."""
        await self._exhaust()
        return self.snapshot
