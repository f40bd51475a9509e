"""Questions and answers on a terminal: what is asked, remembered and shown."""

import contextlib
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from zai_async.cli.connection import Invocation
from zai_async.cli.output import report, to_json
from zai_async.cli.terminal import Terminal
from zai_async.errors import ZaiError
from zai_async.models import ChatCompletion, ChatParams, Message, MessageParam
from zai_async.streams.events import TextDelta, ThinkingDelta

__all__ = ["AnswerDisplay", "ChatSession", "Repl"]

_WARNINGS: Final = {
    "length": "the answer stops at the token limit",
    "context_exceeded": "the answer stops because the context is full",
    "sensitive": "the safety filter stopped the answer",
}


class AnswerDisplay:
    """Show answers.

    Args:
        terminal: Where to.
        as_json: Whether to print the completion instead of its text.
        thinking: Whether to print the reasoning.
        usage: Whether to end with a line about tokens and time.
    """

    def __init__(self, terminal: Terminal, *, as_json: bool, thinking: bool, usage: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._shows_thinking = thinking
        self._shows_usage = usage
        self.begin()

    def begin(self) -> None:
        """Get ready for an answer, and start to count its seconds."""
        self._shown = ""
        self._begun = time.monotonic()

    def thinking(self, text: str) -> None:
        """Show a piece of the reasoning."""
        if self._shows_thinking and text:
            self._set_apart("thinking")
            self._terminal.aside(text)

    def text(self, text: str) -> None:
        """Show a piece of the answer."""
        if not self._as_json:
            self._set_apart("data")
            self._terminal.data(text)

    def finish(self, answer: ChatCompletion) -> None:
        """Show what can be said only at the end."""
        seconds = time.monotonic() - self._begun
        if self._as_json:
            self._set_apart("data")
            self._terminal.data(f"{to_json(answer)}\n")
        elif not answer.text.endswith("\n"):
            self.text("\n")
        if answer.outcome in _WARNINGS:
            self._terminal.note(f"zai: {_WARNINGS[answer.outcome]}")
        if not self._shows_usage:
            return

        usage = answer.usage
        thinking = f" ({usage.reasoning_tokens} thinking)" if usage.reasoning_tokens else ""
        parts = [
            answer.model,
            f"{usage.prompt_tokens} + {usage.completion_tokens} tokens{thinking}",
            f"{seconds:.1f} s",
            f"{usage.completion_tokens / max(seconds, 0.001):.0f} tokens/s",
            answer.request_id,
        ]
        self._terminal.paragraph()
        self._terminal.aside(" · ".join(filter(None, parts)))
        self._terminal.end_line()

    def _set_apart(self, kind: str) -> None:
        """Put an empty line between thinking and data, whichever comes first."""
        if self._shown not in {"", kind}:
            self._terminal.paragraph()
        self._shown = kind


# Answers with another end are shown, but not sent again: a model would take them for an example.
_REMEMBERED: Final = frozenset({"completed", "length"})


class ChatSession:
    """Ask one question after the other; answers that came to a proper end are remembered.

    Args:
        call: Where to ask.
        display: Where the answers go.
        model: Who is asked; may be changed.
        system: Instructions for the model; may be changed.
        settings: More fields for the body of every request.
        stream: Whether to show an answer while it is written.
    """

    def __init__(
        self,
        call: Invocation,
        display: AnswerDisplay,
        *,
        model: str,
        system: str | None,
        settings: dict[str, Any],
        stream: bool,
    ) -> None:
        self.model = model
        self.system = system
        self.history: list[MessageParam | Message] = []
        self._call = call
        self._display = display
        self._settings = settings
        self._stream = stream

    def ask(self, prompt: str) -> None:
        """Send a question after all that was said before, and show the answer.

        Raises:
            ZaiError: There is no answer, or no proper one.
            KeyboardInterrupt: The person stopped the answer.
        """
        question: MessageParam = {"role": "user", "content": prompt}
        instructions: list[MessageParam] = []
        if self.system:
            instructions.append({"role": "system", "content": self.system})
        request: ChatParams = {
            "model": self.model,
            "messages": [*instructions, *self.history, question],
            "options": self._call.options,
            "extra": self._settings,
        }

        self._display.begin()
        answer = self._call.run(self._streamed(request) if self._stream else self._whole(request))
        self._display.finish(answer)
        if answer.outcome in _REMEMBERED:
            self.history += [question, answer.message]

    async def _streamed(self, request: ChatParams) -> ChatCompletion:
        async with self._call.zai.chat.completions.stream(**request) as stream:
            async for event in stream.events:
                if isinstance(event, ThinkingDelta):
                    self._display.thinking(event.text)
                elif isinstance(event, TextDelta):
                    self._display.text(event.text)
            return stream.snapshot

    async def _whole(self, request: ChatParams) -> ChatCompletion:
        answer = await self._call.zai.chat.completions.create(**request)
        self._display.thinking(answer.thinking)
        self._display.text(answer.text)
        return answer


_HELP: Final = """\
/model [NAME]   show or change the model
/system [TEXT]  change the instructions, or drop them
/reset          forget the conversation
/help           this text
/exit           leave; so do Ctrl-D and Ctrl-C
Ctrl-C stops an answer that is being written."""


class Repl:
    """Answer line after line until the person leaves."""

    def __init__(self, session: ChatSession, terminal: Terminal) -> None:
        self._session = session
        self._terminal = terminal
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: terminal.note(_HELP),
            "/model": self.change_model,
            "/reset": self.reset,
            "/system": self.change_system,
        }

    def run(self) -> int:
        """Return the exit status when the person has left with Ctrl-D or /exit.

        Raises:
            KeyboardInterrupt: The person left with Ctrl-C.
        """
        with contextlib.suppress(ImportError):
            import_module("readline")  # its presence lets input() edit; Windows has none

        self._terminal.note(f"{self._session.model}: /help shows the commands, Ctrl-D leaves")
        while True:
            try:
                line = input("> ").strip()
            except EOFError:
                self._terminal.note("")
                return 0
            word, _, rest = line.partition(" ")
            if word == "/exit":
                return 0
            if command := self._commands.get(word):
                command(rest.strip())
            # A path begins with a slash as well, but goes on with another one.
            elif word[:1] == "/" and word[1:].isalpha():
                self._terminal.note(f"zai: no command {word}; /help shows them")
            elif line:
                self.ask(line)

    def ask(self, line: str) -> None:
        """Ask; the conversation survives an error and Ctrl-C."""
        try:
            self._session.ask(line)
        except KeyboardInterrupt:
            self._terminal.interrupted()
        except ZaiError as error:
            report(error, self._terminal)

    def change_model(self, name: str) -> None:
        """Show or change the model."""
        self._session.model = name or self._session.model
        self._terminal.note(f"model: {self._session.model}")

    def change_system(self, text: str) -> None:
        """Change the instructions, or drop them."""
        self._session.system = text
        self._terminal.note("instructions set" if text else "instructions dropped")

    def reset(self, _rest: str = "") -> None:
        """Forget the conversation."""
        self._session.history.clear()
        self._terminal.note("forgotten")
