"""``zai chat``: one question and its answer, or a conversation on a terminal."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from zai_async.cli.arguments import add_words, count, given, number, parse, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import report, to_json
from zai_async.cli.terminal import Terminal
from zai_async.errors import ZaiError
from zai_async.models import ChatCompletion, ChatParams, Message, MessageParam
from zai_async.streams.events import TextDelta, ThinkingDelta

__all__ = ["run_chat"]

_WARNINGS = {
    "length": "the answer stops at the token limit",
    "context_exceeded": "the answer stops because the context is full",
    "sensitive": "the safety filter stopped the answer",
}


class Display:
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
        """Get ready for an answer, and start the clock."""
        self._kind = ""
        self._begun = time.monotonic()

    def thinking(self, text: str) -> None:
        """Show a piece of the reasoning."""
        if self._shows_thinking and text:
            self._set_apart("thinking")
            self._terminal.aside(text)

    def text(self, text: str) -> None:
        """Show a piece of the answer."""
        if not self._as_json:
            self._data(text)

    def finish(self, answer: ChatCompletion) -> None:
        """Show what can be said only at the end."""
        seconds = time.monotonic() - self._begun
        if self._as_json:
            self._data(f"{to_json(answer)}\n")
        elif not answer.text.endswith("\n"):
            self._data("\n")
        if answer.outcome in _WARNINGS:
            self._terminal.note(f"zai: {_WARNINGS[answer.outcome]}")
        if self._shows_usage:
            self._terminal.paragraph()
            self._terminal.aside(_summary(answer, seconds))
            self._terminal.end_line()

    def _data(self, text: str) -> None:
        self._set_apart("data")
        self._terminal.data(text)

    def _set_apart(self, kind: str) -> None:
        """Put an empty line between thinking and data, whichever comes first."""
        if self._kind not in {"", kind}:
            self._terminal.paragraph()
        self._kind = kind


def _summary(answer: ChatCompletion, seconds: float) -> str:
    usage = answer.usage
    thinking = f" ({usage.reasoning_tokens} thinking)" if usage.reasoning_tokens else ""
    parts = [
        answer.model,
        f"{usage.prompt_tokens} + {usage.completion_tokens} tokens{thinking}",
        f"{seconds:.1f} s",
        f"{usage.completion_tokens / max(seconds, 0.001):.0f} tokens/s",
        answer.request_id,
    ]
    return " · ".join(filter(None, parts))


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


_HELP = """\
/model [NAME]   show or change the model
/system [TEXT]  change the instructions, or drop them
/reset          forget the conversation
/help           this text
/exit           leave; so do Ctrl-D and Ctrl-C
Ctrl-C stops an answer that is being written."""


def converse(conversation: Conversation, terminal: Terminal) -> int:
    """Answer line after line until the person leaves; return the exit status.

    Raises:
        KeyboardInterrupt: The person left with Ctrl-C.
    """
    with contextlib.suppress(ImportError):
        import_module("readline")  # its presence lets input() edit; Windows has none

    terminal.note(f"{conversation.model}: /help shows the commands, Ctrl-D leaves")
    return _Session(conversation, terminal).run()


class _Left(Exception):  # noqa: N818 - not an error
    """The person is done."""


class _Session:
    def __init__(self, conversation: Conversation, terminal: Terminal) -> None:
        self._conversation = conversation
        self._terminal = terminal
        self._commands: dict[str, Callable[[str], None]] = {
            "/exit": self._leave,
            "/help": self._help,
            "/model": self._change_model,
            "/reset": self._reset,
            "/system": self._instruct,
        }

    def run(self) -> int:
        try:
            while True:
                self._obey(input("> ").strip())
        except EOFError:
            self._terminal.note("")
        except _Left:
            pass
        return 0

    def _obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if command := self._commands.get(word):
            command(rest.strip())
        elif word[:1] == "/" and word[1:].isalpha():
            self._terminal.note(f"zai: no command {word}; /help shows them")
        elif line:
            self._ask(line)

    def _ask(self, line: str) -> None:
        try:
            self._conversation.ask(line)
        except KeyboardInterrupt:
            self._terminal.interrupted()
        except ZaiError as error:
            report(error, self._terminal)

    def _leave(self, _rest: str) -> None:
        raise _Left

    def _help(self, _rest: str) -> None:
        self._terminal.note(_HELP)

    def _change_model(self, name: str) -> None:
        self._conversation.model = name or self._conversation.model
        self._terminal.note(f"model: {self._conversation.model}")

    def _reset(self, _rest: str) -> None:
        self._conversation.reset()
        self._terminal.note("forgotten")

    def _instruct(self, text: str) -> None:
        self._conversation.system = text
        self._terminal.note("instructions set" if text else "instructions dropped")


CHAT_MODEL: Final = "glm-5.3"

_DESCRIPTION = """\
Ask a model. The prompt is the arguments, followed by what is piped in; without
either, a conversation begins. Only the answer goes to stdout.
"""


def run_chat(argv: Sequence[str], terminal: Terminal) -> int:
    """Answer a prompt, or hold a conversation where there is none."""
    parser = _chat_parser()
    arguments = parse(parser, argv)
    with connect(arguments, terminal) as connection:
        conversation = Conversation(
            connection,
            _display(arguments, terminal),
            model=arguments.model,
            system=arguments.system,
            settings=_settings(arguments),
            stream=arguments.stream,
        )
        if terminal.interactive and not arguments.words:
            return converse(conversation, terminal)
        prompt = _prompt(arguments.words)
        if not prompt:
            parser.error("no prompt: give it as arguments or on stdin")
        conversation.ask(prompt)
    return 0


def _display(arguments: argparse.Namespace, terminal: Terminal) -> Display:
    thinking = arguments.show_thinking
    if thinking is None:
        thinking = terminal.watched and not (arguments.json or arguments.quiet)
    usage = not arguments.quiet and (terminal.watched or arguments.verbose)
    return Display(terminal, as_json=arguments.json, thinking=thinking, usage=usage)


def _prompt(words: Sequence[str]) -> str:
    said = " ".join(words)
    read = not words or not sys.stdin.isatty()
    piped = sys.stdin.read().strip() if read else ""
    return "\n\n".join(filter(None, (said, piped)))


def _chat_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai chat", usage="zai chat [OPTION ...] [PROMPT ...]", description=_DESCRIPTION
    )
    add_words(parser, "PROMPT", "what to ask")
    _add_request(parser)
    _add_output(parser)
    add_options(parser)
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("request")
    group.add_argument(
        "--model",
        type=text,
        default=os.environ.get("ZAI_MODEL") or CHAT_MODEL,
        help=f"default: {CHAT_MODEL}, or ZAI_MODEL",
    )
    group.add_argument("--system", type=text, metavar="TEXT", help="instructions for the model")
    group.add_argument(
        "--thinking", action=argparse.BooleanOptionalAction, help="whether the model thinks first"
    )
    group.add_argument(
        "--effort", type=text, metavar="LEVEL", help="how long it thinks: low, high, max"
    )
    group.add_argument("--max-tokens", type=count, metavar="N", help="longest answer")
    group.add_argument("--temperature", type=number, metavar="X", help="0 dull to 1 lively")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print the completion as one JSON line")
    group.add_argument(
        "--no-stream", dest="stream", action="store_false", help="print the answer when it is whole"
    )
    group.add_argument(
        "--show-thinking",
        action="store_true",
        default=None,
        help="print thinking to stderr (default: if that is a terminal)",
    )
    group.add_argument(
        "--hide-thinking", dest="show_thinking", action="store_false", help="never print it"
    )


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the request that were given."""
    thinking = {True: {"type": "enabled"}, False: {"type": "disabled"}, None: None}
    return given(
        thinking=thinking[arguments.thinking],
        reasoning_effort=arguments.effort,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
    )
