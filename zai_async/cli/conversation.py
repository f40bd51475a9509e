"""Questions and answers of ``zai chat``: what is asked, shown and remembered."""

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from zai_async._protocol.events import TextDelta, ThinkingDelta
from zai_async.cli.connection import Invocation
from zai_async.cli.output import to_json
from zai_async.cli.storage import keeps_history, state_directory, write_private
from zai_async.cli.terminal import Terminal
from zai_async.cli.tool_turns import ToolTurn
from zai_async.models import ChatCompletion, ChatParams, ContentPartParam, Message, MessageParam

__all__ = [
    "AnswerDisplay",
    "ChatSession",
    "SavedConversation",
    "first_code",
    "last_conversation",
    "read_conversation",
]

_WARNINGS: Final = {
    "length": "the answer stops at the token limit",
    "context_exceeded": "the answer stops because the context is full",
    "sensitive": "the safety filter stopped the answer",
}
# A fence of Markdown, https://spec.commonmark.org/0.31.2/#fenced-code-blocks: one that is never
# closed goes on to the end of the text.
_FENCED: Final = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<code>.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)


def first_code(answer: str) -> str | None:
    """Return the first block of code in an answer, without its fences."""
    found = _FENCED.search(answer)
    return None if found is None else found["code"]


class AnswerDisplay:
    """Show answers.

    Args:
        terminal: Where to.
        as_json: Whether to print the completion instead of its text.
        code_only: Whether to print the first block of code instead of the whole text.
        thinking: Whether to print the reasoning.
        tools: Whether to print which calls the model makes.
        usage: Whether to end with a line about tokens and time.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        as_json: bool,
        code_only: bool,
        thinking: bool,
        tools: bool,
        usage: bool,
    ) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._code_only = code_only
        self._shows_thinking = thinking
        self._shows_tools = tools
        self._shows_usage = usage
        self.begin()

    def begin(self) -> None:
        """Get ready for an answer, and start to count its seconds."""
        self._shown = ""
        self._line_is_open = True
        self._begun = time.monotonic()

    def thinking(self, text: str) -> None:
        """Show a piece of the reasoning."""
        if self._shows_thinking and text:
            self._set_apart("thinking")
            self._terminal.aside(text)

    def text(self, text: str) -> None:
        """Show a piece of the answer."""
        # What replaces the text is known at its end.
        if not (self._as_json or self._code_only):
            self._set_apart("data")
            self._terminal.data(text)
            self._line_is_open = not text.endswith("\n")

    def tool(self, text: str) -> None:
        """Show a line about a call of a tool."""
        if self._shows_tools:
            self._set_apart("tools")
            self._terminal.aside(text)
            self._terminal.end_line()

    def finish(self, answer: ChatCompletion) -> None:
        """Show what can be said only at the end."""
        seconds = time.monotonic() - self._begun
        if self._as_json:
            self._set_apart("data")
            self._terminal.data(f"{to_json(answer)}\n")
        elif self._code_only:
            code = first_code(answer.text)
            printed = answer.text if code is None else code
            self._set_apart("data")
            self._terminal.data(printed if printed.endswith("\n") else f"{printed}\n")
            if code is None:
                self._terminal.note("zai: the answer has no block of code; this is all of it")
        elif self._line_is_open:
            self.text("\n")
        # The status is 0 all the same, because there is an answer; so it is said here.
        if answer.outcome in _WARNINGS:
            self._terminal.note(f"zai: {_WARNINGS[answer.outcome]}")
        if not self._shows_usage:
            return

        usage = answer.usage
        # Counts that never came are not shown as zero, nor is a speed that they do not give.
        counts = speed = ""
        if usage.undivided_tokens:
            counts = f"{usage.total_tokens} tokens"
        elif usage.total_tokens:
            thinking = f" ({usage.reasoning_tokens} thinking)" if usage.reasoning_tokens else ""
            counts = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens{thinking}"
            speed = f"{usage.completion_tokens / max(seconds, 0.001):.0f} tokens/s"
        parts = [answer.model, counts, f"{seconds:.1f} s", speed, answer.request_id]
        # The least important stands last: on a narrow terminal it is left out.
        known = [part for part in parts if part]
        while len(line := " · ".join(known)) >= self._terminal.columns and len(known) > 1:
            known.pop()
        self._terminal.paragraph()
        self._terminal.aside(line)
        self._terminal.end_line()

    def _set_apart(self, kind: str) -> None:
        """Put an empty line between thinking and data, whichever comes first."""
        if self._shown not in {"", kind}:
            self._terminal.paragraph()
        self._shown = kind


class SavedConversation(msgspec.Struct):
    """The last conversation, as it is kept on this machine."""

    model: str
    messages: list[dict[str, Any]]
    system: str | None = None

    @property
    def history(self) -> list[MessageParam]:
        """The messages as they are sent."""
        return cast("list[MessageParam]", self.messages)


def last_conversation() -> SavedConversation | None:
    """Return what was said last, or None where nothing is kept."""
    try:
        return read_conversation(state_directory() / "conversation.json")
    except (OSError, ValueError):
        return None


def read_conversation(path: Path) -> SavedConversation:
    """Return a conversation that was saved.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no conversation.
    """
    return msgspec.json.decode(path.read_bytes(), type=SavedConversation)


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
        tools: What the model may call.
        schema: The type that every answer has to fit, None for text.
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
        tools: Sequence[Callable[..., Any]] = (),
        schema: Any = None,
    ) -> None:
        self.model = model
        self.system = system
        self.history: list[MessageParam | Message] = []
        self._call = call
        self._display = display
        self._settings = settings
        self._stream = stream
        self._tools = tools
        self._schema = schema

    def ask(self, prompt: str, attached: Sequence[ContentPartParam] = ()) -> None:
        """Send a question after all that was said before, and show the answer.

        Raises:
            ZaiError: There is no answer, or no proper one.
            KeyboardInterrupt: The person stopped the answer.
        """
        # Texts join the prompt: models that only read text take no list of parts.
        texts = [part["text"] for part in attached if part["type"] == "text"]
        media = [part for part in attached if part["type"] != "text"]
        whole = "\n\n".join(filter(None, (prompt, *texts)))
        question: MessageParam = {"role": "user", "content": whole}
        if media:
            # Pictures first, as in the platform's own examples.
            ending: list[ContentPartParam] = [{"type": "text", "text": whole}] if whole else []
            question = {"role": "user", "content": [*media, *ending]}
        # Not part of the history, because the person may change them between two questions.
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
        # All that the turn has added: with tools also the calls, and what came of each.
        made: list[MessageParam | Message] = []
        if self._tools:
            turn = ToolTurn(self._call, self._display, self._tools)
            answer = turn.take(request)
            made += turn.messages
        else:
            work = self.stream_answer if self._stream else self.fetch_answer
            answer = self._call.run(work(request))
            made.append(answer.message)
        self._display.finish(answer)
        if answer.outcome in _REMEMBERED:
            self.history += [question, *made]
            self.keep()

    async def stream_answer(self, request: ChatParams) -> ChatCompletion:
        """Show an answer while it is written."""
        async with self._call.zai.chat.completions.stream(**request) as stream:
            async for event in stream.events:
                if isinstance(event, ThinkingDelta):
                    self._display.thinking(event.text)
                elif isinstance(event, TextDelta):
                    self._display.text(event.text)
            # What there is, also of an answer that the safety filter or a limit has stopped.
            return stream.snapshot

    async def fetch_answer(self, request: ChatParams) -> ChatCompletion:
        """Show an answer when it is whole."""
        completions = self._call.zai.chat.completions
        if self._schema is None:
            answer = await completions.create(**request)
            shown = answer.text
        else:
            # The value and not the text, around which models put fences and kind words.
            parsed = await completions.parse(self._schema, **request)
            answer = parsed.completion
            shown = f"{to_json(parsed.parsed)}\n"
        self._display.thinking(answer.thinking)
        self._display.text(shown)
        return answer

    @property
    def saved(self) -> SavedConversation:
        """The conversation as it can be kept: without the files that it showed."""
        messages = [kept(message) for message in self.history]
        return SavedConversation(model=self.model, messages=messages, system=self.system)

    def restore(self, saved: SavedConversation) -> None:
        """Go on with a conversation in the place of this one."""
        self.model, self.system = saved.model, saved.system
        self.history = [*saved.history]

    def keep(self) -> None:
        """Keep the conversation for ``--continue``."""
        if not keeps_history():
            return
        # A machine where nothing can be kept, such as a container, must not fail for it.
        with contextlib.suppress(OSError):
            write_private(state_directory() / "conversation.json", to_json(self.saved))


def kept(message: MessageParam | Message) -> dict[str, Any]:
    """Return a message as it is saved: its files are replaced by a remark."""
    plain = message.to_dict() if isinstance(message, Message) else dict[str, Any](message)
    parts: str | list[dict[str, Any]] | None = plain.get("content")
    if isinstance(parts, list):
        plain["content"] = "\n\n".join(
            part["text"] if part["type"] == "text" else f"[a file that was shown: {part['type']}]"
            for part in parts
        )
    return plain
