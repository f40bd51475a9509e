"""``zai chat`` and ``zai run``: a question, a conversation on a terminal, or one from a file."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zai_async.cli.arguments import (
    STDIN,
    add_words,
    count,
    given,
    number,
    parse,
    piped,
    text,
)
from zai_async.cli.attachments import attach, shows_media
from zai_async.cli.connection import Invocation, add_options, connect
from zai_async.cli.conversation import (
    AnswerDisplay,
    ChatSession,
    SavedConversation,
    last_conversation,
)
from zai_async.cli.repl import Dialogue, converse, follow
from zai_async.cli.schemas import function, schema
from zai_async.cli.terminal import Terminal
from zai_async.models import ContentPartParam

__all__ = ["chat_parser", "run_chat", "run_parser", "run_run"]

CHAT_MODEL: Final = "glm-5.3"
VISION_MODEL: Final = "glm-5.3-flash"

_DESCRIPTION: Final = """\
Ask a model. The prompt is the arguments, followed by what is piped in; without
either, a conversation begins. Only the answer goes to stdout.
"""
_RUN_DESCRIPTION: Final = """\
Ask the questions of a file one after the other, in one conversation. A line is a
question or a command, as in `zai chat`; what begins with # is a comment.
"""
_BINARY_HINT: Final = "; give a picture or a document with --file FILE"


def chat_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai chat``."""
    parser = argparse.ArgumentParser(
        prog="zai chat", usage="zai chat [OPTION ...] [PROMPT ...]", description=_DESCRIPTION
    )
    add_words(parser, "PROMPT", "what to ask")
    add_chat_options(parser)
    return parser


def run_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai run``."""
    parser = argparse.ArgumentParser(prog="zai run", description=_RUN_DESCRIPTION)
    parser.add_argument("script", metavar="FILE", help="a path, or - for stdin")
    add_chat_options(parser)
    return parser


def add_chat_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a conversation."""
    group = parser.add_argument_group("request")
    group.add_argument(
        "-m",
        "--model",
        type=text,
        help=f"default: {CHAT_MODEL}, or {VISION_MODEL} to look at files, or ZAI_MODEL",
    )
    group.add_argument(
        "-s", "--system", type=text, metavar="TEXT", help="instructions for the model"
    )
    group.add_argument(
        "-a",
        "--attach",
        "--file",
        "--image",
        action="append",
        default=[],
        metavar="FILE",
        help="a picture, video, sound, document or text to look at; may be repeated",
    )
    group.add_argument(
        "-c",
        "--continue",
        dest="resume",
        action="store_true",
        help="go on with the last conversation",
    )
    group.add_argument(
        "--thinking", action=argparse.BooleanOptionalAction, help="whether the model thinks first"
    )
    group.add_argument(
        "--effort", type=text, metavar="LEVEL", help="how long it thinks: low, high, max"
    )
    group.add_argument("--max-tokens", type=count, metavar="N", help="longest answer")
    group.add_argument("--temperature", type=number, metavar="X", help="0 dull to 1 lively")
    group.add_argument(
        "--tools",
        action="append",
        type=function,
        default=[],
        metavar="MODULE:FUNCTION",
        help="a function that the model may call; may be repeated",
    )
    group.add_argument(
        "--schema",
        type=schema,
        metavar="MODULE:TYPE|FILE",
        help="what the answer is to fit, which is printed as JSON",
    )

    add_display_options(parser)
    add_options(parser)


def add_display_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is printed of an answer."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print the completion as one JSON line")
    group.add_argument(
        "-x", "--extract", action="store_true", help="print the first block of code only"
    )
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


def run_chat(argv: Sequence[str], terminal: Terminal) -> int:
    """Answer a prompt, or hold a conversation where there is none."""
    parser = chat_parser()
    arguments = parse(parser, argv)
    saved, attached = conversation_of(parser, arguments)
    with connect(arguments, terminal) as call:
        session = session_of(call, saved, attached)
        if terminal.interactive and not arguments.words:
            terminal.note(f"{session.model}: /help shows the commands, Ctrl-D leaves")
            converse(Dialogue(session, terminal, attached), terminal)
            return 0

        # A person who could type was not asked to: then the arguments are all.
        said = [" ".join(arguments.words)]
        if not (arguments.words and sys.stdin.isatty()):
            said.append(piped(parser, _BINARY_HINT))
        prompt = "\n\n".join(filter(None, said))
        if not (prompt.strip() or attached):
            parser.error("no prompt: give it as arguments or on stdin")
        session.ask(prompt, attached)
    return 0


def run_run(argv: Sequence[str], terminal: Terminal) -> int:
    """Ask what a file says, and stop at the first question without a proper answer."""
    parser = run_parser()
    arguments = parser.parse_args(argv)
    saved, attached = conversation_of(parser, arguments)
    try:
        # A file that is not there is told as by every command.
        script = (
            piped(parser)
            if arguments.script == STDIN
            else Path(arguments.script).read_text("utf-8")
        )
    except UnicodeDecodeError:
        parser.error(f"{arguments.script} is not text in UTF-8")
    with connect(arguments, terminal) as call:
        session = session_of(call, saved, attached)
        follow(Dialogue(session, terminal, attached), script)
    return 0


def conversation_of(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> tuple[SavedConversation | None, list[ContentPartParam]]:
    """Return the conversation to continue, if any, and what is shown along.

    Whatever can be wrong on this machine is told here, before a client is opened.

    Raises:
        SystemExit: There is none, or options do not go together.
    """
    # A run with tools asks several times, and no answer of it is known to be the last.
    if arguments.schema is not None and (arguments.tools or arguments.extract):
        parser.error("--schema goes with neither --tools nor --extract")
    saved = last_conversation() if arguments.resume else None
    if arguments.resume and saved is None:
        parser.error("there is no conversation to continue")
    return saved, [attach(word) for word in arguments.attach]


def session_of(
    call: Invocation, saved: SavedConversation | None, attached: Sequence[ContentPartParam]
) -> ChatSession:
    """Return what asks and shows the answers."""
    arguments, terminal = call.arguments, call.terminal
    # What was not asked for is not sent: the defaults of models differ.
    modes = {True: {"type": "enabled"}, False: {"type": "disabled"}, None: None}
    settings = given(
        thinking=modes[arguments.thinking],
        reasoning_effort=arguments.effort,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
    )
    thinking = arguments.show_thinking
    if thinking is None:
        # A person wants to see that something happens; a log would only grow.
        thinking = terminal.watched and not (arguments.json or arguments.quiet)
    display = AnswerDisplay(
        terminal,
        as_json=arguments.json,
        code_only=arguments.extract,
        thinking=thinking,
        tools=not arguments.quiet,
        usage=not arguments.quiet and (terminal.watched or arguments.verbose),
    )

    # The model of a conversation goes on with it, unless another one is asked for by name.
    default = VISION_MODEL if shows_media(attached) else CHAT_MODEL
    model = os.environ.get("ZAI_MODEL") or default
    session = ChatSession(
        call,
        display,
        model=arguments.model or (saved.model if saved else model),
        system=arguments.system or (saved.system if saved else None),
        settings=settings,
        # A value is read from the whole answer.
        stream=arguments.stream and arguments.schema is None,
        tools=arguments.tools,
        schema=arguments.schema,
    )
    if saved:
        session.history += saved.history
    return session
