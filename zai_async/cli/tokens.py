"""``zai tokens``: tokens, counted by the platform."""

import argparse
from collections.abc import Sequence
from typing import Final

from zai_async.cli.arguments import add_words, parse, said, text
from zai_async.cli.connection import add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.terminal import Terminal

__all__ = ["run"]

DEFAULT_MODEL: Final = "glm-4.6"


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the number of tokens."""
    parser = _parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        work = connection.zai.tokenizer.count(
            model=arguments.model, messages=prompt, options=connection.options
        )
        count = connection.run(work)
    Output(arguments, terminal).answer(count, str(count.total_tokens))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai tokens",
        usage="zai tokens [OPTION ...] TEXT ...",
        description="Count the tokens of a text, as the message of a user.",
    )
    add_words(parser, "TEXT", "what to count, or - for stdin")
    parser.add_argument(
        "--model", type=text, default=DEFAULT_MODEL, help=f"whose tokens; default: {DEFAULT_MODEL}"
    )
    add_output(parser)
    add_options(parser)
    return parser
