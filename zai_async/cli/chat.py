"""``zai chat``: one question and its answer, or a conversation on a terminal."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from zai_async.cli.arguments import add_words, count, given, number, parse, piped, text
from zai_async.cli.attachments import attach, shows_media
from zai_async.cli.connection import add_options, connect
from zai_async.cli.conversation import AnswerDisplay, ChatSession, last_conversation
from zai_async.cli.repl import Repl
from zai_async.cli.terminal import Terminal

__all__ = ["chat_parser", "run_chat"]

CHAT_MODEL: Final = "glm-5.3"
VISION_MODEL: Final = "glm-5.3-flash"

_DESCRIPTION: Final = """\
Ask a model. The prompt is the arguments, followed by what is piped in; without
either, a conversation begins. Only the answer goes to stdout.
"""
_BINARY_HINT: Final = "; give a picture or a document with --file FILE"


def chat_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai chat``."""
    parser = argparse.ArgumentParser(
        prog="zai chat", usage="zai chat [OPTION ...] [PROMPT ...]", description=_DESCRIPTION
    )
    add_words(parser, "PROMPT", "what to ask")

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
    add_options(parser)
    return parser


def run_chat(argv: Sequence[str], terminal: Terminal) -> int:
    """Answer a prompt, or hold a conversation where there is none."""
    parser = chat_parser()
    arguments = parse(parser, argv)
    # Whatever can be wrong on this machine is told before a client is opened.
    saved = last_conversation() if arguments.resume else None
    if arguments.resume and saved is None:
        parser.error("there is no conversation to continue")
    attached = [attach(word) for word in arguments.attach]

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
        usage=not arguments.quiet and (terminal.watched or arguments.verbose),
    )

    # The model of a conversation goes on with it, unless another one is asked for by name.
    default = VISION_MODEL if shows_media(attached) else CHAT_MODEL
    model = os.environ.get("ZAI_MODEL") or default
    with connect(arguments, terminal) as call:
        session = ChatSession(
            call,
            display,
            model=arguments.model or (saved.model if saved else model),
            system=arguments.system or (saved.system if saved else None),
            settings=settings,
            stream=arguments.stream,
        )
        if saved:
            session.history += saved.history
        if terminal.interactive and not arguments.words:
            return Repl(session, terminal, attached).run()

        # A person who could type was not asked to: then the arguments are all.
        said = [" ".join(arguments.words)]
        if not (arguments.words and sys.stdin.isatty()):
            said.append(piped(parser, _BINARY_HINT))
        prompt = "\n\n".join(filter(None, said))
        if not (prompt.strip() or attached):
            parser.error("no prompt: give it as arguments or on stdin")
        session.ask(prompt, attached)
    return 0
