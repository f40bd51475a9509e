"""The commands of ``zai``, and how their ends become exit statuses.

Commands about one subject share a module, which is imported only when one of them is asked for.
There, ``<command>_parser()`` describes the arguments and ``run_<command>(argv, terminal)`` does the
work and returns the exit status.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

import zai_async
from zai_async.cli import end_at_once
from zai_async.cli.terminal import BROKEN_PIPE, FAILED, INTERRUPTED, USAGE, Terminal

__all__ = ["COMMANDS", "MODULE_OF", "main_parser", "run"]

COMMANDS: Final = {
    "agents": "let an agent translate, or do other work",
    "batch": "answer many rows, each once",
    "chat": "ask a model, or talk with it",
    "check": "find out which endpoints accept the key",
    "completion": "print what lets a shell complete commands",
    "doctor": "find out what stands between this machine and an answer",
    "emulator": "serve an emulated platform on this machine",
    "files": "upload, list, fetch and delete files",
    "image": "make an image",
    "keys": "keep API keys on this machine",
    "mcp": "serve the operations as tools for models",
    "models": "list the models",
    "ocr": "read a picture or a pdf",
    "quota": "show what is left of a Coding Plan",
    "read": "read a web page",
    "run": "ask the questions of a file",
    "search": "search the web",
    "speech": "speak a text",
    "task": "ask about a task, or wait for it",
    "tokens": "count the tokens of a text",
    "transcribe": "write down what is said",
    "ui": "chat in the browser",
    "video": "make a video",
}
_MODULES: Final = {
    "account": ("check", "models", "quota"),
    "agents": ("agents",),
    "audio": ("speech", "transcribe"),
    "batch": ("batch",),
    "chat": ("chat", "run"),
    "completion": ("completion",),
    "doctor": ("doctor",),
    "emulator": ("emulator",),
    "files": ("files",),
    "keys": ("keys",),
    "images": ("image", "video"),
    "mcp": ("mcp",),
    "tasks": ("task",),
    "ui": ("ui",),
    "texts": ("ocr", "read", "search", "tokens"),
}
MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Raises:
        SystemExit: The arguments are invalid (status 2), or only help was asked for.
    """
    terminal = Terminal()
    try:
        return dispatch(sys.argv[1:] if argv is None else argv, terminal)
    # Outside of dispatch(), because its reports go to streams that may be gone as well.
    # The reader of a pipe has seen enough, as `head` does; that is no failure to report.
    except BrokenPipeError:
        terminal.abandon()
        return BROKEN_PIPE
    except OSError as error:
        parts = (error.filename, error.strerror or error)
        terminal.note(f"zai: {': '.join(str(part) for part in parts if part)}")
        terminal.notes(error)
        return FAILED


def dispatch(argv: Sequence[str], terminal: Terminal) -> int:
    """Run one command, print how it failed if it did, and return its exit status."""
    parser = main_parser()
    # Only the first word is parsed here: options after it belong to the command.
    name = parser.parse_args(argv[:1]).command
    if name is None:
        parser.print_help(sys.stderr)
        return USAGE
    try:
        module = import_module(f"zai_async.cli.{MODULE_OF[name]}")
        command: Callable[[Sequence[str], Terminal], int] = getattr(module, f"run_{name}")
        if signal.getsignal(signal.SIGINT) is end_at_once:
            # From here on what was begun comes to its end.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return command(argv[1:], terminal)
    except KeyboardInterrupt as interrupt:
        # Notes on it say what goes on without this command, such as a task.
        terminal.interrupted()
        terminal.notes(interrupt)
        return INTERRUPTED
    except zai_async.ZaiError as error:
        # Imported late, because help is shown without any of our errors.
        from zai_async.cli.output import report  # noqa: PLC0415

        return report(error, terminal)


def main_parser() -> argparse.ArgumentParser:
    """Describe the first word of a command line."""
    width = max(map(len, COMMANDS))
    commands = [f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="zai",
        usage="zai COMMAND [ARGUMENT ...]",
        description="Talk to the Z.AI platform; `zai COMMAND --help` explains a command.",
        epilog="\n".join(["commands:", *commands]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"zai-async {zai_async.__version__}")
    parser.add_argument(
        "command", nargs="?", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS
    )
    return parser
