"""The command ``zai``: what a program prints goes to stdout, what it says goes to stderr.

Commands of one subject share a module, imported only when one of them is asked for; there each is a
function ``run_<command>(argv, terminal) -> int``.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import zai_async
from zai_async.cli.terminal import BROKEN_PIPE, FAILED, INTERRUPTED, USAGE, Terminal

__all__ = ["main"]

COMMANDS = {
    "agents": "let an agent translate, or do other work",
    "chat": "ask a model, or talk with it",
    "check": "find out which endpoints accept the key",
    "doctor": "find out what stands between this machine and an answer",
    "emulator": "serve an emulated platform on this machine",
    "files": "upload, list, fetch and delete files",
    "image": "make an image",
    "models": "list the models",
    "ocr": "read a picture or a pdf",
    "quota": "show what is left of a Coding Plan",
    "read": "read a web page",
    "search": "search the web",
    "speech": "speak a text",
    "task": "ask about a task, or wait for it",
    "tokens": "count the tokens of a text",
    "transcribe": "write down what is said",
    "video": "make a video",
}
_HOMES = {
    "agents": "agents",
    "chat": "chat",
    "check": "access",
    "doctor": "access",
    "emulator": "connection",
    "files": "documents",
    "image": "media",
    "models": "access",
    "ocr": "documents",
    "quota": "access",
    "read": "documents",
    "search": "documents",
    "speech": "media",
    "task": "tasks",
    "tokens": "documents",
    "transcribe": "media",
    "video": "media",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Raises:
        SystemExit: The arguments are wrong (status 2), or only help was asked for.
    """
    terminal = Terminal()
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv, terminal)
    except BrokenPipeError:
        terminal.abandon()
        return BROKEN_PIPE
    except OSError as error:
        return _unwritten(error, terminal)


def _dispatch(argv: Sequence[str], terminal: Terminal) -> int:
    parser = _parser()
    name = parser.parse_args(argv[:1]).command
    if name is None:
        parser.print_help(sys.stderr)
        return USAGE
    return _run(name, argv[1:], terminal)


def _run(name: str, argv: Sequence[str], terminal: Terminal) -> int:
    try:
        module = import_module(f"{__name__}.{_HOMES[name]}")
        run: Callable[[Sequence[str], Terminal], int] = getattr(module, f"run_{name}")
        return run(argv, terminal)
    except KeyboardInterrupt as interrupt:
        terminal.interrupted()
        terminal.notes(interrupt)
        return INTERRUPTED
    except zai_async.ZaiError as error:
        # Late, because help is shown without any of our errors.
        from zai_async.cli.output import report  # noqa: PLC0415

        return report(error, terminal)


def _unwritten(error: OSError, terminal: Terminal) -> int:
    """Say which file it was, as far as that is known."""
    parts = (error.filename, error.strerror or error)
    terminal.note(f"zai: {': '.join(str(part) for part in parts if part)}")
    terminal.notes(error)
    return FAILED


def _parser() -> argparse.ArgumentParser:
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
