"""``zai chat``: one question and its answer, or a conversation on a terminal."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from zai_async.cli.arguments import add_words, count, given, number, parse, text
from zai_async.cli.connection import add_options, connect
from zai_async.cli.conversation import AnswerDisplay, ChatSession, Repl
from zai_async.cli.terminal import Terminal

__all__ = ["chat_parser", "run_chat"]

CHAT_MODEL: Final = "glm-5.3"

_DESCRIPTION: Final = """\
Ask a model. The prompt is the arguments, followed by what is piped in; without
either, a conversation begins. Only the answer goes to stdout.
"""


def chat_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai chat``."""
    parser = argparse.ArgumentParser(
        prog="zai chat", usage="zai chat [OPTION ...] [PROMPT ...]", description=_DESCRIPTION
    )
    add_words(parser, "PROMPT", "what to ask")

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
    add_options(parser)
    return parser


def run_chat(argv: Sequence[str], terminal: Terminal) -> int:
    """Answer a prompt, or hold a conversation where there is none."""
    parser = chat_parser()
    arguments = parse(parser, argv)
    modes = {True: {"type": "enabled"}, False: {"type": "disabled"}, None: None}
    settings = given(
        thinking=modes[arguments.thinking],
        reasoning_effort=arguments.effort,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
    )
    thinking = arguments.show_thinking
    if thinking is None:
        thinking = terminal.watched and not (arguments.json or arguments.quiet)
    usage = not arguments.quiet and (terminal.watched or arguments.verbose)
    display = AnswerDisplay(terminal, as_json=arguments.json, thinking=thinking, usage=usage)

    with connect(arguments, terminal) as call:
        session = ChatSession(
            call,
            display,
            model=arguments.model,
            system=arguments.system,
            settings=settings,
            stream=arguments.stream,
        )
        if terminal.interactive and not arguments.words:
            return Repl(session, terminal).run()

        # A person who could type was not asked to: then the arguments are all.
        piped = ""
        if not (arguments.words and sys.stdin.isatty()):
            piped = sys.stdin.read().strip()
        prompt = "\n\n".join(filter(None, (" ".join(arguments.words), piped)))
        if not prompt:
            parser.error("no prompt: give it as arguments or on stdin")
        session.ask(prompt)
    return 0
