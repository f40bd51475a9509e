"""The conversation that ``zai chat`` holds on a terminal."""

import contextlib
from collections.abc import Callable, Generator, Sequence
from importlib import import_module
from typing import Any, Final

from zai_async.cli.attachments import attach
from zai_async.cli.conversation import ChatSession
from zai_async.cli.output import report
from zai_async.cli.storage import keeps_history, state_directory, write_private
from zai_async.cli.terminal import Terminal
from zai_async.errors import ZaiError
from zai_async.models import ContentPartParam

__all__ = ["Repl"]

_HELP: Final = '''\
/attach FILE    show a file along with the next question
/model [NAME]   show or change the model
/system [TEXT]  change the instructions, or drop them
/reset          forget the conversation
/help           this text
/exit           leave; so do Ctrl-D and Ctrl-C
Ctrl-C stops an answer that is being written.
A text of several lines is pasted, or stands between lines of """.'''


# A line of these begins and ends a text of several lines, as in other command lines for models.
_QUOTES: Final = '"""'
_REMEMBERED_LINES: Final = 1000


class Repl:
    """Answer line after line until the person leaves.

    Args:
        session: What asks.
        terminal: Where notes go.
        attached: Parts of the first question.
    """

    def __init__(
        self, session: ChatSession, terminal: Terminal, attached: Sequence[ContentPartParam] = ()
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._attached = list(attached)
        self._commands: dict[str, Callable[[str], None]] = {
            "/attach": self.attach,
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
        self._terminal.note(f"{self._session.model}: /help shows the commands, Ctrl-D leaves")
        with line_editing():
            while True:
                try:
                    line = read_question()
                except EOFError:
                    self._terminal.note("")
                    return 0
                word, _, rest = line.strip().partition(" ")
                if word == "/exit":
                    return 0
                if command := self._commands.get(word):
                    command(rest.strip())
                # A path begins with a slash as well, but goes on with another one.
                elif word[:1] == "/" and word[1:].isalpha():
                    self._terminal.note(f"zai: no command {word}; /help shows them")
                elif word:
                    self.ask(line)

    def ask(self, line: str) -> None:
        """Ask; the conversation survives an error and Ctrl-C."""
        # Shown once, whether or not the question is answered.
        attached, self._attached = self._attached, []
        try:
            self._session.ask(line, attached)
        except KeyboardInterrupt:
            self._terminal.interrupted()
        except ZaiError as error:
            report(error, self._terminal)

    def attach(self, path: str) -> None:
        """Show a file along with the next question."""
        try:
            self._attached.append(attach(path))
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


def read_question() -> str:
    """Read a line, or the lines between two of quotes.

    Raises:
        EOFError: The person is done.
    """
    line = input("> ")
    if not line.lstrip().startswith(_QUOTES):
        # Readline hands over a paste of several lines as one, with its line ends.
        return line
    lines = [line.lstrip().removeprefix(_QUOTES)]
    while not lines[-1].rstrip().endswith(_QUOTES):
        lines.append(input(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(_QUOTES)
    return "\n".join(lines).strip("\n")


@contextlib.contextmanager
def line_editing() -> Generator[None]:
    """Let the person edit lines, and find those of earlier conversations again."""
    try:
        # Its presence lets input() edit.
        readline: Any = import_module("readline")
    except ImportError:
        # Windows has none; there the console edits by itself.
        yield
        return

    path = state_directory() / "history"
    # main() may be called more than once in a process: nothing of another home is shown or kept.
    readline.clear_history()
    if keeps_history():
        with contextlib.suppress(OSError):
            readline.read_history_file(path)
    try:
        yield
    finally:
        if keeps_history():
            readline.set_history_length(_REMEMBERED_LINES)
            with contextlib.suppress(OSError):
                # Made first, because readline would create it readable for everybody.
                write_private(path, "")
                readline.write_history_file(path)
