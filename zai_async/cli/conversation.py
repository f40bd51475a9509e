"""What has been said so far, and the next question."""

from typing import Any

from zai_async.cli.connection import Connection
from zai_async.cli.display import Display
from zai_async.models import ChatCompletion, ChatParams, MessageParam
from zai_async.models.chat import Message
from zai_async.streams.events import TextDelta, ThinkingDelta

__all__ = ["Conversation"]

_PROPER = frozenset({"completed", "length"})


class Conversation:
    """Ask one question after the other; answers that came to a proper end are remembered.

    Args:
        connection: Where to ask.
        display: Where the answers go.
        model: Who is asked; may be changed.
        system: Instructions for the model; may be changed.
        settings: More fields for the body of every request.
        stream: Whether to show an answer while it is written.
    """

    def __init__(
        self,
        connection: Connection,
        display: Display,
        *,
        model: str,
        system: str | None,
        settings: dict[str, Any],
        stream: bool,
    ) -> None:
        self.model = model
        self.system = system
        self._connection = connection
        self._display = display
        self._settings = settings
        self._fetch = self._streamed if stream else self._whole
        self._history: list[MessageParam | Message] = []

    def reset(self) -> None:
        """Forget what has been said."""
        self._history.clear()

    def ask(self, prompt: str) -> None:
        """Send a question after all that was said before, and show the answer.

        Raises:
            ZaiError: There is no answer, or no proper one.
            KeyboardInterrupt: The person has had enough of it.
        """
        question: MessageParam = {"role": "user", "content": prompt}
        self._display.begin()
        answer = self._connection.run(self._fetch(self._messages(question)))
        self._display.finish(answer)
        if answer.outcome in _PROPER:
            self._history += [question, answer.message]

    def _messages(self, question: MessageParam) -> list[MessageParam | Message]:
        system: list[MessageParam] = []
        if self.system:
            system.append({"role": "system", "content": self.system})
        return [*system, *self._history, question]

    async def _streamed(self, messages: list[MessageParam | Message]) -> ChatCompletion:
        chat = self._connection.zai.chat.completions
        async with chat.stream(**self._request(messages)) as stream:
            async for event in stream.events:
                if isinstance(event, ThinkingDelta):
                    self._display.thinking(event.text)
                elif isinstance(event, TextDelta):
                    self._display.text(event.text)
            return stream.snapshot

    async def _whole(self, messages: list[MessageParam | Message]) -> ChatCompletion:
        answer = await self._connection.zai.chat.completions.create(**self._request(messages))
        self._display.thinking(answer.thinking)
        self._display.text(answer.text)
        return answer

    def _request(self, messages: list[MessageParam | Message]) -> ChatParams:
        return {
            "model": self.model,
            "messages": messages,
            "options": self._connection.options,
            "extra": self._settings,
        }
