"""``zai chat``: one question and its answer, or a conversation on a terminal."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from zai_async.cli import repl
from zai_async.cli.arguments import add_words, count, given, number, parse, text
from zai_async.cli.connection import add_options, connect
from zai_async.cli.conversation import Conversation
from zai_async.cli.display import Display
from zai_async.cli.terminal import Terminal

__all__ = ["run"]

DEFAULT_MODEL: Final = "glm-5.3"

_DESCRIPTION = """\
Ask a model. The prompt is the arguments, followed by what is piped in; without
either, a conversation begins. Only the answer goes to stdout.
"""


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Answer a prompt, or hold a conversation where there is none."""
    parser = _parser()
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
            return repl.converse(conversation, terminal)
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


def _parser() -> argparse.ArgumentParser:
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
        default=os.environ.get("ZAI_MODEL") or DEFAULT_MODEL,
        help=f"default: {DEFAULT_MODEL}, or ZAI_MODEL",
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
