"""What the page asks for, made into the events of an answer."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Literal

import msgspec

from zai_async.client import AsyncZai
from zai_async.errors import ZaiError
from zai_async.models import MessageParam
from zai_async.web.parts import MetadataPart, RelayedEvent
from zai_async.web.ui.chatting import ChatAnswers
from zai_async.web.ui.making import made_media
from zai_async.web.ui.media import MediaFolder

__all__ = ["SERVER_TOOLS", "AnswerMaker", "PageSettings"]

SERVER_TOOLS: Final = ("read_page",)
"""What the page need not run itself."""


class PageSettings(msgspec.Struct, frozen=True):
    """What the page sends beside the conversation."""

    model: str = ""
    mode: Literal["chat", "image", "video"] = "chat"
    thinking: bool = True
    web: bool = False
    """Whether the model may search the web and read pages."""


class AnswerMaker:
    """Makes answers for the page.

    Args:
        zai: The client.
        model: The model that answers where the page names none.
        engine: The search engine of the web search, as the platform calls it.
        media: Where pictures and films are kept for the page to fetch.
        now: Seconds since 1970, by a clock that the page shares.
    """

    def __init__(
        self,
        zai: AsyncZai,
        model: str,
        engine: str,
        media: MediaFolder,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._zai = zai
        self._model = model
        self._media = media
        self._chat = ChatAnswers(zai, engine, now)

    async def begin(
        self, messages: list[MessageParam], settings: PageSettings
    ) -> AsyncGenerator[RelayedEvent, None]:
        """Yield the events of an answer, and facts about it that the page shows.

        Raises:
            ZaiError: There is no answer, or not all of it; the page has been told the details.
        """
        if settings.mode == "chat":
            answer = self._chat.events(
                settings.model or self._model,
                messages,
                thinking=settings.thinking,
                web=settings.web,
            )
        else:
            answer = made_media(self._zai, self._media, settings.mode, messages[-1], settings.model)
        try:
            async with aclosing(answer) as events:
                async for event in events:
                    yield event
        except ZaiError as error:
            # Only who runs the server reads this page, so it may speak of the account.
            told = {"kind": error.kind, "message": str(error), "requestId": error.request_id or ""}
            yield MetadataPart({"error": told})
            raise
