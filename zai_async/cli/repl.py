"""The conversation on a terminal: prompt, answer, and a few commands."""

import contextlib
from collections.abc import Callable
from importlib import import_module

from zai_async.cli.conversation import Conversation
from zai_async.cli.failures import report
from zai_async.cli.terminal import Terminal
from zai_async.errors import ZaiError

__all__ = ["converse"]

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
