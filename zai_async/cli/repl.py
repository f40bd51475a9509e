"""The conversation that ``zai chat`` holds on a terminal and ``zai run`` reads from a file."""

import contextlib
from collections.abc import Callable, Generator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from zai_async.cli.attachments import attach
from zai_async.cli.conversation import ChatSession, read_conversation
from zai_async.cli.output import report, to_json
from zai_async.cli.storage import keeps_history, state_directory, write_private
from zai_async.cli.terminal import Terminal
from zai_async.errors import ConfigurationError, ZaiError
from zai_async.models import ContentPartParam

__all__ = ["Dialogue", "converse", "follow"]

_HELP: Final = '''\
/attach FILE    show a file along with the next question; so does /image
/model [NAME]   show or change the model
/system [TEXT]  change the instructions, or drop them
/reset          forget the conversation
/save FILE      write the conversation to a file
/load FILE      go on with one that was saved
/help           this text
/exit           leave; so do Ctrl-D and Ctrl-C
Ctrl-C stops an answer that is being written.
A text of several lines is pasted, or stands between lines of """.'''


# A line of these begins and ends a text of several lines, as in other command lines for models.
_QUOTES: Final = '"""'
_REMEMBERED_LINES: Final = 1000


class Dialogue:
    """Questions and commands, as a person types them and as a script has them.

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
            "/image": self.attach,
            "/load": self.load,
            "/model": self.change_model,
            "/reset": self.reset,
            "/save": self.save,
            "/system": self.change_system,
        }

    def execute(self, line: str) -> bool:
        """Do what a line says, and return whether to go on.

        Raises:
            ZaiError: A question has no proper answer, or a command cannot be followed.
        """
        word, _, rest = line.strip().partition(" ")
        if word == "/exit":
            return False
        if command := self._commands.get(word):
            command(rest.strip())
        # A path begins with a slash as well, but goes on with another one.
        elif word[:1] == "/" and word[1:].isalpha():
            raise ConfigurationError(f"no command {word}; /help shows them")
        elif word:
            # Shown once, whether or not the question is answered.
            attached, self._attached = self._attached, []
            self._session.ask(line, attached)
        return True

    def attach(self, path: str) -> None:
        """Show a file along with the next question."""
        self._attached.append(attach(path))

    def change_model(self, name: str) -> None:
        """Show or change the model."""
        self._session.model = name or self._session.model
        self._terminal.note(f"model: {self._session.model}")

    def change_system(self, text: str) -> None:
        """Change the instructions, or drop them."""
        self._session.system = text
        self._terminal.note("instructions set" if text else "instructions dropped")

    def load(self, path: str) -> None:
        """Go on with a conversation that was saved."""
        # A person who mistypes a name goes on; a script ends, as after any other failure.
        try:
            saved = read_conversation(Path(path))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path}: {getattr(error, 'strerror', error)}") from None
        self._session.restore(saved)
        self._terminal.note(f"{len(saved.messages)} messages with {saved.model}")

    def reset(self, _rest: str = "") -> None:
        """Forget the conversation."""
        self._session.history.clear()
        self._terminal.note("forgotten")

    def save(self, path: str) -> None:
        """Write the conversation to a file, which only its owner can read."""
        if not path:
            raise ConfigurationError("/save needs the name of a file")
        try:
            write_private(Path(path), to_json(self._session.saved))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path}: {getattr(error, 'strerror', error)}") from None
        self._terminal.note(f"saved in {path}")


def converse(dialogue: Dialogue, terminal: Terminal) -> None:
    """Answer line after line until the person leaves with Ctrl-D or /exit.

    Raises:
        KeyboardInterrupt: The person left with Ctrl-C.
    """
    with line_editing():
        while True:
            try:
                line = read_question()
            except EOFError:
                terminal.note("")
                return
            # The conversation survives an error, and Ctrl-C while it answers.
            try:
                if not dialogue.execute(line):
                    return
            except KeyboardInterrupt:
                terminal.interrupted()
            except ZaiError as error:
                report(error, terminal)


def follow(dialogue: Dialogue, script: str) -> None:
    """Do what a script says, one line after the other; those that begin with ``#`` are comments.

    Raises:
        ZaiError: A line failed; those after it are not followed.
    """
    # Read as typed lines are, so that texts of several lines mean the same in both.
    lines = iter(script.splitlines())

    def following(_prompt: str) -> str:
        for line in lines:
            return line
        raise EOFError

    while True:
        try:
            line = read_question(following)
        except EOFError:
            return
        if not line.startswith("#") and not dialogue.execute(line):
            return


def read_question(read: Callable[[str], str] | None = None) -> str:
    """Read a line, or the lines between two of quotes; ``read`` is given the prompt.

    Raises:
        EOFError: There are no more.
    """
    read = read or input
    line = read("> ")
    if not line.lstrip().startswith(_QUOTES):
        # Readline hands over a paste of several lines as one, with its line ends.
        return line
    lines = [line.lstrip().removeprefix(_QUOTES)]
    while not lines[-1].rstrip().endswith(_QUOTES):
        lines.append(read(". "))
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

    # A paste of several lines is one text; before version 8.1 that has to be asked for.
    readline.parse_and_bind("set enable-bracketed-paste on")
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
