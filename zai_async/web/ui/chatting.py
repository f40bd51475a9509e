"""Answers of a model, with what the page shows beside their words."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any, Final

from zai_async._protocol.events import Finished, ThinkingDelta
from zai_async.client import AsyncZai
from zai_async.models import MessageParam
from zai_async.tools import RoundStarted, tool
from zai_async.web.parts import DataPart, MetadataPart, RelayedEvent
from zai_async.web.pump import with_silences
from zai_async.web.ui.feed import RunFeed
from zai_async.web.ui.waiting import WaitingLine, WaitingPlace

__all__ = ["ChatAnswers"]

# Silences after which the page is told what an answer waits for; shorter ones nobody notices.
_LOOK_EVERY: Final = 0.3


class ChatAnswers:
    """Asks models, and tells what an answer waits for, how long it thinks, and how it ends."""

    def __init__(self, zai: AsyncZai, engine: str, now: Callable[[], float]) -> None:
        self._zai = zai
        self._now = now
        self._line = WaitingLine(zai)
        search = {"enable": True, "search_engine": engine, "search_result": True}

        @tool
        async def read_page(url: str) -> str:
            """Read a page of the web as Markdown.

            Args:
                url: Its address.
            """
            return (await zai.reader.read(url=url)).text

        self._web_tools: list[Any] = [{"type": "web_search", "web_search": search}, read_page]

    async def events(
        self, model: str, messages: list[MessageParam], *, thinking: bool, web: bool
    ) -> AsyncGenerator[RelayedEvent, None]:
        """Yield the events of an answer.

        Raises:
            ZaiError: As a run with tools does.
        """
        run = self._zai.chat.completions.run_tools(
            model=model,
            messages=messages,
            thinking={"type": "enabled" if thinking else "disabled"},
            tools=self._web_tools if web else [],
        )
        with self._line.joined(model) as place:
            facts = _AnswerFacts(self._line, place, self._now)
            async with aclosing(RunFeed(run)) as feed:
                async for event in with_silences(aiter(feed), _LOOK_EVERY):
                    for part in facts.before(event):
                        yield part
                    if event is not None:
                        yield event


class _AnswerFacts:
    """What the page is told beside the events of one answer."""

    def __init__(self, line: WaitingLine, place: WaitingPlace, now: Callable[[], float]) -> None:
        self._line = line
        self._place = place
        self._now = now
        # From the first thought to the next word: the queue before it is no thinking.
        self._thinks_since: float | None = None
        self._thought = 0.0

    def before(self, event: RelayedEvent | None) -> Iterator[RelayedEvent]:
        """Yield what is told before an event, or in a silence."""
        if event is None:
            news = self._line.news_of(self._place)
            if news is not None:
                yield DataPart("status", news, id="status", transient=True)
            return
        # A round begins before its request has a slot.
        if not isinstance(event, RoundStarted):
            self._line.leave(self._place)
        thinks = isinstance(event, ThinkingDelta)
        if thinks and self._thinks_since is None:
            self._thinks_since = self._now()
            yield MetadataPart({"thinkingSince": int(self._thinks_since * 1000)})
        elif not thinks and self._thinks_since is not None:
            self._thought += self._now() - self._thinks_since
            self._thinks_since = None
            yield MetadataPart({"thinkingMs": int(self._thought * 1000)})
        if isinstance(event, Finished):
            yield MetadataPart({"outcome": event.outcome, "model": event.completion.model})
